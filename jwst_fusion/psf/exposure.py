"""Images (i2d) and cubes (s3d) of a star as arrays, read from FITS without the pipeline."""

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

from jwst_fusion.bandpass import load_bandpass
from jwst_fusion.input_files import check_whole, one_line
from jwst_fusion.numerics.spectral_axis import file_wavelengths

__all__ = ["StarExposure", "read_star"]

_BAD = 1  # DO_NOT_USE
# Without the third axis of cubes, whose table of wavelengths needs the whole file.
_CELESTIAL = re.compile(
    r"(CTYPE|CRPIX|CRVAL|CDELT|CUNIT)[12]|(PC|CD)[12]_[12]|LONPOLE|LATPOLE|RADESYS|EQUINOX"
)
# Pixels are square to this relative accuracy.
_SQUARE = 0.02


@dataclass(frozen=True)
class StarExposure:
    """
    A resampled exposure of a star.

    Attributes
    ----------
    data, err : ndarray
        Surface brightness and its standard deviation in any unit, shape (wavelength, y, x), East
        to the left of North; an image has one wavelength. Errors may be NaN where unknown.
    good : ndarray of bool
        Pixels that may be used, same shape.
    wavelength : ndarray
        Ascending wavelengths, shape (wavelength,) [um]; of an image the pivot of its filter.
    pixel_scale : float
        Pixel [arcsec].
    angle : float
        From +y of the exposure to the telescope's V3 axis, counterclockwise [deg].
    instrument, name : str
        Instrument in upper case, and file.
    """

    data: np.ndarray
    err: np.ndarray
    good: np.ndarray
    wavelength: np.ndarray
    pixel_scale: float
    angle: float
    instrument: str
    name: str


def read_star(path, *, parameter="path"):
    """
    Read a resampled exposure of a star.

    Parameters
    ----------
    path : path-like
        Image (i2d) or cube (s3d).
    parameter : str
        The parameter in which the file was given, for error messages.

    Returns
    -------
    StarExposure
        The exposure.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it cannot be read, or says no sky coordinates, roll, filter or wavelengths.
    """
    path = Path(path)
    if not path.is_file():
        msg = f"{parameter}: the exposure of a star {path} does not exist"
        raise FileNotFoundError(msg)
    try:
        check_whole(path)
        with fits.open(path, memmap=False) as hdus, warnings.catch_warnings():
            # About keywords that have been renamed since.
            warnings.simplefilter("ignore", FITSFixedWarning)
            return _exposure(hdus, f"{parameter}: {path}")
    except Exception as error:  # astropy and wcslib have many
        if isinstance(error, ValueError) and str(path) in str(error):
            raise
        msg = (
            f"{parameter}: {path} cannot be read as an image (i2d) or cube (s3d): {one_line(error)}"
        )
        raise ValueError(msg) from error


def _exposure(hdus, name):
    science = hdus["SCI"]
    main, header = hdus[0].header, science.header
    data = np.array(science.data, dtype=float)
    if data.ndim not in (2, 3) or min(data.shape) == 0:
        msg = f"{name}: its extension SCI has shape {data.shape}, neither an image nor a cube"
        raise ValueError(msg)
    cube = data.ndim == 3
    data = data if cube else data[None]
    err, bad = np.full(data.shape, np.nan), ~np.isfinite(data)
    for key in ("ERR", "DQ", "WMAP", "WHT"):
        if key not in hdus or hdus[key].data is None:
            continue
        array = np.reshape(hdus[key].data, (-1, *hdus[key].data.shape[-2:]))
        if array.shape != data.shape:
            msg = f"{name}: its extension {key} has shape {array.shape}, but SCI has {data.shape}"
            raise ValueError(msg)
        if key == "ERR":
            err = np.array(array, dtype=float)
        elif key == "DQ":
            bad |= (array.astype(np.uint32) & _BAD) > 0
        elif (array > 0).any():
            bad |= ~(array > 0)
    scale, angle_y, mirrored = _grid(header, name)
    keys = [(one, key) for key in ("ROLL_REF", "PA_V3") for one in (header, main)]
    rolls = [one[key] for one, key in keys if one.get(key) is not None]
    if not rolls:
        msg = f"{name} does not say the telescope's roll (keywords ROLL_REF, PA_V3)"
        raise ValueError(msg)
    instrument = str(main.get("INSTRUME", "")).upper()
    wavelength = file_wavelengths(hdus, name) if cube else _pivot(main, name)
    order = np.argsort(wavelength)
    columns = slice(None, None, -1 if mirrored else 1)
    data, err, bad = (array[order][:, :, columns] for array in (data, err, bad))
    return StarExposure(
        data, err, ~bad, wavelength[order], scale, float(rolls[0]) - angle_y, instrument, name
    )


def _grid(header, name):
    """Pixel [arcsec], position angle of +y [deg], and whether East lies right of North."""
    plain = fits.Header([card for card in header.cards if _CELESTIAL.fullmatch(card.keyword)])
    wcs = WCS(plain)
    if not wcs.has_celestial:
        msg = f"{name} has no sky coordinates (keywords CTYPE1, CTYPE2)"
        raise ValueError(msg)
    matrix = wcs.pixel_scale_matrix
    mirrored = bool(np.linalg.det(matrix) > 0)
    if mirrored:
        matrix = matrix * [-1.0, 1.0]
    scales = np.hypot(*matrix) * 3600.0
    if abs(scales[0] / scales[1] - 1.0) > _SQUARE:
        msg = f"{name} has pixels of {scales[0]:.4f} x {scales[1]:.4f} arcsec, which are not square"
        raise ValueError(msg)
    east, north = matrix[:, 1]
    return float(scales.mean()), float(np.rad2deg(np.arctan2(east, north))), mirrored


def _pivot(main, name):
    names = [str(main.get(key) or "").upper() for key in ("FILTER", "PUPIL")]
    bands = [text for text in names if text[:1] == "F" and text[1:2].isdigit()]
    if not bands:
        msg = f"{name} does not say its filter (keywords FILTER and PUPIL)"
        raise ValueError(msg)
    # A narrower filter in the pupil wheel is crossed with a wide one that only blocks.
    band = min(bands, key=lambda text: "NMW".find(text.rstrip("0123456789")[-1:]))
    return np.array([load_bandpass(band, instrument=main.get("INSTRUME", "")).pivot])
