"""Measures of a fused cube against the truth: errors of voxels and sums, spectra, line maps."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

__all__ = [
    "CENTRAL",
    "Estimate",
    "aperture",
    "clump_fluxes",
    "error_classes",
    "line_maps",
    "line_weights",
    "pixel_spectra",
    "quantile_68",
    "source_spectra",
    "sum_errors",
    "voxel_errors",
]

#: Part of normally distributed errors within one standard deviation.
CENTRAL = 0.683
#: Squared radii of apertures of 9, 29 and 81 pixels, and of a single one.
_APERTURES = {1: 0, 9: 2, 29: 9, 81: 25}
_SUMS = (1, 5, 20, 100)
_EDGE = 0.03
_BRIGHT = 0.03
_NEAR_SOURCE = 0.12  # arcsec
_MATCHED = 1.0  # pixels within which a found source is the true one


@dataclass(frozen=True)
class Estimate:
    """
    What a fusion says of a case.

    Parameters
    ----------
    cube, error : ndarray
        Field only, shape (L, Y, X).
    error_of : callable, optional
        From a mask (Y, X) of the field and weights (n, L) of channels to the errors (n,) of the
        sums; by default the root of the sum of squares of `error`.
    source_x, source_y : ndarray
        Sources found, in pixels of the field, shape (J,).
    source_flux, source_error : ndarray
        Their spectra and errors, MJy/sr times the area of a pixel, shape (J, L).
    source_factor : ndarray, optional
        Factor of their covariance beside the independent errors, shape (J, L, q).
    """

    cube: np.ndarray = field(repr=False)
    error: np.ndarray = field(repr=False)
    error_of: Callable | None = None
    source_x: np.ndarray | None = None
    source_y: np.ndarray | None = None
    source_flux: np.ndarray | None = field(repr=False, default=None)
    source_error: np.ndarray | None = field(repr=False, default=None)
    source_factor: np.ndarray | None = field(repr=False, default=None)

    def sigma(self, mask, weights):
        """Errors (n,) of sums over a mask (Y, X) with weights (n, L) of the channels."""
        if self.error_of is not None:
            return np.asarray(self.error_of(mask, weights))
        variance = np.sum(self.error[:, mask].astype(float) ** 2, axis=1)
        return np.sqrt(weights**2 @ variance)


def quantile_68(ratio):
    """
    Size below which 68.3 % of the values are; 1 for normal errors that are stated as they are.

    Parameters
    ----------
    ratio : array_like
        Errors in units of those stated; NaN is left out, infinity counts.

    Returns
    -------
    float
        NaN without values.
    """
    ratio = np.abs(np.ravel(ratio))
    ratio = ratio[~np.isnan(ratio)]
    return float(np.quantile(ratio, CENTRAL)) if ratio.size else np.nan


def error_classes(case):
    """
    Pixels of the field by what they show.

    Parameters
    ----------
    case : Case
        With the truth.

    Returns
    -------
    dict of str to ndarray
        Masks (Y, X): "sources" (within 1 pixel), "around sources" (1 to 5 pixels), "edges" (3 % of
        the pixels where the scene without its sources is steepest), "brightest 3 %", "faintest
        third", "all".
    """
    level = case.truth.mean(0)
    steep = np.zeros(level.shape)
    for plane in case.diffuse:
        steep += np.hypot(*np.gradient(plane))
    found = {}
    if len(case.x):
        distance = source_distance(case)
        found["sources"] = distance <= 1
        found["around sources"] = (distance > 1) & (distance <= 5)
    found["edges"] = steep >= np.quantile(steep, 1 - _EDGE)
    found["brightest 3 %"] = level >= np.quantile(level, 1 - _BRIGHT)
    found["faintest third"] = level <= np.quantile(level, 1 / 3)
    found["all"] = np.ones(level.shape, bool)
    return found


def source_distance(case):
    """
    Distance of each pixel of the field from the nearest source.

    Parameters
    ----------
    case : Case
        With at least one source.

    Returns
    -------
    ndarray
        Pixels, shape (Y, X).
    """
    y, x = np.indices(case.truth.shape[1:])
    return np.min([np.hypot(x - i, y - j) for i, j in zip(case.x, case.y, strict=True)], axis=0)


def line_mask(case):
    """
    Channels of any line.

    Parameters
    ----------
    case : Case
        With the channels of its lines.

    Returns
    -------
    ndarray
        Shape (L,).
    """
    mask = np.zeros(len(case.wavelength), bool)
    for inside, _ in case.lines.values():
        mask[inside] = True
    return mask


def voxel_errors(case, estimate):
    """
    Quantile of the errors of voxels in units of those stated.

    Parameters
    ----------
    case : Case
        With the truth.
    estimate : Estimate
        Cube and errors.

    Returns
    -------
    dict of str to float
        By class of pixels, and "lines": channels of lines in all pixels.
    """
    ratio = (estimate.cube - case.truth) / estimate.error
    found = {name: quantile_68(ratio[:, mask]) for name, mask in error_classes(case).items()}
    if case.lines:
        found["lines"] = quantile_68(ratio[line_mask(case)])
    return found


def aperture(shape, y, x, pixels):
    """
    Round aperture.

    Parameters
    ----------
    shape : tuple of int
        Of the field.
    y, x : int
        Its middle.
    pixels : {1, 9, 29, 81}
        Its size.

    Returns
    -------
    ndarray or None
        Mask (Y, X); None if it does not lie in the field.
    """
    reach = int(np.sqrt(_APERTURES[pixels]))
    if min(y, x, shape[0] - 1 - y, shape[1] - 1 - x) < reach:
        return None
    mask = np.zeros(shape, bool)
    j, i = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    round_ = j**2 + i**2 <= _APERTURES[pixels]
    mask[y - reach : y + reach + 1, x - reach : x + reach + 1] = round_
    return mask


def line_weights(case):
    """
    Weights of the channels with which a sum is the flux of a line above a straight continuum.

    Parameters
    ----------
    case : Case
        With the channels of its lines.

    Returns
    -------
    dict of str to ndarray
        Shape (L,) each; the sum is in the unit of the cube times the width of a channel at the
        line.
    """
    found = {}
    for name, (inside, beside) in case.lines.items():
        at = case.wavelength - case.wavelength[inside].mean()
        design = np.stack([np.ones(len(at)), at / np.ptp(at[beside])], axis=1)
        weights = np.zeros(len(at))
        weights[inside] = 1
        weights[beside] -= design[inside].sum(0) @ np.linalg.pinv(design[beside])
        found[name] = weights
    return found


def sum_errors(case, estimate, *, positions=12, windows=3, seed=5):
    """
    Quantiles of the errors of sums in units of those stated.

    Parameters
    ----------
    case : Case
        With the truth.
    estimate : Estimate
        Cube and errors of sums.
    positions : int
        Random places of the apertures in each class of pixels.
    windows : int
        Random ranges of channels of each length at each place.
    seed : int
        Of places and ranges.

    Returns
    -------
    dict of str to ndarray
        Errors in units of those stated: by size of aperture and number of channels, "line" for
        fluxes of lines, and by class of pixels, with "sums at" before its name, all sums there.
    """
    rng = np.random.default_rng(seed)
    channels, *shape = case.truth.shape
    error = estimate.cube.astype(float) - case.truth
    lines = list(line_weights(case).values())
    ratios = {}
    for name, where in error_classes(case).items():
        places = np.argwhere(where)
        chosen = places[rng.permutation(len(places))[:positions]]
        for y, x in chosen:
            kinds, weights = [], []
            for size in _SUMS:
                for start in rng.integers(0, max(channels - size, 1), windows):
                    kinds.append(f"{size} channels" if size > 1 else "1 channel")
                    weights.append(np.zeros(channels))
                    weights[-1][start : start + size] = 1
            kinds += ["line"] * len(lines)
            weights = np.array(weights + lines)
            for pixels in _APERTURES:
                mask = aperture(shape, y, x, pixels)
                if mask is None:
                    continue
                true = weights @ error[:, mask].sum(1)
                with np.errstate(divide="ignore"):  # an error stated as 0 is infinitely wrong
                    ratio = true / estimate.sigma(mask, weights)
                for kind, one in zip(kinds, ratio, strict=True):
                    ratios.setdefault(f"{pixels} x {kind}", []).append(one)
                ratios.setdefault(f"sums at {name}", []).extend(ratio)
    return {key: np.array(values) for key, values in ratios.items()}


def pixel_spectra(case, estimate):
    """
    Spectra of the cube in the pixels of the sources, against the truth there.

    Parameters
    ----------
    case : Case
        With sources.
    estimate : Estimate
        The cube.

    Returns
    -------
    dict of str to ndarray
        "continuum": rms of the relative error beside lines, (J,); "fused", "true", "sigma": fluxes
        of the lines and their errors, (J, lines); "names" of the lines.
    """
    rows, columns = (np.rint(at).astype(int) for at in (case.y, case.x))
    quiet = ~line_mask(case)
    fused, true = (cube[:, rows, columns].astype(float) for cube in (estimate.cube, case.truth))
    ratio = fused[quiet] / true[quiet] - 1
    weights = line_weights(case)
    matrix = np.array(list(weights.values())).reshape(len(weights), len(quiet))
    sigma = []
    for y, x in zip(rows, columns, strict=True):
        sigma.append(estimate.sigma(aperture(case.truth.shape[1:], y, x, 1), matrix))
    return {
        "continuum": np.sqrt(np.mean(ratio**2, axis=0)),
        "fused": (matrix @ fused).T,
        "true": (matrix @ true).T,
        "sigma": np.array(sigma),
        "names": list(weights),
    }


def source_spectra(case, estimate):
    """
    Spectra of the sources that were found, against the true ones.

    Parameters
    ----------
    case : Case
        With sources.
    estimate : Estimate
        With the spectra of sources.

    Returns
    -------
    dict
        "matched": index of the found source of each true one, -1 for none, (J,); "false": number
        of sources that are none; "offset": distance of positions, pixels; "bias": relative error
        of the mean flux, "rms": of the continuum, "pull": errors over stated errors, (J, L);
        "lines": relative errors of line fluxes in units of the true continuum times channels;
        "line_pull": in units of the stated errors; NaN for sources that were not found.
    """
    count, channels = case.source_spectra.shape
    weights = line_weights(case)
    matrix = np.array(list(weights.values())).reshape(len(weights), channels)
    matched = _match(case, estimate)
    shape = (count, len(weights))
    found = {
        "matched": matched,
        "false": len(estimate.source_x) - np.count_nonzero(matched >= 0),
        "offset": np.full(count, np.nan),
        "bias": np.full(count, np.nan),
        "rms": np.full(count, np.nan),
        "pull": np.full((count, channels), np.nan),
        "lines": np.full(shape, np.nan),
        "line_pull": np.full(shape, np.nan),
    }
    quiet = ~line_mask(case)
    for true, index in enumerate(matched):
        if index < 0:
            continue
        spectrum = case.source_spectra[true]
        error = estimate.source_flux[index] - spectrum
        sigma = estimate.source_error[index]
        found["offset"][true] = np.hypot(
            estimate.source_x[index] - case.x[true], estimate.source_y[index] - case.y[true]
        )
        found["bias"][true] = error.sum() / spectrum.sum()
        found["rms"][true] = np.sqrt(np.mean((error / spectrum)[quiet] ** 2))
        found["pull"][true] = error / sigma
        variance = sigma**2
        shared = np.zeros(len(weights))
        if estimate.source_factor is not None:
            factor = estimate.source_factor[index]
            variance = np.maximum(variance - np.sum(factor**2, axis=1), 0)
            shared = np.sum((matrix @ factor) ** 2, axis=1)
        lines = matrix @ error
        level = [spectrum[inside].sum() for inside, _ in case.lines.values()]
        found["lines"][true] = lines / np.array(level)
        found["line_pull"][true] = lines / np.sqrt(matrix**2 @ variance + shared)
    return found


def _match(case, estimate):
    """Index of the source found next to each true one, each used once, brightest first; or -1."""
    matched, used = np.full(len(case.x), -1), set()
    for true in np.argsort(-case.source_spectra.mean(1)):
        distance = np.hypot(estimate.source_x - case.x[true], estimate.source_y - case.y[true])
        for index in np.argsort(distance):
            if distance[index] > _MATCHED:
                break
            if index not in used:
                matched[true] = index
                used.add(index)
                break
    return matched


def line_maps(case, estimate):
    """
    Error of line maps close to sources, of the fused and of the interpolated cube.

    Parameters
    ----------
    case : Case
        With sources.
    estimate : Estimate
        The cube.

    Returns
    -------
    dict of str to tuple of float
        By line: rms of the error of the fused and of the interpolated map over the rms of the true
        one, within 0.12 arcsec of any source.
    """
    near = source_distance(case) <= _NEAR_SOURCE / case.pixel
    found = {}
    for name, weights in line_weights(case).items():
        true, fused, cubic = (
            weights @ cube[:, near] for cube in (case.truth, estimate.cube, case.bicubic)
        )
        size = np.sqrt(np.mean(true**2))
        found[name] = tuple(np.sqrt(np.mean((one - true) ** 2)) / size for one in (fused, cubic))
    return found


def clump_fluxes(case, estimate, *, pixels=29):
    """
    Fluxes of faint clumps in their lines, against the truth.

    Parameters
    ----------
    case : Case
        With clumps.
    estimate : Estimate
        The cube.
    pixels : int
        Size of the aperture.

    Returns
    -------
    tuple of ndarray
        Ratio to the true flux, and error in units of the stated one, shape (C,).
    """
    weights = line_weights(case)
    ratio, pull = [], []
    extras = case.extras
    for x, y, name in zip(extras["clump_x"], extras["clump_y"], extras["clump_line"], strict=True):
        mask = aperture(case.truth.shape[1:], round(y), round(x), pixels)
        if mask is None or name not in weights:
            continue
        fused, true = (weights[name] @ c[:, mask].sum(1) for c in (estimate.cube, case.truth))
        ratio.append(fused / true)
        pull.append((fused - true) / estimate.sigma(mask, weights[name][None])[0])
    return np.array(ratio), np.array(pull)
