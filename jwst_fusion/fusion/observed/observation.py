"""
A cube and an image as arrays with sky coordinates, units and masks.

Cubes are (wavelength, y, x), images (y, x), in MJy/sr; wavelengths in micrometre.
"""

from dataclasses import dataclass

import numpy as np
from astropy.coordinates import SkyCoord

from jwst_fusion.fusion.observed.sky import SkyGrid

__all__ = ["CubeObservation", "ImageObservation"]


@dataclass(frozen=True)
class CubeObservation:
    """
    A cube as arrays.

    Attributes
    ----------
    data, err : array (L, y, x)
        Surface brightness and its standard deviation, MJy/sr, as stored (bad voxels included).
    good : bool array (L, y, x)
        Voxels that may be used.
    wavelength : array (L,)
        Wavelength of each channel, micrometre.
    grid : `~jwst_fusion.fusion.observed.sky.SkyGrid`
        Sky coordinates of the spaxels.
    pa_v3 : float or None
        Position angle of the telescope's V3 axis, degrees East of North.
    instrument, grating, name : str
        Instrument (upper case), disperser or channel, and file name.
    resampled : bool
        Whether the cube was built from exposures by cube_build.
    linear : bool
        Whether the wavelength axis is linear in the header (not a table).
    date : str or None
        Date and time (UTC, ISO format) of the observation.
    moving : bool
        Whether the target moves on the sky.
    target : `~astropy.coordinates.SkyCoord` or None
        Where a moving target is on ``grid``, if the header says so.
    """

    data: np.ndarray
    err: np.ndarray
    good: np.ndarray
    wavelength: np.ndarray
    grid: SkyGrid
    pa_v3: float | None
    instrument: str
    grating: str
    name: str
    resampled: bool
    linear: bool
    date: str | None = None
    moving: bool = False
    target: SkyCoord | None = None


@dataclass(frozen=True)
class ImageObservation:
    """
    An image, or the part of it that covers a grid, as arrays.

    Attributes
    ----------
    data, err : array (y, x)
        Surface brightness and its standard deviation, MJy/sr.
    good : bool array (y, x)
        Pixels that may be used.
    grid : `~jwst_fusion.fusion.observed.sky.SkyGrid`
        Sky coordinates of the pixels.
    pa_v3 : float or None
        Position angle of the telescope's V3 axis, degrees East of North.
    instrument, filter, detector, name : str
        Instrument and filter (upper case), detector (may be "MULTIPLE" or ""), file name.
    pixfrac : float or None
        Drizzle pixel fraction with which the image was made; None if it was not resampled.
    date : str or None
        Date and time (UTC, ISO format) of the observation.
    """

    data: np.ndarray
    err: np.ndarray
    good: np.ndarray
    grid: SkyGrid
    pa_v3: float | None
    instrument: str
    filter: str
    detector: str
    name: str
    pixfrac: float | None
    date: str | None = None
