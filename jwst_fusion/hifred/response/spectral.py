"""Spectral response as matrices: line spread functions, redistribution matrices, areas."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from jwst_fusion.hifred.response.kernels import kernel_stack
from jwst_fusion.hifred.response.spatial import band_matrix, rebin_matrix

__all__ = ["NEGLIGIBLE", "check_matrix", "negligible", "spectral_matrix"]

#: Part of the largest response below which a response is none. What is divided by it would be noise
#: a million times that of the rest; no telescope counts over six decades in one observation.
NEGLIGIBLE = 1e-6


def negligible(response):
    """
    Say which responses are too small to tell anything.

    Parameters
    ----------
    response : array_like
        Areas, or expected data of a flat source, any shape; not negative.

    Returns
    -------
    ndarray of bool
        Where they are less than `NEGLIGIBLE` of the largest, zeros among them.
    """
    response = np.asarray(response, float)
    return response < NEGLIGIBLE * max(float(response.max(initial=0.0)), np.finfo(float).tiny)


def check_matrix(name, matrix, columns):
    """
    Return a response matrix as a sparse array.

    Parameters
    ----------
    name : str
        Name of the parameter, for messages.
    matrix : array_like or sparse matrix
        The matrix, finite and not negative.
    columns : int
        Number of columns that it must have.

    Returns
    -------
    csr_array
        The same matrix.

    Raises
    ------
    ValueError
        If it is not a matrix, has another number of columns, or holds values that are not finite or
        negative, or nothing but zeros.
    """
    if not sparse.issparse(matrix):
        matrix = np.asarray(matrix, float)
        if matrix.ndim != 2:
            msg = f"{name} has the shape {matrix.shape}: expected a matrix"
            raise ValueError(msg)
    matrix = sparse.csr_array(matrix, dtype=float)
    if matrix.shape[1] != columns:
        msg = f"{name} has {matrix.shape[1]} columns: expected {columns}, those of the fused cube"
        raise ValueError(msg)
    bad = np.count_nonzero(~np.isfinite(matrix.data) | (matrix.data < 0))
    if bad or matrix.nnz == 0 or not matrix.data.any():
        msg = f"{name} must be finite, not negative and not all zero; {bad} of its values are not"
        raise ValueError(msg)
    return matrix


def _line_spread(lsf, size, centre):
    """Sparse matrix (size, size) of one kernel, or of one kernel per energy of the source."""
    kernels = kernel_stack("lsf", lsf, dimensions=1, centre=centre)
    if len(kernels) == 1:
        return band_matrix(kernels[0], size)
    if len(kernels) != size:
        msg = f"lsf holds {len(kernels)} kernels: expected one, or one for each of {size} energies"
        raise ValueError(msg)
    half = [len(kernel) // 2 for kernel in kernels]
    rows = np.concatenate([np.arange(j - h, j + h + 1) for j, h in enumerate(half)])
    columns = np.repeat(np.arange(size), [2 * h + 1 for h in half])
    values = np.concatenate(kernels)
    kept = (rows >= 0) & (rows < size)
    entries = (values[kept], (rows[kept], columns[kept]))
    return sparse.csr_array(entries, shape=(size, size))


def spectral_matrix(size, *, lsf=None, rmf=None, matrix=None, arf=None, rebin=1, centre="centroid"):
    """
    Matrix that turns a spectrum of the source into counts per channel and exposure time.

    Parameters
    ----------
    size : int
        Number of energies L of the source.
    lsf : array_like (k,) or (L, k), optional
        Line spread function, one or one per energy.
    rmf : array_like or sparse matrix (channels, L), optional
        Redistribution matrix.
    matrix : array_like or sparse matrix (channels, L), optional
        The same under another name; at most one of `lsf`, `rmf` and `matrix` can be given.
    arf : array_like (L,), optional
        Effective area.
    rebin : int
        Number of channels that are summed.
    centre : "centroid", "middle" or float
        See `jwst_fusion.hifred.response.kernels.centred`; of `lsf`.

    Returns
    -------
    csr_array (l, L)
        Counts in each channel per unit of the source at each energy.

    Raises
    ------
    ValueError
        If sizes disagree, values are not finite or negative, or more than one of `lsf`, `rmf` and
        `matrix` is given.
    """
    given = {"lsf": lsf, "rmf": rmf, "spectral": matrix}
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        msg = f"{' and '.join(names)} are given: expected one of them"
        raise ValueError(msg)
    if lsf is not None:
        response = _line_spread(lsf, size, centre)
    elif names:
        response = check_matrix(names[0], given[names[0]], size)
    else:
        response = sparse.eye_array(size, format="csr")
    if response.shape[0] % rebin:
        msg = f"rebin along energy is {rebin}: expected a divisor of {response.shape[0]} channels"
        raise ValueError(msg)
    if rebin > 1:
        response = rebin_matrix(response.shape[0], rebin) @ response
    if arf is not None:
        arf = np.asarray(arf, float)
        if arf.shape != (size,):
            msg = f"arf has the shape {arf.shape}: expected ({size},), one value per energy"
            raise ValueError(msg)
        if not np.isfinite(arf).all() or arf.min() < 0 or not arf.any():
            msg = "arf must be finite, not negative and not zero throughout"
            raise ValueError(msg)
        response = response @ sparse.diags_array(arf)
    return sparse.csr_array(response)
