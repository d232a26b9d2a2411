"""Maps of flux, velocity and width of named lines of a fused cube, with their errors."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.special import ndtr

from jwst_fusion.hifred.solver.pixel_errors import pixel_covariances, pixel_variances

__all__ = ["Line", "LineMaps", "map_lines", "parse_lines", "place_lines"]

log = logging.getLogger(__name__)

_LIGHT = 299792.458  # km/s
_STEPS = 40  # Gauss-Newton steps, most; a line of some signal needs five
_CLOSE = 1e-3  # change of velocity and width at which steps stop, widths of the line
_LONGEST = 0.5  # longest step of velocity and width, widths of the line
_NARROWEST = 0.3  # least width, channels: narrower Gaussians look alike
_VELOCITIES = 41  # velocities from which a pixel's best start is taken
_WIDTHS = (0.7, 1.0, 1.5, 2.2, 3.3)  # widths that the mean spectrum is tried with, channels times 2
_SURE = 3.0  # significance of the flux of a group from which on velocity and width are given
_FAINTEST = 0.03  # of the median error: the least that a channel is given
_SPARE = 6  # channels beyond one a line: continuum, velocity and width take four
_PIXELS = 2048  # pixels that are fitted at once: some 30 MB of derivatives


_MAPS = tuple(name for kind in ("flux", "velocity", "width") for name in (kind, f"{kind}_error"))


@dataclass(frozen=True)
class Line:
    """
    A spectral line.

    Attributes
    ----------
    name : str
        Its name.
    rest : float
        Rest energy, keV, or rest wavelength, um.
    """

    name: str
    rest: float


@dataclass(frozen=True)
class LineMaps:
    """
    Maps of lines.

    Attributes
    ----------
    lines : list of Line
        The lines.
    groups : ndarray of int (n,)
        Number of the group of each line: lines of a group have one velocity and one width.
    flux, flux_error : ndarray (n, M, N)
        Flux, unit of the cube (times um for surface brightness).
    velocity, velocity_error : ndarray (n, M, N)
        Velocity relative to the redshift, positive away from us, km/s.
    width, width_error : ndarray (n, M, N)
        Standard deviation along the spectrum, km/s, instrumental broadening of Y included.
    unit : str
        Unit of the fluxes.
    redshift : float
        The redshift that velocities are relative to.
    """

    lines: list
    groups: np.ndarray
    flux: np.ndarray
    flux_error: np.ndarray
    velocity: np.ndarray
    velocity_error: np.ndarray
    width: np.ndarray
    width_error: np.ndarray
    unit: str
    redshift: float

    def where(self, known):
        """
        Return the maps with NaN where nothing is known.

        Parameters
        ----------
        known : ndarray of bool (M, N)
            Where something is known.

        Returns
        -------
        LineMaps
            New maps.
        """
        arrays = {name: np.where(known, getattr(self, name), np.nan) for name in _MAPS}
        return replace(self, **arrays)


def parse_lines(texts):
    """
    Read lines from a parameter.

    Parameters
    ----------
    texts : sequence of str
        Lines as ``NAME=6.7004``, with rest energies (keV) or wavelengths (um).

    Returns
    -------
    list of Line
        The lines.

    Raises
    ------
    ValueError
        If a text is no line, or a name comes twice.
    """
    found = []
    for text in texts:
        name, _, value = str(text).rpartition("=")
        try:
            rest = float(value)
        except ValueError:
            rest = np.nan
        if not name.strip() or not (np.isfinite(rest) and rest > 0):
            msg = f"lines: {text!r} is no line: give NAME=REST, as FeXXV_w=6.7004, with the rest "
            msg += "energy in keV (of JWST cubes the rest wavelength in um)"
            raise ValueError(msg)
        found.append(Line(name.strip(), rest))
    names = [one.name for one in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        msg = f"lines: the name {twice[0]!r} is given twice: give each line a name of its own"
        raise ValueError(msg)
    return found


def place_lines(edges, lines, *, redshift=0.0, window=1500.0, counts=True):
    """
    Find where lines lie in a spectrum.

    Parameters
    ----------
    edges : ndarray (L + 1,)
        Edges of the channels, keV or um, ascending.
    lines : sequence of Line
        The lines.
    redshift, window, counts : optional
        As for `map_lines`.

    Returns
    -------
    places : ndarray (n,)
        Observed energies or wavelengths.
    groups : ndarray of int (n,)
        Number of the group of each line: the windows of its lines overlap.
    parts : list of slice
        Channels of each group.

    Raises
    ------
    ValueError
        If a line lies outside the spectrum, or too few channels lie in its window.
    """
    middle = 0.5 * (edges[1:] + edges[:-1])
    places = np.array([_observed(one.rest, redshift, counts) for one in lines])
    for one, place in zip(lines, places, strict=True):
        if not edges[0] < place < edges[-1]:
            axis = "keV" if counts else "um"
            msg = (
                f"lines: {one.name} lies at {place:.5g} {axis}, outside of the result "
                f"({edges[0]:.5g} to {edges[-1]:.5g} {axis}): leave it out, or look at redshift "
                f"({redshift:g})"
            )
            raise ValueError(msg)
    groups, parts = _groups(places, window), []
    for number in range(groups.max() + 1):
        members = np.flatnonzero(groups == number)
        reach = window / _LIGHT * places[members]
        inside = np.flatnonzero(np.any(np.abs(middle[:, None] - places[members]) < reach, axis=1))
        if inside.size < len(members) + _SPARE:
            names = ", ".join(lines[k].name for k in members)
            msg = f"lines: {inside.size} channels lie within line_window = {window:g} km/s of "
            msg += f"{names}, too few for a fit: raise line_window"
            raise ValueError(msg)
        parts.append(slice(int(inside[0]), int(inside[-1]) + 1))
    return places, groups, parts


def map_lines(result, edges, lines, *, unit, redshift=0.0, window=1500.0, counts=True):
    r"""
    Fit lines in every pixel of a fused cube.

    Parameters
    ----------
    result : HifredResult
        Cube, errors and posterior.
    edges : ndarray (L + 1,)
        Edges of the channels, keV or um, ascending.
    lines : sequence of Line
        The lines.
    unit : str
        Unit of the cube.
    redshift : float
        Redshift z; a line of the rest energy E is at E / (1 + z), one of the rest wavelength w at
        w (1 + z).
    window : float
        Half width of the part of the spectrum around each line that is fitted, km/s.
    counts : bool
        Whether channels are sums over energies, and not means over wavelengths.

    Returns
    -------
    LineMaps
        The maps; velocity and width are NaN where the lines of a group are fainter than three
        standard deviations, and all are where the fit does not converge.

    Raises
    ------
    ValueError
        If a line lies outside the spectrum, or too few channels lie in its window.

    Notes
    -----
    Gaussians on a continuum that is linear in the window, by least squares with the median errors
    of the channels as weights, from the best of several velocities on. Lines whose windows overlap
    are fitted together, with one velocity and one width. To first order, amounts follow the
    spectrum by the rows of the pseudo-inverse of the derivatives; their errors are those of the
    corresponding sums over channels, by `~jwst_fusion.hifred.solver.pixel_errors.pixel_variances`.
    Velocities that Y does not tell apart broaden the lines of the result: to the error of a width,
    what the scatter of the velocities within its PSF would add to the width is added in square.
    """
    shape = result.cube.shape
    places, groups, parts = place_lines(
        edges, lines, redshift=redshift, window=window, counts=counts
    )
    maps = {name: np.full((len(lines), *shape[1:]), np.nan) for name in _MAPS}
    weight = _weights(result)
    for number, part in enumerate(parts):
        members = np.flatnonzero(groups == number)
        fit = _Group(edges[part.start : part.stop + 1], places[members], weight[part], counts)
        found = _fitted(fit, result, part, window)
        _fill(maps, members, found, shape[1:])
        if result.posterior is not None and result.posterior.subspace is not None:
            _blended(maps, members, result.posterior.subspace.lengths[0])
    return LineMaps(
        lines=list(lines),
        groups=groups,
        **maps,
        unit=unit if counts else f"{unit} um",
        redshift=redshift,
    )


def _observed(rest, redshift, counts):
    return rest / (1.0 + redshift) if counts else rest * (1.0 + redshift)


def _groups(places, window):
    """Number of the group of each line; windows of the lines of a group overlap."""
    order = np.argsort(places)
    reach = window / _LIGHT * places[order]
    apart = np.diff(places[order]) > reach[1:] + reach[:-1]
    found = np.empty(len(places), int)
    found[order] = np.concatenate([[0], np.cumsum(apart)])
    return found


def _weights(result):
    """One over the median variance of each channel, relative."""
    planes = result.cube if result.error is None else result.error
    known = [plane[np.isfinite(plane) & (plane > 0)] for plane in planes]
    middle = np.array([float(np.median(one)) if one.size else np.inf for one in known])
    if result.error is None:
        middle = np.sqrt(middle)  # as of counts
    least = np.median(middle[np.isfinite(middle)]) if np.isfinite(middle).any() else 1.0
    return (least / np.maximum(middle, _FAINTEST * least)) ** 2


class _Group:
    """Lines of one velocity v and one width s on a continuum, in units of the middle's energy."""

    def __init__(self, edges, places, weight, counts):
        self.edges, self.places, self.counts = edges, places, counts
        self.root = np.sqrt(weight / max(weight.max(), 1e-300))
        self.step = np.diff(edges)
        x = (0.5 * (edges[1:] + edges[:-1]) - edges.mean()) / (edges[-1] - edges[0])
        bins = self.step if counts else np.ones_like(self.step)
        self.continuum = np.stack([bins, bins * x], axis=1) / bins.mean()
        self.size = len(places)

    def shapes(self, velocity, width):
        """Profiles of flux 1 (P, n, l), and their derivatives by velocity and by width."""
        sign = -1.0 if self.counts else 1.0
        centre = self.places * (1.0 + sign * velocity[:, None] / _LIGHT)
        sigma = self.places * width[:, None] / _LIGHT
        z = (self.edges - centre[:, :, None]) / sigma[:, :, None]
        density = np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi)
        scale = (self.places / _LIGHT)[:, None] / sigma[:, :, None]
        parts = (
            np.diff(ndtr(z), axis=2),
            -sign * np.diff(density, axis=2) * scale,
            -np.diff(z * density, axis=2) * scale,
        )
        return parts if self.counts else tuple(one / self.step for one in parts)

    def linear(self, spectra, velocity, width):
        """Fluxes and continuum (P, n + 2) by least squares, and the profiles."""
        shapes = self.shapes(velocity, width)
        design = self._design(shapes[0])
        normal = np.einsum("pil,pjl->pij", design, design)
        right = np.einsum("pil,pl->pi", design, spectra * self.root)
        return _solved(normal, right), shapes

    def _design(self, profiles):
        rest = np.broadcast_to(self.continuum.T, (len(profiles), 2, len(self.root)))
        return np.concatenate([profiles, rest], axis=1) * self.root

    def derivatives(self, amounts, shapes):
        """Derivatives (P, n + 4, l) by fluxes, continuum, velocity and width, weighted."""
        more = [np.einsum("pn,pnl->pl", amounts[:, : self.size], one) for one in shapes[1:]]
        return np.concatenate([self._design(shapes[0]), np.stack(more, axis=1) * self.root], axis=1)


def _solved(normal, right):
    """Solutions of many small systems, kept from being singular."""
    scale = np.sqrt(np.maximum(np.einsum("pii->pi", normal), 1e-300))
    normal = normal / scale[:, :, None] / scale[:, None, :]
    normal = normal + 1e-10 * np.eye(normal.shape[1])
    vector = right.ndim == 2
    right = (right[..., None] if vector else right) / scale[:, :, None]
    found = np.linalg.solve(normal, right) / scale[:, :, None]
    return found[..., 0] if vector else found


def _fitted(fit, result, part, window):
    """Amounts (P, n + 4), their errors, and where fits converged."""
    cube = result.cube[part].reshape(part.stop - part.start, -1).T.astype(float)
    known = np.isfinite(cube).all(axis=1)
    cube = np.where(known[:, None], cube, 0.0)
    velocity, width = _start(fit, cube.sum(axis=0), window)
    found = np.full((len(cube), fit.size + 4), np.nan)
    error = np.full_like(found, np.nan)
    good = np.zeros(len(cube), bool)
    posterior = result.posterior
    covariance = None if posterior is None else pixel_covariances(posterior)
    for first in range(0, len(cube), _PIXELS):
        rows = slice(first, first + _PIXELS)
        amounts, converged, gains = _pixels(fit, cube[rows], velocity, width, window)
        found[rows], good[rows] = amounts, converged & known[rows]
        if posterior is not None:
            pixels = np.arange(len(cube))[rows]
            variance = pixel_variances(posterior, result.cube, gains, part, pixels, covariance)
            error[rows] = np.sqrt(variance)
    return found, error, good


def _start(fit, spectrum, window):
    """Velocity and width of the lines of the mean spectrum."""
    grid = np.linspace(-0.5 * window, 0.5 * window, _VELOCITIES)
    step = _LIGHT * fit.step.mean() / fit.places.mean()
    best = (np.inf, 0.0, 2.0 * step)
    for width in (2.0 * step * one for one in _WIDTHS):
        spectra = np.broadcast_to(spectrum, (grid.size, spectrum.size))
        amounts, shapes = fit.linear(spectra, grid, np.full(grid.size, width))
        left = _left(fit, spectra, amounts, shapes[0])
        misfit = (left**2).sum(axis=1)
        k = int(np.argmin(misfit))
        best = min(best, (float(misfit[k]), float(grid[k]), width))
    amounts, _, _ = _pixels(fit, spectrum[None], best[1], best[2], window, search=False)
    velocity, width = amounts[0, -2:]
    return (velocity, width) if np.isfinite(amounts).all() else best[1:]


def _left(fit, spectra, amounts, profiles):
    model = np.einsum("pn,pnl->pl", amounts[:, : fit.size], profiles)
    model = model + amounts[:, fit.size : fit.size + 2] @ fit.continuum.T
    return (spectra - model) * fit.root


def _pixels(fit, spectra, velocity, width, window, *, search=True):
    """Amounts of pixels, whether their fits converged, and how they follow the spectra."""
    count = len(spectra)
    least = _NARROWEST * _LIGHT * fit.step.mean() / fit.places.mean()
    v, s = np.full(count, float(velocity)), np.full(count, max(float(width), least))
    if search:
        best = np.full(count, np.inf)
        for trial in velocity + np.linspace(-0.5 * window, 0.5 * window, _VELOCITIES):
            one = np.array([trial]), s[:1]
            # all pixels share the profiles of a trial
            design = fit._design(fit.shapes(*one)[0])[0]
            inside = np.linalg.qr(design.T)[0]
            misfit = -np.sum(((spectra * fit.root) @ inside) ** 2, axis=1)
            v = np.where(misfit < best, trial, v)
            best = np.minimum(misfit, best)
    done = np.zeros(count, bool)
    for _ in range(_STEPS):
        amounts, shapes = fit.linear(spectra, v, s)
        slopes = fit.derivatives(amounts, shapes)
        left = _left(fit, spectra, amounts, shapes[0])
        normal = np.einsum("pil,pjl->pij", slopes, slopes)
        change = _solved(normal, np.einsum("pil,pl->pi", slopes, left))[:, -2:]
        change = np.clip(change, -_LONGEST * s[:, None], _LONGEST * s[:, None])
        done = (np.abs(change) < _CLOSE * s[:, None]).all(axis=1)
        if done.all():
            break
        v = v + np.where(done, 0.0, change[:, 0])
        s = np.clip(s + np.where(done, 0.0, change[:, 1]), least, window)
    fine = done & (s > least) & (s < window) & (np.abs(v - velocity) < window)
    gains = _solved(normal, slopes * fit.root)
    return np.column_stack([amounts, v, s]), fine, gains


def _fill(maps, members, found, shape):
    """Put the amounts of a group into the maps of its lines."""
    amounts, errors, good = found
    size = len(members)
    total = amounts[:, :size].sum(axis=1)
    # without errors nothing is known of significance
    noise = np.sqrt(np.sum(errors[:, :size] ** 2, axis=1))
    bright = good & ((total > _SURE * noise) | ~np.isfinite(noise))
    for k, line in enumerate(members):
        for kind, column, shown in (
            ("flux", k, good),
            ("velocity", -2, bright),
            ("width", -1, bright),
        ):
            for name, values in ((kind, amounts), (f"{kind}_error", errors)):
                maps[name][line] = np.where(shown, values[:, column], np.nan).reshape(shape)


def _blended(maps, members, blur):
    """Add to errors of widths what velocities that are not told apart add to the widths."""
    first = members[0]
    velocity, width = maps["velocity"][first], maps["width"][first]
    known = np.isfinite(velocity)
    if not known.any():
        return
    light = np.where(known, np.maximum(maps["flux"][members].sum(axis=0), 0.0), 0.0)
    values = np.where(known, velocity, 0.0)

    def mean(image):
        return gaussian_filter(light * image, blur, mode="constant")

    total = np.maximum(mean(np.ones_like(light)), 1e-300)
    scatter = np.maximum(mean(values**2) / total - (mean(values) / total) ** 2, 0.0)
    more = width - np.sqrt(np.maximum(width**2 - scatter, 0.0))
    maps["width_error"][members] = np.hypot(maps["width_error"][members], more)
