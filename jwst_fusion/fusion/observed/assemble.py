"""Turn observations on the common grid into the arrays of a fusion."""

import logging

import numpy as np

from jwst_fusion.fusion.observed.correlation import independent_spaxels
from jwst_fusion.fusion.observed.photometry import calibrate, synthetic_image
from jwst_fusion.fusion.solver.data import FusionData
from jwst_fusion.messages import warn

__all__ = ["cross_calibrate", "cube_arrays", "fusion_data", "image_arrays"]

log = logging.getLogger(__name__)

# A channel with data in fewer than this fraction of the spaxels is the torn end of a band, and a
# spaxel with fewer than this fraction of its channels lies at the rim of the field.
_LEAST = 0.5
# A pixel counts at most this many times as much as a typical one, so that a few with tiny
# stated errors do not decide alone.
_LARGEST_WEIGHT = 10.0


def cube_arrays(data, err, good, grid):
    """
    Place a cube on the padded common grid.

    Parameters
    ----------
    data, err : array (L, y, x)
        The whole cube and its errors.
    good : bool array (L, y, x)
        Voxels that may be used.
    grid : `~jwst_fusion.fusion.observed.registration.CommonGrid`
        The common grid; spaxels of the cube that lie in its margin are used.

    Returns
    -------
    cube : array (L, h, w)
        Padded cube; NaN where there are no data.
    err : array (L, h, w)
        Its errors.
    """
    windows, targets = [], []
    for part, (before, after), size in zip(grid.field, grid.padding, data.shape[1:], strict=True):
        start, stop = max(part.start - before, 0), min(part.stop + after, size)
        windows.append(slice(start, stop))
        offset = start - (part.start - before)
        targets.append(slice(offset, offset + stop - start))
    shape = (len(data), *grid.coarse.shape)
    inner, outer = (slice(None), *windows), (slice(None), *targets)
    placed = []
    for array in (data, err):
        full = np.full(shape, np.nan, np.float32)
        full[outer] = np.where(good[inner], array[inner], np.nan)
        placed.append(full)
    return tuple(placed)


def cube_weights(cube, err):
    """
    Split the errors of a cube into one per channel and a weight per spaxel.

    Parameters
    ----------
    cube, err : array (L, h, w)
        Cube and errors; NaN where there are no data.

    Returns
    -------
    sigma : array (L,)
        Typical error per channel; NaN for channels that are not used.
    weight : array (h, w)
        Relative inverse variance per spaxel; 0 for spaxels that are not used.
    """
    good = np.isfinite(cube)
    seen = good.any(0).sum()
    count = good.sum((1, 2))
    live = count >= max(_LEAST * seen, 1)
    dropped = np.count_nonzero((count > 0) & ~live)
    if dropped:
        warn(log, "%d channels with data in less than half of the spaxels are not used", dropped)
    sigma = np.full(len(cube), np.nan)
    # One channel at a time: a masked median over the cube would need several copies of it.
    for channel in np.flatnonzero(live):
        sigma[channel] = np.median(err[channel][good[channel]])
    weight = np.zeros(cube.shape[1:])
    used = good[live].mean(0) >= _LEAST if live.any() else np.zeros(cube.shape[1:], bool)
    ratio = (sigma[live, None] / err[live][:, used]) ** 2
    weight[used] = np.clip(np.nanmedian(ratio, 0), 0, _LARGEST_WEIGHT) if used.any() else 0
    return sigma, weight


def image_arrays(data, err):
    """
    Split the errors of resampled images into one per image and a weight per pixel.

    Parameters
    ----------
    data, err : array (F, y, x)
        Images and errors; NaN where there are no data.

    Returns
    -------
    sigma : array (F,)
        Typical error per image.
    weight : array (F, y, x)
        Relative inverse variance per pixel; 0 where there are no data.
    """
    good = np.isfinite(data) & np.isfinite(err) & (err > 0)
    sigma = np.array([np.median(e[g]) for e, g in zip(err, good, strict=True)])
    with np.errstate(invalid="ignore", divide="ignore"):
        weight = np.where(good, (sigma[:, None, None] / err) ** 2, 0.0)
    return sigma, np.clip(weight, 0, _LARGEST_WEIGHT)


def fusion_data(
    cube, err, images, image_err, *, responses, psf, factor, independent=None, told=None
):
    """
    Collect the arrays of the fusion problem.

    Parameters
    ----------
    cube, err : array (L, h, w)
        Cube on the padded grid and its errors.
    images, image_err : array (F, d h, d w)
        Images on the fine grid and their errors.
    responses : array (F, L)
        Weights of the channels in each filter, times the calibration factor.
    psf : `~jwst_fusion.fusion.psf.instrument_psf.PsfPair`
        PSFs of both.
    factor : int
        Fine pixels per spaxel, d.
    independent : array (F,), optional
        Share of the pixels of each image whose noise is independent; 1 by default.
    told : array (F,), optional
        Relative error of the calibration factors, NaN where they are not known.

    Returns
    -------
    `~jwst_fusion.fusion.solver.data.FusionData`
        The problem.
    """
    sigma, spaxel_weight = cube_weights(cube, err)
    share = independent_spaxels(cube, psf.cube[len(psf.cube) // 2], factor)
    image_sigma, image_weight = image_arrays(images, image_err)
    return FusionData(
        cube=cube,
        cube_sigma=sigma / np.sqrt(share),
        spaxel_weight=spaxel_weight,
        images=images,
        image_sigma=image_sigma,
        image_weight=image_weight,
        response=responses,
        psf_weights=psf.weights,
        psf_image=psf.image,
        psf_cube=psf.cube,
        factor=factor,
        image_independent=independent,
        cube_independent=share,
        response_error=told,
    )


def cross_calibrate(cube, err, images, image_err, *, responses, psf, factor, method):
    """
    Calibrate every image against the cube.

    Parameters
    ----------
    cube, err : array (L, h, w)
        Cube on the padded grid and its errors.
    images, image_err : array (F, d h, d w)
        Images on the fine grid and their errors.
    responses : array (F, L)
        Weights of the channels in each filter, which sum to 1.
    psf : `~jwst_fusion.fusion.psf.instrument_psf.PsfPair`
        PSFs of both.
    factor : int
        Fine pixels per spaxel, d.
    method : {"eroded", "mean"}
        How the means are taken, see `~jwst_fusion.fusion.observed.photometry.calibrate`.

    Returns
    -------
    list of `~jwst_fusion.fusion.observed.photometry.Calibration` or None
        One per image; None where it cannot be calibrated.
    """
    found = []
    for image, image_sigma, response in zip(images, image_err, responses, strict=True):
        nodes = response @ psf.weights
        inside = response != 0
        variance = np.tensordot(response[inside] ** 2, err[inside] ** 2, axes=1)
        found.append(
            calibrate(
                image,
                image_sigma,
                synthetic_image(cube, response),
                np.sqrt(variance),
                psf_image=np.tensordot(nodes, psf.image, axes=1),
                psf_cube=np.tensordot(nodes, psf.cube, axes=1),
                factor=factor,
                method=method,
            )
        )
    return found
