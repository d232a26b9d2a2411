"""Fit widths of both PSFs, and a shift of the cube, together with the scene."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace

import numpy as np

from jwst_fusion.fusion.solver.psf_modes import (
    NARROWEST,
    PRIOR_CUBE,
    PRIOR_IMAGE,
    SHIFTS,
    WIDTHS,
    core_variance,
    mode,
    reshaped,
    sound,
)
from jwst_fusion.fusion.solver.reactions import settled_reaction, told_covariance
from jwst_fusion.messages import warn

__all__ = ["PsfFit", "fit_psf"]

log = logging.getLogger(__name__)

_STEPS = 6  # Newton steps at most, each with a solve; one or two are needed
_SETTLED = 0.3  # of its error, by which a parameter may still move
_PRIOR_SHIFT = 0.5  # width of the prior relative to the standard deviation of the core of the cube
_LARGEST = 1.0  # widths of the priors by which one step may move
_FAR = 0.3  # widths of the priors, beyond which derivatives are made again
_PRECISION = 0.02  # of the information on a parameter that the solve for its column leaves
_UNSEEN = 20  # by which errors exceed residuals, at most, where data are weighted unevenly
_DRAFT = 0.02  # accuracy of solves, in posterior standard deviations; reactions mend the rest
_MATTERS = 0.1  # widths of the priors, from which on PSFs differ
_BRIGHTEST, _AROUND = 3, 3.0  # sources whose residuals are told, and pixels around each
_WORSE = 0.02  # relative rise of the misfit from which on a fit is not believed


@dataclass(frozen=True)
class PsfFit:
    """How PSFs differ from their models.

    Attributes
    ----------
    image : ndarray (3,)
        Variances along x and y and covariance of the Gaussian that widens the PSFs of the images,
        fine pixels squared; negative variances if they are narrower. 0 without point sources, which
        alone tell it.
    cube : ndarray (3,)
        The same of the cube.
    shift : ndarray (2,)
        Of the cube against the images, along x and y, fine pixels.
    errors : ndarray (8,)
        1-sigma errors of `image`, of what `cube` differs from it by, and of `shift`.
    flux : ndarray (q,)
        Relative 1-sigma errors of the flux of point sources that they leave, independent of each
        other.
    psf_image, psf_cube : ndarray (R, m, m)
        The PSFs that follow.
    given : tuple of ndarray (R, m, m)
        Those of images and cube from which they follow.
    matters : bool
        Whether they differ enough for sources and outliers to be looked for again.
    sources : ndarray (n, 2)
        x and y of the brightest point sources, three at most, pixels of the images.
    left : ndarray (2, n)
        What the images leave at each of these, with the PSFs given and with those that were found:
        root mean square of the residuals within 3 pixels, relative to that of the model.
    """

    image: np.ndarray
    cube: np.ndarray
    shift: np.ndarray
    errors: np.ndarray
    flux: np.ndarray
    psf_image: np.ndarray = field(repr=False)
    psf_cube: np.ndarray = field(repr=False)
    given: tuple = field(repr=False)
    matters: bool
    sources: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    left: np.ndarray = field(default_factory=lambda: np.zeros((2, 0)))


def fit_psf(problem, tuned, settings, before=None):
    r"""Fit the widths of both PSFs and the shift of the cube, at fixed hyperparameters.

    Parameters
    ----------
    problem : LowRankProblem
        With its sources in place, if there are any.
    tuned : Tuning
        Its hyperparameters and solution.
    settings : FusionSettings
        Options.
    before : PsfFit, optional
        An earlier fit, with other hyperparameters or sources, that gave the PSFs of the problem.

    Returns
    -------
    problem : LowRankProblem
        The problem with the PSFs that were found.
    tuned : Tuning
        Its solution.
    fit : PsfFit or None
        What was found; the earlier one or None if it made the agreement with the data worse, which
        is logged.

    Notes
    -----
    Newton steps of the penalised likelihood, the scene Z eliminated: with the derivatives C of the
    data with respect to the parameters and the normal matrix Q of the scene, the information on
    them is :math:`C^T W C - C^T W A Q^{-1} A^T W C`.

    A Gaussian that widens both PSFs alike can hardly be told from a scene that is smoother than it
    seems, of which the prior knows nothing that could be relied on. Point sources tell: their
    halo, the scene :math:`s = G D a` with the mode G, is not smooth. So the widths of the images
    move the sources alone, in both instruments, and the diffuse scene stays as it is seen; their
    gradient and information

    .. math:: s^T P Z_{diffuse}, \qquad s^T P s' - s^T P Q^{-1} P s'

    have no difference of large numbers. Widths of the cube beyond those of the images, and the
    shift, move all that the cube sees. As in `fit_gains`, the gradient of :math:`\ln |Q| / 2`
    belongs to theirs: the part of the penalty of the diffuse scene that the cube has determined,
    frequency by frequency and whatever the power of the scene is.
    """
    data = problem.data
    sourced = problem.system.prior.sources is not None
    if before is not None:
        data = replace(data, psf_image=before.given[0], psf_cube=before.given[1])
    parameters = _Parameters.of(data, sourced=sourced)
    first, start = _objective(problem, tuned), (problem, tuned)
    if before is None:
        told = _brightest(problem, tuned) if sourced else np.zeros((0, 2))
        left = _left_at(told, problem, tuned)
    else:
        told, left = before.sources, before.left[0]
    values = np.zeros(len(parameters)) if before is None else parameters.values(before)
    last = np.zeros(len(parameters))
    columns = None
    for _ in range(_STEPS):
        if columns is None:
            columns = _Columns(problem, tuned, parameters, settings)
            covariance, known = told_covariance(columns.matrix, parameters.width)
            errors = np.sqrt(np.diag(covariance))
        pull = columns.pulls(problem, tuned) - values / parameters.width**2
        step = known @ pull
        # Halve steps that alternate.
        step = np.where(step * last < 0, step / 2, step)
        limit = _LARGEST * parameters.width
        step, last = np.clip(step, -limit, limit), step
        step = np.maximum(step, parameters.least - values)
        values = values + step
        guess = columns.moved(tuned.solution.solution, step)
        problem = problem.posed_again(
            replace(data, **parameters.psfs(data, values), sources=problem.data.sources),
            problem.subspace,
            settings,
        )
        solution = problem.system.solve(
            tuned.mu,
            tuned.scale_image,
            tuned.scale_cube,
            start=guess,
            tolerance=_DRAFT,
            max_iterations=settings.max_iterations,
        )
        tuned = replace(tuned, solution=solution)
        if np.all(np.abs(step) < _SETTLED * errors):
            break
        if np.any(np.abs(step) > _FAR * parameters.width):
            columns = None
    else:
        warn(log, "The PSFs still change by more than their errors after %d steps", _STEPS)
    after = _objective(problem, tuned)
    if after > (1 + _WORSE) * first or not (
        sound(problem.data.psf_image) and sound(problem.data.psf_cube)
    ):
        warn(log, "PSFs of other widths do not agree better with the data: those given are used")
        return *start, before
    fit = parameters.result(data, values, errors)
    fit = replace(fit, sources=told, left=np.array([left, _left_at(told, problem, tuned)]))
    log.info(
        "PSFs of the images wider by a variance of %.3f and %.3f, of the cube by %.3f and %.3f "
        "pixels squared along x and y; the cube shifted by %.3f, %.3f pixels",
        *fit.image[:2],
        *fit.cube[:2],
        *fit.shift,
    )
    if not sourced:
        return problem, tuned, fit
    columns = columns or _Columns(problem, tuned, parameters, settings)
    slopes = columns.relative_fluxes(problem, tuned)
    values, vectors = np.linalg.eigh(covariance)
    flux = slopes @ (vectors * np.sqrt(np.maximum(values, 0.0)))
    return problem, tuned, replace(fit, flux=flux)


@dataclass(frozen=True)
class _Parameters:
    """What is fitted: modes of the images, which the cube shares, and of the cube alone."""

    image: tuple
    cube: tuple
    width: np.ndarray  # of the priors
    least: np.ndarray  # values: no PSF is much narrower than its model

    @classmethod
    def of(cls, data, *, sourced):
        middle = len(data.psf_image) // 2
        core = core_variance(data.psf_image[middle]), core_variance(data.psf_cube[middle])
        image, cube = (WIDTHS if sourced else ()), (*WIDTHS, *SHIFTS)
        width = [PRIOR_IMAGE * core[0]] * len(image) + [PRIOR_CUBE * core[1]] * len(WIDTHS)
        width += [_PRIOR_SHIFT * np.sqrt(core[1])] * len(SHIFTS)
        least = [-NARROWEST * core[0] if name != "xy" else -np.inf for name in image]
        # of the cube, relative to the images
        least += [-NARROWEST * core[1] if name in WIDTHS[:2] else -np.inf for name in cube]
        return cls(image, cube, np.array(width), np.array(least))

    def __len__(self):
        return len(self.width)

    def amounts(self, values):
        """Changes of the PSFs of images and cube, by name."""
        image = dict(zip(self.image, values, strict=False))
        cube = dict(zip(self.cube, values[len(self.image) :], strict=True))
        return image, {name: value + image.get(name, 0.0) for name, value in cube.items()}

    def psfs(self, data, values):
        """PSFs of images and cube, as fields of the data."""
        image, cube = self.amounts(values)
        return {
            "psf_image": reshaped(data.psf_image, image),
            "psf_cube": reshaped(data.psf_cube, cube),
        }

    def values(self, fit):
        """Values of an earlier fit."""
        image = dict(zip(WIDTHS, fit.image, strict=True))
        cube = dict(zip((*WIDTHS, *SHIFTS), (*fit.cube, *fit.shift), strict=True))
        both = [image[name] for name in self.image]
        shared = {name: image[name] for name in self.image}
        return np.array(both + [cube[name] - shared.get(name, 0.0) for name in self.cube])

    def result(self, data, values, errors):
        image, cube = self.amounts(values)
        far = np.abs(list(cube.values())) / self.width[len(self.image) :]
        far = np.append(far, np.abs(values[: len(self.image)]) / self.width[: len(self.image)])
        missing = np.zeros(len(WIDTHS) - len(self.image))
        return PsfFit(
            image=np.array([image.get(name, 0.0) for name in WIDTHS]),
            cube=np.array([cube[name] for name in WIDTHS]),
            shift=np.array([cube[name] for name in SHIFTS]),
            errors=np.concatenate([missing, errors]),
            flux=np.zeros(0),
            given=(data.psf_image, data.psf_cube),
            matters=bool(far.max() > _MATTERS),
            **self.psfs(data, values),
        )


class _Columns:
    """What each parameter changes, and how the scene reacts to it."""

    def __init__(self, problem, tuned, parameters, settings):
        self.parameters = parameters
        system, groups = problem.system, tuned.solution.solution
        self.grid = grid = system.grid
        sources = system.prior.sources
        self.diffuse = groups if sources is None else sources.diffuse(groups)
        points = groups - self.diffuse
        scale = tuned.scale_cube
        self.halos, seen, right, own = [], [], [], []
        for name in parameters.image:
            halo = points * _mode(grid, name)
            pulled = tuned.mu * sources.apply(halo)
            self.halos.append(halo)
            right.append(pulled)
            own.append(system.inner(halo, pulled))
        for name in parameters.cube:
            rows = _rows(system, groups * _mode(grid, name))
            weighted = scale * system.spaxel_weight * system.observe(rows)
            seen.append((rows, weighted))
            right.append(system.spectrometer.adjoint_groups(grid.analyse_coarse(weighted)))
            own.append(np.sum(rows * weighted))
        self.reactions = [
            _react(system, tuned, settings, one, known)
            for one, known in zip(right, own, strict=True)
        ]
        count = len(self.halos)
        matrix = np.zeros((len(right), len(right)))
        for p, reaction in enumerate(self.reactions):
            for q, other in enumerate(right):
                shared = system.inner(other, reaction)
                if p < count and q < count:
                    matrix[p, q] = system.inner(self.halos[p], other) - shared
                elif p >= count and q >= count:
                    matrix[p, q] = np.sum(seen[p - count][0] * seen[q - count][1]) - shared
                else:
                    matrix[p, q] = shared
        self.matrix = (matrix + matrix.T) / 2

    def pulls(self, problem, tuned):
        """Gradient (P,) of the penalised likelihood, once the scene has settled."""
        system, groups = problem.system, tuned.solution.solution
        grid, sources = system.grid, system.prior.sources
        scales = tuned.scale_image, tuned.scale_cube
        rhs = scales[0] * system.rhs_image + scales[1] * system.rhs_cube
        left = rhs - system.apply(groups, *scales, tuned.mu)
        diffuse = groups if sources is None else sources.diffuse(groups)
        base = system.prior if sources is None else sources.base
        penalty = tuned.mu * base.apply(diffuse)
        result = []
        for name, reaction in zip(self.parameters.image, self.reactions, strict=False):
            halo = (groups - diffuse) * _mode(grid, name)
            result.append(system.inner(halo, penalty) + system.inner(reaction, left))
        residual = system.rows - system.observe(_rows(system, groups))
        residual *= scales[1] * system.spaxel_weight
        share = _share_of_cube(system, tuned)
        energy = np.sum((diffuse.conj() * penalty).real * share, axis=2)
        energy *= grid.multiplicity[:, None]
        for name, reaction in zip(
            self.parameters.cube, self.reactions[len(self.halos) :], strict=True
        ):
            transfer = _mode(grid, name)
            rows = _rows(system, groups * transfer)
            determined = np.sum(energy * transfer[:, :, 0].real)
            settled = system.inner(reaction, left)
            result.append(np.sum(rows * residual) - settled - determined)
        return np.array(result)

    def moved(self, groups, step):
        """Scene (group, d * d, k) after a step."""
        result = groups.copy()
        for index, one in enumerate(step):
            result += one * self._change(index)
            if index < len(self.halos):  # the diffuse scene behind a wider PSF is sharper
                result -= one * (self.diffuse * _mode(self.grid, self.parameters.image[index]))
        return result

    def _change(self, index):
        """Derivative of the scene, as it is seen, with respect to a parameter."""
        if index < len(self.halos):
            return self.reactions[index] - self.halos[index]
        return -self.reactions[index]

    def relative_fluxes(self, problem, tuned):
        """Relative change (P,) of the flux of all sources together with each parameter."""
        sources, subspace = problem.system.prior.sources, problem.subspace
        white = np.mean(subspace.basis[subspace.valid], axis=0)
        flux = sources.amplitudes(tuned.solution.solution) @ white
        changes = [
            sources.amplitudes(self._change(index)) @ white for index in range(len(self.reactions))
        ]
        return np.array(changes) @ flux / max(flux @ flux, np.finfo(float).tiny)


def _mode(grid, name):
    """Mode in groups (group, d * d, 1)."""
    return grid.group(mode(grid.shape, name)[None])


def _rows(system, groups):
    """Whitened rows of the cube that component groups predict."""
    return system.grid.synthesise_coarse(system.spectrometer.forward_groups(groups))


def _react(system, tuned, settings, rhs, own):
    """Reaction of the scene to one parameter, exact enough for the information on it."""

    def solve(**accuracy):
        return system.solve(
            tuned.mu,
            tuned.scale_image,
            tuned.scale_cube,
            rhs=rhs,
            max_iterations=settings.max_iterations,
            **accuracy,
        )

    return settled_reaction(
        solve,
        lambda reaction: own - system.inner(rhs, reaction),
        lambda information: _PRECISION * max(information, 1.0),
        first=0.1 * own,
        unseen=_UNSEEN,
        norm=system.norm,
    )


def _share_of_cube(system, tuned):
    """Part (group, d * d, k) of what is known of the diffuse scene that is from the cube."""
    image_weight, cube_weight = system.typical_weights()
    weights = (tuned.scale_image * image_weight, tuned.scale_cube * cube_weight, tuned.mu)
    covariance, strength = system.covariance(*weights)
    gram = system.blocks.image_gram(slice(None), weights[0])
    image = np.einsum("gdab,gdba->gda", covariance, gram).real
    known = 1 - strength * np.einsum("gdaa->gda", covariance).real
    return 1 - np.clip(image / np.maximum(known, np.finfo(np.float32).eps), 0, 1)


def _brightest(problem, tuned):
    """Positions (n, 2) of the brightest point sources."""
    sources, subspace = problem.system.prior.sources, problem.subspace
    white = np.mean(subspace.basis[subspace.valid], axis=0)
    flux = sources.amplitudes(tuned.solution.solution) @ white
    return problem.data.sources[np.argsort(-flux)[:_BRIGHTEST]]


def _left_at(places, problem, tuned):
    """Residuals (n,) of the images at places, relative to the light of the model there."""
    if not len(places):
        return np.zeros(0)
    model = problem.images_of(tuned.solution.solution)
    residual = problem.data.images - model
    rows, columns = np.indices(model.shape[1:])
    found = []
    for x, y in places:
        near = np.isfinite(residual) & (np.hypot(columns - x, rows - y) < _AROUND)
        light = np.linalg.norm(model[near])
        # A source beside all images leaves nothing in them.
        found.append(np.linalg.norm(residual[near]) / light if light > 0 else 0.0)
    return np.array(found)


def _objective(problem, tuned):
    """Misfit of both instruments in units of the noise."""
    images, rows = problem.system.misfit(tuned.solution.solution)
    return tuned.scale_image * images + tuned.scale_cube * rows
