"""Fit a point source and a smooth background around every pixel of an image."""

from __future__ import annotations

import numpy as np
from scipy import ndimage, special, stats

__all__ = ["amplitude_map", "background_terms", "expected_peaks", "false_peaks", "significance"]

# A pixel whose window lacks more than this part of the light of a point source shows none.
_COVERED = 0.5
# Background without noise: relative to the largest term of the normal equations.
_RIDGE = 1e-9
# Beyond this sum of squares probabilities underflow, and their asymptotic form is exact.
_LARGE = 600.0


def background_terms(radius):
    """
    Return the terms of a quadratic background in a round window.

    Parameters
    ----------
    radius : int
        Radius of the window, pixels.

    Returns
    -------
    inside : ndarray (2 * radius + 1, 2 * radius + 1) of bool
        The window.
    terms : ndarray (6, 2 * radius + 1, 2 * radius + 1)
        Constant, slopes and curvatures; zero outside the window.
    """
    y, x = np.indices((2 * radius + 1,) * 2) - radius
    inside = np.hypot(x, y) <= radius + 0.3
    y, x = y / radius, x / radius
    return inside, np.array([np.ones_like(x), x, y, x * x, x * y, y * y]) * inside


def amplitude_map(image, inverse_variance, psf, radius):
    """
    Fit a point source and a quadratic background around every pixel.

    Parameters
    ----------
    image : ndarray (Y, X)
        The image, finite.
    inverse_variance : ndarray (Y, X)
        Of independent pixels, 0 where there are no data.
    psf : ndarray (m, m)
        PSF, odd size, centred, unit sum.
    radius : int
        Radius of the window of the fit, pixels.

    Returns
    -------
    amplitude : ndarray (Y, X)
        Flux of the point source, unit of the image times pixels; 0 where it cannot be told.
    error : ndarray (Y, X)
        Its standard deviation from the noise; infinite where it cannot be told.
    """
    inside, terms = background_terms(radius)
    middle = len(psf) // 2
    cut = slice(middle - radius, middle + radius + 1)
    core = psf[cut, cut] * inside
    basis = np.concatenate([core[None], terms])
    count = len(basis)
    normal = np.empty((*image.shape, count, count))
    right = np.empty((*image.shape, count))
    for i in range(count):
        right[..., i] = _correlate(inverse_variance * image, basis[i])
        for j in range(i + 1):
            normal[..., i, j] = _correlate(inverse_variance, basis[i] * basis[j])
            normal[..., j, i] = normal[..., i, j]
    covered = _correlate(np.where(inverse_variance > 0, 1.0, 0.0), core**2)
    usable = covered > _COVERED * np.sum(core**2)
    normal[~usable] = np.eye(count)
    # the point source and the background in units of their own size
    size = np.sqrt(np.einsum("...ii->...i", normal))
    size = np.where(size > 0, size, 1.0)
    normal = normal / (size[..., :, None] * size[..., None, :]) + _RIDGE * np.eye(count)
    unit = np.zeros(count)
    unit[0] = 1.0
    row = np.linalg.solve(normal, np.broadcast_to(unit, right.shape)[..., None])[..., 0]
    amplitude = np.einsum("...i,...i", row, right / size) / size[..., 0]
    error = np.sqrt(np.maximum(row[..., 0], 0)) / size[..., 0]
    usable &= error > 0
    return np.where(usable, amplitude, 0.0), np.where(usable, error, np.inf)


def _correlate(image, kernel):
    return ndimage.correlate(image, kernel, mode="constant")


def significance(ratios):
    """
    Combine detections of one source in several images.

    The sum of the squares of the positive ratios follows, without a source, a mixture of
    chi-squares over how many of them are positive (chi-bar-square, Kudo 1963, Biometrika 50, 403).

    Parameters
    ----------
    ratios : ndarray (F, ...)
        Flux over its error in each image.

    Returns
    -------
    ndarray (...)
        Standard deviations of a normal variable that is as improbable without a source.
    """
    total = np.sum(np.maximum(ratios, 0) ** 2, axis=0)
    count = len(ratios)
    logs = []
    for positive in range(1, count + 1):
        half = positive / 2
        near = stats.chi2.logsf(np.minimum(total, _LARGE), positive)
        large = np.maximum(total, _LARGE) / 2
        far = (half - 1) * np.log(large) - large - special.gammaln(half)
        weight = np.log(special.comb(count, positive)) - count * np.log(2)
        logs.append(np.where(total > _LARGE, far, near) + weight)
    return -special.ndtri_exp(special.logsumexp(logs, axis=0))


def false_peaks(level, psf, radius):
    """
    Expected number of peaks of noise above a level, per pixel.

    For the matched filter's smooth Gaussian noise this is the Euler characteristic of what is above
    the level (Adler 1981, The Geometry of Random Fields, theorem 6.9.3).

    Parameters
    ----------
    level : float or ndarray
        Standard deviations.
    psf : ndarray (m, m)
        PSF, odd size, centred: the sharpest of the images.
    radius : int
        Radius of the window of the fit, pixels.

    Returns
    -------
    float or ndarray
        Peaks per pixel.
    """
    _, terms = background_terms(radius)
    middle = len(psf) // 2
    cut = slice(middle - radius, middle + radius + 1)
    kernel = psf[cut, cut] * (terms[0] > 0)
    columns = terms.reshape(len(terms), -1).T
    flat = kernel.ravel()
    flat = flat - columns @ np.linalg.lstsq(columns, flat, rcond=None)[0]
    kernel = np.pad(flat.reshape(kernel.shape), radius)
    # variance of the derivatives of the noise behind the filter, in units of its own
    y, x = (2 * np.pi * np.fft.fftfreq(len(kernel)).reshape(shape) for shape in ((-1, 1), (1, -1)))
    power = np.abs(np.fft.fft2(kernel)) ** 2
    slopes = [[np.sum(power * one * other) for one in (y, x)] for other in (y, x)]
    roughness = np.sqrt(np.linalg.det(np.array(slopes) / power.sum()))
    return roughness * level * np.exp(-(level**2) / 2) / (2 * np.pi) ** 1.5


def expected_peaks(number, pixels, psf, radius):
    """
    Level above which noise is expected to have a number of peaks.

    Parameters
    ----------
    number : float
        The expected number of peaks in the field, positive.
    pixels : int
        Pixels in the field.
    psf : ndarray (m, m)
        PSF, odd size, centred: the sharpest of the images.
    radius : int
        Radius of the window of the fit, pixels.

    Returns
    -------
    float
        Standard deviations, at least 2.
    """
    levels = np.linspace(2, 12, 1001)
    peaks = pixels * false_peaks(levels, psf, radius)
    return float(np.interp(-np.log(number), -np.log(peaks), levels))
