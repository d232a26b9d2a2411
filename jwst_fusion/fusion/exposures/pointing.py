"""Offsets of the exposures against the images, where they are larger than the PSF."""

import logging

import numpy as np

from jwst_fusion.fusion.observed.offset import image_offset
from jwst_fusion.fusion.observed.photometry import synthetic_image
from jwst_fusion.fusion.observed.registration import resample_image

__all__ = ["first_offsets"]

log = logging.getLogger(__name__)

# Offsets that are looked for, arcsec: guide stars misplace NIRSpec by 0.1 to 0.3.
_SEARCH = 0.7
# Fine pixels: what is less is found together with the scene.
_SMALL = 1.0
# Images that agree within this (fine pixels) or so many standard errors count.
_AGREE, _SIGMAS = 1.0, 5.0
# Pixels that are this much brighter than the brightest voxel of their channel do not count, and
# spaxels on which less than this share of the most light of a filter falls.
_BRIGHTER, _SEEN = 2.0, 0.2
# Of the variance of the light of one exposure, what may differ from the image: it is coarsely
# sampled, and there is another one to compare it with.
_UNEXPLAINED = 0.15


def first_offsets(inputs, quick):
    """
    Measure where the exposures look, as the images have it.

    Parameters
    ----------
    inputs : Inputs
        Observations.
    quick : QuickCube
        Quick cube of the exposures.

    Returns
    -------
    array (exposure, 2)
        By how much each exposure sees other places than its coordinates say, (x, y) in fine
        pixels; zero where that is less than a pixel, or the images do not tell.

    Notes
    -----
    A quick cube of all exposures is compared with each image by
    `~jwst_fusion.fusion.observed.offset.image_offset`; the median of the images that tell counts,
    if most of them agree with it. So is the light of each exposure: a cube of exposures that look
    at different places is nowhere what the images show.
    """
    count = len(inputs.exposures)
    found = np.zeros((count, 2))
    if min(inputs.domain.product.shape) < 2 * quick.factor or not inputs.images:
        return found
    wide, rim = _surroundings(inputs, quick)
    pictures = [
        resample_image(one.data, one.err, one.good, one.grid, wide)[0] for one in inputs.images
    ]
    scale = inputs.domain.product.scale
    common = _offset(inputs, quick, rim, pictures, lambda one: synthetic_image(quick.cube, one))
    own = [
        _offset(inputs, quick, rim, pictures, lambda one, e=e: _light(inputs, quick, e, one), e)
        for e in range(count * (count > 1))
    ]
    common = np.zeros(2) if common is None else common[0]
    found[:] = common
    told = [e for e, one in enumerate(own) if one is not None]
    # What noise may have made is no offset of its own.
    if any(np.hypot(*(own[e][0] - common)) > max(_SMALL, _SIGMAS * own[e][1]) for e in told):
        found[told] = [own[e][0] for e in told]
    size = np.hypot(*found.T)
    found[(size < _SMALL) | (size * scale > _SEARCH)] = 0.0
    for one, exposure in zip(found * scale, inputs.exposures, strict=True):
        if one.any():
            text = '%s looks %.3f" and %.3f" (x, y) beside what its coordinates say'
            log.info(text, exposure.name, *one)
    return found


def _surroundings(inputs, quick):
    """Fine grid of the whole spaxels and a rim around them, and the rim in spaxels."""
    product = inputs.domain.product
    rim = int(np.ceil(_SEARCH / (quick.factor * product.scale)))
    extra = [
        (rim * quick.factor, rim * quick.factor + quick.factor * count - size)
        for count, size in zip(quick.cube.shape[1:], product.shape, strict=True)
    ]
    return product.padded(*extra), rim


def _light(inputs, quick, number, response):
    """Light of one exposure through a filter in the spaxels of the quick cube; NaN where unseen."""
    exposure, placed = inputs.exposures[number], inputs.placed[number]
    used = np.flatnonzero(placed.usable)
    channel = inputs.axis.channel(placed.wavelength[used])
    at = np.clip(np.rint(channel), 0, len(response) - 1).astype(int)
    # Cosmic rays stand out of the whole field.
    bright = exposure.data[used] > _BRIGHTER * np.nanmax(quick.cube, axis=(1, 2), initial=0)[at]
    kept = (response[at] > 0) & ~bright
    used, weight = used[kept], response[at[kept]]
    data = exposure.data[used].astype(float)
    centre = inputs.domain.margin + (quick.factor - 1) / 2
    places = [(one[used] - centre) / quick.factor for one in (placed.y, placed.x)]
    shape = quick.cube.shape[1:]
    total, seen = np.zeros(shape), np.zeros(shape)
    first = [np.floor(one).astype(int) for one in places]
    for corner in np.ndindex(2, 2):
        index = [one + side for one, side in zip(first, corner, strict=True)]
        share = weight * np.prod(
            [1 - np.abs(one - i) for one, i in zip(places, index, strict=True)], axis=0
        )
        inside = np.all([(i >= 0) & (i < n) for i, n in zip(index, shape, strict=True)], axis=0)
        index = tuple(one[inside] for one in index)
        np.add.at(seen, index, share[inside])
        np.add.at(total, index, (share * data)[inside])
    known = seen > _SEEN * seen.max()
    return np.where(known, total / np.where(known, seen, 1.0), np.nan)


def _offset(inputs, quick, rim, pictures, light, number=None):
    """Offset (2,) of all exposures, or of one, against the images, and its error per axis.

    None if these do not tell.
    """
    options = {"factor": quick.factor, "rim": rim}
    if number is not None:
        options["unexplained"] = _UNEXPLAINED
    exposure_psf = inputs.psfs[number or 0]
    found, errors = [], []
    views = zip(pictures, inputs.responses, inputs.image_psfs, strict=True)
    for picture, response, psf in views:
        middle = float(np.average(inputs.axis.wavelength, weights=np.abs(response)))
        offset, error = image_offset(
            picture,
            light(response),
            psf_image=_plane(psf, middle),
            psf_cube=_plane(exposure_psf, middle),
            **options,
        )
        if np.isfinite(error):
            found.append(offset)
            errors.append(error)
    if not found:
        return None
    found, errors = np.array(found), np.array(errors)
    common = np.median(found, axis=0)
    agree = np.hypot(*(found - common).T) < np.maximum(_AGREE, _SIGMAS * errors)
    if 2 * np.count_nonzero(agree) <= len(found):
        log.info("Images disagree on where the exposures look: %s fine pixels", found.tolist())
        return None
    weights = errors[agree] ** -2
    return np.average(found[agree], axis=0, weights=weights), np.sum(weights) ** -0.5


def _plane(psf, wavelength):
    """PSF (m, m) at the nearest of its wavelengths."""
    return psf.data[int(np.argmin(np.abs(psf.wavelength - wavelength)))]
