"""Uniform cubic B-splines along the slit with coefficients that vary linearly along the dispersion.

Arrays are (column, row); a slit coordinate has the unit of the caller's choice.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, solveh_banded
from scipy.sparse import csr_array

__all__ = ["PAIRS", "SurfaceFitter", "UniformKnots", "evaluate_surface"]

#: Pairs of the four cubic B-splines that overlap in a knot interval.
PAIRS = tuple((p, q) for p in range(4) for q in range(p, 4))

#: Weight of the second difference of the coefficients along the slit, in units of the median
#: diagonal. It only keeps coefficients without data finite and smooth.
_CURVATURE = 1e-5
#: Weight of the identity, relative to that of the curvature.
_IDENTITY = 1e-4
#: Weight of the first difference along the dispersion, relative to that of the second.
_FIRST_DIFFERENCE = 0.01


@dataclass(frozen=True)
class UniformKnots:
    """
    Equidistant knots of a cubic B-spline.

    Parameters
    ----------
    start : float
        Coordinate of the left end of the first interval.
    step : float
        Distance of the knots.
    n_interval : int
        Number of intervals.
    """

    start: float
    step: float
    n_interval: int

    @classmethod
    def spanning(cls, low, high, *, step):
        """
        Return knots that cover the range from `low` to `high`.

        Parameters
        ----------
        low, high : float
            The range; ``low < high``.
        step : float
            Largest distance of the knots. It is shrunk to fit the range.

        Returns
        -------
        UniformKnots
            The knots.
        """
        n_interval = max(int(np.ceil((high - low) / step - 1e-9)), 1)
        return cls(float(low), float((high - low) / n_interval), n_interval)

    @property
    def n_coef(self):
        """Number of B-splines."""
        return self.n_interval + 3

    def locate(self, coordinate):
        """
        Evaluate the four B-splines that do not vanish at each coordinate.

        Parameters
        ----------
        coordinate : ndarray
            Finite coordinates, of any shape. Outside the knots the end polynomials continue for
            half an interval and stay constant beyond.

        Returns
        -------
        interval : ndarray of intp
            Index of the first of the four B-splines, same shape.
        basis : ndarray
            Values, shape ``(4, *shape)``; they sum to one.
        """
        z = (coordinate - self.start) / self.step
        z = np.clip(z, -0.5, self.n_interval + 0.5)
        interval = np.clip(z.astype(np.intp), 0, self.n_interval - 1)
        u = z - interval
        v = 1.0 - u
        basis = np.empty((4, *z.shape))
        u2 = u * u
        basis[0] = v * v * v / 6
        basis[1] = (3 * u - 6) * u2 / 6 + 2 / 3
        basis[3] = u2 * u / 6
        basis[2] = 1 - basis[0] - basis[1] - basis[3]
        return interval, basis


def evaluate_surface(coefficients, interval, basis):
    """
    Evaluate a profile per column from that column's spline coefficients.

    Parameters
    ----------
    coefficients : ndarray
        Shape ``(column, n_coef)``.
    interval, basis : ndarray
        From `UniformKnots.locate` for coordinates of shape ``(column, row)``.

    Returns
    -------
    ndarray
        Values of shape ``(column, row)``.
    """
    flat = np.ravel(coefficients)
    index = interval + np.arange(len(coefficients))[:, None] * coefficients.shape[1]
    value = basis[0] * flat[index]
    for p in range(1, 4):
        value += basis[p] * flat[index + p]
    return value


class SurfaceFitter:
    r"""
    Weighted least-squares fit of a smooth surface over (dispersion column, slit coordinate).

    .. math:: p(x, a) = \sum_{kj} c_{kj} h_k(x) B_j(a)

    with hat functions :math:`h_k` on equidistant nodes and cubic B-splines :math:`B_j`.

    Parameters
    ----------
    interval, basis : ndarray
        From `UniformKnots.locate` for the coordinates of the pixels, shape ``(column, row)``.
    good : ndarray of bool
        Pixels that may be used, shape ``(column, row)``.
    n_coef : int
        Number of B-splines.
    node_spacing : float
        Largest distance of the nodes of the hat functions, in columns.
    stiffness : float
        Weight of the second difference between three nodes in a row, in units of the median
        diagonal of the normal matrix. Where a trace runs parallel to the pixel grid, the data
        leave some combinations of the coefficients open; there the surface goes on as it came.
    bending : float, optional
        Standard deviation that the second difference may be expected to have. Where the data
        measure it worse, as in faint sources, this smooths further.

    Notes
    -----
    The normal matrix is banded with a bandwidth of three times the number of nodes. The pixels are
    sorted once by (node interval, knot interval); assembling is a sparse-dense product, solving a
    banded Cholesky factorisation.
    """

    def __init__(self, interval, basis, good, *, n_coef, node_spacing, stiffness, bending=np.inf):
        n_column = interval.shape[0]
        self.n_coef = n_coef
        self.n_interval = n_coef - 3
        self.n_node = max(int(np.ceil((n_column - 1) / node_spacing)), 1) + 1
        self.stiffness = stiffness
        self.precision = bending**-2
        position = np.arange(n_column) * ((self.n_node - 1) / max(n_column - 1, 1))
        self.node = np.minimum(position.astype(np.intp), self.n_node - 2)
        self.fraction = position - self.node

        flat = np.flatnonzero(good)
        cell = (self.node[:, None] * self.n_interval + interval).ravel()[flat]
        order = np.argsort(cell, kind="stable")
        self._pixel = flat[order]
        n_cell = (self.n_node - 1) * self.n_interval
        self._row_start = np.searchsorted(cell[order], np.arange(n_cell + 1))
        self._column_index = np.arange(len(order))
        self._u = np.repeat(self.fraction, interval.shape[1])[self._pixel]
        self._basis = np.ascontiguousarray(basis.reshape(4, -1)[:, self._pixel].T)
        self._products = np.stack([self._basis[:, p] * self._basis[:, q] for p, q in PAIRS], axis=1)

    def solve(self, target, weight):
        """
        Fit the surface.

        Parameters
        ----------
        target, weight : ndarray
            Values and inverse variances, shape ``(column, row)``. Weight 0 excludes a pixel.

        Returns
        -------
        ndarray or None
            Coefficients interpolated to each column, shape ``(column, n_coef)``; `None` if the
            normal matrix is not positive definite even with a hundred times the stiffness.
        """
        w = weight.ravel()[self._pixel]
        wy = w * target.ravel()[self._pixel]
        u, v = self._u, 1 - self._u
        gram = [self._per_cell(w * h, self._products) for h in (v * v, u * v, u * u)]
        side = [self._per_cell(wy * h, self._basis) for h in (v, u)]
        for factor in (1.0, 10.0, 100.0):
            try:
                nodes = self._solve_banded(gram, side, factor)
            except LinAlgError:
                continue
            if np.isfinite(nodes).all():
                t = self.fraction[:, None]
                return (1 - t) * nodes[self.node] + t * nodes[self.node + 1]
        return None

    def _per_cell(self, weight, columns):
        """Sum weighted columns over the pixels of each cell: (node interval, knot interval, :)."""
        shape = (len(self._row_start) - 1, len(weight))
        matrix = csr_array((weight, self._column_index, self._row_start), shape=shape)
        return (matrix @ columns).reshape(self.n_node - 1, self.n_interval, -1)

    def _solve_banded(self, gram, side, factor):
        """Assemble the lower banded normal matrix and solve; returns (node, n_coef)."""
        n, n_node, n_interval = self.n_coef, self.n_node, self.n_interval
        # Unknowns in the order (coefficient, node): at most three coefficients and a node apart.
        band = np.zeros((3 * n_node + 2, n, n_node))
        right = np.zeros((n, n_node))
        here, next_, cross = (np.ascontiguousarray(gram[i].T) for i in (0, 2, 1))
        for i, (p, q) in enumerate(PAIRS):
            at_p = slice(p, p + n_interval)
            offset = (q - p) * n_node
            band[offset, at_p, :-1] += here[i]
            band[offset, at_p, 1:] += next_[i]
            band[offset + 1, at_p, :-1] += cross[i]
            if p != q:
                band[offset - 1, at_p, 1:] += cross[i]
        for p in range(4):
            at_p = slice(p, p + n_interval)
            right[at_p, :-1] += side[0][..., p].T
            right[at_p, 1:] += side[1][..., p].T
        diagonal = band[0][band[0] > 0]
        if diagonal.size == 0:
            msg = "no data"
            raise LinAlgError(msg)
        scale = np.median(diagonal)
        second = factor * (self.stiffness * scale + self.precision)
        first = factor * _FIRST_DIFFERENCE * self.stiffness * scale
        if n_node < 3:
            # Two nodes have no second difference.
            first += second
        _add_difference(band.swapaxes(1, 2), 1, (1.0, -1.0), first)
        _add_difference(band.swapaxes(1, 2), 1, (1.0, -2.0, 1.0), second)
        _add_difference(band, n_node, (1.0, -2.0, 1.0), _CURVATURE * scale)
        band[0] += _IDENTITY * _CURVATURE * scale
        solution = solveh_banded(
            band.reshape(len(band), n * n_node),
            right.ravel(),
            lower=True,
            overwrite_ab=True,
            overwrite_b=True,
            check_finite=False,
        )
        return solution.reshape(n, n_node).T


def _add_difference(band, step, stencil, weight):
    """Add the squared difference along the second axis of a band matrix, in place."""
    count = band.shape[1] - len(stencil) + 1
    if count < 1:
        return
    for i, at_i in enumerate(stencil):
        for j in range(i, len(stencil)):
            band[(j - i) * step, i : i + count] += weight * at_i * stencil[j]
