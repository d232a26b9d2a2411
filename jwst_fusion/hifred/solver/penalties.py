"""Penalties on the maps of a subspace's coefficients: small gradients or sparse starlets."""

from __future__ import annotations

import numpy as np

from jwst_fusion.numerics.starlet import Starlet2D

__all__ = ["NoPenalty", "Sobolev", "SparseStarlet"]

_TINY = 1e-10  # curvature beside which that of any datum is large, for a mean response of one


class NoPenalty:
    """
    Nothing but what keeps the curvature positive definite.

    Parameters
    ----------
    *_ : object
        Not used.
    """

    def __init__(self, *_):
        self.mu = 0.0

    def local(self, maps):
        """
        Value and gradient.

        Parameters
        ----------
        maps : ndarray (r, M, N)
            Coefficients.

        Returns
        -------
        value : float
            Penalty.
        gradient : ndarray (r, M, N)
            Its gradient.
        """
        return 0.0, np.zeros_like(maps)

    def freeze(self, maps):
        """
        Do nothing: the curvature is the same everywhere.

        Parameters
        ----------
        maps : ndarray (r, M, N)
            Not used.
        """

    def hessian(self, maps):
        """
        Product of the curvature with maps.

        Parameters
        ----------
        maps : ndarray (r, M, N)
            Coefficients.

        Returns
        -------
        ndarray (r, M, N)
            The product.
        """
        return _TINY * maps

    def diagonal(self, shape):
        """
        Diagonal of the curvature.

        Parameters
        ----------
        shape : tuple of int
            Shape (r, M, N) of the maps.

        Returns
        -------
        ndarray (r, M, N)
            Positive.
        """
        return np.full(shape, _TINY)

    def sample(self, rng, shape):
        """
        Draw noise whose covariance is the curvature.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of randomness.
        shape : tuple of int
            Shape (r, M, N) of the maps.

        Returns
        -------
        ndarray (r, M, N)
            One sample.
        """
        return np.sqrt(_TINY) * rng.standard_normal(shape)


class Sobolev(NoPenalty):
    r"""
    Sum of squared differences between neighbouring pixels (Lascar et al. 2025, eq. 13).

    Parameters
    ----------
    mu : ndarray (r,)
        Weight :math:`\mu_a` of each map.
    image : ndarray (M, N)
        Brightness I; ones for the published penalty.

    Notes
    -----
    :math:`\sum_a \mu_a \sum_{pq} \sqrt{I_p I_q} (w_{ap} / I_p - w_{aq} / I_q)^2` over all pairs of
    neighbours p, q along both axes, with nothing beyond the edges. What is penalised is the change
    of the spectrum per brightness, whose noise has the variance :math:`1 / I`.
    """

    def __init__(self, mu, image):
        self.mu = np.asarray(mu, float)[:, None, None]
        self.image = image
        self.down = np.sqrt(image[1:] * image[:-1])
        self.across = np.sqrt(image[:, 1:] * image[:, :-1])

    def _normal(self, maps):
        maps, out = maps / self.image, np.zeros_like(maps)
        d = np.diff(maps, axis=1) * self.down
        out[:, 1:] += d
        out[:, :-1] -= d
        d = np.diff(maps, axis=2) * self.across
        out[:, :, 1:] += d
        out[:, :, :-1] -= d
        return 2.0 * self.mu / self.image * out

    def local(self, maps):
        """
        Value and gradient.

        Parameters
        ----------
        maps : ndarray (r, M, N)
            Coefficients.

        Returns
        -------
        value : float
            Penalty.
        gradient : ndarray (r, M, N)
            Its gradient.
        """
        gradient = self._normal(maps)
        return 0.5 * float((gradient * maps).sum()), gradient

    def hessian(self, maps):
        """
        Product of the curvature with maps.

        Parameters
        ----------
        maps : ndarray (r, M, N)
            Coefficients.

        Returns
        -------
        ndarray (r, M, N)
            The product.
        """
        return self._normal(maps)

    def diagonal(self, shape):
        """
        Diagonal of the curvature.

        Parameters
        ----------
        shape : tuple of int
            Shape (r, M, N) of the maps.

        Returns
        -------
        ndarray (r, M, N)
            Positive.
        """
        weights = np.zeros(shape[1:])
        weights[1:] += self.down
        weights[:-1] += self.down
        weights[:, 1:] += self.across
        weights[:, :-1] += self.across
        return 2.0 * self.mu * weights / self.image**2 + _TINY

    def sample(self, rng, shape):
        """
        Draw noise whose covariance is the curvature.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of randomness.
        shape : tuple of int
            Shape (r, M, N) of the maps.

        Returns
        -------
        ndarray (r, M, N)
            One sample.
        """
        out = np.zeros(shape)
        noise = rng.standard_normal((shape[0], shape[1] - 1, shape[2])) * np.sqrt(self.down)
        out[:, 1:] += noise
        out[:, :-1] -= noise
        noise = rng.standard_normal((shape[0], shape[1], shape[2] - 1)) * np.sqrt(self.across)
        out[:, :, 1:] += noise
        out[:, :, :-1] -= noise
        return np.sqrt(2.0 * self.mu) / self.image * out


class SparseStarlet(NoPenalty):
    r"""
    Sum of absolute starlet coefficients of the maps (Lascar et al. 2025, eq. 14).

    Parameters
    ----------
    mu : ndarray (r,)
        Weight :math:`\mu_a` of each map.
    image : ndarray (M, N)
        Brightness I; ones for the published penalty.
    scales : int
        Number of scales.
    width : float
        :math:`\epsilon`: the absolute value |c| is rounded to
        :math:`\sqrt{c^2 + \epsilon^2} - \epsilon`.

    Notes
    -----
    :math:`\sum_{aj} \mu_a \| \sqrt{I} \, \psi_j (w_a / I) \|_1`. The curvature is that of the
    parabola that touches the rounded absolute value from above, as in iteratively reweighted least
    squares.
    """

    def __init__(self, mu, image, scales, width):
        self.mu = np.asarray(mu, float)[:, None, None]
        self.image, self.root = image, np.sqrt(image)
        self.starlet = Starlet2D(image.shape, scales)
        self.width = width
        self._squares = None
        self._curvature = None

    def _forward(self, maps):
        return [self.root * c for c in self.starlet.forward(maps / self.image)]

    def _adjoint(self, coefficients):
        return self.starlet.adjoint([self.root * c for c in coefficients]) / self.image

    def local(self, maps):
        """
        Value and gradient.

        Parameters
        ----------
        maps : ndarray (r, M, N)
            Coefficients.

        Returns
        -------
        value : float
            Penalty.
        gradient : ndarray (r, M, N)
            Its gradient.
        """
        coefficients = self._forward(maps)
        rounded = [np.sqrt(c * c + self.width**2) for c in coefficients]
        value = sum(float((self.mu * (r - self.width)).sum()) for r in rounded)
        slopes = [self.mu * c / r for c, r in zip(coefficients, rounded, strict=True)]
        return value, self._adjoint(slopes)

    def freeze(self, maps):
        """
        Fix the curvature, which depends on the maps.

        Parameters
        ----------
        maps : ndarray (r, M, N)
            Coefficients at which it is taken.
        """
        self._curvature = [self.mu / np.sqrt(c * c + self.width**2) for c in self._forward(maps)]

    def hessian(self, maps):
        """
        Product of the curvature, as fixed by `freeze`, with maps.

        Parameters
        ----------
        maps : ndarray (r, M, N)
            Coefficients.

        Returns
        -------
        ndarray (r, M, N)
            The product.
        """
        parts = zip(self._curvature, self._forward(maps), strict=True)
        return self._adjoint([weight * c for weight, c in parts])

    def diagonal(self, shape):
        """
        Diagonal of the curvature, as fixed by `freeze`.

        Parameters
        ----------
        shape : tuple of int
            Shape (r, M, N) of the maps.

        Returns
        -------
        ndarray (r, M, N)
            Zero or more.
        """
        if self._squares is None:
            self._squares = [matrix**2 for matrix in self.starlet.matrices()[:-1]]
        total = np.zeros(shape)
        for weight, square in zip(self._curvature, self._squares, strict=True):
            seen = (weight * self.image).reshape(shape[0], -1) @ square
            total += seen.reshape(shape) / self.image**2
        return total

    def sample(self, rng, shape):
        """
        Draw noise whose covariance is the curvature, as fixed by `freeze`.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of randomness.
        shape : tuple of int
            Shape (r, M, N) of the maps.

        Returns
        -------
        ndarray (r, M, N)
            One sample.
        """
        parts = [np.sqrt(w) * rng.standard_normal(shape) for w in self._curvature]
        return self._adjoint(parts)
