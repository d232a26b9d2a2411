"""Errors of a low-rank source: posterior variances by sampling with exact conditional variances."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter

__all__ = ["covariances", "local_square", "low_rank_errors", "shrinkage", "voxel_errors"]

_ORDERS = 3  # how often the bias of the bias is taken into account; further terms are small
_WINDOW = (9, 3, 3)  # energies and pixels over which squares are averaged, about one response
_ACCURACY = 1e-2  # part of the residual of a solve: far below the noise of sampling


def covariances(objective, *, samples=12, seed=0, inner=100):
    r"""
    Posterior covariance of the coefficients of every pixel.

    Parameters
    ----------
    objective : Objective
        Objective with its curvature H frozen at the solution.
    samples : int
        Number of samples.
    seed : int
        Seed.
    inner : int
        Largest number of steps of conjugate gradients for each sample.

    Returns
    -------
    ndarray (M * N, r, r)
        Covariance matrix of the r coefficients of each pixel.

    Notes
    -----
    Laplace's approximation: the covariance is :math:`H^{-1}`. A sample x of it solves
    :math:`H x = \xi` with noise :math:`\xi` of covariance H (Papandreou & Yuille 2010). The block
    of a pixel is its conditional covariance :math:`H_{pp}^{-1}`, which is exact, plus the mean
    over samples of the outer product of its conditional mean
    :math:`x_p - H_{pp}^{-1} \xi'_p`, :math:`\xi' = H x`, as in Siden et al. (2018): only the
    second part carries noise of sampling.
    """
    rng = np.random.default_rng(seed)
    total = 0.0
    for _ in range(samples):
        noise = objective.sample(rng)
        x = objective.solve(noise, tolerance=_ACCURACY, max_iterations=inner).solution
        mean = (x - objective.precondition(objective.hessian(x))).T
        total = total + mean[:, :, None] * mean[:, None, :]
    return objective.inverse_blocks + total / samples


def voxel_errors(basis, blocks):
    """
    Errors of the voxels from the covariances of coefficients.

    Parameters
    ----------
    basis : ndarray (L, r)
        Spectra.
    blocks : ndarray (P, r, r)
        Covariances.

    Returns
    -------
    ndarray (L, P) of float32
        Standard deviations.
    """
    i, j = np.triu_indices(basis.shape[1])
    twice = np.where(i == j, 1.0, 2.0)
    products = (basis[:, i] * basis[:, j] * twice).astype(np.float32)
    variance = products @ blocks[:, i, j].T.astype(np.float32)
    return np.sqrt(np.maximum(variance, 0.0))


def shrinkage(objective, maps, *, inner=200):
    r"""
    Estimate of what the penalty takes away from the coefficients.

    Parameters
    ----------
    objective : Objective
        Objective with its curvature H frozen at the solution.
    maps : ndarray (r, M, N)
        Solution w.
    inner : int
        Largest number of steps of conjugate gradients.

    Returns
    -------
    ndarray (r, M, N)
        Estimate of the true coefficients minus the solution.

    Notes
    -----
    A solution is a linear function of the data nearby, with the bias :math:`-S w_0`,
    :math:`S = H^{-1} R`, for the true coefficients :math:`w_0` and the curvature R of the penalty.
    With the solution in place of the truth, and the bias of that again, three times: the estimate
    is :math:`(S + S^2 + S^3) w`.
    """
    total, part = 0.0, maps
    for _ in range(_ORDERS):
        pull = objective.penalty.hessian(part).reshape(objective.rank, -1)
        part = objective.solve(pull, tolerance=_ACCURACY, max_iterations=inner).solution
        part = part.reshape(maps.shape)
        total = total + part
    return total


def local_square(cube, shape):
    """
    Mean square of a cube over 9 energies and 3 by 3 pixels.

    Parameters
    ----------
    cube : ndarray (L, P)
        Cube with flattened images.
    shape : tuple of int
        Its shape (L, M, N).

    Returns
    -------
    ndarray (L, P) of float32
        The mean around each voxel; beyond the edges, the outermost values are repeated.
    """
    square = np.square(cube, dtype=np.float32).reshape(shape)
    mean = uniform_filter(square, size=_WINDOW, mode="nearest")
    return np.maximum(mean, 0.0).reshape(cube.shape)


def low_rank_errors(objective, basis, maps, *, samples, seed):
    r"""
    Errors of a low-rank source.

    Parameters
    ----------
    objective : Objective
        Objective with its curvature frozen at the solution.
    basis : ndarray (L, r)
        Spectra.
    maps : ndarray (r, M, N)
        Solution.
    samples, seed : int
        Number of samples for the posterior covariance, and their seed.

    Returns
    -------
    ndarray (L, P) of float32
        Square root of the posterior variance plus the local mean square of `shrinkage`.
    """
    errors = voxel_errors(basis, covariances(objective, samples=samples, seed=seed))
    lost = shrinkage(objective, maps).reshape(len(maps), -1)
    cube = basis.astype(np.float32) @ lost.astype(np.float32)
    return np.sqrt(errors**2 + local_square(cube, (len(basis), *maps.shape[1:])))
