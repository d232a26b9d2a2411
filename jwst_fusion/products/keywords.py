"""Read the metadata of a product: units, sky coordinates, filter, roll."""

import logging

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from jwst_fusion.bandpass.names import band_of_wheels
from jwst_fusion.errors import NotFusableError
from jwst_fusion.input_files import one_line
from jwst_fusion.messages import warn
from jwst_fusion.products.tangent import has_curved_coordinates, tangent_wcs

__all__ = [
    "band_name",
    "celestial_wcs",
    "check_frame",
    "moves",
    "pa_v3",
    "surface_brightness_factor",
    "target_position",
]

log = logging.getLogger(__name__)

_MJY_SR = u.MJy / u.sr
# Sides of pixels, arcsec: those of JWST are 0.03 to 0.7, resampled or binned ones a few times that.
_PIXEL = 1e-3, 30.0
# Frames of products; within their errors these are one.
_FRAMES = "ICRS", "FK5"
_EQUINOX, _POLE = 2000.0, 180.0  # years, degrees
_STRETCHED = 20.0  # ratio of the sides of a pixel; those of products are 1


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
        said = unit.is_equivalent(u.Jy / u.pix)
        per_pixel = unit * u.pix if said else unit
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
    if not said:
        warn(log, "%s is in %s (keyword BUNIT), which is taken to be per pixel", name, text)
    return float(per_pixel.to(u.MJy) / area)


def celestial_wcs(model, name, *, centre=None, radius=0.0):
    """
    Return the sky coordinates of a cube or image as a FITS WCS.

    Parameters
    ----------
    model : datamodel
        The cube or image; its FITS keywords are used. Of an image that was not resampled, or
        without keywords, it is a tangent plane that fits its ``meta.wcs``.
    name : str
        Name of the file, for messages.
    centre : `~astropy.coordinates.SkyCoord`, optional
        Where the tangent plane is to be good. Default: on the whole image.
    radius : float, optional
        How far from there, degrees.

    Returns
    -------
    `~astropy.wcs.WCS`
        Two-dimensional WCS (x, y) to (RA, Dec).

    Raises
    ------
    NotFusableError
        If the model has no celestial coordinates.
    ValueError
        If they make no sense; the message names the keywords.
    """
    if has_curved_coordinates(model):
        wcs = tangent_wcs(model, name, centre=centre, radius=radius)
        _check_matrix(wcs, name)
        return wcs
    info = model.meta.wcsinfo.instance
    types = [str(info.get(f"ctype{axis}", "")) for axis in (1, 2)]
    header = fits.Header()
    keywords = all(kind[:4] in ("RA--", "DEC-") for kind in types)
    if keywords:
        _check_values(info, name)
        matrix = "cd" if info.get("cd1_1") is not None else "pc"
        keys = [f"{key}{axis}" for key in ("ctype", "crpix", "crval", "cunit") for axis in (1, 2)]
        keys += [f"{matrix}{i}_{j}" for i in (1, 2) for j in (1, 2)]
        if matrix == "pc":
            keys += ["cdelt1", "cdelt2"]
        header.update({key.upper(): info[key] for key in keys if info.get(key) is not None})
        header["RADESYS"] = model.meta.coordinates.reference_frame or "ICRS"
    try:
        wcs = WCS(header, naxis=2)
        wcs.wcs.set()
    except Exception as error:  # wcslib has many
        msg = (
            f"{name} has sky coordinates that cannot be used ({one_line(error)}): correct the "
            "keywords CTYPE, CUNIT, CRPIX, CRVAL, CDELT and PC or CD of axes 1 and 2"
        )
        raise ValueError(msg) from error
    if not wcs.has_celestial:
        msg = (
            f"{name} has no celestial WCS (CTYPE1 and CTYPE2 are {types}): run it through "
            "cube_build or resample with sky coordinates"
        )
        raise NotFusableError(msg)
    _check_matrix(wcs, name)
    return wcs


def check_frame(header, name):
    """
    Refuse other sky coordinates than those of JWST, which models take for these.

    Parameters
    ----------
    header : `~astropy.io.fits.Header`
        Header of the data.
    name : str
        Name of the file, for messages.

    Raises
    ------
    ValueError
        If the frame, its equinox or the place of the pole are others.
    """
    frame = str(header.get("RADESYS") or "ICRS").strip().upper()
    wrong = None
    if frame not in _FRAMES:
        wrong = f"RADESYS = {frame}: coordinates are needed in {' or '.join(_FRAMES)}"
    elif header.get("EQUINOX") not in (None, "", _EQUINOX):
        wrong = f"EQUINOX = {header['EQUINOX']!r}: coordinates are needed for {_EQUINOX:g}"
    elif header.get("LONPOLE") not in (None, "", _POLE):
        wrong = f"LONPOLE = {header['LONPOLE']!r}: a pole at {_POLE:g} degrees is needed"
    if wrong is not None:
        msg = f"{name} has {wrong}. Resample it, or correct the keyword"
        raise ValueError(msg)


def _check_values(info, name):
    """Refuse values of keywords that are no numbers or no place on the sky."""
    for axis in (1, 2):
        for key in ("crpix", "crval", "cdelt"):
            value = info.get(f"{key}{axis}")
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if value is None and key != "cdelt":
                msg = f"{name} does not say {key.upper()}{axis}, or not as a number"
                raise ValueError(msg)
            if value is not None and not (number and np.isfinite(value)):
                msg = f"{name} has {key.upper()}{axis} = {value!r}: a finite number is needed"
                raise ValueError(msg)
        latitude = str(info.get(f"ctype{axis}")).startswith("DEC")
        if latitude and abs(info.get(f"crval{axis}") or 0) > 90:
            msg = f"{name} has CRVAL{axis} = {info[f'crval{axis}']}: declinations reach 90 degrees"
            raise ValueError(msg)


def _check_matrix(wcs, name):
    """Refuse pixels without area, or of other sizes than those of any telescope."""
    matrix = wcs.pixel_scale_matrix * 3600
    keys = "CD1_1, CD1_2, CD2_1, CD2_2" if wcs.wcs.has_cd() else "CDELT1, CDELT2, PC1_1, ..."
    if not np.isfinite(matrix).all():
        msg = f"{name} has pixels of no size: {keys} must be finite numbers"
        raise ValueError(msg)
    largest, smallest = np.linalg.svd(matrix, compute_uv=False)
    if not (smallest > 0 and largest / smallest < _STRETCHED):
        msg = (
            f"{name} has pixels of {largest:.3g} by {smallest:.3g} arcsec, which show no area of "
            f"the sky: correct {keys}"
        )
        raise ValueError(msg)
    if not (_PIXEL[0] < smallest and largest < _PIXEL[1]):
        msg = (
            f"{name} has pixels of {largest:.3g} by {smallest:.3g} arcsec, which are not those of "
            f"any image or cube of JWST: correct {keys}"
        )
        raise ValueError(msg)


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
