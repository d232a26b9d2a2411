"""
Join cubes of several gratings on one grid of the sky, along one wavelength axis.

Cubes are (wavelength, y, x), with wavelengths in ascending order.
"""

from dataclasses import dataclass, replace
from itertools import compress, pairwise

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import distance_transform_edt

from jwst_fusion.errors import NotFusableError
from jwst_fusion.fusion.observed.registration import SplineSampler
from jwst_fusion.fusion.observed.sky import SkyGrid

__all__ = ["CubePart", "joined", "memory_of_join", "same_grid", "union_grid"]

# Arrays of a cube that have an axis of wavelength.
_ARRAYS = ("wavelength", "data", "err", "dq", "weightmap")
# Positions that differ by less than this are the same, in pixels.
_SAME = 1e-3
# Cubes that share more than this part of the wavelengths of one of them are not neighbours.
_SHARED = 0.5
_PER_VOXEL = 60  # bytes, of all arrays of the product and of what is needed on the way
_CHUNK = 256  # channels that are resampled together


@dataclass(frozen=True)
class CubePart:
    """
    One cube.

    Attributes
    ----------
    name : str
        Name for messages.
    wavelength : array (L,)
        Wavelengths, micrometre, ascending.
    data, err : array (L, y, x)
        Surface brightness and standard deviation; NaN where there is none.
    dq, weightmap : array (L, y, x)
        Flags, and the codes of what constrains a voxel.
    grid : SkyGrid
        Sky coordinates.
    ratio : float
        Brightness over that of the cube before it where both have data; NaN if there is no such
        place.
    resampled : bool
        Whether it was resampled.
    shares : list of dict, optional
        Of a joined cube, for each channel: the weight (y, x) with which each part is in it, by the
        number of the part; None instead of an array of ones.
    """

    name: str
    wavelength: np.ndarray
    data: np.ndarray
    err: np.ndarray
    dq: np.ndarray
    weightmap: np.ndarray
    grid: SkyGrid
    ratio: float = np.nan
    resampled: bool = False
    shares: list = ()


def same_grid(one, other, *, tolerance=_SAME):
    """
    Return whether two grids have the same pixels.

    Parameters
    ----------
    one, other : SkyGrid
        The grids.
    tolerance : float
        By how much positions in one grid may differ from those in the other, pixels.

    Returns
    -------
    bool
        Whether their shapes agree and no corner differs by as much.
    """
    if one.shape != other.shape or one.centre.separation(other.centre).deg > one.radius:
        return False
    ny, nx = one.shape
    x, y = np.array([0, nx - 1, nx - 1, 0]), np.array([0, 0, ny - 1, ny - 1])
    return bool(np.abs(np.array(other.pixels(one.sky(x, y))) - [x, y]).max() < tolerance)


def union_grid(grids):
    """
    Return the grid with the finest pixels among several, enlarged to cover all of them.

    Parameters
    ----------
    grids : sequence of SkyGrid
        The grids.

    Returns
    -------
    SkyGrid
        The grid.

    Raises
    ------
    NotFusableError
        If one of them does not overlap with that of the finest pixels.
    """
    fine = min(grids, key=lambda grid: round(grid.scale, 6))
    ny, nx = fine.shape
    low, high = np.zeros(2), np.array([nx - 1.0, ny - 1.0])
    for grid in grids:
        if grid.centre.separation(fine.centre).deg > grid.radius + fine.radius:
            msg = f"the fields {fine.describe()} and {grid.describe()} do not overlap"
            raise NotFusableError(msg)
        x, y = fine.pixels(grid.corners())
        half = 0.5 * grid.scale / fine.scale
        low = np.minimum(low, [x.min() + half, y.min() + half])
        high = np.maximum(high, [x.max() - half, y.max() - half])
    before = np.ceil(-low - _SAME).astype(int)
    after = np.ceil(high - [nx - 1, ny - 1] - _SAME).astype(int)
    return fine.padded((int(before[1]), int(after[1])), (int(before[0]), int(after[0])))


def memory_of_join(channels, shape):
    """
    Return the memory needed to join cubes.

    Parameters
    ----------
    channels : int
        Number of channels of all cubes together.
    shape : tuple of int
        Shape (y, x) of the grid on which they are joined.

    Returns
    -------
    int
        Bytes.
    """
    return _PER_VOXEL * channels * shape[0] * shape[1]


def joined(parts, *, empty):
    r"""
    Join cubes of neighbouring wavelengths.

    Parameters
    ----------
    parts : sequence of CubePart
        The cubes, in any order.
    empty : int
        Flags of voxels without data.

    Returns
    -------
    whole : CubePart
        The joined cube, with its `shares`.
    parts : list of CubePart
        The cubes in the order of their wavelengths, on its grid, each with its `ratio`.

    Raises
    ------
    NotFusableError
        If fields do not overlap, or cubes cover the same wavelengths.

    Notes
    -----
    Where two cubes overlap in wavelength, the channels are those of the more finely sampled one,
    and the other is interpolated along wavelength by cubic splines. The result is their mean with
    the weights :math:`(1 - t) / \sigma_1^2` and :math:`t / \sigma_2^2`, where t rises from 0 to 1
    through the overlap: there is no step at its ends. The standard deviation is the mean of both
    with the same weights, for the images that both cubes were fused with make their errors alike.
    Elsewhere nothing is changed.
    """
    parts = sorted(parts, key=lambda part: part.wavelength[0])
    for one, other in pairwise(parts):
        _check_neighbours(one, other)
    grid = union_grid([part.grid for part in parts])
    parts = [_on_grid(part, grid, empty) for part in parts]
    whole, found = replace(parts[0], shares=_shares_of(parts[0], 0)), parts[:1]
    for part in parts[1:]:
        whole, ratio = _append(whole, replace(part, shares=_shares_of(part, len(found))))
        found.append(replace(part, ratio=ratio))
    return whole, found


def _shares_of(part, number):
    return [{number: None}] * len(part.wavelength)


def _check_neighbours(one, other):
    shared = min(one.wavelength[-1], other.wavelength[-1]) - other.wavelength[0]
    shortest = min(np.ptp(one.wavelength), np.ptp(other.wavelength))
    if shared > _SHARED * shortest:
        msg = (
            f"{one.name} and {other.name} have mostly the same wavelengths, "
            f"{one.wavelength[0]:.3f} to {one.wavelength[-1]:.3f} and {other.wavelength[0]:.3f} to "
            f"{other.wavelength[-1]:.3f} um"
        )
        raise NotFusableError(msg)


def _on_grid(part, grid, empty):
    """The cube on another grid, by quintic splines; its errors and flags by the nearest pixel."""
    if same_grid(part.grid, grid):
        return part
    y, x = np.indices(grid.shape)
    column, row = (position.ravel() for position in part.grid.pixels(grid.sky(x, y)))
    ny, nx = part.grid.shape
    # rounding must not lose the outermost pixels of a grid that is merely enlarged
    inside = (row > -0.5 - _SAME) & (row < ny - 0.5 + _SAME)
    inside &= (column > -0.5 - _SAME) & (column < nx - 0.5 + _SAME)
    near = (
        np.clip(np.rint(row).astype(int), 0, ny - 1),
        np.clip(np.rint(column).astype(int), 0, nx - 1),
    )
    shape = (len(part.wavelength), *grid.shape)
    arrays = {"data": np.full(shape, np.nan, np.float32), "err": np.full(shape, np.nan, np.float32)}
    arrays["dq"] = np.full(shape, empty, np.uint32)
    arrays["weightmap"] = np.zeros(shape, part.weightmap.dtype)
    flat = {name: array.reshape(len(array), -1) for name, array in arrays.items()}
    sample = SplineSampler(row[inside], column[inside], part.grid.shape)
    for start in range(0, len(part.wavelength), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        flat["data"][chunk, inside] = _interpolated(part.data[chunk], sample, near, inside)
        for name in ("err", "dq", "weightmap"):
            flat[name][chunk, inside] = getattr(part, name)[chunk][:, near[0], near[1]][:, inside]
    lost = ~np.isfinite(arrays["data"])
    arrays["err"][lost] = np.nan
    arrays["dq"][lost] |= empty
    arrays["weightmap"][lost] = 0
    return replace(part, grid=grid, resampled=True, **arrays)


def _interpolated(data, sample, near, inside):
    """Channels at other positions; NaN where the nearest pixel is, which spoils no other."""
    flat = data.reshape(len(data), -1).astype(float)
    missing = ~np.isfinite(flat)
    # Channels with the same gaps are filled together, from the nearest pixel.
    patterns, which = np.unique(np.packbits(missing, axis=1), axis=0, return_inverse=True)
    for index in range(len(patterns)):
        channels = np.flatnonzero(which.ravel() == index)
        gap = missing[channels[0]].reshape(data.shape[1:])
        if gap.any() and not gap.all():
            _, source = distance_transform_edt(gap, return_indices=True)
            nearest = np.ravel_multi_index(source[:, gap], gap.shape)
            flat[np.ix_(channels, np.flatnonzero(gap.ravel()))] = flat[np.ix_(channels, nearest)]
    at = np.ravel_multi_index(near, data.shape[1:])[inside]
    value = sample(np.nan_to_num(flat).reshape(data.shape))
    return np.where(missing[:, at], np.nan, value)


def _append(whole, part):
    """Add a cube of longer wavelengths, and tell how bright it is against the rest."""
    first, last = part.wavelength[0], whole.wavelength[-1]
    before = whole.wavelength < first
    after = part.wavelength > last
    pieces = [{name: getattr(whole, name)[before] for name in _ARRAYS}]
    shares = list(compress(whole.shares, before))
    ratio = np.nan
    if last >= first:
        blend, ratio = _blended(whole, part, first, last)
        pieces.append(blend)
        shares += blend["shares"]
    pieces.append({name: getattr(part, name)[after] for name in _ARRAYS})
    shares += compress(part.shares, after)
    arrays = {name: np.concatenate([piece[name] for piece in pieces]) for name in _ARRAYS}
    return replace(whole, shares=shares, **arrays), ratio


def _blended(one, other, first, last):
    inside = [(c.wavelength >= first) & (c.wavelength <= last) for c in (one, other)]
    finer = one if inside[0].sum() >= inside[1].sum() else other
    wave = finer.wavelength[inside[0] if finer is one else inside[1]]
    a, b = (_at_wavelengths(cube, wave) for cube in (one, other))
    share = np.clip((wave - first) / max(last - first, 1e-12), 1e-6, 1 - 1e-6)[:, None, None]
    weights = []
    for cube, part in ((a, 1 - share), (b, share)):
        known = np.isfinite(cube["data"]) & (cube["err"] > 0)
        # Without an error a voxel is taken where the other cube has nothing.
        variance = np.where(known, cube["err"], 1.0).astype(float) ** 2
        faint = np.where(np.isfinite(cube["data"]), 1e-30, 0.0)
        weights.append(np.where(known, part / variance, faint))
    total = weights[0] + weights[1]
    later = weights[1] > weights[0]
    out = {"wavelength": wave}
    with np.errstate(invalid="ignore", divide="ignore"):
        for name in ("data", "err"):
            mean = sum(
                np.where(weight > 0, weight * cube[name], 0.0)
                for weight, cube in zip(weights, (a, b), strict=True)
            )
            out[name] = np.where(total > 0, mean / total, np.nan).astype(np.float32)
    for name in ("dq", "weightmap"):
        out[name] = np.where(later, b[name], a[name])
    with np.errstate(invalid="ignore", divide="ignore"):
        parts = [np.where(total > 0, one / total, 0.0).astype(np.float32) for one in weights]
    out["shares"] = [
        _times(one, before) | _times(two, after)
        for one, two, before, after in zip(a["shares"], b["shares"], *parts, strict=True)
    ]
    both = (weights[0] > 0) & (weights[1] > 0)
    sums = [float(np.sum(cube["data"], where=both, dtype=float)) for cube in (a, b)]
    return out, sums[1] / sums[0] if sums[0] > 0 else np.nan


def _times(shares, factor):
    return {n: factor if one is None else one * factor for n, one in shares.items()}


def _at_wavelengths(cube, wave):
    """A cube at other wavelengths, by cubic splines; errors and flags by the nearest channel."""
    position = np.searchsorted(cube.wavelength, wave)
    low = np.clip(position - 1, 0, len(cube.wavelength) - 1)
    high = np.clip(position, 0, len(cube.wavelength) - 1)
    closer = np.abs(cube.wavelength[low] - wave) <= np.abs(cube.wavelength[high] - wave)
    near = np.where(closer, low, high)
    out = {name: getattr(cube, name)[near] for name in ("data", "err", "dq", "weightmap")}
    out["shares"] = [cube.shares[i] for i in near]
    if np.array_equal(cube.wavelength[near], wave):
        return out
    # The splines need some channels on either side, and no gaps.
    part = slice(max(low.min() - 8, 0), high.max() + 9)
    data = cube.data[part].astype(float).reshape(len(cube.data[part]), -1)
    missing = ~np.isfinite(data)
    for column in np.flatnonzero(missing.any(0)):
        gap = missing[:, column]
        known = np.flatnonzero(~gap)
        if known.size:
            data[gap, column] = np.interp(np.flatnonzero(gap), known, data[known, column])
    value = CubicSpline(cube.wavelength[part], np.nan_to_num(data), axis=0)(wave)
    value = value.reshape(out["data"].shape)
    out["data"] = np.where(np.isfinite(out["data"]), value, np.nan)
    return out
