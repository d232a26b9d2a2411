"""The wavelength axis of a cube: read from any form of it, and written as a table."""

import numpy as np
from astropy import units as u

from jwst_fusion.errors import NotFusableError

__all__ = ["set_wavelengths", "wavelength_table", "wavelengths"]


def wavelength_table(wavelength):
    """
    Return wavelengths in the form in which a cube stores them.

    Parameters
    ----------
    wavelength : array (L,)
        Wavelengths.

    Returns
    -------
    structured array (1,)
        One row with a column ``wavelength`` (L, 1) in single precision.
    """
    table = np.zeros(1, dtype=[("wavelength", "<f4", (len(wavelength), 1))])
    table["wavelength"][0, :, 0] = wavelength
    return table


def set_wavelengths(model, wavelength):
    """
    Give a cube a wavelength for each channel.

    Parameters
    ----------
    model : `~stdatamodels.jwst.datamodels.IFUCubeModel`
        The cube, changed in place: axis 3 of its WCS points to extension WCS-TABLE.
    wavelength : array (L,)
        Wavelengths, micrometre, in ascending order. Neighbours that single precision makes equal
        are set apart by its last digit.
    """
    stored = np.asarray(wavelength, np.float32).copy()
    index = 1
    while (equal := np.flatnonzero(np.diff(stored[index - 1 :]) <= 0)).size:
        # A wavelength that is moved may reach the next one.
        index += int(equal[0])
        stored[index] = np.nextafter(stored[index - 1], np.float32(np.inf))
    model.wavetable = wavelength_table(stored)
    model.wavedim = f"(1,{stored.size:d})"
    info = model.meta.wcsinfo
    info.ctype3, info.cunit3 = "WAVE-TAB", "um"
    info.crpix3 = info.crval3 = info.cdelt3 = info.pc3_3 = 1.0
    info.ps3_0, info.ps3_1 = "WCS-TABLE", "wavelength"
    info.waverange_start, info.waverange_end = float(wavelength[0]), float(wavelength[-1])


def wavelengths(model, name):
    """
    Return the wavelength of each channel of a cube.

    Parameters
    ----------
    model : `~stdatamodels.jwst.datamodels.IFUCubeModel`
        The cube, with a linear axis or a wavelength table.
    name : str
        Name of the file, for messages.

    Returns
    -------
    array (L,)
        Wavelength, micrometre.

    Raises
    ------
    NotFusableError
        If the header does not define them.
    ValueError
        If there are not as many as channels, or if they are not monotonic.
    """
    info = model.meta.wcsinfo
    count = model.data.shape[0]
    axis = (info.ctype3 or "").strip()
    if axis == "WAVE-TAB":
        if not model.hasattr("wavetable") or not len(model.wavetable):
            msg = f"{name} has CTYPE3 = WAVE-TAB but no wavelength table (extension WCS-TABLE)"
            raise NotFusableError(msg)
        wave = np.asarray(model.wavetable["wavelength"], float).ravel()
    elif axis == "WAVE" and None not in (info.crval3, info.crpix3, info.cdelt3):
        step = info.cdelt3 * (1.0 if info.pc3_3 is None else info.pc3_3)
        wave = info.crval3 + (np.arange(count) + 1 - info.crpix3) * step
    else:
        msg = f"{name} has no wavelength axis (CTYPE3 is {axis!r}: WAVE or WAVE-TAB expected)"
        raise NotFusableError(msg)
    try:
        wave = wave * u.Unit(info.cunit3 or "um").to(u.um)
    except (ValueError, u.UnitConversionError) as error:
        msg = f"{name} has wavelengths in {info.cunit3!r} (keyword CUNIT3), which is no length"
        raise ValueError(msg) from error
    steps = np.diff(wave)
    if wave.size != count or not np.isfinite(wave).all() or (wave <= 0).any():
        msg = f"{name} has {count} channels but {wave.size} wavelengths, or some are not positive"
        raise ValueError(msg)
    if not ((steps > 0).all() or (steps < 0).all()):
        msg = f"{name} has wavelengths that neither only rise nor only fall: its table is damaged"
        raise ValueError(msg)
    return wave
