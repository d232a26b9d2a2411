"""Read the metadata of a product: units, sky coordinates, filter, roll."""

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from jwst_fusion.bandpass.names import band_of_wheels
from jwst_fusion.errors import NotFusableError

__all__ = [
    "band_name",
    "celestial_wcs",
    "moves",
    "pa_v3",
    "surface_brightness_factor",
    "target_position",
]

_MJY_SR = u.MJy / u.sr


def surface_brightness_factor(model, name):
    """
    Return the factor that converts the data of a model to MJy/sr.

    Parameters
    ----------
    model : datamodel
        A cube or image with ``meta.bunit_data``.
    name : str
        Name of the file, for messages.

    Returns
    -------
    float
        The factor.

    Raises
    ------
    ValueError
        If the unit is missing or cannot be converted, or the pixel area is missing.
    """
    return brightness_factor(
        model.meta.bunit_data, model.meta.photometry.pixelarea_steradians, name
    )


def brightness_factor(text, area, name):
    """
    Return the factor that converts data to MJy/sr.

    Parameters
    ----------
    text : str or None
        Their unit.
    area : float or None
        Area of a pixel, steradian; needed only if they are given per pixel.
    name : str
        Name of the file, for messages.

    Returns
    -------
    float
        The factor.

    Raises
    ------
    ValueError
        As for `surface_brightness_factor`.
    """
    if not text:
        msg = f"{name} does not say its unit (keyword BUNIT): expected MJy/sr or Jy/pixel"
        raise ValueError(msg)
    try:
        unit = u.Unit(text)
        if unit.is_equivalent(_MJY_SR):
            return float(unit.to(_MJY_SR))
        per_pixel = unit * u.pix if unit.is_equivalent(u.Jy / u.pix) else unit
        if not per_pixel.is_equivalent(u.Jy):
            raise ValueError(text)
    except ValueError as error:
        msg = f"{name} is in {text!r} (keyword BUNIT): only MJy/sr and Jy/pixel can be fused"
        raise ValueError(msg) from error
    if not area or not np.isfinite(area) or area <= 0:
        msg = (
            f"{name} is in {text} but has no pixel area (keyword PIXAR_SR) to convert it to MJy/sr"
        )
        raise ValueError(msg)
    return float(per_pixel.to(u.MJy) / area)


def celestial_wcs(model, name):
    """
    Return the sky coordinates of a cube or image as a FITS WCS.

    Parameters
    ----------
    model : datamodel
        The cube or image; its FITS keywords are used, else its ``meta.wcs``.
    name : str
        Name of the file, for messages.

    Returns
    -------
    `~astropy.wcs.WCS`
        Two-dimensional WCS (x, y) to (RA, Dec).

    Raises
    ------
    NotFusableError
        If the model has no celestial coordinates.
    """
    info = model.meta.wcsinfo.instance
    types = [str(info.get(f"ctype{axis}", "")) for axis in (1, 2)]
    header = fits.Header()
    if all(kind[:4] in ("RA--", "DEC-") for kind in types):
        matrix = "cd" if info.get("cd1_1") is not None else "pc"
        keys = [f"{key}{axis}" for key in ("ctype", "crpix", "crval", "cunit") for axis in (1, 2)]
        keys += [f"{matrix}{i}_{j}" for i in (1, 2) for j in (1, 2)]
        if matrix == "pc":
            keys += ["cdelt1", "cdelt2"]
        header.update({key.upper(): info[key] for key in keys if info.get(key) is not None})
        header["RADESYS"] = model.meta.coordinates.reference_frame or "ICRS"
    elif model.data.ndim == 2 and model.meta.hasattr("wcs"):
        header = model.meta.wcs.to_fits_sip(max_pix_error=0.02, verbose=False)
    wcs = WCS(header, naxis=2)
    if not wcs.has_celestial:
        msg = (
            f"{name} has no celestial WCS (CTYPE1 and CTYPE2 are {types}): run it through "
            "cube_build or resample with sky coordinates"
        )
        raise NotFusableError(msg)
    return wcs


def band_name(model):
    """
    Return the name of the filter that shapes the band: NIRCam and NIRISS have two wheels.

    Parameters
    ----------
    model : datamodel
        The image.

    Returns
    -------
    str
        Filter in upper case; empty if there is none.
    """
    return band_of_wheels(model.meta.instrument.filter, model.meta.instrument.pupil)


def pa_v3(model):
    """
    Return the position angle of the telescope's V3 axis.

    Parameters
    ----------
    model : datamodel
        The cube or image.

    Returns
    -------
    float or None
        Position angle, degrees east of north; None if no keyword says it.
    """
    for value in (model.meta.wcsinfo.roll_ref, model.meta.pointing.pa_v3):
        if value is not None and np.isfinite(value):
            return float(value)
    return None


def moves(model):
    """
    Tell whether the target moves on the sky.

    Parameters
    ----------
    model : datamodel
        The cube or image.

    Returns
    -------
    bool
        Whether its keyword TARGTYPE says so.
    """
    return str(model.meta.target.type or "").upper() == "MOVING"


def target_position(model):
    """
    Return where a target is in the sky coordinates of a product.

    Parameters
    ----------
    model : datamodel
        The cube or image.

    Returns
    -------
    `~astropy.coordinates.SkyCoord` or None
        The position to which the exposures of a moving target were aligned; None if the target
        does not move, or no keyword says where it is.
    """
    if not moves(model):
        return None
    info, target = model.meta.wcsinfo, model.meta.target
    pairs = ((info.mt_avra, info.mt_avdec), (info.mt_ra, info.mt_dec), (target.ra, target.dec))
    for pair in pairs:
        if None not in pair and np.isfinite(pair).all() and abs(pair[1]) <= 90:
            return SkyCoord(*pair, unit=u.deg)
    return None
