"""Point sources of their own: a prior that does not see them, what the data know of them.

The scene is a diffuse part and point sources, ``Z = Z_diffuse + D a`` with the band-limited points
D at sub-pixel positions and free amplitudes a. A stationary prior alone would let a star pay for
its sharp light in the smoothest component, the mean spectrum of its surroundings with all lines.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg as sla

from jwst_fusion.fusion.solver.regularisation import SobolevPrior

__all__ = [
    "PointInformation",
    "SourcePreconditioner",
    "SourcePrior",
    "neighbours",
    "point_groups",
    "with_sources",
]

_CHUNK = 16_000_000  # bytes of products of points at once


def point_groups(grid, positions, *, order=(0, 0)):
    """Component groups of band-limited points of unit sum.

    Parameters
    ----------
    grid : Grid
        Periodic domain.
    positions : ndarray (J, 2)
        Columns x and rows y in fine pixels, 0 at the centre of the first.
    order : tuple of int
        Order of the derivative with respect to the position, along x and along y.

    Returns
    -------
    ndarray (group, d * d, J)
        Coefficients, complex.
    """
    positions = np.asarray(positions, float).reshape(-1, 2)
    factors = []
    for axis, (size, power) in enumerate(zip(grid.shape, order[::-1], strict=True)):
        frequency = 2 * np.pi * np.fft.fftfreq(size)
        at = positions[:, 1 - axis, None]
        phase = (-1j * frequency) ** power * np.exp(-1j * frequency * at)
        if size % 2 == 0:  # both signs of the highest frequency, so that maps are real
            phase[:, size // 2] = phase[:, size // 2].real
        factors.append(phase)
    found = np.empty((grid.groups, grid.aliases, len(positions)), complex)
    step = max(1, _CHUNK // (64 * grid.shape[0] * grid.shape[1]))
    for start in range(0, len(positions), step):
        y, x = (one[start : start + step] for one in factors)
        spectrum = y[:, :, None] * x[:, None, :]
        found[:, :, start : start + step] = grid.group(
            spectrum / np.sqrt(grid.shape[0] * grid.shape[1])
        )
    return found


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
    gram : ndarray (1 or k, J, J)
        :math:`D^T P D`, of weight one.

    Notes
    -----
    With the base P and free amplitudes, minimised over these, the penalty is that of

    .. math:: P' = P - P D (D^T P D)^{-1} D^T P
    """

    diagonal = False

    def __init__(self, base, positions):
        self.base, self.grid, self.power = base, base.grid, base.power
        self.positions = np.asarray(positions, float).reshape(-1, 2)
        self.points = point_groups(self.grid, self.positions)
        # Of a diagonal prior what it makes of the points need not be kept.
        self.pulled = None if base.diagonal else self._pull()
        self.gram = self._gram()
        self.inverse = np.linalg.inv(self.gram)

    def _pull(self):
        """What the base makes of the points (group, d * d, J), a few at a time."""
        pulled = np.empty_like(self.points)
        # A prior on pixels works on maps and their differences, some eight arrays of real numbers.
        step = max(1, _CHUNK // (64 * self.grid.shape[0] * self.grid.shape[1]))
        for start in range(0, pulled.shape[2], step):
            part = slice(start, start + step)
            pulled[:, :, part] = self.base.apply(self.points[:, :, part])
        return pulled

    @property
    def sources(self):
        """The prior itself, which has the points."""
        # An attribute would be a circle of references, and large arrays of priors that nobody needs
        # any more would wait for the garbage collector.
        return self

    def _gram(self):
        weight = self.grid.multiplicity[:, None, None]
        if self.pulled is not None:
            return _product(self.points, weight * self.pulled)[None]
        power = weight * (self.power if self.power.ndim == 3 else self.power[:, :, None])
        each = (power[:, :, a : a + 1] for a in range(power.shape[2]))
        return np.array([_product(self.points, one * self.points) for one in each])

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
        if self.pulled is None:
            seen = _seen(self.points, self.base.apply(weighted))
        else:
            seen = _seen(self.pulled, weighted)
        if pull is not None:
            weighted = self.grid.multiplicity[:, None, None] * pull
            seen = seen - _seen(self.points, weighted)
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
        return self.base.apply(groups) - self.reaction(self.amplitudes(groups))

    def energy(self, groups):
        """Penalty of each component, of weight one.

        Parameters
        ----------
        groups : ndarray (group, d * d, k)
            Component groups of the whole scene.

        Returns
        -------
        ndarray (k,)
            The penalties: those of the diffuse part, which does not cancel where sources are
            bright.
        """
        return self.base.energy(self.diffuse(groups))

    def reaction(self, amplitudes):
        """Gradient of half the penalty of the base at sources alone, of weight one.

        Parameters
        ----------
        amplitudes : ndarray (J, k)
            Amplitudes of the sources.

        Returns
        -------
        ndarray (group, d * d, k)
            The gradient.
        """
        if self.pulled is None:
            return self.base.apply(self.points @ amplitudes)
        return self.pulled @ amplitudes


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


def _product(left, right):
    """Real parts (J, J) of the inner products of groups (group, d * d, J)."""
    total = np.zeros((left.shape[2], right.shape[2]))
    step = max(1, _CHUNK // (64 * left[0].size))
    for start in range(0, len(left), step):
        one, other = (a[start : start + step].reshape(-1, a.shape[2]) for a in (left, right))
        total += one.real.T @ other.real + one.imag.T @ other.imag
    return total


def _seen(points, groups):
    """Real parts (J, k) of the inner products of points with groups (group, d * d, k)."""
    # The real part is that of the conjugate, which spares a conjugate copy of all points.
    flat = points.reshape(-1, points.shape[2])
    return (flat.T @ groups.conj().reshape(len(flat), -1)).real


class PointInformation:
    r"""What data and prior of the diffuse part know of the amplitudes of points.

    With the normal matrix N of the data, :math:`B = N + P` and points D,

    .. math:: T = D^T P D - D^T P B^{-1} P D

    is the inverse of the posterior covariance of their amplitudes, the diffuse part eliminated. B
    is that of uniform weights, and its inverse is taken frequency by frequency: averaged over the
    positions of a point within a spaxel.

    Parameters
    ----------
    grid : Grid
        Periodic domain.
    covariance : ndarray (group, d * d, k, k)
        Diagonal blocks of the inverse of B.
    strength : ndarray (group, d * d, k)
        Diagonal of P.
    points : ndarray (group, d * d, J)
        The points.
    pairs : ndarray (m, 2) of int
        Points that are near enough to know of each other, in both orders, each with itself.

    Attributes
    ----------
    known : ndarray (group, d * d, k, k)
        :math:`P - P B^{-1} P` at each frequency.
    information : ndarray (J * k, J * k)
        T, the row of point j and component a being ``j * k + a``.
    """

    def __init__(self, grid, covariance, strength, points, pairs):
        self.grid, self.strength, self.points, self.pairs = grid, strength, points, pairs
        self.reaction = covariance * strength[:, :, None, :]  # B^-1 P
        self.known = -strength[..., None] * self.reaction
        index = np.arange(strength.shape[2])
        self.known[:, :, index, index] += strength
        self.covariances = covariance
        self.information = self.sums(self.known)

    def sums(self, matrices, left=None):
        """Sum matrices of frequencies over the products of pairs of points.

        Parameters
        ----------
        matrices : ndarray (group, d * d, k, k)
            A at each frequency.
        left : ndarray (group, d * d), optional
            Real factor of the left points.

        Returns
        -------
        ndarray (J * k, J * k)
            :math:`D^T A D` of real maps, zero for points that do not know of each other.
        """
        rank, count = matrices.shape[-1], self.points.shape[2]
        weight = np.broadcast_to(self.grid.multiplicity[:, None], matrices.shape[:2])
        weight = (weight if left is None else weight * left).reshape(-1, 1)
        flat = matrices.reshape(len(weight), -1)
        flat = np.concatenate([flat.real, -flat.imag])
        points = self.points.reshape(len(weight), count)
        result = np.zeros((count, rank, count, rank))
        step = max(1, _CHUNK // (32 * len(weight)))
        for start in range(0, len(self.pairs), step):
            i, j = self.pairs[start : start + step].T
            product = weight * points[:, i].conj() * points[:, j]
            product = np.concatenate([product.real, product.imag])
            result[i, :, j, :] = (product.T @ flat).reshape(-1, rank, rank)
        return result.reshape(count * rank, count * rank)

    def along(self, maps, spectra):
        """Information on the amplitudes of other maps of given spectra.

        Parameters
        ----------
        maps : ndarray (group, d * d, m)
            Maps.
        spectra : ndarray (m, k)
            Their coefficients in the components.

        Returns
        -------
        ndarray (m, m)
            T of these columns.
        """
        result = np.zeros((len(spectra), len(spectra)))
        groups = len(maps)
        step = max(1, _CHUNK // (64 * maps[0].size * spectra.shape[1]))
        for start in range(0, groups, step):
            part = slice(start, start + step)
            root = np.sqrt(self.grid.multiplicity[part])[:, None, None, None]
            columns = root * maps[part][:, :, None] * spectra.T
            seen = (self.known[part] @ columns).reshape(-1, len(spectra))
            columns = columns.reshape(-1, len(spectra))
            result += columns.real.T @ seen.real + columns.imag.T @ seen.imag
        return (result + result.T) / 2

    def factor(self):
        """Cholesky factor of the information.

        Returns
        -------
        tuple
            As `scipy.linalg.cho_solve` takes it; of a matrix with the smallest ridge that makes it
            positive definite to rounding.
        """
        scale = np.diag(self.information)
        for ridge in (1e-10, 1e-6, 1e-3, 1e-1):
            try:
                return sla.cho_factor(self.information + np.diag(ridge * scale))
            except np.linalg.LinAlgError:
                continue
        # Sources too close to be told apart in the approximation that leaves far pairs out.
        return sla.cho_factor(np.diag(scale))

    def covariance(self):
        """Posterior covariance of the amplitudes.

        Returns
        -------
        ndarray (J * k, J * k)
            Inverse of the information.
        """
        return sla.cho_solve(self.factor(), np.eye(len(self.information)))


def neighbours(positions, reach):
    """Pairs of points within a distance.

    Parameters
    ----------
    positions : ndarray (J, 2)
        Columns x and rows y, pixels.
    reach : float
        Largest distance, pixels.

    Returns
    -------
    ndarray (m, 2) of int
        Pairs in both orders, each point with itself.
    """
    distance = np.hypot(*(positions[:, None] - positions).transpose(2, 0, 1))
    return np.argwhere(distance <= reach)


class SourcePreconditioner:
    """Preconditioner of a problem with sources: that of the diffuse prior, corrected.

    Parameters
    ----------
    precondition : callable
        Inverse of the blocks with the prior of the diffuse part.
    grid : Grid
        Periodic domain.
    information : PointInformation
        Of the amplitudes, for the same weights.

    Notes
    -----
    Formula of Woodbury: with :math:`U = P D` and the information T of the amplitudes,
    :math:`M^{-1} = B^{-1} + B^{-1} U T^{-1} U^T B^{-1}`.
    """

    def __init__(self, precondition, grid, information):
        self.precondition, self.points = precondition, information.points
        self.weight = grid.multiplicity[:, None, None]
        self.strength, self.factor = information.strength, information.factor()

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
        seen = _seen(self.points, pulled)
        change = sla.cho_solve(self.factor, seen.ravel()).reshape(seen.shape)
        return first + self.precondition(self.strength * (self.points @ change))
