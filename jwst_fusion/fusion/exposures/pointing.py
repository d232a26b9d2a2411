"""The offset that all exposures share against the images, where it is larger than their PSF."""

import logging

import numpy as np

from jwst_fusion.fusion.observed.offset import image_offset
from jwst_fusion.fusion.observed.photometry import synthetic_image
from jwst_fusion.fusion.observed.registration import resample_image

__all__ = ["common_offset"]

log = logging.getLogger(__name__)

# Offsets that are looked for, arcsec: guide stars misplace NIRSpec by 0.1 to 0.3.
_SEARCH = 0.7
# Fine pixels: what is less is found together with the scene.
_SMALL = 1.0
# Images that agree within this (fine pixels) or so many standard errors count.
_AGREE, _SIGMAS = 1.0, 5.0


def common_offset(inputs, quick):
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
    array (2,)
        By how much the exposures see other places than their coordinates say, (x, y) in fine
        pixels; zero if that is less than a pixel, or the images do not tell.

    Notes
    -----
    A quick cube of all exposures is compared with each image by
    `~jwst_fusion.fusion.observed.offset.image_offset`; the median of the images that tell counts,
    if most of them agree with it.
    """
    domain = inputs.domain
    scale = domain.product.scale
    cube, factor, shape = quick.cube, quick.factor, quick.cube.shape[1:]
    if min(domain.product.shape) < 2 * factor or not inputs.images:
        return np.zeros(2)
    rim = int(np.ceil(_SEARCH / (factor * scale)))
    # Whole spaxels, and the rim around them.
    extra = [
        (rim * factor, rim * factor + factor * count - size)
        for count, size in zip(shape, domain.product.shape, strict=True)
    ]
    wide = domain.product.padded(*extra)
    found, errors = [], []
    views = zip(inputs.images, inputs.responses, inputs.image_psfs, strict=True)
    for image, response, psf in views:
        middle = float(np.average(inputs.axis.wavelength, weights=np.abs(response)))
        offset, error = image_offset(
            resample_image(image.data, image.err, image.good, image.grid, wide)[0],
            synthetic_image(cube, response),
            psf_image=_plane(psf, middle),
            psf_cube=_plane(inputs.psfs[0], middle),
            factor=factor,
            rim=rim,
        )
        if np.isfinite(error):
            found.append(offset)
            errors.append(error)
    if not found:
        return np.zeros(2)
    found, errors = np.array(found), np.array(errors)
    common = np.median(found, axis=0)
    agree = np.hypot(*(found - common).T) < np.maximum(_AGREE, _SIGMAS * errors)
    if 2 * np.count_nonzero(agree) <= len(found):
        log.info("Images disagree on where the exposures look: %s fine pixels", found.tolist())
        return np.zeros(2)
    common = np.average(found[agree], axis=0, weights=errors[agree] ** -2)
    if np.hypot(*common) < _SMALL or np.hypot(*common) * scale > _SEARCH:
        return np.zeros(2)
    text = 'The exposures look %.3f" and %.3f" (x, y) beside what their coordinates say'
    log.info(text, *(common * scale))
    return common


def _plane(psf, wavelength):
    """PSF (m, m) at the nearest of its wavelengths."""
    return psf.data[int(np.argmin(np.abs(psf.wavelength - wavelength)))]
