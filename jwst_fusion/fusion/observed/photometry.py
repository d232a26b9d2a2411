"""
Synthetic photometry of a cube, its calibration against images, and noise levels.

Cubes are (wavelength, y, x), images (y, x), surface brightness per frequency (MJy/sr).
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage, signal

from jwst_fusion.bandpass import MIN_COVERAGE, coverage, photometry_weights, sampling_cells
from jwst_fusion.numerics.robust import sigma_of_scatter

__all__ = [
    "Calibration",
    "at_centres",
    "calibrate",
    "filter_responses",
    "noise_of_cube",
    "noise_of_image",
    "seen_part",
    "synthetic_image",
]

# The weight of the cross-calibration falls to zero over this many spaxels, about the width of the
# PSF of the cube.
_TAPER = 2.0
_EDGE = 1e-7  # micrometre over which a filter that is partly seen ends


@dataclass(frozen=True)
class Calibration:
    """
    Cross-calibration of one image with the cube.

    Attributes
    ----------
    factor : float
        By how much the image is brighter than the cube seen through the filter.
    error : float
        Standard deviation of the factor from the noise of both.
    area : float
        Fraction of the common area that entered.
    """

    factor: float
    error: float
    area: float


def noise_of_image(planes):
    """
    Estimate the standard deviation of white noise in images.

    Parameters
    ----------
    planes : array (n, y, x)
        Images; NaN where there are no data.

    Returns
    -------
    array (n,)
        Standard deviation; NaN where fewer than four pixels allow an estimate.

    Notes
    -----
    The median absolute deviation of the finest diagonal Haar wavelet coefficients, after Donoho &
    Johnstone (1995): smooth sources do not contribute.
    """
    planes = np.asarray(planes, float)
    detail = 0.5 * (
        planes[:, 1:, 1:] - planes[:, 1:, :-1] - planes[:, :-1, 1:] + planes[:, :-1, :-1]
    )
    sigma = np.full(len(planes), np.nan)
    for index, plane in enumerate(detail):
        values = plane[np.isfinite(plane)]
        if values.size >= 4:
            sigma[index] = sigma_of_scatter(values)
    return sigma


def filter_responses(wavelength, bandpasses, *, usable, minimum_coverage=MIN_COVERAGE):
    """
    Turn filter curves into weights of the channels of a cube.

    Parameters
    ----------
    wavelength : array (L,)
        Wavelength of the channels, micrometre.
    bandpasses : sequence of `~jwst_fusion.bandpass.Bandpass`
        The filters.
    usable : bool array (L,)
        Channels with data.
    minimum_coverage : float, optional
        Smallest fraction of the filter's photon-weighted band that must be covered.

    Returns
    -------
    responses : array (F, L)
        Weights; each row sums to 1, or is 0 where the cube does not cover the filter.
    coverages : array (F,)
        Fraction of each filter covered by the usable channels.

    Notes
    -----
    ``responses @ F_nu`` is ``int(F_nu T dlambda / lambda) / int(T dlambda / lambda)``, the mean
    flux density that a photon-counting imager calibrated in F_nu reports.
    """
    wavelength = np.asarray(wavelength, float)
    responses = np.zeros((len(bandpasses), wavelength.size))
    coverages = np.zeros(len(bandpasses))
    if not np.any(usable):
        return responses, coverages
    for index, bandpass in enumerate(bandpasses):
        coverages[index] = coverage(wavelength, bandpass, valid=usable)
        if coverages[index] >= minimum_coverage:
            responses[index] = photometry_weights(wavelength, bandpass, valid=usable)
    return responses, coverages


def seen_part(bandpass, wavelength):
    """
    Return the part of a filter's curve that falls on channels.

    Parameters
    ----------
    bandpass : `~jwst_fusion.bandpass.Bandpass`
        The filter.
    wavelength : array (L,)
        Ascending wavelengths of the channels, micrometre.

    Returns
    -------
    `~jwst_fusion.bandpass.Bandpass`
        The curve, zero elsewhere: what is beyond is taken to be like the rest.
    """
    low, high = sampling_cells(wavelength)
    at = np.unique(np.concatenate([bandpass.wavelength, low, high, low - _EDGE, high + _EDGE]))
    cell = np.searchsorted(low, at, side="right") - 1
    inside = (cell >= 0) & (at <= high[cell])
    throughput = np.interp(at, bandpass.wavelength, bandpass.throughput, left=0.0, right=0.0)
    return replace(bandpass, wavelength=at, throughput=np.where(inside, throughput, 0.0))


def synthetic_image(cube, response):
    """
    Return the image that a filter would see of a cube.

    Parameters
    ----------
    cube : array (L, y, x)
        Surface brightness; NaN where there are no data.
    response : array (L,)
        Weights of the channels that sum to 1.

    Returns
    -------
    array (y, x)
        The image. Missing voxels are made up for by the others of their spaxel; NaN where they
        stand for more than a tenth of the band.
    """
    inside = response != 0
    part, weight = cube[inside], response[inside]
    good = np.isfinite(part)
    present = np.tensordot(weight, good, axes=1)
    total = np.tensordot(weight, np.where(good, part, 0), axes=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(present >= 0.9 * weight.sum(), total / present * weight.sum(), np.nan)


def noise_of_cube(cube):
    """
    Estimate the standard deviation of the noise in each channel of a cube.

    Parameters
    ----------
    cube : array (L, y, x)
        The cube; NaN where there are no data.

    Returns
    -------
    array (L,)
        Standard deviation; NaN where nothing can be estimated.

    Notes
    -----
    The smaller of two estimates that structure can only raise: `noise_of_image`, and the median
    absolute deviation of second differences between neighbouring channels.
    """
    cube = np.asarray(cube, float)
    spatial = noise_of_image(cube)
    if len(cube) < 3:
        return spatial
    spectral = np.full(len(cube), np.nan)
    for channel in range(1, len(cube) - 1):
        second = cube[channel - 1] - 2 * cube[channel] + cube[channel + 1]
        values = second[np.isfinite(second)] / np.sqrt(6)
        if values.size >= 4:
            spectral[channel] = sigma_of_scatter(values)
    spectral[[0, -1]] = spectral[[1, -2]]
    return np.fmin(spatial, spectral)


def at_centres(image, factor):
    """
    Sample a fine image at the centres of the spaxels.

    Parameters
    ----------
    image : array (d h, d w)
        The image on the fine grid.
    factor : int
        Fine pixels per spaxel, d.

    Returns
    -------
    array (h, w)
        Values at fine positions d i + (d - 1) / 2; for even d the mean of the four around it.
    """
    low, high = (factor - 1) // 2, factor // 2
    return 0.25 * sum(image[y::factor, x::factor] for y in (low, high) for x in (low, high))


def calibrate(image, sigma, synthetic, synthetic_sigma, *, psf_image, psf_cube, factor, method):
    """
    Compare the brightness of an image with that of the cube through the same filter.

    Parameters
    ----------
    image, sigma : array (d h, d w)
        The image on the fine grid and its errors; NaN where there are no data.
    synthetic, synthetic_sigma : array (h, w)
        The cube seen through the filter and its errors; NaN where there are no data.
    psf_image, psf_cube : array (m, m)
        PSFs of both in the band, on the fine grid, unit sum, odd size.
    factor : int
        Fine pixels per spaxel, d.
    method : {"eroded", "mean"}
        "mean" compares the plain means over the common area. "eroded" weights both so that light
        which a PSF carries across the border of the area does not matter; it is best if the image
        extends beyond the cube by the radius of the cube's PSF.

    Returns
    -------
    Calibration or None
        None where the two have no area in common or no light.

    Notes
    -----
    "mean" is equations 6 and 7 of Marquis et al. (2026), whose calibrated throughput is the
    normalised one times this factor. For "eroded", let w be a smooth weight that vanishes near
    the border. With image Y = P X and cube S = Q X of the scene X,

        sum((Q' w) * Y) = sum(w * (Q P X)) = sum((P' w) * S)

    so that the ratio of the two sides is free of the difference of the PSFs, whatever the scene.
    """
    weight_image, weight_cube, area = _weights(
        image, synthetic, psf_image, psf_cube, factor, method
    )
    if area == 0:
        return None
    above = np.sum(weight_image * np.nan_to_num(image))
    below = np.sum(weight_cube * np.nan_to_num(synthetic)) * factor**2
    noise_above = np.sqrt(np.sum((weight_image * np.nan_to_num(sigma)) ** 2))
    noise_below = np.sqrt(np.sum((weight_cube * np.nan_to_num(synthetic_sigma)) ** 2)) * factor**2
    if below <= 3 * noise_below or above <= 3 * noise_above:
        return None
    ratio = above / below
    error = ratio * np.hypot(noise_above / above, noise_below / below)
    return Calibration(float(ratio), float(error), float(area))


def _weights(image, synthetic, psf_image, psf_cube, factor, method):
    fine = np.isfinite(image) & _refine(np.isfinite(synthetic), factor)
    # Whole spaxels only, so that both sides see the same area.
    whole = _coarsen(fine.astype(float), factor) == 1
    fine = _refine(whole, factor)
    if not whole.any():
        return None, None, 0.0
    if method == "mean":
        return fine.astype(float), whole.astype(float), 1.0
    inner = _erode(fine, _radius(psf_image, 0.95) + _TAPER * factor)
    smooth = ndimage.gaussian_filter(inner.astype(float), 0.5 * _TAPER * factor, mode="constant")
    # The image may be used beyond the cube: that is where the wide PSF of the cube reaches.
    for_image = _convolve(smooth, psf_cube) * np.isfinite(image)
    for_cube = at_centres(_convolve(smooth, psf_image), factor) * np.isfinite(synthetic)
    # The small part of the weights that falls outside must not affect a uniform background.
    for_image /= for_image.sum()
    for_cube /= for_cube.sum() * factor**2
    return for_image, for_cube, float(inner.sum() / fine.sum())


def _convolve(weight, psf):
    """Convolve with the mirrored PSF: the adjoint of blurring."""
    return np.maximum(signal.fftconvolve(weight, psf[::-1, ::-1], "same"), 0)


def _erode(area, radius):
    """Remove a rim, but never more than leaves a quarter of the area."""
    distance = ndimage.distance_transform_edt(np.pad(area, 1))[1:-1, 1:-1]
    largest = np.quantile(distance[area], 0.75)
    return distance > min(radius, largest - 1)


def _radius(psf, fraction):
    """Radius, in pixels, that encloses a fraction of the PSF."""
    middle = psf.shape[0] // 2
    y, x = np.indices(psf.shape) - middle
    radius = np.hypot(x, y).ravel()
    order = np.argsort(radius)
    energy = np.cumsum(np.maximum(psf, 0).ravel()[order])
    return float(radius[order][np.searchsorted(energy, fraction * energy[-1])])


def _refine(mask, factor):
    return np.repeat(np.repeat(mask, factor, 0), factor, 1)


def _coarsen(array, factor):
    height, width = (size // factor for size in array.shape)
    return array.reshape(height, factor, width, factor).mean((1, 3))
