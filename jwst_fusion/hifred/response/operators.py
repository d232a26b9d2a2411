"""Products with the matrices of a response, whatever their form: diagonal, dense or sparse."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

__all__ = ["Term", "apply", "apply_right", "compact", "cost", "expanded", "transposed"]

_DENSE = 0.03  # density above which products with a full matrix are faster
_LARGEST = 20_000_000  # elements of a full matrix (160 MB); larger ones stay sparse


def compact(matrix):
    """
    Form of a sparse matrix in which products are fastest.

    Parameters
    ----------
    matrix : csr_array
        The matrix.

    Returns
    -------
    None, ndarray (n,), ndarray (m, n) or csr_array
        None for the identity, the diagonal, the full matrix, or the sparse one.
    """
    matrix = sparse.csr_array(matrix)
    rows, columns = matrix.shape
    if rows == columns:
        entries = matrix.tocoo()
        if (entries.row == entries.col).all():
            diagonal = matrix.diagonal()
            return None if (diagonal == 1).all() else diagonal
    if matrix.nnz > _DENSE * rows * columns and rows * columns <= _LARGEST:
        return matrix.toarray()
    return matrix


def expanded(matrix, size):
    """
    Sparse form of a matrix of any form.

    Parameters
    ----------
    matrix : None, ndarray (n,), ndarray (m, n) or csr_array
        The matrix, in one of the forms that `compact` gives.
    size : int
        Number n of rows and columns, for the identity.

    Returns
    -------
    csr_array (m, n)
        The matrix.
    """
    if matrix is None:
        return sparse.eye_array(size, format="csr")
    if matrix.ndim == 1:
        return sparse.diags_array(matrix, format="csr")
    return sparse.csr_array(matrix)


def apply(matrix, array):
    """
    Product of a matrix of any form with an array.

    Parameters
    ----------
    matrix : None, ndarray (n,), ndarray (m, n) or csr_array
        The matrix, in one of the forms that `compact` gives.
    array : ndarray (n, k)
        The array.

    Returns
    -------
    ndarray (m, k)
        The product; for the identity the array itself.
    """
    if matrix is None:
        return array
    if matrix.ndim == 1:
        return matrix[:, None] * array
    return matrix @ array


def apply_right(matrix, array):
    """
    Product of an array with the transpose of a matrix of any form.

    Parameters
    ----------
    matrix : None, ndarray (n,), ndarray (m, n) or csr_array
        The matrix, in one of the forms that `compact` gives.
    array : ndarray (k, n)
        The array.

    Returns
    -------
    ndarray (k, m)
        The product, with a sparse matrix in C order; for the identity the array itself.
    """
    if matrix is None:
        return array
    if matrix.ndim == 1:
        return matrix * array
    if sparse.issparse(matrix):
        return np.ascontiguousarray((matrix @ np.ascontiguousarray(array.T)).T)
    return array @ matrix.T


def transposed(matrix):
    """
    Return the transpose in a form that is fast to multiply with.

    Parameters
    ----------
    matrix : None, ndarray (n,), ndarray (m, n) or csr_array
        The matrix, in one of the forms that `compact` gives.

    Returns
    -------
    None, ndarray (n,), ndarray (n, m) or csr_array
        The transpose; the identity and diagonals are their own, a full one is a view.
    """
    if matrix is None or matrix.ndim == 1:
        return matrix
    return matrix.T.tocsr() if sparse.issparse(matrix) else matrix.T


def cost(matrix, size):
    """
    Weighted number of multiplications for one column.

    Parameters
    ----------
    matrix : None, ndarray (n,), ndarray (m, n) or csr_array
        The matrix, in one of the forms that `compact` gives.
    size : int
        Number of columns, for a diagonal.

    Returns
    -------
    int
        Multiplications; those of a sparse matrix count for 20 each, the identity for none.
    """
    if matrix is None:
        return 0
    if matrix.ndim == 1:
        return size
    return 20 * matrix.nnz if sparse.issparse(matrix) else matrix.size


@dataclass(frozen=True)
class Term:
    """
    One term :math:`A_t Z B_t^T` of a response.

    Attributes
    ----------
    energies : slice
        Energies of the source that take part.
    spectral, spectral_t : None, ndarray or csr_array
        Matrix (l, energies) and its transpose, see `compact`.
    spatial, spatial_t : None, ndarray or csr_array
        Matrix (m * n, M * N) and its transpose.
    spectral_first : bool
        Whether it is cheaper to apply the spectral matrix first.
    """

    energies: slice
    spectral: object
    spectral_t: object
    spatial: object
    spatial_t: object
    spectral_first: bool

    @classmethod
    def make(cls, energies, spectral, spatial):
        """
        Choose the forms of the matrices and the order of the products.

        Parameters
        ----------
        energies : slice
            Energies that take part.
        spectral : csr_array (l, energies)
            Spectral response.
        spatial : csr_array (m * n, M * N)
            Spatial response.

        Returns
        -------
        Term
            The term.
        """
        a, b = compact(spectral), compact(spatial)
        (channels, many), (few, pixels) = spectral.shape, spatial.shape
        first = cost(a, many) * pixels + cost(b, pixels) * channels
        last = cost(b, pixels) * many + cost(a, many) * few
        return cls(energies, a, transposed(a), b, transposed(b), first <= last)

    def forward(self, cube):
        """
        Observe a source.

        Parameters
        ----------
        cube : ndarray (L, M * N)
            Source, all energies of it.

        Returns
        -------
        ndarray (l, m * n)
            What this term adds to the expected counts.
        """
        part = cube[self.energies]
        if self.spectral_first:
            return apply_right(self.spatial, apply(self.spectral, part))
        return apply(self.spectral, apply_right(self.spatial, part))

    def adjoint(self, counts):
        """
        Adjoint of `forward`.

        Parameters
        ----------
        counts : ndarray (l, m * n)
            Counts.

        Returns
        -------
        ndarray (energies, M * N)
            The energies of the source that take part.
        """
        if self.spectral_first:
            return apply(self.spectral_t, apply_right(self.spatial_t, counts))
        return apply_right(self.spatial_t, apply(self.spectral_t, counts))

    def scaled(self, factor):
        """
        Return the term with its spectral matrix multiplied by a number.

        Parameters
        ----------
        factor : float
            The number.

        Returns
        -------
        Term
            A new term; the spatial matrix is shared.
        """
        if self.spectral is None:
            one = np.full(self.energies.stop - self.energies.start, float(factor))
            return replace(self, spectral=one, spectral_t=one)
        return replace(self, spectral=self.spectral * factor, spectral_t=self.spectral_t * factor)

    def absolute(self):
        """Return the term with the absolute values of its matrices."""
        names = ("spectral", "spectral_t", "spatial", "spatial_t")
        parts = {name: getattr(self, name) for name in names}
        return replace(self, **{k: v if v is None else abs(v) for k, v in parts.items()})

    def astype(self, dtype):
        """
        Return the term with matrices of another precision.

        Parameters
        ----------
        dtype : dtype
            Such as ``numpy.float32``.

        Returns
        -------
        Term
            A new term.
        """
        names = ("spectral", "spectral_t", "spatial", "spatial_t")
        parts = {name: getattr(self, name) for name in names}
        return replace(self, **{k: v if v is None else v.astype(dtype) for k, v in parts.items()})
