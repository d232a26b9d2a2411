"""Errors of a low-rank source: posterior variances by sampling with exact conditional variances."""

from __future__ import annotations

import numpy as np

from jwst_fusion.hifred.newton import conjugate_gradients

__all__ = ["covariances", "voxel_errors"]


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
        x, _ = conjugate_gradients(objective, -noise, 1e-2, inner)
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
