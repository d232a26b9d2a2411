"""Read from headers what shapes the PSFs: detector, pixels, resampling, slices."""

import logging

import numpy as np

from jwst_fusion.bandpass import load_bandpass
from jwst_fusion.errors import NotFusableError
from jwst_fusion.fusion.psf.mrs import mrs_band, mrs_parts
from jwst_fusion.fusion.psf.pixel_kernels import (
    ChannelOptics,
    cube_pixel_kernels,
    image_pixel_kernels,
)
from jwst_fusion.messages import warn
from jwst_fusion.psf import aperture_angle
from jwst_fusion.psf.checks import LARGEST_FIELD
from jwst_fusion.psf.instruments import NIRCAM_LIMIT, identify

__all__ = ["across_slices", "cube_channels", "default_size", "image_channels"]

log = logging.getLogger(__name__)

# Their default side, arcsec, and for MIRI in lambda / D: the wings grow with the wavelength.
_SIDE, _RINGS = 3.0, 20.0
_DIAMETER = 6.6  # of the telescope, m
_ARCSEC = 206264.806  # arcsec in a radian
# Filters of NIRCam that STPSF gives another focus than the others of their channel.
_OWN_FOCUS = ("F212N", "F323N")
# Pixel kernels of images of one channel are the same if their widths differ by less than this
# share, and their angles by less than this (degrees): smaller changes of the OTF are below what is
# known of the optics.
_SAME_WIDTH, _SAME_ANGLE = 0.02, 2.0


def default_size(wavelength, instrument):
    """
    Return the side of the PSFs that suits the wavelengths.

    Parameters
    ----------
    wavelength : array (L,)
        Channels, micrometre.
    instrument : str
        Instrument of the cube.

    Returns
    -------
    float
        Arcsec: 3, for MIRI 20 times the longest wavelength over the diameter of the telescope, if
        that is more, up to 10.
    """
    if instrument != "MIRI":
        return _SIDE
    size = _RINGS * max(wavelength) * 1e-6 / _DIAMETER * _ARCSEC
    return float(min(max(size, _SIDE), LARGEST_FIELD))


def image_channels(images, *, angle, fine):
    """
    Describe the pixels of the images in each channel of their instrument.

    Parameters
    ----------
    images : list of ImageObservation
        The images, all of one instrument; the first one of each channel of NIRCam stands for all of
        that channel.
    angle : float
        Degrees counterclockwise from +y of the fine grid to V3.
    fine : `~jwst_fusion.fusion.observed.sky.SkyGrid`
        Fine grid.

    Returns
    -------
    ChannelOptics or dict of str to ChannelOptics
        That of the instrument; of NIRCam by channel, "SHORT" and "LONG", where there are
        images.

    Raises
    ------
    NotFusableError
        If there is no model for the PSF of the instrument.
    """
    found, first = {}, {}
    for image in images:
        channel = _channel(image)
        known = _detector(image)
        try:
            kernels = image_pixel_kernels(
                instrument=image.instrument,
                channel=channel,
                detector=known,
                pixfrac=image.pixfrac,
                pixel_scale=image.grid.scale,
                grid_angle=image.grid.pa_y - fine.pa_y,
                angle=angle,
            )
        except ValueError as reason:
            raise NotFusableError(no_model(image, reason)) from reason
        if channel in found:
            _compare(first[channel], found[channel].pixel_kernels, image, kernels)
            continue
        # a filter with a focus of its own must not stand for the others
        same = sorted({other.filter for other in images if _channel(other) == channel})
        alone = image.filter if len(same) == 1 else None
        found[channel] = ChannelOptics(pixel_kernels=kernels, detector=known, filter=alone)
        first[channel] = image
        _report(image, known, same)
    return found if images[0].instrument == "NIRCAM" else found[images[0].instrument]


def _channel(image):
    """Part of the instrument that shares a PSF: a channel of NIRCam, or the whole instrument."""
    if image.instrument != "NIRCAM":
        return image.instrument
    return "SHORT" if load_bandpass(image.filter).pivot < NIRCAM_LIMIT else "LONG"


def _detector(image):
    """Detector of an image, or None if its header names no single one."""
    prefix = {"NIRCAM": "NRC", "MIRI": "MIRIMAGE"}.get(image.instrument, "")
    return image.detector if prefix and image.detector.startswith(prefix) else None


def _report(image, detector, filters):
    """Say what stands in for what the header does not tell, and what one PSF leaves out."""
    if detector is None:
        pivot = load_bandpass(image.filter, instrument=image.instrument).pivot
        _, stand_in = identify(image.instrument, (pivot, pivot))
        log.info(
            "%s names no single detector (DETECTOR is %r): PSF and orientation of %s stand for it",
            image.name,
            image.detector,
            stand_in,
        )
    focused = [name for name in filters if name in _OWN_FOCUS]
    if focused and len(filters) > 1:
        log.info(
            "One PSF serves %s. The focus that %s has of its own is left out: STPSF uses it only "
            "if there is no other filter in the channel",
            ", ".join(filters),
            " and ".join(focused),
        )


def _compare(first, kernels, image, own):
    """Warn if an image has other pixels than the one whose PSF stands for it."""
    if len(kernels) != len(own):
        warn(
            log,
            "%s is %sresampled, %s is %s: the PSF of the latter is used for both",
            image.name,
            "" if len(own) > 1 else "not ",
            first.name,
            "not" if len(own) > 1 else "resampled",
        )
        return
    one, two = np.array(kernels), np.array(own)
    widths = np.abs(one[:, 0] - two[:, 0]).max()
    # a square looks the same after a quarter of a turn
    turns = np.abs((one[:, 2] - two[:, 2] + 45) % 90 - 45).max()
    if widths > _SAME_WIDTH * kernels[0][0] or turns > _SAME_ANGLE:
        warn(
            log,
            '%s has other pixels than %s (widths differ by up to %.4f", angles by up to %.1f deg): '
            "the PSF of the latter is used for both",
            image.name,
            first.name,
            widths,
            turns,
        )


def cube_channels(wavelength, cube, *, angle, spaxel, oversample):
    """
    Describe the pixels and slices of the cube in each channel of its instrument.

    Parameters
    ----------
    wavelength : array (L,)
        Channels, micrometre.
    cube : CubeObservation
        The cube.
    angle : float
        Degrees counterclockwise from +y of the grid to V3.
    spaxel : float
        Spaxel, arcsec.
    oversample : float
        Factor by which the exposures were oversampled along the slices.

    Returns
    -------
    ChannelOptics or dict of str to ChannelOptics
        That of the instrument; of MIRI by channel of the spectrometer, "1" to "4".

    Raises
    ------
    NotFusableError
        If there is no model for the PSF of the instrument.
    """
    common = {"spaxel": spaxel, "angle": angle, "resampled": cube.resampled}
    common["oversample"] = oversample
    try:
        if cube.instrument != "MIRI":
            kernels = cube_pixel_kernels(instrument=cube.instrument, **common)
            return ChannelOptics(pixel_kernels=kernels)
        return {
            channel: ChannelOptics(
                pixel_kernels=cube_pixel_kernels(instrument="MIRI_MRS", band=band, **common),
                detector=band,
            )
            for channel, band in _bands(wavelength, cube).items()
        }
    except ValueError as reason:
        raise NotFusableError(no_model(cube, reason)) from reason


def _bands(wavelength, cube):
    """Band that stands for each channel of the MIRI spectrometer that is in the cube."""
    parts = mrs_parts(wavelength, cube.grating)
    ranges = {channel: (min(wavelength[i]), max(wavelength[i])) for channel, i in parts.items()}
    return {channel: mrs_band(channel, *ends) for channel, ends in ranges.items()}


def across_slices(wavelength, cube, angle):
    """
    Return the direction across the slices of the cube.

    Parameters
    ----------
    wavelength : array (L,)
        Channels, micrometre.
    cube : CubeObservation
        The cube.
    angle : float
        Degrees counterclockwise from +y of the grid to V3.

    Returns
    -------
    float
        Degrees counterclockwise from +x of the grid; `angle` itself for an instrument whose slices
        are not known.
    """
    if cube.instrument == "NIRSPEC":
        return angle + aperture_angle("NIRSPEC")
    if cube.instrument == "MIRI":
        # slices run along ideal x
        bands = list(_bands(wavelength, cube).values())
        return angle + aperture_angle("MIRI_MRS", bands[len(bands) // 2]) + 90.0
    return angle


def no_model(observation, reason):
    """
    Return the sentence for an instrument without a model of its PSF.

    Parameters
    ----------
    observation : CubeObservation or ImageObservation
        Cube or image of that instrument.
    reason : Exception
        Why there is no model.

    Returns
    -------
    str
        The sentence, which names file and instrument and says what to give instead.
    """
    return (
        f"there is no model for the PSF of {observation.name} ({observation.instrument}): give "
        f"files with psf_image and psf_cube ({reason})"
    )
