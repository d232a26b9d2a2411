"""Render a solution: the fused cube and its error."""

from __future__ import annotations

import logging

import numpy as np

from jwst_fusion.numerics.progress import Progress

__all__ = ["cube_from_rows", "render_rows", "row_covariance", "spectral_leverage"]

log = logging.getLogger(__name__)

_CHUNK = 32_000_000  # bytes of cube that are worked on at once
_LEAST = 1e-3  # of a variance: what is left of it without structure is more, but for rounding


def render_rows(grid, psf, mixing, groups):
    """Rows of component groups, blurred by the node PSFs or not.

    Parameters
    ----------
    grid : Grid
        Periodic domain.
    psf : ndarray (R, m, m) or None
        PSFs at the wavelength nodes, on the fine grid; None for the component maps themselves.
    mixing : ndarray (n, R, k)
        Contribution of component a seen with PSF r to row n; not used without PSFs.
    groups : ndarray (group, d * d, k)
        Component groups.

    Returns
    -------
    ndarray (n, Y, X)
        Whitened rows on the fine grid; without PSFs the component maps (k, Y, X).
    """
    if psf is None:
        return grid.synthesise(groups)
    otf = grid.group(grid.otf(psf))
    blurred = (otf[..., :, None] * groups[..., None, :]).reshape(*groups.shape[:2], -1)
    return grid.synthesise(blurred @ mixing.reshape(len(mixing), -1).T)


def row_covariance(system, local, mu, scales, psf, mixing):
    """Posterior covariance of the rows of `render_rows` at a pixel, for each weight node.

    The variance is averaged over the positions of a fine pixel within its spaxel.

    Parameters
    ----------
    system : WeightedSystem
        Normal equations.
    local : LocalWeights
        Nodes of imager weight and cube weight.
    mu : ndarray (k,)
        Weight of the prior per component.
    scales : tuple of float
        Factors on the inverse variances of images and cube.
    psf : ndarray (R, m, m) or None
        As in `render_rows`.
    mixing : ndarray (n, R, k)
        As in `render_rows`.

    Returns
    -------
    ndarray (node, n, n)
        Covariance of the whitened rows; without PSFs that of the component maps (node, k, k).
    """
    blocks, grid = system.blocks, system.grid
    k, pixels = blocks.rank, grid.shape[0] * grid.shape[1]
    otf = np.ones((grid.groups, grid.aliases, 1)) if psf is None else grid.group(grid.otf(psf))
    nodes = otf.shape[2]
    table = np.eye(k) if psf is None else mixing.reshape(len(mixing), -1)
    result = []
    for weights in local.weights(scales, mu):
        total = np.zeros((nodes * nodes, k * k))
        for part, multiplicity, covariance in blocks.covariances(*weights, budget=local.budget):
            pairs = otf[part][..., :, None] * otf[part][..., None, :].conj()
            pairs = pairs * multiplicity[:, None, None, None]
            flat = covariance.reshape(-1, k * k)
            total += (pairs.reshape(-1, nodes * nodes).T @ flat).real
        total = total.reshape(nodes, nodes, k, k).transpose(0, 2, 1, 3)
        total = total.reshape(nodes * k, nodes * k)
        result.append(table @ total @ table.T / pixels)
    return np.array(result)


def spectral_leverage(grid, psf, groups, subspace, spaxel_weight):
    """How much of the noise of mean and basis every pixel has.

    Parameters
    ----------
    grid : Grid
        Periodic domain.
    psf : ndarray (m, m) or None
        PSF at a middle wavelength; None for a deconvolved scene.
    groups : ndarray (group, d * d, k)
        Component groups.
    subspace : WhitenedSubspace
        Spectral subspace.
    spaxel_weight : ndarray (h, w)
        Relative inverse variances of the spaxels from which it was found.

    Returns
    -------
    maps : ndarray (k, d * h, d * w)
        Component maps behind the PSF.
    inverse : ndarray (k, k)
        Inverse of their scatter.
    leverage : ndarray (d * h, d * w)
        Variance in units of that of a channel.
    """
    node = None if psf is None else psf[None]
    size = tuple(slice(0, grid.factor * n) for n in spaxel_weight.shape)
    maps = render_rows(grid, node, np.eye(subspace.rank)[:, None], groups)[(slice(None), *size)]
    inverse = np.linalg.inv(subspace.scatter(spaxel_weight))
    leverage = 1 / spaxel_weight.sum()
    leverage = leverage + np.einsum("ayx,ab,byx->yx", maps, inverse, maps, optimize=True)
    return maps, inverse, leverage


def cube_from_rows(
    rows,
    expand,
    subspace,
    *,
    covariance=None,
    share=None,
    leverage=None,
    noise=1.0,
    missed=None,
    structure=None,
):
    """Cube and error (L, Y, X) from whitened rows, in slabs of channels.

    Parameters
    ----------
    rows : ndarray (n, Y, X)
        Whitened rows on the output grid.
    expand : ndarray (L, n)
        Channels from rows.
    subspace : WhitenedSubspace
        Mean spectrum and whitening.
    covariance : ndarray (node, n, n), optional
        Posterior covariance of the rows for each weight node.
    share : ndarray (node, Y, X), optional
        Share of each node at every pixel; variances are interpolated logarithmically.
    leverage : ndarray (Y, X), optional
        Variance that the finite number of spectra behind mean and basis adds, in channel variances.
    noise : float
        Factor on the standard deviations of the cube.
    missed : ndarray (L, k), optional
        Part of the variances that the structure of each component leaves.
    structure : ndarray (k, Y, X), optional
        Its amount at every pixel over that which these variances assume.

    Returns
    -------
    cube : ndarray (L, Y, X) of float32
        Cube, in the unit of the mean spectrum; NaN in channels without data.
    error : ndarray (L, Y, X) of float32 or None
        Its posterior 1-sigma error; None without `covariance`.
    """
    shape = rows.shape[1:]
    pixels = shape[0] * shape[1]
    flat = rows.reshape(len(rows), pixels).astype(np.float32)
    sigma = np.where(subspace.valid, subspace.sigma, np.nan)
    channels = len(sigma)
    cube = np.empty((channels, pixels), np.float32)
    error = None
    if covariance is not None:
        error = np.empty((channels, pixels), np.float32)
        variance = np.array([((expand @ c) * expand).sum(1) for c in covariance])
        log_variance = np.log(np.maximum(variance, 1e-30)).T.astype(np.float32)
        nodes = share.reshape(len(share), pixels).astype(np.float32)
        extra = (noise**2 * leverage.reshape(pixels)).astype(np.float32)
        if missed is not None:
            beyond = (structure.reshape(len(structure), pixels) - 1).astype(np.float32)
            missed = missed.astype(np.float32)
    step = max(1, _CHUNK // (4 * pixels))
    progress = Progress()
    for start in range(0, channels, step):
        part = slice(start, min(start + step, channels))
        slab = expand[part].astype(np.float32) @ flat
        cube[part] = slab * sigma[part, None] + subspace.mean[part, None]
        if error is not None:
            slab = np.exp(log_variance[part] @ nodes)
            if missed is not None:
                slab *= np.maximum(1 + missed[part] @ beyond, _LEAST)
            slab += extra
            error[part] = np.sqrt(slab) * sigma[part, None]
        if progress.due():
            log.info("Assembled %d of %d channels", part.stop, channels)
    cube = cube.reshape(channels, *shape)
    return cube, None if error is None else error.reshape(channels, *shape)
