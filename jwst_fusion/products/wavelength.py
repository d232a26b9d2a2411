"""The wavelength axis of a cube: read from models and files, and written as a table."""

import numpy as np

from jwst_fusion.errors import NotFusableError
from jwst_fusion.numerics.spectral_axis import (
    AXIS_KEYWORDS,
    NoWavelengthsError,
    channel_wavelengths,
    linear_wavelengths,
)

__all__ = [
    "set_wavelengths",
    "wavelength_table",
    "wavelengths",
    "write_plain_axis",
]


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
        If their unit is not one of length, there are not as many as channels, or they are not
        monotonic.
    """
    keywords = _keywords(model)
    tabulated = model.hasattr("wavetable") and len(model.wavetable)
    table = model.wavetable["wavelength"] if tabulated else None
    try:
        return channel_wavelengths(keywords, model.data.shape[0], table=table, name=name)
    except NoWavelengthsError as error:
        raise NotFusableError(str(error)) from error


def write_plain_axis(model):
    """
    Write a linear axis in micrometres and with CDELT3 alone, which is all that jwst's WCS reads.

    Parameters
    ----------
    model : `~stdatamodels.jwst.datamodels.IFUCubeModel`
        The cube, changed in place unless its axis is one of this form or a table.
    """
    info, keywords = model.meta.wcsinfo, _keywords(model)
    usual = (info.cunit3 or "um") == "um" and info.pc3_3 in (None, 1.0)
    if keywords["CTYPE3"] != "WAVE" or (usual and keywords["CD3_3"] is None):
        return
    name = str(model.meta.filename)
    start, following = linear_wavelengths(
        keywords, [info.crpix3, info.crpix3 + 1], name=name
    ).tolist()
    info.crval3, info.cdelt3, info.pc3_3, info.cunit3 = start, following - start, 1.0, "um"
    kept = model.instance.get("extra_fits", {}).get("SCI", {})
    if "header" in kept:
        kept["header"] = [card for card in kept["header"] if card[0] != "CD3_3"]


def _keywords(model):
    """Keywords of the third axis of a model; those that it lacks are None."""
    info = model.meta.wcsinfo
    known = {key: getattr(info, key.lower(), None) for key in AXIS_KEYWORDS}
    # The schema does not know CD3_3: a model keeps it aside.
    cards = model.instance.get("extra_fits", {}).get("SCI", {}).get("header", [])
    return known | {card[0]: card[1] for card in cards if card[0] == "CD3_3"}
