"""Checks of the parameters with which a PSF is asked for."""

import math
import re
from pathlib import Path

import numpy as np

from jwst_fusion.bandpass.names import FILTERS
from jwst_fusion.psf import webbpsf

__all__ = [
    "FEWEST_NODES",
    "JITTER",
    "LARGEST_BROADENING",
    "LARGEST_FIELD",
    "LARGEST_PIXEL",
    "MOST_NODES",
    "SMALLEST_PIXEL",
    "SOURCES",
    "check_broadening",
    "check_filter",
    "check_grid",
    "check_jitter",
    "check_nodes",
    "check_opd",
    "check_pixel_kernels",
    "check_position",
    "names_wavefront",
]

#: Where PSFs come from: STPSF, or a model of the aperture; "auto" takes the first if it is there.
SOURCES = ("auto", "webbpsf", "aperture")
#: Largest side of a PSF [arcsec]: beyond it they cost more memory than their wings are worth.
LARGEST_FIELD = 10.0
#: Pixels of a PSF [arcsec]: a thirtieth of the telescope's resolution at 0.6 um, and more than
#: that at 28 um.
SMALLEST_PIXEL, LARGEST_PIXEL = 0.001, 1.0
#: Largest FWHM of a Gaussian that widens a PSF [arcsec]: twice that of the telescope at 28 um.
LARGEST_BROADENING = 2.0
#: Number of wavelengths at which the PSFs of a channel may be computed: interpolation needs both
#: ends, and the upper limit bounds memory and time.
FEWEST_NODES, MOST_NODES = 2, 64
#: Line-of-sight jitter of the telescope per axis [milliarcsec], as in STPSF.
JITTER = 0.8
# ISO format, with or without time.
_DATE = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?)?")


def check_nodes(wavelength):
    """
    Return wavelengths as an ascending array.

    Parameters
    ----------
    wavelength : array_like
        Wavelengths in any order [um].

    Returns
    -------
    ndarray
        The same, ascending, shape (R,) [um].

    Raises
    ------
    ValueError
        If there are none, or one is not finite or given twice.
    """
    nodes = np.sort(np.atleast_1d(np.asarray(wavelength, dtype=float)))
    if nodes.ndim != 1 or nodes.size == 0 or not np.all(np.isfinite(nodes)):
        msg = "wavelength must be a list of finite wavelengths in micrometre"
        raise ValueError(msg)
    if np.any(np.diff(nodes) == 0):
        msg = "wavelength contains the same node twice"
        raise ValueError(msg)
    return nodes


def check_grid(npix, pixel_scale, angle):
    """
    Return size, pixel and rotation of the output grid.

    Parameters
    ----------
    npix : int
        Pixels a side, odd and at least 3.
    pixel_scale : float
        Pixel [arcsec], from 0.001 to 1.
    angle : float
        Angle from +y of the grid to V3, counterclockwise [deg].

    Returns
    -------
    npix : int
        Pixels a side.
    pixel_scale : float
        Pixel [arcsec].
    angle : float
        Angle [deg].

    Raises
    ------
    ValueError
        If one is out of range, or the field is larger than 10 arcsec.
    """
    if not (math.isfinite(npix) and npix == int(npix) and npix >= 3 and npix % 2 == 1):
        msg = f"npix must be an odd number of at least 3 pixels, got {npix}"
        raise ValueError(msg)
    if not (math.isfinite(pixel_scale) and SMALLEST_PIXEL <= pixel_scale <= LARGEST_PIXEL):
        msg = f"pixel_scale must lie between 0.001 and 1 arcsec, got {pixel_scale}"
        raise ValueError(msg)
    if npix * pixel_scale > LARGEST_FIELD:
        msg = (
            f"npix={npix} at {pixel_scale} arcsec is a field of {npix * pixel_scale:.1f} arcsec; "
            f"at most {LARGEST_FIELD:g} are supported"
        )
        raise ValueError(msg)
    if not math.isfinite(angle):
        msg = f"angle must be finite, got {angle}"
        raise ValueError(msg)
    return int(npix), float(pixel_scale), float(angle)


def check_pixel_kernels(pixel_kernels):
    """
    Return pixel kernels as numbers.

    Parameters
    ----------
    pixel_kernels : sequence of sequence
        Rectangles (width_x, width_y, angle): widths from 0 to 2 [arcsec] and an angle [deg].

    Returns
    -------
    list of tuple of float
        The same, three numbers each.

    Raises
    ------
    ValueError
        If one has not three numbers or they are out of range.
    """
    kernels = []
    for kernel in pixel_kernels:
        values = tuple(float(value) for value in kernel)
        widths_good = len(values) == 3 and all(0 <= width <= 2 for width in values[:2])
        if not widths_good or not math.isfinite(values[2]):
            msg = (
                "pixel_kernels must be rectangles (width_x, width_y, angle) with widths from 0 to "
                f"2 arcsec and an angle in degrees; got {kernel!r}"
            )
            raise ValueError(msg)
        kernels.append(values)
    return kernels


def check_filter(name, instrument):
    """
    Return the name of a filter of an imager in upper case.

    Parameters
    ----------
    name : str or None
        Name of the filter, in any case.
    instrument : `jwst_fusion.psf.instruments.Instrument`
        The instrument.

    Returns
    -------
    str or None
        The name; None if there is none.

    Raises
    ------
    ValueError
        If the imager has no such filter, or the instrument is an integral field unit.
    """
    if name is None:
        return None
    text = str(name).upper()
    if instrument.detector_shape is None:
        msg = f"filter={name!r} has no meaning for an integral field unit; leave it out"
        raise ValueError(msg)
    camera = "MIRI" if instrument.name == "MIRI_IMAGER" else "NIRCam"
    known = FILTERS[camera.upper()]
    if text not in known:
        msg = f"filter={name!r} is not a filter of {camera}; known are {', '.join(known)}"
        raise ValueError(msg)
    return text


def check_broadening(broadening, default):
    """
    Return the sigma of the Gaussian that widens a PSF.

    Parameters
    ----------
    broadening : float or None
        Sigma from 0 to less than 1 [arcsec], or None.
    default : float
        Sigma that stands for None [arcsec].

    Returns
    -------
    float
        Sigma [arcsec].

    Raises
    ------
    ValueError
        If it is out of range.
    """
    sigma = default if broadening is None else float(broadening)
    if not (math.isfinite(sigma) and 0 <= sigma < 1):
        msg = f"broadening is a Gaussian sigma in arcsec, from 0 to less than 1; got {broadening}"
        raise ValueError(msg)
    return sigma


def check_jitter(jitter):
    """
    Return the sigma of the telescope's jitter.

    Parameters
    ----------
    jitter : float or None
        Sigma per axis, from 0 to less than 1000 [milliarcsec]; None for the telescope's own, 0.8.

    Returns
    -------
    float
        Sigma per axis [arcsec].

    Raises
    ------
    ValueError
        If it is out of range.
    """
    sigma = JITTER if jitter is None else float(jitter)
    if not (math.isfinite(sigma) and 0 <= sigma < 1000):
        msg = (
            "jitter is a Gaussian sigma per axis in milliarcsec, from 0 to less than 1000; got "
            f"{jitter}"
        )
        raise ValueError(msg)
    return sigma * 1e-3


def check_position(position, instrument):
    """
    Return a position on the detector of an imager.

    Parameters
    ----------
    position : sequence of int or None
        Column and row, counted from 0.
    instrument : `jwst_fusion.psf.instruments.Instrument`
        The instrument.

    Returns
    -------
    tuple of int or None
        Column and row; None if there is no position.

    Raises
    ------
    ValueError
        If it is not on the detector, or the instrument is an integral field unit.
    """
    if position is None:
        return None
    if instrument.detector_shape is None:
        msg = "position has no meaning for an integral field unit; leave it out"
        raise ValueError(msg)
    values = tuple(float(value) for value in position)
    columns, rows = instrument.detector_shape
    good = len(values) == 2 and all(
        0 <= v < side and v == int(v) for v, side in zip(values, (columns, rows), strict=False)
    )
    if not good:
        msg = (
            f"position must be column and row of a detector, whole numbers from 0 to "
            f"{columns - 1} and {rows - 1}; got {position}"
        )
        raise ValueError(msg)
    return int(values[0]), int(values[1])


def names_wavefront(text):
    """
    Return whether a text says which telescope wavefront to use.

    Parameters
    ----------
    text : str
        The text.

    Returns
    -------
    bool
        True for "none", a date (ISO format) or a file that exists.
    """
    plain = text.lower() == "none" or _DATE.fullmatch(text) is not None
    return plain or Path(text).expanduser().is_file()


def check_opd(opd, source):
    """
    Return the telescope wavefront to use.

    Parameters
    ----------
    opd : path-like, str or None
        FITS file, date (ISO format) or "none" for a telescope without wavefront error.
    source : str
        Source of the PSFs; only "webbpsf" takes a wavefront.

    Returns
    -------
    pathlib.Path, str or None
        Path of the wavefront map, "none", or None if nothing was asked for.

    Raises
    ------
    ValueError
        If the source takes no wavefront, or the date does not exist.
    FileNotFoundError
        If there is no such file, or no map near that date among the data files of STPSF.
    """
    if opd is None:
        return None
    if source != "webbpsf":
        msg = f"opd needs source='webbpsf' and the data files of STPSF; the source is {source!r}"
        raise ValueError(msg)
    text = str(opd)
    if text.lower() == "none":
        return "none"
    if _DATE.fullmatch(text):
        return webbpsf.wavefront_map_of_date(text)
    path = Path(opd).expanduser()
    if not path.is_file():
        msg = (
            f"opd={text!r} is neither a file that exists, nor a date such as 2023-05-01, nor 'none'"
        )
        raise FileNotFoundError(msg)
    return path.resolve()
