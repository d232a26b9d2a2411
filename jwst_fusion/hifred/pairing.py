"""Which of two cubes has the finer pixels, and how the pixels of both lie on each other."""

import numpy as np
from astropy.wcs.utils import pixel_to_pixel
from scipy import sparse

from jwst_fusion.errors import NotFusableError

__all__ = ["check_different", "field_window", "pixel_matrix", "roles"]

# Points along each side of a fine pixel that tell in which coarse pixel its light falls.
_POINTS = 10
# Offset, in coarse pixels, up to which grids are taken to be nested: much less than PSFs are known.
_NESTED = 0.02
# Pixel scales or channel widths whose ratio differs from one by less than this are the same.
_EQUAL = 0.02


def roles(first, second):
    """
    Tell which of two cubes has the finer pixels and which the finer channels.

    Parameters
    ----------
    first, second : tuple
        Name, shape (channel, y, x), pixel scale (arcsec, or None if unknown) and width of the
        channels (any unit, the same for both; None if unknown).

    Returns
    -------
    bool
        True if the first one is X: its pixels are at least as fine, its channels at least as wide.

    Raises
    ------
    ValueError
        If one cube is finer in both respects.
    """
    pixels = [part[2] for part in (first, second)]
    if None in pixels:
        pixels = [1.0 / np.sqrt(part[1][1] * part[1][2]) for part in (first, second)]
    widths = [part[3] for part in (first, second)]
    if None in widths:
        widths = [1.0 / part[1][0] for part in (first, second)]
    sharper = np.sign(_log_ratio(pixels[1] / pixels[0]))
    finer = np.sign(_log_ratio(widths[0] / widths[1]))
    if sharper * finer < 0:
        best, other = (first, second) if sharper > 0 else (second, first)
        msg = (
            f"{best[0]} has finer pixels and finer channels than {other[0]}: nothing to fuse. Give "
            "one cube with the finer pixels and one with the finer channels"
        )
        raise ValueError(msg)
    if sharper == finer == 0:
        return True
    return sharper + finer > 0


def check_different(names, first, second):
    """
    Refuse one cube that is given twice: its noise would count as agreement.

    Parameters
    ----------
    names : tuple of str
        Names of the cubes, for the message.
    first, second : ndarray (channel, y, x)
        Their data.

    Raises
    ------
    ValueError
        If they are the same.
    """
    if first.shape == second.shape and np.array_equal(first, second, equal_nan=True):
        msg = (
            f"{names[0]} and {names[1]} hold the same data: give one cube with the finer pixels "
            "and one with the finer channels"
        )
        raise ValueError(msg)


def field_window(fine_shape, coarse_shape, fine_wcs, coarse_wcs, margin):
    """
    Part of the fine grid that the coarse one covers, with a rim.

    Parameters
    ----------
    fine_shape, coarse_shape : tuple of int
        Pixels (y, x).
    fine_wcs, coarse_wcs : `~astropy.wcs.WCS` or None
        Celestial WCS of both.
    margin : float
        Width of the rim, fine pixels.

    Returns
    -------
    tuple of slice
        Rows and columns; all of them without a WCS.

    Raises
    ------
    NotFusableError
        If the fields do not overlap.
    """
    if fine_wcs is None or coarse_wcs is None:
        return slice(0, fine_shape[0]), slice(0, fine_shape[1])
    window = []
    x, y = _positions(coarse_shape, coarse_wcs, fine_wcs, points=2)
    for places, size in ((y, fine_shape[0]), (x, fine_shape[1])):
        # Points lie a quarter of a coarse pixel within its edge.
        edge = 0.5 * np.ptp(places, axis=1).max() + margin
        low, high = np.nanmin(places) - edge, np.nanmax(places) + edge
        if not (low < size - 0.5 and high > -0.5):
            msg = "the two cubes do not overlap on the sky"
            raise NotFusableError(msg)
        start = int(np.clip(np.floor(low + 0.5 + _NESTED), 0, size))
        window.append(slice(start, int(np.clip(np.ceil(high + 0.5 - _NESTED), 0, size))))
    return tuple(window)


def pixel_matrix(fine_shape, coarse_shape, fine_wcs=None, coarse_wcs=None, names=("X", "Y")):
    """
    Part of the light of each fine pixel that falls on each coarse pixel.

    Parameters
    ----------
    fine_shape, coarse_shape : tuple of int
        Pixels (y, x).
    fine_wcs, coarse_wcs : `~astropy.wcs.WCS`, optional
        Celestial WCS of both. Without them the grids are taken to cover the same field, with a
        whole number of fine pixels per coarse one.
    names : tuple of str
        Names of both, for messages.

    Returns
    -------
    matrix : scipy.sparse.csr_array (coarse pixels, fine pixels)
        Sums fine pixels; both are numbered along x first.
    factors : tuple of int or None
        Fine pixels per coarse pixel along y and x if the grids are nested, their first pixels at
        the same corner; else None.
    covered : ndarray of bool (y, x)
        Coarse pixels that lie on the fine grid in whole.

    Raises
    ------
    NotFusableError
        If the fields do not overlap.
    ValueError
        If one grid has no WCS and the sizes do not divide.

    Notes
    -----
    On grids that are not nested the light of a fine pixel is spread over 10 x 10 points. Rotation,
    reflection, offset and any ratio of scales are allowed.
    """
    if fine_wcs is None or coarse_wcs is None:
        factors, rest = zip(
            *(divmod(a, b) for a, b in zip(fine_shape, coarse_shape, strict=True)), strict=True
        )
        if any(rest) or min(factors) < 1:
            msg = (
                f"{names[0]} has {fine_shape} pixels (y, x) and {names[1]} {coarse_shape}, which "
                "do not divide them: give both cubes a celestial WCS"
            )
            raise ValueError(msg)
        return _sums(coarse_shape, factors), factors, np.ones(coarse_shape, bool)
    x, y = _positions(fine_shape, fine_wcs, coarse_wcs)
    factors = _nested(x, y, fine_shape, coarse_shape)
    if factors is not None:
        return _sums(coarse_shape, factors), factors, np.ones(coarse_shape, bool)
    matrix = _spread(x, y, coarse_shape)
    if not matrix.nnz:
        msg = f"{names[0]} and {names[1]} do not overlap on the sky"
        raise NotFusableError(msg)
    covered = _covered(fine_shape, coarse_shape, fine_wcs, coarse_wcs)
    return matrix, None, covered


def _log_ratio(ratio):
    """Logarithm of a ratio, zero if it is close to one."""
    return 0.0 if abs(np.log(ratio)) < _EQUAL else np.log(ratio)


def _sums(shape, factors):
    blocks = [
        sparse.kron(sparse.eye_array(n), np.ones((1, factor)))
        for n, factor in zip(shape, factors, strict=True)
    ]
    return sparse.csr_array(sparse.kron(*blocks))


def _positions(shape, wcs, other, points=_POINTS):
    """Where points in the pixels of one grid lie on another, (pixel, point)."""
    offset = (np.arange(points) + 0.5) / points - 0.5
    y, x = np.indices(shape)
    dy, dx = np.meshgrid(offset, offset, indexing="ij")
    px = x.reshape(-1, 1) + dx.reshape(1, -1)
    py = y.reshape(-1, 1) + dy.reshape(1, -1)
    return pixel_to_pixel(wcs, other, px, py)


def _nested(x, y, fine_shape, coarse_shape):
    """Factors along y and x if every coarse pixel consists of whole fine pixels, else None."""
    factors = [a / b for a, b in zip(fine_shape, coarse_shape, strict=True)]
    if any(factor != int(factor) for factor in factors):
        return None
    rows, columns = np.indices(fine_shape)
    centre_x = x.mean(axis=1).reshape(fine_shape)
    centre_y = y.mean(axis=1).reshape(fine_shape)
    away = np.abs(centre_x - ((columns + 0.5) / factors[1] - 0.5)).max()
    away = max(away, np.abs(centre_y - ((rows + 0.5) / factors[0] - 0.5)).max())
    return tuple(int(factor) for factor in factors) if away < _NESTED else None


def _spread(x, y, shape):
    column, row = np.floor(x + 0.5), np.floor(y + 0.5)
    inside = np.isfinite(x) & (column >= 0) & (column < shape[1]) & (row >= 0) & (row < shape[0])
    fine = np.broadcast_to(np.arange(len(x), dtype=np.int32)[:, None], x.shape)[inside]
    coarse = (row[inside] * shape[1] + column[inside]).astype(np.int32)
    part = np.full(fine.size, 1.0 / x.shape[1])
    return sparse.csr_array((part, (coarse, fine)), (shape[0] * shape[1], len(x)))


def _covered(fine_shape, coarse_shape, fine_wcs, coarse_wcs):
    x, y = _positions(coarse_shape, coarse_wcs, fine_wcs)
    ny, nx = fine_shape
    inside = (x > -0.5) & (x < nx - 0.5) & (y > -0.5) & (y < ny - 0.5)
    return inside.all(axis=1).reshape(coarse_shape)
