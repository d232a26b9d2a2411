"""Point sources in the course of a fusion: found, placed, kept or not, and their spectra."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import stats
from scipy.signal import fftconvolve

from jwst_fusion.fusion.solver.rendering import render_rows
from jwst_fusion.fusion.solver.source_fit import (
    PointImages,
    confusion,
    fit_deviations,
    fit_positions,
    without_light,
)
from jwst_fusion.fusion.sources.source_list import SourceList
from jwst_fusion.fusion.sources.source_spectra import SourceSpectra
from jwst_fusion.messages import warn

__all__ = ["FittedSources", "choose_sources", "locate"]

log = logging.getLogger(__name__)

_STEPS = 5  # Newton steps of the positions, each with a solve; two or three are needed
_SETTLED = 0.3  # of the error of a position, by which it may still move
_LOOSE = 0.05  # accuracy of these solves, in posterior standard deviations
_LEAST_SEEN = 0.25  # of the information on a source that a cube without borders would have
_NEAR = 2.0  # fine pixels: a given position and a peak of the images within are one source
# Widths of the PSF: radius of the core, and ring around it, for the light beside a source.
_CORE, _AROUND = 1.0, (2.0, 3.0)
# What a fit of the widths leaves of the halo shows less of how wrong the PSF is than that of a PSF
# that was not fitted.
_UNFITTED = 2.0
_UNSHARED = 0.25  # of the error that a PSF leaves in the flux of a source, at the source itself
_CHI2 = 0.4549  # median of a squared normal deviate
_LIT = 20.0  # standard deviations of the noise from which on the light of sources says how they fit
_UNDERFLOW = -690.0  # logarithm of the smallest probability that is worked with as such
_SAME = 0.3  # fine pixels: two sources nearer than that cannot be told apart
_LOST = 2.0  # fine pixels from where it was found, beyond which a source is another one


@dataclass(frozen=True)
class FittedSources:
    """Sources of a fusion.

    Attributes
    ----------
    positions : SourceList
        Where they are.
    believed : ndarray (J, L)
        Part of their spectra beyond the subspace that has been taken off the data, MJy/sr times
        fine pixel.
    points : PointImages or None
        Their images; None before they are placed.
    """

    positions: SourceList
    believed: np.ndarray
    points: PointImages | None = field(default=None, repr=False)

    def __len__(self):
        return len(self.positions)

    def unplaced(self):
        """Sources that are to be placed again, where they are now.

        Returns
        -------
        FittedSources
            The same without images and deviations.
        """
        return replace(self, believed=np.zeros_like(self.believed), points=None)

    def deviating(self, problem, tuned):
        """Take the part of the spectra that the subspace does not hold off the data.

        Parameters
        ----------
        problem : LowRankProblem
            With these sources.
        tuned : Tuning
            Its solution.

        Returns
        -------
        data : FusionData
            Data of the problem without what is believed of the deviations.
        sources : FittedSources
            With what is believed.
        """
        found = fit_deviations(problem, tuned, believed=self.believed, points=self.points)
        believed = found.believed()
        change = believed - self.believed
        data = without_light(problem.data, change, self.points) if change.any() else problem.data
        return data, replace(self, believed=believed)

    def measured(self, problem, tuned, structure=None, psf_fit=None):
        """Spectra of the sources, and what they add to models and cube.

        Parameters
        ----------
        problem : LowRankProblem
            With these sources.
        tuned : Tuning
            Its solution.
        structure : Structure, optional
            Structure of the diffuse scene; what the prior expects by default.
        psf_fit : PsfFit, optional
            What has been fitted to the PSFs.

        Returns
        -------
        spectra : SourceSpectra
            Spectra with their errors.
        deviations : Deviations
            Their part beyond the subspace.
        posterior : ndarray (J, k, k)
            Posterior covariance of their amplitudes in the subspace.
        shared : ndarray (J, L)
            Error of the light at a source in the cube that an error of the PSF leaves, MJy/sr times
            fine pixel.
        """
        subspace = problem.subspace
        prior = problem.system.prior.sources
        found = fit_deviations(problem, tuned, believed=self.believed, points=self.points)
        amplitudes = tuned.amplitudes
        if amplitudes is None:
            amplitudes = prior.amplitudes(tuned.solution.solution)
        posterior, surroundings = confusion(problem, tuned, structure)
        halo = self._halo(problem, tuned, amplitudes)
        if psf_fit is None:
            shape = np.array([halo])
        else:
            shape = np.append(psf_fit.flux, _UNFITTED * halo)
        noise = np.where(np.isfinite(found.errors), found.errors, np.nan)
        flux = amplitudes @ subspace.basis.T + found.spectra
        flux[:, ~subspace.valid] = np.nan
        factor = np.einsum("la,jaq->jlq", subspace.basis, _roots(surroundings))
        factor = np.concatenate([factor, np.nan_to_num(flux)[:, :, None] * shape], axis=2)
        spectra = SourceSpectra(
            positions=self.positions,
            flux=flux,
            error=np.sqrt(noise**2 + np.sum(factor**2, axis=2)),
            covariance_factor=factor,
        )
        return spectra, found, posterior, _UNSHARED * halo * np.nan_to_num(flux)

    def speckles(self, problem, tuned, flux):
        """What errors of the PSF leave at sources in the images, beyond the noise.

        Parameters
        ----------
        problem : LowRankProblem
            With these sources.
        tuned : Tuning
            Its solution.
        flux : ndarray (J, L)
            Their spectra, MJy/sr times fine pixel.

        Returns
        -------
        float
            Root mean square of the residuals over the geometric mean of the light of a source there
            and at its peak: errors of the wavefront interfere with the light, and change it as its
            root.
        """
        data = problem.data
        residual = data.images - problem.images_of(tuned.solution.solution)
        table = np.einsum("fl,jl,lr->jfr", data.response, np.nan_to_num(flux), data.psf_weights)
        square = np.zeros(residual.shape)
        for index, weights in enumerate(table):
            light = np.tensordot(weights, self.points.in_images(index), 1)
            square += np.abs(light) * light.max(axis=(1, 2), keepdims=True)
        good = data.image_weight > 0
        noise = np.full(square.shape, np.inf)
        noise[good] = (data.image_sigma[:, None, None] ** 2 / np.where(good, data.image_weight, 1))[
            good
        ]
        lit = square > _LIT**2 * noise
        if not lit.any():
            return 0.0
        # The scene has followed a part of the noise, here as elsewhere.
        dark = good & ~lit
        left = np.median(residual[dark] ** 2 / noise[dark]) / _CHI2 if dark.any() else 1.0
        excess = residual[lit] ** 2 - min(left, 1.0) * noise[lit]
        square, noise = square[lit], noise[lit]
        share = np.sum(excess / noise) / np.sum(square / noise)
        return float(np.sqrt(max(share, 0.0)))

    def _halo(self, problem, tuned, amplitudes):
        """Part of the light of sources, all together, that the diffuse scene shows around them.

        With the right PSF there is none. A PSF that is too narrow leaves its wings to the diffuse
        scene, which tells how wrong fluxes may be.
        """
        grid, data = problem.system.grid, problem.data
        diffuse = problem.system.prior.sources.diffuse(tuned.solution.solution)
        white = np.nanmean(problem.subspace.basis[problem.subspace.valid], axis=0)
        psf = data.psf_image[len(data.psf_image) // 2]
        seen = render_rows(grid, psf[None], white[None, None], diffuse)
        seen = seen[0][problem.window]
        size = 2 * np.sqrt(np.count_nonzero(psf > psf.max() / 2) / np.pi)
        flux = amplitudes @ white
        rows, columns = np.indices(seen.shape)
        bumps = np.zeros(len(flux))
        for j, (x, y) in enumerate(data.sources):
            distance = np.hypot(rows - y, columns - x)
            core = distance < _CORE * size
            around = (distance > _AROUND[0] * size) & (distance < _AROUND[1] * size)
            if core.any() and around.any():
                bumps[j] = np.sum(seen[core] - np.median(seen[around]))
        return float(abs(bumps @ flux) / max(flux @ flux, np.finfo(float).tiny))


def _roots(matrices):
    """Square roots (J, k, k) of positive semidefinite matrices."""
    values, vectors = np.linalg.eigh(matrices)
    return vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]


def choose_sources(data, settings):
    """Find sources in the images, or take those that are given.

    Parameters
    ----------
    data : FusionData
        Observations, with the positions of sources that are given.
    settings : FusionSettings
        Option `sources`.

    Returns
    -------
    data : FusionData
        With the positions of all sources.
    sources : FittedSources
        The same.
    """
    given = data.sources
    positions = SourceList.empty()
    if settings.sourced:
        # photutils loads the coordinates of astropy: only for those who look for sources.
        from jwst_fusion.fusion.sources.detection import find_sources

        found = find_sources(data, false_alarms=settings.false_alarms)
        positions = found
        if settings.sources == "given":
            positions = _given(given, found)
    if len(positions):
        seen = _seen(data, positions)
        if not seen.all():
            text = "%d point sources lie beside what the cube sees and have no spectra of their own"
            log.info(text, np.count_nonzero(~seen))
        positions = positions.chosen(seen)
        apart = _apart(np.column_stack([positions.x, positions.y]))
        if not apart.all():
            text = "%d point sources stand within %.1f pixels of another one and are left out"
            warn(log, text, np.count_nonzero(~apart), _SAME)
        positions = positions.chosen(apart)
        log.info("%d point sources with spectra of their own", len(positions))
    at = np.column_stack([positions.x, positions.y])
    empty = np.zeros((len(positions), len(data.cube)))
    return replace(data, sources=at), FittedSources(positions, empty)


def _seen(data, positions):
    """Whether the cube sees enough of each source to tell its spectrum."""
    fine = np.kron(data.spaxel_weight > 0, np.ones((data.factor, data.factor)))
    power = data.psf_cube[len(data.psf_cube) // 2] ** 2
    share = fftconvolve(fine, power[::-1, ::-1], mode="same") / power.sum()
    y, x = (
        np.clip(np.rint(at).astype(int), 0, size - 1)
        for at, size in zip((positions.y, positions.x), share.shape, strict=True)
    )
    return share[y, x] > _LEAST_SEEN


def _apart(at, rank=None):
    """Which positions (J, 2) are none of another one before them, in the order of their rank."""
    order = np.arange(len(at)) if rank is None else np.argsort(-rank, kind="stable")
    keep = np.zeros(len(at), bool)
    for j in order:
        near = np.hypot(*(at[keep] - at[j]).T) < _SAME
        keep[j] = not near.any()
    return keep


def _given(given, found):
    """Sources at given positions, moved to the peak of the images beside them, if there is one."""
    at, significance = given.copy(), np.full(len(given), np.nan)
    if len(given) and len(found):
        distance = np.hypot(given[:, :1] - found.x, given[:, 1:] - found.y)
        nearest = distance.argmin(1)
        # one peak belongs to the nearest of several positions
        owner = distance.argmin(0)
        for j, peak in enumerate(nearest):
            if distance[j, peak] < _NEAR and owner[peak] == j:
                at[j] = found.x[peak], found.y[peak]
                significance[j] = found.significance[peak]
    unknown = np.full(len(given), np.nan)
    names = np.array([f"{j + 1}" for j in range(len(given))])
    return SourceList(
        at[:, 0], at[:, 1], unknown, unknown, significance, names, np.ones(len(given), bool)
    )


def locate(problem, tuned, sources, settings):
    """Move the sources to where data and model agree best, and leave out what is none.

    Parameters
    ----------
    problem : LowRankProblem
        With the sources where they were found.
    tuned : Tuning
        Its solution.
    sources : FittedSources
        The sources.
    settings : FusionSettings
        Options.

    Returns
    -------
    problem : LowRankProblem
        With the sources that are kept.
    tuned : Tuning
        Its solution.
    sources : FittedSources
        Those that are kept, with errors of their positions and the significance with which the data
        want a point there, all filters and the cube together.
    """
    positions = sources.positions
    start = problem.data.sources
    pixels = problem.window[0].stop * problem.window[1].stop
    previous = np.zeros_like(start)
    for _ in range(_STEPS):
        moves = fit_positions(problem, tuned)
        log_p = stats.chi2.logsf(moves.excess, problem.subspace.rank)
        significance = _sigmas(log_p)
        at = problem.data.sources
        lost = np.hypot(*(at - start).T) > _LOST
        keep = (log_p < np.log(settings.false_alarms / pixels)) & ~lost
        keep |= positions.given
        keep &= _apart(at, np.where(positions.given, np.inf, moves.excess))
        # Halve steps that alternate: two sources may push each other to and fro.
        steps = np.where(moves.steps * previous < 0, moves.steps / 2, moves.steps)
        steps[lost] = (start - at)[lost]  # those of a catalogue that ran away go back
        settled = np.all(np.abs(steps) < _SETTLED * moves.errors + 1e-3)
        positions = replace(
            positions,
            x_error=moves.errors[:, 0],
            y_error=moves.errors[:, 1],
            significance=significance,
        ).chosen(keep)
        if settled and keep.all():
            break
        at, start, previous = (at + steps)[keep], start[keep], steps[keep]
        if not len(positions):
            log.info("No point source is left")
            break
        problem = problem.with_positions(at)
        tuned = problem.solve(tuned, settings, tolerance=max(settings.tolerance, _LOOSE))
    else:
        warn(log, "Positions of point sources still move after %d steps", _STEPS)
    if not len(positions):
        problem = problem.with_positions(np.zeros((0, 2)))
        tuned = problem.solve(tuned, settings, tolerance=max(settings.tolerance, _LOOSE))
        return problem, tuned, FittedSources(positions, sources.believed[:0])
    at = problem.data.sources
    positions = replace(positions, x=at[:, 0], y=at[:, 1])
    log.info("%d of %d point sources are kept", len(positions), len(sources))
    empty = np.zeros((len(positions), len(problem.data.cube)))
    return problem, tuned, FittedSources(positions, empty, PointImages(problem))


def _sigmas(log_p):
    """Standard deviations of a normal distribution (one-sided) for logarithms of probabilities."""
    # Where probabilities underflow: ln p = -x**2 / 2 - ln(x sqrt(2 pi)), solved by iteration.
    far = np.clip(-log_p, 1.0, 1e12)
    x = np.sqrt(2 * far)
    for _ in range(3):
        x = np.sqrt(np.maximum(2 * (far - np.log(x * np.sqrt(2 * np.pi))), 1.0))
    return np.where(log_p < _UNDERFLOW, x, stats.norm.isf(np.exp(np.maximum(log_p, _UNDERFLOW))))
