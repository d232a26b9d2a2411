"""Offset between an image and the cube seen through the same filter."""

import numpy as np
from scipy import ndimage

from jwst_fusion.fusion.matching import blur_with_gaps, matching_kernel, sample_spaxels

__all__ = ["image_offset", "measure_offset"]

# Where less than this share of a PSF falls on data, a pixel is not compared.
_COMPLETE = 0.98
_FEWEST = 16


def image_offset(image, synthetic, *, psf_image, psf_cube, factor):
    """
    Measure by how much an image is shifted against the cube.

    Parameters
    ----------
    image : array (d h, d w)
        The image on the fine grid; NaN where there are no data.
    synthetic : array (h, w)
        The cube seen through the filter of the image; NaN where there are no data.
    psf_image, psf_cube : array (m, m)
        PSFs of both in the band, on the fine grid, unit sum, odd size.
    factor : int
        Fine pixels per spaxel, d.

    Returns
    -------
    offset : tuple of float
        (x, y) in fine pixels: what the cube shows at a position, the image shows at this position
        plus the offset.
    error : float
        Standard error per axis, fine pixels; infinite where nothing can be measured.

    Notes
    -----
    The image is first brought to the resolution of the cube.
    """
    total, share = blur_with_gaps(image, matching_kernel(psf_image, psf_cube, factor))
    weight = (sample_spaxels(share, factor) > _COMPLETE) & np.isfinite(synthetic)
    if np.count_nonzero(weight) < _FEWEST:
        return (0.0, 0.0), np.inf
    return measure_offset(total / np.maximum(share, 1e-6), synthetic, weight, factor)


def measure_offset(fine, coarse, used, factor):
    """
    Measure the offset of a well sampled image against a coarsely sampled one.

    Parameters
    ----------
    fine : array (d h, d w)
        Image at the resolution of the coarse one, with values where `sample_spaxels` takes them.
    coarse : array (h, w)
        The coarse image.
    used : bool array (h, w)
        Spaxels to compare.
    factor : int
        Fine pixels per spaxel, d.

    Returns
    -------
    offset : tuple of float
        (x, y) in fine pixels: coarse(position) resembles fine(position + offset).
    error : float
        Standard error per axis from the residual, fine pixels; infinite if nothing is found.

    Notes
    -----
    Least squares on the gradients of the image (Lucas & Kanade 1981) with scale and background
    free, repeated until the step is below a thousandth of a pixel. The fine image is the one that
    is moved, because the coarse one is undersampled.
    """
    offset, target = np.zeros(2), coarse[used]
    for _ in range(30):
        moved = ndimage.shift(fine, -offset[::-1], order=3, mode="nearest")
        slope_y, slope_x = np.gradient(moved)
        terms = (slope_x, slope_y, moved)
        terms = [sample_spaxels(term, factor)[used] for term in terms] + [np.ones(target.size)]
        matrix = np.stack(terms, -1)
        solution, _, rank, _ = np.linalg.lstsq(matrix, target, rcond=1e-10)
        if rank < 4 or solution[2] <= 0:
            return (0.0, 0.0), np.inf
        step = solution[:2] / solution[2]
        offset += np.clip(step, -1, 1)
        if np.abs(offset).max() > 0.25 * min(fine.shape):
            return (0.0, 0.0), np.inf
        if np.abs(step).max() < 1e-3:
            break
    residual = target - matrix @ solution
    covariance = np.linalg.inv(matrix.T @ matrix) * residual.var()
    error = float(np.sqrt(max(covariance[0, 0], covariance[1, 1])) / solution[2])
    return (float(offset[0]), float(offset[1])), error
