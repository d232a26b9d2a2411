"""The wavelength axis of a cube as a table, as JWST cubes of several bands have it."""

import numpy as np

__all__ = ["set_wavelengths", "wavelength_table"]


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
    for index in np.flatnonzero(np.diff(stored) <= 0) + 1:
        stored[index] = np.nextafter(stored[index - 1], np.float32(np.inf))
    model.wavetable = wavelength_table(stored)
    model.wavedim = f"(1,{stored.size:d})"
    info = model.meta.wcsinfo
    info.ctype3, info.cunit3 = "WAVE-TAB", "um"
    info.crpix3 = info.crval3 = info.cdelt3 = info.pc3_3 = 1.0
    info.ps3_0, info.ps3_1 = "WCS-TABLE", "wavelength"
    info.waverange_start, info.waverange_end = float(wavelength[0]), float(wavelength[-1])
