"""Errors of sums over the channels of single pixels, with weights of their own for each pixel."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d, uniform_filter

from jwst_fusion.hifred.solver.posterior import WINDOW

__all__ = ["pixel_covariances", "pixel_variances"]

# Pixels along either axis over which products of samples are averaged: with 12 samples, scatter of
# the variances of 6 %.
_AROUND = 5


def pixel_variances(posterior, cube, weights, channels, pixels, covariance):
    r"""
    Variances of sums over channels, each of one pixel.

    Parameters
    ----------
    posterior : LowRankPosterior
        Posterior of the source, in its unit.
    cube : ndarray (L, M, N)
        The source.
    weights : ndarray (P, n, l)
        Weights of n sums of each of P pixels.
    channels : slice
        The l channels that they belong to; all others have none.
    pixels : ndarray of int (P,)
        Numbers of the pixels, along x first.
    covariance : ndarray (r, r, M * N)
        Covariances of the coefficients, from `pixel_covariances`.

    Returns
    -------
    ndarray (P, n)
        Variances, in the unit of the source squared.

    Notes
    -----
    The same parts as in `~jwst_fusion.hifred.solver.sums.sum_errors`, of which one pixel has
    simpler forms: the covariance of its coefficients is the mean of products of samples over 5 by 5
    pixels, and what the penalty takes away is squared over 3 by 3 pixels.
    """
    basis = posterior.basis[channels]
    rank = basis.shape[1]
    rows = np.einsum("pnl,lk->pnk", weights, basis)
    here = covariance[:, :, pixels]
    variance = np.einsum("pni,ijp,pnj->pn", rows, here, rows, optimize=True)
    flat = np.nan_to_num(cube[channels].reshape(basis.shape[0], -1)[:, pixels].T.astype(float))
    if posterior.subspace is None:
        maps = posterior.maps.reshape(rank, -1)[:, pixels]
        beyond = flat - (basis @ maps).T
        return np.maximum(variance + np.einsum("pnl,pl->pn", weights, beyond) ** 2, 0.0)
    variance = variance + _of_spectra(posterior, weights, channels, pixels)
    return np.maximum(variance + _outside(posterior, flat, weights, rows, channels), 0.0)


def pixel_covariances(posterior):
    """
    Covariances of the coefficients of each pixel.

    Parameters
    ----------
    posterior : LowRankPosterior
        Posterior of the source.

    Returns
    -------
    ndarray (r, r, M * N) of float32
        Covariances, what the penalty takes away included.
    """
    rank = len(posterior.maps)
    found = np.empty((rank, rank, *posterior.maps.shape[1:]), np.float32)
    for i in range(rank):
        for j in range(i + 1):
            product = np.mean(
                posterior.samples[:, i] * posterior.samples[:, j], axis=0, dtype=float
            )
            lost = posterior.lost[i] * posterior.lost[j]
            found[i, j] = uniform_filter(product, _AROUND, mode="nearest")
            found[i, j] += uniform_filter(lost, WINDOW[1:], mode="nearest")
            found[j, i] = found[i, j]
    return found.reshape(rank, rank, -1)


def _of_spectra(posterior, weights, channels, pixels):
    """Variances by the noise of the spectra."""
    subspace = posterior.subspace
    maps = posterior.maps.reshape(len(posterior.maps), -1)[:, pixels]
    size = np.einsum("kp,kj,jp->p", maps, subspace.inverse, maps, optimize=True)
    directions, row = subspace.directions(posterior.basis)[channels], subspace.row[channels]
    variance = size[:, None] * _free(weights, row, directions)
    shared, width = subspace.smooth
    if shared > 0:
        smooth = gaussian_filter1d(weights, width, axis=2, mode="constant")
        variance = variance + shared * maps[0][:, None] ** 2 * _free(smooth, row, directions)
    return variance


def _free(weights, row, directions):
    scaled = weights * row
    inside = scaled @ directions
    return np.maximum((scaled**2).sum(axis=2) - (inside**2).sum(axis=2), 0.0)


def _outside(posterior, flat, weights, rows, channels):
    """Variances by signal outside the subspace, of smooth and sharp signal."""
    subspace = posterior.subspace
    width = subspace.lengths[1]
    if subspace.pulls is None:
        directions, row = subspace.directions(posterior.basis)[channels], subspace.row[channels]
        scaled = weights * row
        lacking = ((scaled - scaled @ directions @ directions.T) / row,) * 2
    else:
        lacking = [weights - rows @ one[channels].T for one in subspace.pulls]
    fields = [one for one in subspace.fields(flat.T) if one.any()]
    total = np.zeros(weights.shape[:2])
    for share, left in zip((1.0, subspace.contrast**2 - 1.0), lacking, strict=True):
        for one in fields:
            seen = gaussian_filter1d(left * one.T[:, None], width, axis=2, mode="constant")
            # the autocorrelation of a Gaussian is one that is wider by the root of 2
            total = total + share * 2.0 * np.sqrt(np.pi) * width * (seen**2).sum(axis=2)
    return total
