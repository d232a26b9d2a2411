"""Say what constrains each voxel of a fused cube: its measurements, or the subspace alone."""

from dataclasses import replace

import numpy as np

__all__ = ["CUBE", "CUBE_SUBSPACE", "IMAGE", "IMAGE_SUBSPACE", "voxel_origin", "without_rejected"]

#: The cube has a measurement in this channel of this spaxel.
CUBE = 1
#: An image whose filter covers the channel has this pixel.
IMAGE = 2
#: Images have this pixel, but only of filters that do not cover the channel.
IMAGE_SUBSPACE = 4
#: The cube has measurements of this spaxel, but only in other channels.
CUBE_SUBSPACE = 8

# A filter covers the channels in which its response is more than this part of its largest.
_NEGLIGIBLE = 1e-3


def without_rejected(data, images, voxels):
    """
    Take out what a solution rejected as outliers, as if it had never been measured.

    Parameters
    ----------
    data : `~jwst_fusion.fusion.solver.data.FusionData`
        The problem; it is not changed.
    images : bool array (F, d h, d w)
        Rejected pixels.
    voxels : bool array (L, h, w)
        Rejected voxels.

    Returns
    -------
    `~jwst_fusion.fusion.solver.data.FusionData`
        The problem with weight zero, or NaN, there: for `voxel_origin`, and so that no measure of
        quality counts what the solution was not meant to fit.
    """
    return replace(
        data,
        image_weight=np.where(images, 0.0, data.image_weight),
        cube=np.where(voxels, np.nan, data.cube) if voxels.any() else data.cube,
    )


def voxel_origin(data, responses, window):
    """
    Say what constrains each voxel of the fused cube.

    Parameters
    ----------
    data : `~jwst_fusion.fusion.solver.data.FusionData`
        The problem.
    responses : array (F, L)
        Weights of the channels in each filter.
    window : tuple of slice
        Rows and columns of the product within the fine grid.

    Returns
    -------
    uint8 array (L, y, x)
        Sum of `CUBE` or `CUBE_SUBSPACE`, and `IMAGE` or `IMAGE_SUBSPACE`. A spaxel stands for all
        fine pixels in it. 0 in channels in which the cube has no data at all, for there the
        subspace has none either, and in pixels that no instrument has seen.

    Notes
    -----
    Which pixels enter is counted, not how much they weigh: the PSFs also carry light of
    neighbouring pixels into a voxel.
    """
    measured = np.isfinite(data.cube) & (data.spaxel_weight > 0)
    measured &= np.isfinite(data.cube_sigma)[:, None, None]
    spaxel = measured.any(0)
    pixel = (data.image_weight > 0) & np.isfinite(data.images)
    pixel = pixel[(slice(None), *window)]
    any_pixel = pixel.any(0)
    covers = responses > _NEGLIGIBLE * responses.max(1, keepdims=True)
    origin = np.zeros((len(measured), *any_pixel.shape), np.uint8)
    for channel in np.flatnonzero(measured.any((1, 2))):
        seen = np.where(measured[channel], CUBE, CUBE_SUBSPACE * spaxel).astype(np.uint8)
        seen = seen.repeat(data.factor, 0).repeat(data.factor, 1)[window]
        direct = pixel[covers[:, channel]].any(0)
        origin[channel] = seen + IMAGE * direct + IMAGE_SUBSPACE * (any_pixel & ~direct)
    return origin
