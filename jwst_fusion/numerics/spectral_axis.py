"""Wavelengths of the channels of a cube, from the keywords of its third axis and its table."""

import numpy as np
from astropy import units as u

__all__ = [
    "AXIS_KEYWORDS",
    "NoWavelengthsError",
    "channel_wavelengths",
    "file_wavelengths",
    "linear_wavelengths",
]

#: Keywords that define a wavelength axis.
AXIS_KEYWORDS = ("CTYPE3", "CUNIT3", "CRVAL3", "CRPIX3", "CDELT3", "PC3_3", "CD3_3")


class NoWavelengthsError(ValueError):
    """The third axis of a cube is not one of wavelengths; the message says what is missing."""


def channel_wavelengths(keywords, count, *, name, table=None):
    """
    Return the wavelength of each channel of a cube.

    Parameters
    ----------
    keywords : mapping
        A header, or those of `AXIS_KEYWORDS` that are known; those that are None count as
        missing.
    count : int
        Number of channels, L.
    name : str
        Name of the cube, for messages.
    table : array, optional
        Column ``wavelength`` of the extension WCS-TABLE, to which an axis WAVE-TAB points, in any
        shape of L numbers.

    Returns
    -------
    array (L,)
        Wavelength, micrometre.

    Raises
    ------
    NoWavelengthsError
        If the axis is none of wavelengths, or its keywords or table are missing.
    ValueError
        If the unit is not one of length, there are not as many wavelengths as channels, or they are
        not positive and monotonic.
    """
    axis = _text(keywords, "CTYPE3")
    if axis != "WAVE-TAB":
        wave = linear_wavelengths(keywords, np.arange(count) + 1, name=name)
    elif table is None or not np.size(table):
        msg = f"{name} has CTYPE3 = WAVE-TAB but no wavelength table (extension WCS-TABLE)"
        raise NoWavelengthsError(msg)
    else:
        wave = np.asarray(table, float).ravel() * _unit(keywords, name)
    steps = np.diff(wave)
    if wave.size != count or not np.isfinite(wave).all() or (wave <= 0).any():
        msg = f"{name} has {count} channels but {wave.size} wavelengths, or some are not positive"
        raise ValueError(msg)
    if not ((steps > 0).all() or (steps < 0).all()):
        msg = f"{name} has wavelengths that neither only rise nor only fall: its table is damaged"
        raise ValueError(msg)
    return wave


def file_wavelengths(hdus, name):
    """
    Return the wavelength of each channel of a cube in a file.

    Parameters
    ----------
    hdus : `~astropy.io.fits.HDUList`
        The cube (s3d), with a linear axis or a wavelength table.
    name : str
        Name of the file, for messages.

    Returns
    -------
    array (L,)
        Wavelength, micrometre.

    Raises
    ------
    ValueError
        If its header does not define them, there are not as many as channels, or they are not
        monotonic.
    """
    table = hdus["WCS-TABLE"].data["wavelength"] if "WCS-TABLE" in hdus else None
    science = hdus["SCI"]
    return channel_wavelengths(science.header, science.shape[0], table=table, name=name)


def linear_wavelengths(keywords, pixel, *, name):
    """
    Return wavelengths along a linear axis.

    Parameters
    ----------
    keywords : mapping
        A header, or those of `AXIS_KEYWORDS` that are known; those that are None count as
        missing.
    pixel : array
        Pixels along the axis, counted from 1 as in FITS; fractions are allowed.
    name : str
        Name of the cube, for messages.

    Returns
    -------
    array
        Wavelength at each pixel, micrometre.

    Raises
    ------
    NoWavelengthsError
        If the axis is not a linear wavelength axis, or keywords are missing.
    ValueError
        If the unit is not one of length.
    """
    axis = _text(keywords, "CTYPE3")
    values = [keywords.get(key) for key in ("CRVAL3", "CRPIX3", "CDELT3", "PC3_3", "CD3_3")]
    start, reference, step, factor, matrix = values
    if matrix is not None:
        # FITS has either this, or CDELT3 and PC3_3.
        step, factor = matrix, None
    if axis != "WAVE" or None in (start, reference, step):
        msg = f"{name} has no wavelength axis (CTYPE3 is {axis!r}: WAVE or WAVE-TAB expected)"
        if axis == "WAVE":
            msg = f"{name} has no wavelength axis (CRVAL3, CRPIX3 and CDELT3 or CD3_3 are needed)"
        raise NoWavelengthsError(msg)
    step = step * (1.0 if factor is None else factor)
    return (start + (np.asarray(pixel) - reference) * step) * _unit(keywords, name)


def _text(keywords, key):
    return str(keywords.get(key) or "").strip()


def _unit(keywords, name):
    """Micrometres in the unit of the axis; without CUNIT3 that is the micrometre."""
    text = _text(keywords, "CUNIT3")
    try:
        return u.Unit(text or "um").to(u.um)
    except (ValueError, u.UnitConversionError) as error:
        msg = f"{name} has wavelengths in {text!r} (keyword CUNIT3), which is not a unit of length"
        raise ValueError(msg) from error
