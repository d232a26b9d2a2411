"""Penalties on the maps of a subspace's coefficients: small gradients or sparse starlets."""

from __future__ import annotations

import numpy as np

from jwst_fusion.hifred.starlet import Starlet2D

__all__ = ["NoPenalty", "Sobolev", "SparseStarlet"]

_TINY = 1e-10


class NoPenalty:
    """
    Nothing but what keeps the curvature positive definite.

    Parameters
    ----------
    strengths : ndarray (r,)
        Not used.
    """

    smooth = True

    def __init__(self, strengths):
        self.strengths = np.zeros_like(strengths)

    def local(self, maps):
        """Value and gradient at maps (r, M, N)."""
        return 0.0, np.zeros_like(maps)

    def freeze(self, maps):
        """Fix the curvature at maps (r, M, N)."""

    def hessian(self, maps):
        """Product of the curvature with maps (r, M, N)."""
        return _TINY * maps

    def diagonal(self, shape):
        """Diagonal of the curvature, for maps of a shape (r, M, N)."""
        return np.full(shape, _TINY)


class Sobolev(NoPenalty):
    r"""
    Sum of squared differences between neighbouring pixels (Lascar et al. 2025, eq. 13).

    Parameters
    ----------
    strengths : ndarray (r,)
        :math:`\mu_a` of each map.

    Notes
    -----
    :math:`\sum_a \mu_a (\| D_y w_a \|^2 + \| D_x w_a \|^2)` with first differences along both axes
    and nothing beyond the edges.
    """

    def __init__(self, strengths):
        self.strengths = np.asarray(strengths, float)

    def _normal(self, maps):
        out = np.zeros_like(maps)
        d = np.diff(maps, axis=1)
        out[:, 1:] += d
        out[:, :-1] -= d
        d = np.diff(maps, axis=2)
        out[:, :, 1:] += d
        out[:, :, :-1] -= d
        return 2.0 * self.strengths[:, None, None] * out

    def local(self, maps):
        """Value and gradient at maps (r, M, N)."""
        gradient = self._normal(maps)
        return 0.5 * float((gradient * maps).sum()), gradient

    def hessian(self, maps):
        """Product of the curvature with maps (r, M, N)."""
        return self._normal(maps)

    def diagonal(self, shape):
        """Diagonal of the curvature, for maps of a shape (r, M, N)."""
        neighbours = np.zeros(shape[1:])
        for axis in (0, 1):
            if shape[1 + axis] > 1:
                count = np.full(shape[1 + axis], 2.0)
                count[[0, -1]] = 1.0
                neighbours += count[:, None] if axis == 0 else count[None, :]
        return 2.0 * self.strengths[:, None, None] * neighbours + _TINY


class SparseStarlet(NoPenalty):
    r"""
    Sum of absolute starlet coefficients of the maps (Lascar et al. 2025, eq. 14).

    Parameters
    ----------
    strengths : ndarray (r,)
        :math:`\mu_a` of each map.
    shape : tuple of int
        Shape (M, N) of the maps.
    scales : int
        Number of scales.
    width : float
        :math:`\epsilon`: the absolute value |c| is rounded to
        :math:`\sqrt{c^2 + \epsilon^2} - \epsilon`.

    Notes
    -----
    The curvature is that of the parabola that touches the rounded absolute value from above, as in
    iteratively reweighted least squares.
    """

    smooth = False

    def __init__(self, strengths, shape, scales, width):
        self.strengths = np.asarray(strengths, float)
        self.starlet = Starlet2D(shape, scales)
        self.width = width
        self._squares = None
        self._curvature = None

    def local(self, maps):
        """Value and gradient at maps (r, M, N)."""
        weights = self.strengths[:, None, None]
        coefficients = self.starlet.forward(maps)
        rounded = [np.sqrt(c * c + self.width**2) for c in coefficients]
        value = sum(float((weights * (r - self.width)).sum()) for r in rounded)
        slopes = [weights * c / r for c, r in zip(coefficients, rounded, strict=True)]
        return value, self.starlet.adjoint(slopes)

    def freeze(self, maps):
        """Fix the curvature at maps (r, M, N)."""
        weights = self.strengths[:, None, None]
        self._curvature = [
            weights / np.sqrt(c * c + self.width**2) for c in self.starlet.forward(maps)
        ]

    def hessian(self, maps):
        """Product of the curvature with maps (r, M, N)."""
        parts = zip(self._curvature, self.starlet.forward(maps), strict=True)
        return self.starlet.adjoint([weight * c for weight, c in parts])

    def diagonal(self, shape):
        """Diagonal of the curvature, for maps of a shape (r, M, N)."""
        if self._squares is None:
            self._squares = [matrix**2 for matrix in self.starlet.matrices()[:-1]]
        parts = zip(self._curvature, self._squares, strict=True)
        return sum(
            (weight.reshape(shape[0], -1) @ square).reshape(shape) for weight, square in parts
        )
