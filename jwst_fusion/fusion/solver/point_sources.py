"""Point sources of their own: a prior that does not see them, and what the data know of them.

The scene is a diffuse part and point sources, ``Z = Z_diffuse + D a`` with the band-limited points D
at sub-pixel positions and free amplitudes a. A stationary prior alone would let a star pay for its
sharp light in the smoothest component, the mean spectrum of its surroundings with all its lines.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg as sla
from scipy.linalg import get_lapack_funcs

from jwst_fusion.fusion.solver.regularisation import SobolevPrior

__all__ = [
    "PointInformation",
    "SourcePreconditioner",
    "SourcePrior",
    "point_groups",
    "whitened_columns",
    "with_sources",
]

# Relative to the information of the prior: less than rounding leaves of what the data know.
_LEAST = {np.dtype(np.complex128): 1e-12, np.dtype(np.complex64): 1e-6}


def point_groups(grid, positions, *, order=(0, 0)):
    """Component groups of band-limited points of unit sum.

    Parameters
    ----------
    grid : Grid
        Periodic domain.
    positions : ndarray (J, 2)
        x and y in fine pixels, 0 at the centre of the first.
    order : tuple of int
        Order of the derivative with respect to the position, along x and along y.

    Returns
    -------
    ndarray (group, d * d, J)
        Coefficients, complex.
    """
    factors = []
    for axis, (size, power) in enumerate(zip(grid.shape, order[::-1], strict=True)):
        frequency = 2 * np.pi * np.fft.fftfreq(size)
        at = np.asarray(positions, float).reshape(-1, 2)[:, 1 - axis, None]
        phase = (-1j * frequency) ** power * np.exp(-1j * frequency * at)
        if size % 2 == 0:  # both signs of the highest frequency, so that maps are real
            phase[:, size // 2] = phase[:, size // 2].real
        factors.append(phase)
    spectrum = factors[0][:, :, None] * factors[1][:, None, :]
    return grid.group(spectrum / np.sqrt(grid.shape[0] * grid.shape[1]))


class SourcePrior(SobolevPrior):
    r"""A prior of the diffuse part of the component maps alone.

    Parameters
    ----------
    base : SobolevPrior
        Prior of the diffuse part.
    positions : ndarray (J, 2)
        Positions x, y of the sources, fine pixels.

    Attributes
    ----------
    positions : ndarray (J, 2)
        As given.
    points : ndarray (group, d * d, J)
        The sources, with unit amplitude.

    Notes
    -----
    With the base P and free amplitudes, minimised over these, the penalty is that of

    .. math:: P' = P - P D (D^T P D)^{-1} D^T P
    """

    diagonal = False

    def __init__(self, base, positions):
        self.base, self.grid, self.power, self.sources = base, base.grid, base.power, self
        self.positions = np.asarray(positions, float).reshape(-1, 2)
        self.points = point_groups(self.grid, self.positions)
        self.pulled = _applied(base, self.points)
        gram = _product(self.grid, self.points[..., None], self.pulled)
        self.inverse = np.array([np.linalg.inv(one) for one in gram])

    def amplitudes(self, groups, pull=None):
        """Amplitudes of the sources that leave the diffuse part its smallest penalty.

        Parameters
        ----------
        groups : ndarray (group, d * d, k)
            Component groups of the whole scene.
        pull : ndarray (group, d * d, k), optional
            Linear term of a penalty of the diffuse part, which is taken off its gradient.

        Returns
        -------
        ndarray (J, k)
            Amplitudes.
        """
        weighted = self.grid.multiplicity[:, None, None] * groups
        if self.pulled.shape[3] == 1:
            seen = np.tensordot(self.pulled[..., 0].conj(), weighted, ((0, 1), (0, 1))).real
        else:
            seen = np.einsum("gdjk,gdk->jk", self.pulled.conj(), weighted, optimize=True).real
        if pull is not None:
            weighted = self.grid.multiplicity[:, None, None] * pull
            seen = seen - np.tensordot(self.points.conj(), weighted, ((0, 1), (0, 1))).real
        if len(self.inverse) == 1:
            return self.inverse[0] @ seen
        return np.einsum("kij,jk->ik", self.inverse, seen)

    def diffuse(self, groups, pull=None):
        """Scene without its sources.

        Parameters
        ----------
        groups : ndarray (group, d * d, k)
            Component groups of the whole scene.
        pull : ndarray (group, d * d, k), optional
            As in `amplitudes`.

        Returns
        -------
        ndarray (group, d * d, k)
            Component groups.
        """
        return groups - self.points @ self.amplitudes(groups, pull)

    def apply(self, groups):
        """Gradient of half the penalty, of weight one.

        Parameters
        ----------
        groups : ndarray (group, d * d, k)
            Component groups of the whole scene.

        Returns
        -------
        ndarray (group, d * d, k)
            The gradient at these.
        """
        amplitudes = self.amplitudes(groups)
        if self.pulled.shape[3] == 1:
            return self.base.apply(groups) - self.pulled[..., 0] @ amplitudes
        return self.base.apply(groups) - np.einsum("gdjk,jk->gdk", self.pulled, amplitudes)


def with_sources(prior, positions):
    """Prior that does not see the sources.

    Parameters
    ----------
    prior : SobolevPrior
        Prior of the diffuse part.
    positions : ndarray (J, 2) or None
        Positions of the sources, fine pixels.

    Returns
    -------
    SobolevPrior
        The prior itself if there are none.
    """
    if positions is None or not len(positions):
        return prior
    return SourcePrior(prior, positions)


def _applied(base, points):
    """Base prior of every point in every component, (group, d * d, J, 1 or k)."""
    if base.power.ndim == 3:
        return base.power[:, :, None, :] * points[..., None]
    return base.apply(points)[..., None]


def _product(grid, left, right):
    """Inner products (k, J, J) of real maps given as groups (group, d * d, J, k)."""
    weighted = right * grid.multiplicity[:, None, None, None]
    return np.einsum("gdik,gdjk->kij", *np.broadcast_arrays(left.conj(), weighted)).real


@dataclass
class PointInformation:
    r"""What data and prior of the diffuse part know of free directions of the scene.

    Directions are columns c: points in one component each, or the change of the scene when a source
    moves. With the normal matrix N of the data and :math:`B = N + P`,

    .. math:: T = C^T P C - C^T P B^{-1} P C

    is the inverse of the posterior covariance of their amplitudes, the diffuse part eliminated; in
    the block-diagonal approximation of uniform weights.

    Attributes
    ----------
    prior : ndarray (m, m)
        :math:`C^T P C`.
    information : ndarray (m, m)
        T, positive definite at the level of rounding.
    """

    prior: np.ndarray
    information: np.ndarray

    @classmethod
    def of(cls, blocks, power, points, spectra, weights, *, penalty_mu=None):
        """Compute it from the blocks of the normal equations.

        Parameters
        ----------
        blocks : BlockSystem
            Normal equations of uniform weights, with the prior of the diffuse part.
        power : ndarray (group, d * d) or (group, d * d, k)
            Transfer function of that prior.
        points : ndarray (group, d * d, J)
            Maps of the columns.
        spectra : ndarray (J, k) or None
            Coefficients of each column in the components; None for all k unit vectors with every
            map, the column of map j and component a being ``j * k + a``.
        weights : tuple
            Weights of the images (F,), of the cube, and of the prior (k,) in the blocks.
        penalty_mu : ndarray (k,), optional
            Weights of the prior that `power` stands for, if not those of the blocks.

        Returns
        -------
        PointInformation
            For these weights.
        """
        mu = np.asarray(weights[2] if penalty_mu is None else penalty_mu)
        grid, rank = blocks.grid, blocks.rank
        if power.ndim == 2:
            power = power[:, :, None]
        count = points.shape[2]
        columns = count * rank if spectra is None else count
        prior, reduced = np.zeros((2, columns, columns))
        for part in blocks.chunks(max(columns, blocks.size)):
            factors = blocks.factors(part, *weights)
            root = np.sqrt(grid.multiplicity[part])[:, None, None]
            seen = points[part] * root
            strength = np.broadcast_to(power[part] * mu, (*seen.shape[:2], rank))
            half = whitened_columns(factors, strength, seen)
            if spectra is None:
                half = half.transpose(0, 1, 3, 2)
                full = np.einsum("gdi,gda,gdj->aij", seen.conj(), strength, seen, optimize=True)
                cells = prior.reshape(count, rank, count, rank)
                index = np.arange(rank)
                cells[:, index, :, index] += full.real
            else:
                half = np.einsum("gnkj,jk->gnj", half, spectra)
                strength = np.einsum("gda,ia,ja->gdij", strength, spectra, spectra, optimize=True)
                prior += np.einsum("gdi,gdij,gdj->ij", seen.conj(), strength, seen).real
            half = np.ascontiguousarray(half).reshape(-1, columns)
            reduced += half.real.T @ half.real + half.imag.T @ half.imag
        information = prior - reduced
        information = (information + information.T) / 2
        index = np.arange(columns)
        information[index, index] += _LEAST[np.dtype(blocks.dtype)] * prior[index, index]
        return cls(prior, information)

    def covariance(self):
        """Posterior covariance of the amplitudes of the columns.

        Returns
        -------
        ndarray (m, m)
            Inverse of the information.
        """
        return sla.cho_solve(sla.cho_factor(self.information), np.eye(len(self.information)))


def whitened_columns(factors, strength, maps):
    """Columns of maps in every component, times a diagonal, divided by Cholesky factors.

    Parameters
    ----------
    factors : ndarray (group, n, n)
        Lower factors L, n = d * d * k.
    strength : ndarray (group, d * d, k)
        The diagonal P.
    maps : ndarray (group, d * d, J)
        The maps.

    Returns
    -------
    ndarray (group, n, k, J)
        :math:`L^{-1} P c` of the column c of map j in component a, for all a and j.
    """
    (trtri,) = get_lapack_funcs(("trtri",), (factors[0],))
    inverse = np.array([trtri(one.T, lower=0)[0].T for one in factors])
    # Rows of L^-1 P, the components apart: (group, n, k, d * d).
    pull = inverse.reshape(*inverse.shape[:2], *strength.shape[1:]) * strength[:, None]
    pull = np.ascontiguousarray(pull.transpose(0, 1, 3, 2))
    return pull @ maps[:, None].astype(pull.dtype)


class SourcePreconditioner:
    """Preconditioner of a problem with sources: that of the diffuse prior, corrected.

    Parameters
    ----------
    precondition : callable
        Inverse of the blocks with the prior of the diffuse part.
    grid : Grid
        Periodic domain.
    power : ndarray (group, d * d) or (group, d * d, k)
        Transfer function of that prior.
    points : ndarray (group, d * d, J)
        The sources.
    mu : ndarray (k,)
        Weights of the prior.
    information : PointInformation
        Of the amplitudes.

    Notes
    -----
    Formula of Woodbury: with :math:`U = P D` and the information T of the amplitudes,
    :math:`M^{-1} = B^{-1} + B^{-1} U T^{-1} U^T B^{-1}`.
    """

    def __init__(self, precondition, grid, power, points, mu, information):
        self.precondition, self.points = precondition, points
        self.weight = grid.multiplicity[:, None, None]
        self.strength = (power[:, :, None] if power.ndim == 2 else power) * mu
        self.factor = sla.cho_factor(information.information)

    def __call__(self, groups):
        """Apply it.

        Parameters
        ----------
        groups : ndarray (group, d * d, k)
            Component groups.

        Returns
        -------
        ndarray (group, d * d, k)
            Component groups.
        """
        first = self.precondition(groups)
        pulled = self.strength * first * self.weight
        seen = np.tensordot(self.points.conj(), pulled, ((0, 1), (0, 1))).real
        change = sla.cho_solve(self.factor, seen.ravel()).reshape(seen.shape)
        return first + self.precondition(self.strength * (self.points @ change))
