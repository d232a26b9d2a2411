"""Offset between an image and the cube seen through the same filter."""

import numpy as np
from scipy import ndimage, signal

from jwst_fusion.fusion.photometry import at_centres

__all__ = ["image_offset", "measure_offset"]

# Where less than this share of a PSF falls on data, a pixel is not compared.
_COMPLETE = 0.98


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
    Each side is blurred with the PSF of the other, after which both have the same one.
    """
    left, left_share = _blur(image, psf_cube)
    left, left_share = at_centres(left, factor), at_centres(left_share, factor)
    right, right_share = _blur(synthetic, _bin(psf_image, factor))
    weight = (np.minimum(left_share, right_share) > _COMPLETE) & np.isfinite(synthetic)
    if np.count_nonzero(weight) < 16:
        return (0.0, 0.0), np.inf
    (x, y), error = measure_offset(left, right, weight.astype(float))
    return (x * factor, y * factor), error * factor


def measure_offset(image, model, weight):
    """
    Measure by how much an image is shifted against a model of it.

    Parameters
    ----------
    image, model : array (y, x)
        Two images of the same field and resolution.
    weight : array (y, x)
        Zero where either has no data.

    Returns
    -------
    offset : tuple of float
        (x, y) in pixels: image(position) resembles model(position - offset).
    error : float
        Standard error per axis from the residual after the shift, pixels; infinite where the
        field has no structure.

    Notes
    -----
    Least squares on the gradients of the model (Lucas & Kanade 1981) with scale and background
    free, repeated until the step is below a thousandth of a pixel.
    """
    weight = np.where(np.isfinite(image) & np.isfinite(model), weight, 0.0)
    image, model = np.nan_to_num(image), np.nan_to_num(model)
    offset = np.zeros(2)
    for _ in range(20):
        moved = ndimage.shift(model, offset[::-1], order=3, mode="nearest")
        slope_y, slope_x = np.gradient(moved)
        basis = np.stack([-slope_x, -slope_y, moved, np.ones_like(moved)], -1)[weight > 0]
        root = np.sqrt(weight[weight > 0])
        matrix = basis * root[:, None]
        solution, _, rank, _ = np.linalg.lstsq(matrix, image[weight > 0] * root, rcond=1e-10)
        if rank < 4 or solution[2] <= 0:
            return (0.0, 0.0), np.inf
        step = solution[:2] / solution[2]
        offset += np.clip(step, -1, 1)
        if np.abs(offset).max() > 0.25 * min(image.shape):
            return (0.0, 0.0), np.inf
        if np.abs(step).max() < 1e-3:
            break
    residual = image[weight > 0] * root - matrix @ solution
    covariance = np.linalg.inv(matrix.T @ matrix) * residual.var()
    error = float(np.sqrt(max(covariance[0, 0], covariance[1, 1])) / solution[2])
    return (float(offset[0]), float(offset[1])), error


def _blur(image, psf):
    """Blur an image with gaps; also return how much of the PSF fell on data."""
    good = np.isfinite(image)
    share = signal.fftconvolve(good.astype(float), psf, "same")
    total = signal.fftconvolve(np.where(good, image, 0.0), psf, "same")
    return total / np.maximum(share, 1e-6), share


def _bin(psf, factor):
    """Add up a centred PSF in cells of factor x factor pixels around its centre."""
    half = psf.shape[0] // 2
    reach = int(np.ceil((half + 0.5) / factor - 0.5))
    edges = (np.arange(-reach, reach + 2) - 0.5) * factor
    cumulative = np.pad(np.cumsum(np.cumsum(psf, 0), 1), ((1, 0), (1, 0)))
    at = np.clip(edges + half + 0.5, 0, psf.shape[0])
    rows = [ndimage.map_coordinates(cumulative, [np.full_like(at, y), at], order=1) for y in at]
    return np.diff(np.diff(np.array(rows), axis=0), axis=1)
