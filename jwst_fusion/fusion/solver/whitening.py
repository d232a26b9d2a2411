"""Whiten observations by their noise and place them on a periodic domain."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import scipy.fft as sf

from jwst_fusion.fusion.solver.grid import Grid
from jwst_fusion.fusion.solver.iterative import WeightedSystem
from jwst_fusion.fusion.solver.operators import Imager, Spectrometer
from jwst_fusion.fusion.solver.regularisation import SobolevPrior
from jwst_fusion.messages import warn

__all__ = ["Compression", "is_complete", "usable_data", "whitened_system"]

log = logging.getLogger(__name__)

_RING_ENERGY = 0.95  # the free ring is as wide as the radius that encircles this much of the PSF


class Compression:
    r"""Channels as combinations of a few whitened rows.

    A channel sees component a through node PSF r with weight :math:`b_{lr} v_{la}`. This table
    (L, R k), whitened, is factored as :math:`P K` with orthonormal columns of P: blur and sampling
    then act on the few rows that K produces.

    Parameters
    ----------
    psf_weights : ndarray (L, R)
        Interpolation weights of the node PSFs.
    subspace : WhitenedSubspace
        Spectral subspace.
    tolerance : float
        Relative eigenvalue below which a row is dropped.

    Attributes
    ----------
    expand : ndarray (L, n)
        P; zero in channels without data.
    mixing : ndarray (n, R, k)
        K.
    """

    def __init__(self, psf_weights, subspace, tolerance=1e-11):
        nodes, rank = psf_weights.shape[1], subspace.rank
        unit = subspace.basis / subspace.sigma[:, None]
        table = (psf_weights[:, :, None] * unit[:, None, :]).reshape(len(unit), nodes * rank)
        values, vectors = np.linalg.eigh(table.T @ table)
        keep = values > tolerance * values[-1]
        values, vectors = values[keep], vectors[:, keep]
        self.expand = table @ (vectors / np.sqrt(values))
        self.mixing = (np.sqrt(values)[:, None] * vectors.T).reshape(-1, nodes, rank)


def usable_data(data):
    """Set the weight of everything that is not finite to zero, and match the responses.

    Parameters
    ----------
    data : FusionData
        Observations.

    Returns
    -------
    FusionData
        The same with weights of zero where data are not finite, and with responses confined to
        channels with data, at unchanged sum. Constant weights have moved into the errors.

    Raises
    ------
    ValueError
        If an instrument has no data at all, or if a response lies outside the data.
    """
    live = np.isfinite(data.cube_sigma) & (data.cube_sigma > 0)
    finite = np.isfinite(data.cube)
    live &= finite[:, data.spaxel_weight > 0].any(1)
    spaxel_weight = np.where(finite[live].any(0), data.spaxel_weight, 0.0)
    if not live.any() or not spaxel_weight.any():
        msg = "cube has no finite voxel of positive weight: check cube, cube_sigma, spaxel_weight"
        raise ValueError(msg)
    image_weight = np.where(np.isfinite(data.images), data.image_weight, 0.0)
    if not image_weight.any():
        msg = "images have no finite pixel of positive weight: check images and image_weight"
        raise ValueError(msg)
    total, seen = data.response.sum(1), (data.response * live).sum(1)
    if np.any(seen <= 0):
        bad = np.flatnonzero(seen <= 0).tolist()
        msg = f"response of image(s) {bad} is zero on all channels with data; leave them out"
        raise ValueError(msg)
    lost = 1 - seen / total
    if np.any(lost > 1e-3):
        warn(log, "Up to %.1f %% of a response falls on channels without data", 100 * lost.max())
    cube_sigma, image_sigma = data.cube_sigma, data.image_sigma.copy()
    if np.all(spaxel_weight == spaxel_weight[0, 0]):
        cube_sigma = cube_sigma / np.sqrt(spaxel_weight[0, 0])
        spaxel_weight = np.ones_like(spaxel_weight)
    for f, weight in enumerate(image_weight):
        if weight[0, 0] > 0 and np.all(weight == weight[0, 0]):
            image_sigma[f] /= np.sqrt(weight[0, 0])
            image_weight[f] = 1.0
    return replace(
        data,
        cube_sigma=np.where(live, cube_sigma, np.nan),
        spaxel_weight=spaxel_weight,
        image_sigma=image_sigma,
        image_weight=image_weight,
        response=data.response * live * (total / seen)[:, None],
    )


def is_complete(data):
    """Whether nothing is missing and all weights are one.

    Parameters
    ----------
    data : FusionData
        Observations, from `usable_data`.

    Returns
    -------
    bool
        True if every pixel, spaxel and voxel of the channels with data counts in full.
    """
    live = np.isfinite(data.cube_sigma)
    return bool(
        np.all(data.spaxel_weight == 1)
        and np.all(data.image_weight == 1)
        and np.all(np.isfinite(data.cube[live]))
    )


def whitened_system(data, subspace, compression, boundary, prior=SobolevPrior, domain=None):
    """Whitened data and both operators on a periodic domain.

    Parameters
    ----------
    data : FusionData
        Observations, from `usable_data`.
    subspace : WhitenedSubspace
        Spectral subspace.
    compression : Compression
        Rows that stand for the channels.
    boundary : {"free", "mirror"}
        "free" appends a ring without data, in which the scene is left to the prior; "mirror"
        extends the field to the period [x, flip(x)].
    prior : callable
        Makes the prior for a `Grid`.
    domain : tuple of int, optional
        Rows and columns, in spaxels, of the domain with "free"; by default the field and a ring as
        wide as the PSF of the cube.

    Returns
    -------
    WeightedSystem
        The field begins at index 0 of the domain.
    """
    d, (h, w) = data.factor, data.cube.shape[1:]
    valid = subspace.valid
    level = (data.response[:, valid] @ subspace.mean[valid])[:, None, None]
    image_weight, spaxel_weight = data.image_weight, data.spaxel_weight
    images = (data.images - level) / data.image_sigma[:, None, None]
    images = np.where(image_weight > 0, images, 0.0)
    rows, gaps = _compress(data, subspace, compression)
    if boundary == "mirror":
        images, image_weight, rows = (_mirror(a) for a in (images, image_weight, rows))
        spaxel_weight = _mirror(spaxel_weight[None])[0]
    else:
        size = domain
        if size is None:
            ring = _ring_width(data)
            size = tuple(_fast_size(n + ring, d) for n in (h, w))
        extra = [(0, size[0] - h), (0, size[1] - w)]
        fine = [(0, 0), *((0, d * after) for _, after in extra)]
        images, image_weight = np.pad(images, fine), np.pad(image_weight, fine)
        rows, spaxel_weight = np.pad(rows, [(0, 0), *extra]), np.pad(spaxel_weight, extra)
        if gaps:
            y, x = np.divmod(gaps[0], w)
            gaps = (y * size[1] + x, gaps[1])
    grid = Grid(*spaxel_weight.shape, d)
    response = data.response / data.image_sigma[:, None]
    mixing = np.einsum("fl,lr,la->fra", response, data.psf_weights, subspace.basis, optimize=True)
    return WeightedSystem(
        Imager(grid, data.psf_image, mixing),
        Spectrometer(grid, data.psf_cube, compression.mixing),
        images,
        image_weight,
        rows,
        spaxel_weight,
        gaps,
        prior(grid),
        data.image_independent,
        data.cube_independent,
    )


def _compress(data, subspace, compression):
    """Whitened rows (n, h, w) of the cube and the Gram matrices of spaxels that lack voxels."""
    valid = subspace.valid
    expand = compression.expand[valid]
    sigma = subspace.sigma[valid, None]
    cube = data.cube[valid].reshape(len(expand), -1)
    used = (data.spaxel_weight > 0).ravel()
    white = (cube - subspace.mean[valid, None]) / sigma
    lacking = ~np.isfinite(white)
    white[lacking] = 0.0
    rows = (expand.T @ white).reshape(-1, *data.cube.shape[1:])
    index = np.flatnonzero(used & lacking.any(0))
    if not index.size:
        return rows, None
    gram = np.empty((len(index), expand.shape[1], expand.shape[1]), np.float32)
    identity = np.eye(expand.shape[1])
    for j, spaxel in enumerate(index):
        absent = expand[lacking[:, spaxel]]
        gram[j] = identity - absent.T @ absent
    return rows, (index, gram)


def _mirror(maps):
    """Half-sample symmetric extension to twice the size."""
    n1, n2 = maps.shape[1:]
    return np.pad(maps, [(0, 0), (0, n1), (0, n2)], mode="symmetric")


def _ring_width(data):
    """Width in spaxels of the ring without data that separates opposite edges."""
    psf = data.psf_cube[len(data.psf_cube) // 2]
    y, x = (np.abs(np.arange(n) - n // 2) for n in psf.shape)
    radius = np.maximum(y[:, None], x[None, :])
    energy = np.cumsum(np.bincount(radius.ravel(), psf.ravel()))
    needed = int(np.searchsorted(energy, _RING_ENERGY * energy[-1]))
    return int(np.clip(-(-needed // data.factor), 2, 8))


def _fast_size(coarse, factor):
    """Smallest size of at least `coarse` for which fine transforms are fast."""
    while sf.next_fast_len(coarse * factor) != coarse * factor:
        coarse += 1
    return coarse
