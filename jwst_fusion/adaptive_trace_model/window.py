"""The paper's moving window: a B-spline fit per detector column to the columns around it.

Arrays are (column, row) with a slit coordinate in units of the caller's choice; inside, the
columns are the last axis, along which everything is done at once.
"""

import logging

import numpy as np
from scipy.sparse import csc_array

from jwst_fusion.adaptive_trace_model.bspline import PAIRS

__all__ = ["WindowFitter", "solve_banded_columns", "window_sum"]

log = logging.getLogger(__name__)

#: Weight of the second difference of three coefficients along the slit, relative to the weight of
#: their data. It calms the fit in gaps between the samples and is too small to smooth a trace.
_CURVATURE = 2e-3
#: Weight of the coefficients and their second differences relative to the mean weight of the data
#: of a column: keeps coefficients without data finite.
_RIDGE = 1e-9
#: Largest gap between samples that a fit bridges, in native pixels: 1.6 knot distances of the
#: paper, which has 68 knots on 30 rows (Law & Clarke 2026, II.3).
_LARGEST_GAP = 0.7
#: Share of the range of samples that may lie in larger gaps before the whole column counts as too
#: coarse. A trace parallel to the grid leaves gaps between all rows, bad pixels only one.
_GAP_SHARE = 0.25
#: Bins per native pixel with which gaps are measured.
_BINS = 20


class WindowFitter:
    r"""
    Weighted least-squares fit of one cubic spline per column to the columns of a window around it.

    .. math:: p(x, a) = \sum_j c_j(x) B_j(a), \qquad
       c(x) = \arg\min \sum_{|x' - x| \le h} \sum_a w(x', a)\,[y(x', a) - p(x, a)]^2

    Where the trace runs parallel to the pixel grid, a window has no samples between the rows.
    Columns whose samples leave gaps of more than 0.7 pixels all along the slit take the
    coefficients of the nearest column that is sampled well ([1]_, section II.3). Of a column with
    a single larger gap, a saturated core for instance, only the coefficients in the gap are taken
    from elsewhere.

    Parameters
    ----------
    interval, basis : ndarray
        From `UniformKnots.locate` for the coordinates of the pixels, shape ``(column, row)``.
    good : ndarray of bool
        Pixels that may be used, shape ``(column, row)``.
    n_coef : int
        Number of B-splines.
    node_spacing : float
        Half width :math:`h` of the window, in columns.
    stiffness, bending : float, optional
        Not used: nothing but the common data ties neighbouring columns. They are here so that the
        fitter can stand for a `SurfaceFitter`.

    Attributes
    ----------
    determined : ndarray of bool
        Coefficients that come from the column's own window, shape ``(column, n_coef)``.

    References
    ----------
    .. [1] Law, D. R., et al. 2026, "Mitigating Resampling Artifacts for the JWST IFU Spectrometers
       with Adaptive Trace Modeling".
    """

    def __init__(
        self, interval, basis, good, *, n_coef, node_spacing, stiffness=0.0, bending=np.inf
    ):
        n_column = interval.shape[0]
        self.n_coef = n_coef
        self.half = max(round(node_spacing), 1)
        gap, between = _sample_gaps(interval, basis, good, n_coef, self.half)
        large = gap > _LARGEST_GAP
        share = np.sum(large & between, axis=1) / np.maximum(between.sum(axis=1), 1)
        sampled = share <= max(_GAP_SHARE, share.min())
        self.determined = ~large & sampled[:, None]
        log.debug(
            "%d of %d columns sample the slit too coarsely for a fit of their own",
            n_column - np.count_nonzero(sampled),
            n_column,
        )
        self._pixel = np.flatnonzero(good)
        column, first = self._pixel // interval.shape[1], interval.ravel()[self._pixel]
        values = basis.reshape(4, -1)[:, self._pixel]
        # Sums of the products B_p B_q as (column, band, coefficient), of B_p as (column, ...).
        self._gram = _scatter(
            [(4 * column + q - p) * n_coef + first + p for p, q in PAIRS],
            [values[p] * values[q] for p, q in PAIRS],
            4 * n_coef * n_column,
        )
        self._side = _scatter(
            [column * n_coef + first + p for p in range(4)], values, n_coef * n_column
        )

    def solve(self, target, weight):
        """
        Fit the profile of each column.

        Parameters
        ----------
        target, weight : ndarray
            Values and inverse variances, shape ``(column, row)``. Weight 0 excludes a pixel.

        Returns
        -------
        ndarray or None
            Coefficients, shape ``(column, n_coef)``; `None` if no column has a fit.
        """
        w = weight.ravel()[self._pixel]
        wy = w * target.ravel()[self._pixel]
        n = self.n_coef
        band = window_sum((self._gram @ w).reshape(-1, 4 * n), self.half).T.copy()
        band = band.reshape(4, n, -1)
        right = window_sum((self._side @ wy).reshape(-1, n), self.half).T.copy()
        scale = np.mean(band[0], axis=0)
        usable = np.isfinite(scale) & (scale > 0)
        scale = np.where(usable, scale, 1.0)
        _add_curvature(band, _CURVATURE, _RIDGE * scale)
        band[0] += np.where(usable, _RIDGE * scale, 1.0)
        coefficients, solved = solve_banded_columns(band, right)
        solved &= usable
        if not solved.any():
            return None
        anywhere = _nearest(solved[:, None])
        source = _nearest(self.determined & solved[:, None])
        source = np.where(source < 0, anywhere, source)
        return coefficients[np.arange(n), source]


def window_sum(values, half):
    """
    Sum over the window of plus and minus `half` around each element, cut off at the ends.

    Parameters
    ----------
    values : ndarray
        Shape ``(element, :)``, summed along the first axis.
    half : int
        Half width of the window, at least 0.

    Returns
    -------
    ndarray
        Same shape.

    Notes
    -----
    A window of W elements is the end of one block of W and the beginning of the next. Sums from
    the block's borders hold nothing from outside the window, unlike differences of cumulative sums,
    which lose the digits of a weak column beside a strong one.
    """
    n, n_cell = values.shape
    width = 2 * half + 1
    n_block = -(-(n + 2 * half) // width)
    beginning = np.zeros((n_block * width, n_cell))
    beginning[half : half + n] = values
    beginning = beginning.reshape(n_block, width, n_cell)
    # An end that is a whole block counts zero: it is counted as a beginning.
    end = np.zeros_like(beginning)
    end[:, -1] = beginning[:, -1] if half else 0.0
    for k in range(width - 2, 0, -1):
        np.add(end[:, k + 1], beginning[:, k], out=end[:, k])
    for k in range(1, width):
        beginning[:, k] += beginning[:, k - 1]
    return beginning.reshape(-1, n_cell)[width - 1 : width - 1 + n] + end.reshape(-1, n_cell)[:n]


def solve_banded_columns(band, right):
    """
    Solve one symmetric positive definite banded system per column, all columns at once.

    Parameters
    ----------
    band : ndarray
        Lower bands, shape ``(4, n, column)``: ``band[k, j]`` is element (j + k, j). Overwritten.
    right : ndarray
        Right-hand sides, shape ``(n, column)``. Overwritten.

    Returns
    -------
    solution : ndarray
        Shape ``(n, column)``.
    solved : ndarray of bool
        Columns whose matrix is positive definite and whose solution is finite.
    """
    n = right.shape[0]
    smallest = np.finfo(float).eps * np.max(band[0], axis=0)
    solved = np.ones(right.shape[1], dtype=bool)
    factor = np.empty_like(band[:3])
    for j in range(n):
        pivot = band[0, j]
        positive = pivot > smallest
        solved &= positive
        np.copyto(pivot, 1.0, where=~positive)
        reach = min(3, n - 1 - j)
        below = band[1 : 1 + reach, j]
        lower = np.divide(below, pivot, out=factor[:reach, j])
        for k in range(reach):
            band[: reach - k, j + 1 + k] -= lower[k:] * below[k]
        right[j + 1 : j + 1 + reach] -= lower * right[j]
    right /= band[0]
    for j in range(n - 2, -1, -1):
        reach = min(3, n - 1 - j)
        right[j] -= np.sum(factor[:reach, j] * right[j + 1 : j + 1 + reach], axis=0)
    solved &= np.isfinite(right).all(axis=0)
    return right, solved


def _scatter(positions, values, size):
    """Matrix that adds each pixel's value times its weight at the pixel's positions."""
    n_value, n_pixel = len(positions), positions[0].size
    starts = np.arange(n_pixel + 1) * n_value
    entries = np.stack(values, axis=1).ravel(), np.stack(positions, axis=1).ravel(), starts
    return csc_array(entries, shape=(size, n_pixel))


def _add_curvature(band, relative, smallest):
    """Add the weighted squares of the second differences along the slit, in place."""
    n = band.shape[1]
    diagonal = band[0]
    weight = diagonal[:-2] + diagonal[1:-1]
    weight += diagonal[2:]
    weight *= relative / 3
    weight += smallest
    stencil = (1.0, -2.0, 1.0)
    for i in range(3):
        for j in range(i, 3):
            band[j - i, i : n - 2 + i] += weight * (stencil[i] * stencil[j])


def _sample_gaps(interval, basis, good, n_coef, half):
    """
    Distance, in native pixels, of the samples on both sides of each B-spline's centre.

    The ends of the slit stand in for samples; the second result says where they do not.
    """
    n_column = interval.shape[0]
    # Cubic B-splines reproduce straight lines, so their values give the place in the interval.
    place = interval + basis[1] + 2 * basis[2] + 3 * basis[3] - 1
    pitch = np.abs(np.diff(place, axis=1))[good[:, 1:] & good[:, :-1]]
    scale = _BINS / np.median(pitch) if pitch.size else 1.0
    n_bin = int(np.ceil((n_coef - 3) * scale))
    index = np.clip((place[good] * scale).astype(np.intp), 0, n_bin - 1)
    total = np.zeros((n_column + 1, n_bin), dtype=np.int32)
    total[np.nonzero(good)[0] + 1, index] = 1
    np.cumsum(total, axis=0, out=total)
    column = np.arange(n_column)
    seen = total[np.minimum(column + half + 1, n_column)] > total[np.maximum(column - half, 0)]
    bins = np.arange(n_bin, dtype=np.int32)
    before, after = np.where(seen, bins, -1), np.where(seen, bins, n_bin)
    np.maximum.accumulate(before, axis=1, out=before)
    np.minimum.accumulate(after[:, ::-1], axis=1, out=after[:, ::-1])
    center = np.clip(((np.arange(n_coef) - 1) * scale).astype(np.intp), 0, n_bin - 1)
    before, after = before[:, center], after[:, center]
    return (after - before) / _BINS, (before >= 0) & (after < n_bin)


def _nearest(chosen):
    """Index of the nearest chosen element along the first axis, the earlier of two; -1 if none."""
    n = len(chosen)
    index = np.arange(n)[:, None]
    left = np.maximum.accumulate(np.where(chosen, index, -3 * n), axis=0)
    right = np.minimum.accumulate(np.where(chosen, index, 3 * n)[::-1], axis=0)[::-1]
    nearest = np.where(index - left <= right - index, left, right)
    return np.where(chosen.any(axis=0), nearest, -1)
