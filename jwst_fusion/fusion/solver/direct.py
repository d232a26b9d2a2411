"""Solve exactly in the Fourier plane: independent blocks of ``d * d`` aliased frequencies.

For data without gaps and with uniform weights the normal equations of the fusion problem couple
only the frequencies that alias onto one another. Every group is a dense Hermitian system of size
``n = d * d * k``, solved by Cholesky factorisation. Weighted data use the same blocks, with average
weights, as preconditioner and for the posterior covariance.
"""

from __future__ import annotations

import logging
from copy import copy

import numpy as np
from scipy.linalg import get_lapack_funcs

from jwst_fusion.messages import warn

__all__ = ["BlockSystem"]

log = logging.getLogger(__name__)

# Bytes of blocks above which single precision is used, to save memory.
_DOUBLE_LIMIT = 1_500_000_000
_CHUNK = 32_000_000  # bytes of blocks that are worked on at once
_STALE = 0.1  # logarithmic change of hyperparameters up to which a preconditioner is used again
_RIDGE = 1e-13  # relative to the largest diagonal element; keeps unobserved constants solvable


class BlockSystem:
    r"""Normal equations of both instruments and the gradient prior, group by group.

    Parameters
    ----------
    imager : Imager
        Imager on noise-whitened images.
    spectrometer : Spectrometer
        Spectrometer on noise-whitened rows.
    power : ndarray (group, d * d), optional
        Transfer function of the prior, or one per component (group, d * d, k), or a matrix
        (group, d * d, k, k) that contains the weights mu; that of the squared gradient by default.

    Attributes
    ----------
    informed : bool
        Whether the diagonal blocks of the inverse are kept with a preconditioner.

    Notes
    -----
    The block of one group, with weights :math:`g_f` per image and :math:`g_h` for the cube, is

    .. math:: Q = \sum_f g_f G_f^H G_f + g_h H^H H + |D|^2 \otimes \mathrm{diag}(\mu)

    The first and the last term are diagonal in the aliases. Derived from equation 9 of Marquis et
    al. 2026; the block structure is that of Wei et al. 2015, IEEE TIP 24, 4109 (FUSE).
    """

    def __init__(self, imager, spectrometer, power=None):
        self.imager, self.spectrometer, self.grid = imager, spectrometer, imager.grid
        self.rank = spectrometer.rank
        self.size = self.grid.aliases * self.rank
        blocks = self.grid.groups * self.size**2
        self.dtype = np.complex64 if 16 * blocks > _DOUBLE_LIMIT else np.complex128
        self.power = self.grid.gradient_power() if power is None else power
        self.informed = False
        self._kept, self._raised = None, 0
        self.gram = np.empty((self.grid.groups, self.size, self.size), self.dtype)
        for part in self.chunks(max(self.size, spectrometer.rows)):
            rows = spectrometer.blocks(part.start, part.stop).astype(self.dtype, copy=False)
            np.matmul(rows.conj().transpose(0, 2, 1), rows, out=self.gram[part])

    def with_power(self, power):
        """Give the same blocks another transfer function of the prior.

        Parameters
        ----------
        power : ndarray
            Transfer function, in one of the shapes that the class takes.

        Returns
        -------
        BlockSystem
            A copy that shares the blocks of the instruments and has no preconditioner yet.
        """
        other = copy(self)
        other.power, other._kept = power, None
        return other

    def chunks(self, side=None, stride=1):
        """Divide the groups so that temporary blocks stay small.

        Parameters
        ----------
        side : int, optional
            Columns of a temporary block, whose other side is n; n by default.
        stride : int
            Take one group of so many.

        Returns
        -------
        list of slice
            Slices over the groups.
        """
        step = max(1, _CHUNK // (16 * (side or self.size) * self.size)) * stride
        total = self.grid.groups
        return [slice(i, min(i + step, total), stride) for i in range(0, total, step)]

    def sampling(self, budget):
        """Find the stride of a sample of the groups that is spread over both axes.

        Parameters
        ----------
        budget : int
            About how many groups may be left.

        Returns
        -------
        int
            The stride; it has no divisor in common with the number of columns of the half plane.
        """
        stride = max(1, self.grid.groups // budget)
        while np.gcd(stride, self.grid.half) != 1:
            stride += 1
        return stride

    def image_gram(self, part, image_weight):
        """Blocks of the imager alone.

        Parameters
        ----------
        part : slice
            Groups.
        image_weight : ndarray (F,)
            Weight of each whitened image.

        Returns
        -------
        ndarray (group, d * d, k, k)
            Hermitian matrices.
        """
        scaled = self.imager.transfer[part] * np.sqrt(image_weight)[:, None]
        return scaled.conj().transpose(0, 1, 3, 2) @ scaled

    def penalty(self, part, mu):
        """Diagonal of the prior.

        Parameters
        ----------
        part : slice
            Groups.
        mu : ndarray (k,)
            Weight of the prior per component.

        Returns
        -------
        ndarray (group, d * d, k)
            The diagonal; zero if the prior is a matrix, which `matrices` adds as a whole.
        """
        power = self.power[part]
        if power.ndim == 4:  # not a diagonal: `matrices` adds it as a whole
            return np.zeros(power.shape[:3])
        return (power if power.ndim == 3 else power[:, :, None]) * mu

    def matrices(self, part, image_weight, cube_weight, mu):
        """Blocks of the normal equations.

        Parameters
        ----------
        part : slice
            Groups.
        image_weight : ndarray (F,)
            Weight of each whitened image.
        cube_weight : float
            Weight of the whitened rows of the cube.
        mu : ndarray (k,)
            Weight of the prior per component.

        Returns
        -------
        ndarray (group, n, n)
            Hermitian matrices, with a ridge at the level of rounding on their diagonals.
        """
        aliases, k = self.grid.aliases, self.rank
        matrix = self.gram[part] * self.dtype(cube_weight)
        blocks = matrix.reshape(-1, aliases, k, aliases, k)
        index = np.arange(aliases)
        local = self.image_gram(part, image_weight)
        if self.power.ndim == 4:
            local = local + self.power[part]
        blocks[:, index, :, index, :] += local.transpose(1, 0, 2, 3)
        index = np.arange(self.size)
        diagonal = matrix[:, index, index].real + self.penalty(part, mu).reshape(len(matrix), -1)
        epsilon = max(_RIDGE, 8 * np.finfo(self.dtype).eps * (self.dtype == np.complex64))
        matrix[:, index, index] = diagonal + epsilon * diagonal.max(axis=1, keepdims=True)
        return matrix

    def factors(self, part, *weights):
        """Cholesky factors of `matrices`.

        Blocks that rounding makes indefinite get a stronger ridge, a hundred times in each of at
        most five attempts; how many did is logged once.

        Parameters
        ----------
        part : slice
            Groups.
        *weights
            Weights of the images, of the cube and of the prior, as in `matrices`.

        Returns
        -------
        ndarray (group, n, n)
            Lower factors.

        Raises
        ------
        numpy.linalg.LinAlgError
            If blocks are not finite, or indefinite even with the strongest ridge.
        """
        matrices = self.matrices(part, *weights)
        if not np.isfinite(np.einsum("gii->", matrices)):
            msg = "the normal equations are not finite: check data, errors and weights"
            raise np.linalg.LinAlgError(msg)
        try:
            return np.linalg.cholesky(matrices)
        except np.linalg.LinAlgError:
            factors, raised = np.empty_like(matrices), 0
        for one, matrix in zip(factors, matrices, strict=True):
            one[...], attempts = _raised_cholesky(matrix)
            raised += attempts > 0
        if not self._raised:
            warn(log, "%d blocks are singular to rounding; their ridge was raised", raised)
        self._raised += raised
        return factors

    def solve(self, rhs, image_weight, cube_weight, mu):
        """Solve for the component groups.

        Parameters
        ----------
        rhs : ndarray (group, d * d, k)
            Right-hand side.
        image_weight : ndarray (F,)
            Weight of each whitened image.
        cube_weight : float
            Weight of the whitened rows of the cube.
        mu : ndarray (k,)
            Weight of the prior per component.

        Returns
        -------
        ndarray (group, d * d, k)
            Component groups, complex.
        """
        solution = np.empty(rhs.shape, np.complex128)
        for part in self.chunks():
            factors = self.factors(part, image_weight, cube_weight, mu)
            b = rhs[part].reshape(len(factors), -1).astype(self.dtype, copy=False)
            (potrs,) = get_lapack_funcs(("potrs",), (factors[0], b[0]))
            # Handing LAPACK the conjugated upper factor, which is Fortran-ordered, saves a copy.
            for j in range(len(factors)):
                solution[part.start + j].flat = potrs(factors[j].T, b[j].conj(), lower=0)[0].conj()
        return solution

    def covariances(self, image_weight, cube_weight, mu, *, budget=200):
        """Posterior covariance of the components at each fine frequency.

        Parameters
        ----------
        image_weight : ndarray (F,)
            Weight of each whitened image.
        cube_weight : float
            Weight of the whitened rows of the cube.
        mu : ndarray (k,)
            Weight of the prior per component.
        budget : int
            Groups to work on; of more, a regular sample is taken. The covariance varies slowly
            with frequency.

        Yields
        ------
        part : slice
            Groups.
        multiplicity : ndarray (group,)
            Number of groups that each one stands for.
        covariance : ndarray (group, d * d, k, k)
            Diagonal blocks of the inverse.
        """
        stride = self.sampling(budget)
        share = self.grid.multiplicity
        share = share * (share.sum() / share[::stride].sum())
        for part in self.chunks(stride=stride):
            yield (
                part,
                share[part],
                self._diagonal_blocks(self.factors(part, image_weight, cube_weight, mu)),
            )

    def _diagonal_blocks(self, factors):
        """Diagonal blocks (group, d * d, k, k) of the inverse, from Cholesky factors."""
        shape = (self.grid.aliases, self.rank)
        (trtri,) = get_lapack_funcs(("trtri",), (factors[0],))
        found = np.empty((len(factors), *shape, self.rank), factors.dtype)
        for block, factor in zip(found, factors, strict=True):
            inverse = trtri(factor.T, lower=0)[0].reshape(*shape, self.size)
            np.matmul(inverse.conj(), inverse.transpose(0, 2, 1), out=block)
        return found

    def covariance_of(self, chosen, *weights):
        """Posterior covariance of the components at the frequencies of some groups.

        Parameters
        ----------
        chosen : ndarray of int
            Groups.
        *weights
            Weights of the images, of the cube and of the prior, as in `matrices`.

        Returns
        -------
        ndarray (len(chosen), d * d, k, k)
            Diagonal blocks of the inverse.
        """
        step = max(1, _CHUNK // (16 * self.size**2))
        parts = (chosen[start : start + step] for start in range(0, len(chosen), step))
        return np.concatenate([self._diagonal_blocks(self.factors(one, *weights)) for one in parts])

    def responses(self, part, *weights):
        r"""Posterior covariance, and what a solution misses of structure that the prior expects.

        Of a scene z, the solution misses :math:`B^{-1} P z`; with the structure that the prior
        expects this has the covariance :math:`B^{-1} P B^{-1}`. The rest of :math:`B^{-1}` is
        noise.

        Parameters
        ----------
        part : slice or ndarray of int
            Groups.
        *weights
            Weights of the images, of the cube and of the prior, as in `matrices`.

        Returns
        -------
        covariance : ndarray (group, d * d, k, k)
            Diagonal blocks of the inverse.
        response : ndarray (group, k, d * d, k, d * d)
            :math:`B^{-1} P^{1/2}`: by component (second axis) and frequency (last axis) of
            structure of unit variance, what is missed in all components at all frequencies.
        """
        factors = self.factors(part, *weights)
        shape = (self.grid.aliases, self.rank)
        (trtri,) = get_lapack_funcs(("trtri",), (factors[0],))
        root = np.sqrt(self.penalty(part, weights[2])).reshape(len(factors), 1, 1, *shape)
        covariance = np.empty((len(factors), *shape, self.rank), factors.dtype)
        response = np.empty((len(factors), self.rank, *shape, shape[0]), factors.dtype)
        index = np.arange(shape[0])
        for j, factor in enumerate(factors):
            inverse = trtri(factor.T, lower=0)[0]
            whole = (inverse.conj() @ inverse.T).reshape(*shape, *shape)
            covariance[j] = whole[index, :, index, :]
            response[j] = (whole * root[j]).transpose(3, 0, 1, 2)
        return covariance, response

    def preconditioner(self, image_weight, cube_weight, mu):
        """Inverse blocks, as a function on component groups.

        The inverse Cholesky factors are kept, in single precision: rounded factors still make a
        positive definite preconditioner. Those of the last call serve again as long as no weight
        and no mu has changed by more than a tenth.

        Parameters
        ----------
        image_weight : ndarray (F,)
            Weight of each whitened image.
        cube_weight : float
            Weight of the whitened rows of the cube.
        mu : ndarray (k,)
            Weight of the prior per component.

        Returns
        -------
        callable
            From groups (group, d * d, k) to groups.
        """
        key = np.log(np.maximum([*image_weight, cube_weight, *mu], np.finfo(float).tiny))
        if self._kept is None or np.abs(key - self._kept[0]).max() > _STALE:
            self._kept = None  # let go of the old factors before there are new ones
            self._kept = key, *self._inverse(image_weight, cube_weight, mu), np.array(mu, float)
        return self._kept[1]

    def forget(self):
        """Let go of the last preconditioner."""
        self._kept = None

    def kept_covariance(self):
        """Posterior covariance at every frequency, for the weights of the last preconditioner.

        Returns
        -------
        covariance : ndarray (group, d * d, k, k) or None
            Diagonal blocks of the inverse; another object for every new preconditioner, None
            without `informed`.
        mu : ndarray (k,)
            Weights of the prior for which it was computed.
        """
        return self._kept[2:]

    def _inverse(self, *weights):
        """Inverse blocks for given weights, as a function, and diagonal blocks if wanted."""
        stored, diagonal = self._inverse_factors(*weights)
        shape = (self.grid.groups, self.size, 1)

        # It knows nothing of this object: a circle of references would keep the blocks of problems
        # that nobody needs any more until the garbage collector comes.
        def apply(groups):
            flat = groups.reshape(shape).astype(np.complex64)
            half = np.matmul(stored, flat)
            # x^H A is computed in place of A^H x, which would copy the factors.
            result = half.conj().transpose(0, 2, 1) @ stored
            return result.conj().astype(np.complex128).reshape(groups.shape)

        return apply, diagonal

    def _inverse_factors(self, *weights):
        """Inverses (group, n, n) of the lower Cholesky factors, complex64; diagonal blocks."""
        stored = np.zeros((self.grid.groups, self.size, self.size), np.complex64)
        shape = (self.grid.aliases, self.rank)
        diagonal = (
            np.empty((self.grid.groups, *shape, self.rank), complex) if self.informed else None
        )
        for part in self.chunks():
            factors = self.factors(part, *weights)
            (trtri,) = get_lapack_funcs(("trtri",), (factors[0],))
            for j, factor in enumerate(factors):
                upper = trtri(factor.T, lower=0)[0]
                stored[part.start + j] = upper.T
                if self.informed:
                    cells = upper.reshape(*shape, self.size)
                    diagonal[part.start + j] = cells.conj() @ cells.transpose(0, 2, 1)
        return stored, diagonal


def _raised_cholesky(matrix):
    """Cholesky factor of one block, and by how many steps its ridge had to be raised."""
    index, top = np.arange(len(matrix)), matrix.diagonal().real.max()
    for attempt in range(6):
        try:
            return np.linalg.cholesky(matrix), attempt
        except np.linalg.LinAlgError:
            matrix = matrix.copy()
            matrix[index, index] += np.finfo(matrix.dtype).eps * 100 ** (attempt + 1) * top
    msg = "the normal equations are singular: raise mu, or give data more weight"
    raise np.linalg.LinAlgError(msg)
