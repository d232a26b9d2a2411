"""The image of a star freed from background, bad pixels and noise, at one or more wavelengths."""

import logging
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter
from scipy.optimize import nnls

from jwst_fusion.numerics.robust import robust_sigma
from jwst_fusion.psf.centre import core_centre
from jwst_fusion.psf.smooth import fill_gaps, smooth_channels

__all__ = ["StarImages", "star_images"]

log = logging.getLogger(__name__)

# A star whose peak does not exceed the noise by this factor makes no PSF.
_FAINTEST = 50.0
# Half-widths at half maximum from the centre within which all pixels must be good.
_CORE = 1.5
# The star is measured out to where less than this share of a ring has data.
_COMPLETE = 0.9
# Pixels fainter than this many standard deviations are replaced by the mean of their ring.
_WINGS = 3.0


@dataclass(frozen=True)
class StarImages:
    """
    Images of a star of unit sum.

    Attributes
    ----------
    data : ndarray
        Shape (node, n, n), n odd, the star near the middle pixel; East left of North.
    wavelength : ndarray
        Ascending wavelengths of the nodes, shape (node,) [um].
    centre : tuple of float
        Row and column of the star.
    radius : float
        Radius to which the star was measured [pixel].
    filled : float
        Share of the light that falls on pixels without data, as estimated.
    """

    data: np.ndarray
    wavelength: np.ndarray
    centre: tuple
    radius: float
    filled: float


def star_images(data, err, good, wavelength, *, name="the exposure"):
    r"""
    Isolate the brightest star of an exposure.

    Parameters
    ----------
    data, err : ndarray
        Surface brightness and standard deviation, shape (wavelength, y, x); an image has one
        wavelength. Errors that are NaN or 0 everywhere are estimated.
    good : ndarray of bool
        Pixels that may be used, same shape.
    wavelength : ndarray
        Ascending wavelengths, shape (wavelength,) [um].
    name : str
        The exposure, for messages.

    Returns
    -------
    StarImages
        The star.

    Raises
    ------
    ValueError
        If there is no bright star, its core has bad pixels, or it lies too close to the border.

    Notes
    -----
    The background of each channel is that of the fit :math:`b + a\, r^{-3}` to the outer half of
    the field, as the wings of a diffraction pattern fall off with the third power of the radius:
    a plain median there would take a part of the star for background. Channels of a cube, each
    divided by the brightness of the star in it, are then described, pixel by pixel, by polynomials
    in wavelength whose degree is that of the smallest Akaike criterion. That takes the noise of
    single channels out and bridges bad ones. Where the star is fainter than three standard
    deviations of the noise, pixels are replaced by the mean over their ring.
    """
    white = _white(data, good)
    middle = _find(white, good, name)
    window, radius = _window(white, middle, name)
    data, err, good = (array[(slice(None), *window)] for array in (data, err, good))
    distance, core = _distances(white[window], radius)
    _check_core(good, distance, core, name)
    err = _errors(data, err, good, distance)
    data = data - _backgrounds(data, err, good, distance, radius)[:, None, None]
    if len(data) == 1:
        image, filled = fill_gaps(data[0], good[0])
        total = image.sum()
        images, sigma, nodes, filled = image[None] / total, err / total, wavelength, filled / total
    else:
        images, sigma, nodes, filled = smooth_channels(
            data, err, good, wavelength, distance=distance, core=core, name=name
        )
    images = np.array([_calm(*one, distance) for one in zip(images, sigma, strict=True)])
    images[:, distance > radius] = 0.0
    images /= images.sum(axis=(1, 2), keepdims=True)
    centre = core_centre(images.mean(axis=0))
    log.info(
        "%s: star measured to %.1f pixels from its centre, %d wavelengths, %.2g of its light "
        "estimated",
        name,
        radius,
        nodes.size,
        filled,
    )
    return StarImages(images, nodes, centre, float(radius), abs(float(filled)))


def _white(data, good):
    """Median over the channels, each in units of its own scale."""
    values = np.where(good, data, np.nan)
    seen = good.any(axis=0)
    if len(data) == 1:
        return np.where(seen, values[0], np.nan)
    scale = np.array([np.nanstd(one) if np.isfinite(one).sum() > 2 else np.nan for one in values])
    usable = np.isfinite(scale) & (scale > 0)
    values = values[usable] / scale[usable, None, None]
    out = np.full(seen.shape, np.nan)
    seen &= np.isfinite(values).any(axis=0) if len(values) else False
    out[seen] = np.nanmedian(values[:, seen], axis=0)
    return out


def _find(white, good, name):
    """Row and column of the brightest star."""
    known = np.isfinite(white)
    if known.sum() < 25:
        msg = f"{name} has hardly any usable pixel"
        raise ValueError(msg)
    level = np.median(white[known])
    noise = robust_sigma(white[known] - level)
    # Smoothed, so that no single hot pixel is taken for a star.
    share = uniform_filter(known.astype(float), 3)
    smooth = uniform_filter(np.where(known, white - level, 0.0), 3) / np.maximum(share, 0.5)
    peak = np.unravel_index(np.argmax(smooth), smooth.shape)
    if not smooth[peak] > _FAINTEST / 3.0 * noise or smooth[peak] <= 0:
        msg = f"{name} shows no bright star: the brightest spot is hardly above the noise"
        raise ValueError(msg)
    near = tuple(slice(max(p - 1, 0), p + 2) for p in peak)
    local = np.where(known[near], white[near], -np.inf)
    row, column = np.unravel_index(np.argmax(local), local.shape)
    return near[0].start + row, near[1].start + column


def _window(white, middle, name):
    """Largest square around the star within the exposure, and its radius."""
    half = min(middle[0], middle[1], white.shape[0] - 1 - middle[0], white.shape[1] - 1 - middle[1])
    window = tuple(slice(m - half, m + half + 1) for m in middle)
    known = np.isfinite(white[window])
    y, x = np.indices(known.shape) - half
    radius = half
    while radius > 2:
        ring = (np.hypot(y, x) > radius - 1.0) & (np.hypot(y, x) <= radius)
        if known[ring].mean() > _COMPLETE:
            break
        radius -= 1
    level = white[middle] - np.nanmedian(white)
    core = np.sqrt(np.count_nonzero(white[window] - np.nanmedian(white) > 0.5 * level) / np.pi)
    if radius < 4.0 * core:
        msg = (
            f"{name} has its star {radius} pixels from the border of the data, which is less than "
            "twice its full width at half maximum: too close for a PSF"
        )
        raise ValueError(msg)
    return window, float(radius)


def _distances(white, radius):
    """Distance of each pixel from the star, and the half width of its core at half maximum."""
    filled = np.where(np.isfinite(white), white, np.nanmedian(white))
    outside = filled[np.hypot(*(np.indices(filled.shape) - filled.shape[0] // 2)) > 0.7 * radius]
    filled = filled - np.median(outside)
    row, column = core_centre(filled, start=(filled.shape[0] // 2,) * 2)
    y, x = np.indices(filled.shape)
    peak = filled[filled.shape[0] // 2, filled.shape[1] // 2]
    core = max(np.sqrt(np.count_nonzero(filled > 0.5 * peak) / np.pi), 0.7)
    return np.hypot(y - row, x - column), core


def _check_core(good, distance, core, name):
    inside = distance < _CORE * core
    share = good[:, inside].mean()
    if good[:, inside].any(axis=0).all() and share > 0.5:
        return
    msg = f"{name} has bad pixels in the core of its brightest star, which may be saturated"
    raise ValueError(msg)


def _errors(data, err, good, distance):
    """Errors, those that are unknown from the scatter far from the star."""
    err = np.where(good & (err > 0), err, np.nan)
    if np.isfinite(err).any():
        return np.where(np.isfinite(err), err, np.nanmedian(err))
    far = distance > 0.6 * distance.max()
    if len(data) > 2:
        jumps = np.diff(np.where(good, data, np.nan), n=2, axis=0)[:, far]
        sigma = robust_sigma(jumps[~np.isnan(jumps)]) / np.sqrt(6.0)
    else:
        values = data[good & far]
        sigma = robust_sigma(values - np.median(values))
    return np.full(data.shape, max(sigma, np.finfo(float).tiny))


def _backgrounds(data, err, good, distance, radius):
    """Background of each channel, shape (wavelength,)."""
    found = np.full(len(data), np.nan)
    outer = (distance > 0.5 * radius) & (distance <= radius)
    terms = np.stack([np.ones(outer.sum()), -np.ones(outer.sum()), (radius / distance[outer]) ** 3])
    for channel, (values, usable) in enumerate(zip(data[:, outer], good[:, outer], strict=True)):
        keep = usable.copy()
        for _ in range(3):
            if keep.sum() < 12:
                break
            # Both signs of the constant, but wings that are not negative.
            solution = nnls(terms[:, keep].T, values[keep])[0]
            residual = values - terms.T @ solution
            spread = robust_sigma(residual[keep])
            found[channel] = solution[0] - solution[1]
            keep = usable & (np.abs(residual) <= 4.0 * spread)
    known = np.isfinite(found)
    if not known.any():
        return np.zeros(len(data))
    return np.interp(np.arange(len(data)), np.flatnonzero(known), found[known])


def _calm(image, sigma, distance):
    """Replace pixels in the noise by the mean over their ring."""
    ring = np.round(distance).astype(int)
    count = np.maximum(np.bincount(ring.ravel()), 1)
    mean = np.bincount(ring.ravel(), image.ravel()) / count
    noise = np.sqrt(np.bincount(ring.ravel(), sigma.ravel() ** 2) / count)
    lost = np.flatnonzero(mean < _WINGS * noise)
    first = lost[0] if lost.size else len(mean)
    smooth = np.interp(distance, np.arange(len(mean)), mean)
    return np.where(distance >= first, smooth, image)
