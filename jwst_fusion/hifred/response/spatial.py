"""Spatial response as matrices: convolution with a PSF that may vary over the field, rebinning."""

from __future__ import annotations

import numpy as np
from scipy import sparse

__all__ = ["band_matrix", "convolution_matrix", "rebin_matrix"]


def rebin_matrix(size, factor):
    """
    Sum of neighbouring samples.

    Parameters
    ----------
    size : int
        Number of samples, a multiple of `factor`.
    factor : int
        Number of samples that are summed.

    Returns
    -------
    csr_array (size / factor, size)
        Matrix of zeros and ones (Lascar et al. 2025, eq. 8).
    """
    rows = np.arange(size) // factor
    shape = (size // factor, size)
    return sparse.csr_array((np.ones(size), (rows, np.arange(size))), shape=shape)


def band_matrix(kernel, size):
    """
    Convolution with a centred kernel of odd size, with zeros beyond the ends.

    Parameters
    ----------
    kernel : ndarray (2 c + 1,)
        Kernel.
    size : int
        Number of samples.

    Returns
    -------
    csr_array (size, size)
        ``out[i] = sum_j kernel[i - j + c] in[j]``.
    """
    half = len(kernel) // 2
    offsets = np.arange(-half, half + 1)
    kept = np.abs(offsets) < size
    # diagonal k holds the elements (i, i + k), that is kernel[c - k]
    diagonals = np.repeat(kernel[::-1][kept][:, None], size, axis=1)
    return sparse.dia_array((diagonals, offsets[kept]), shape=(size, size)).tocsr()


def convolution_matrix(kernels, shape, *, rebin=(1, 1), weights=None):
    r"""
    Matrix of an image's convolution with a PSF, then of rebinning.

    Parameters
    ----------
    kernels : sequence of ndarray (y, x)
        Centred kernels of odd sizes: one, or as many as there are `weights`.
    shape : tuple of int
        Shape (M, N) of the image.
    rebin : tuple of int
        Numbers of rows and columns that are summed, divisors of M and N.
    weights : ndarray (P, M, N), optional
        Weight of each kernel at the position of the source.

    Returns
    -------
    csr_array (m * n, M * N)
        :math:`\sum_p R K_p \operatorname{diag}(w_p)`, images flattened row by row. Light that
        leaves the field is lost.

    Notes
    -----
    :math:`K_p = \sum_a S_a \otimes T(k_a)` with the shift by a rows and the Toeplitz matrix of row
    a of the kernel; rows are rebinned before the sum, so that only small matrices are added.
    """
    rows, columns = rebin_matrix(shape[0], rebin[0]), rebin_matrix(shape[1], rebin[1])
    total = None
    for p, kernel in enumerate(kernels):
        half = kernel.shape[0] // 2
        matrix = None
        for a, line in enumerate(kernel):
            if abs(a - half) >= shape[0] or not line.any():
                continue
            shift = sparse.eye_array(*(shape[0],) * 2, k=half - a, format="csr")
            part = sparse.kron(rows @ shift, columns @ band_matrix(line, shape[1]), format="csr")
            matrix = part if matrix is None else matrix + part
        if weights is not None:
            matrix = matrix @ sparse.diags_array(np.asarray(weights[p], float).ravel())
        total = matrix if total is None else total + matrix
    total = sparse.csr_array(total)
    total.eliminate_zeros()
    return total
