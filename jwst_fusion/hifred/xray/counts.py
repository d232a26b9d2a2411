"""
Count cubes in FITS files: counts, energies, sky coordinates, exposure, background.

Cubes are (channel, y, x), energies in keV and ascending.
"""

import logging
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

from jwst_fusion.hifred.xray.energy_grid import contiguous
from jwst_fusion.hifred.xray.fits_tables import (
    checked_seconds,
    column,
    existing_file,
    header_number,
    open_fits,
    unit_factor,
    unit_of,
)
from jwst_fusion.messages import warn

__all__ = ["CountCube", "CountGrid", "read_count_grid", "read_counts"]

log = logging.getLogger(__name__)

# Names that observatories give to axes (CTYPE) and exposure times.
_ENERGY_AXES = ("ENER", "ENERGY")
_CHANNEL_AXES = ("PI", "PHA", "CHANNEL", "CHAN")
_EXPOSURES = ("EXPOSURE", "LIVETIME", "ONTIME", "EXPTIME")
_DO_NOT_USE = 1  # bit of DQ
_MOST = 1e15  # counts; larger values are fill values
_ROUNDING = 1e-3  # counts; of values in single precision
# VIGNETTING relative to the ARF reaches this where the ARF is that of a mean pixel; larger values
# are in seconds.
_RELATIVE = 2.0


@dataclass(frozen=True)
class CountCube:
    """
    Counts of one telescope.

    Attributes
    ----------
    counts : ndarray (channel, y, x)
        Counts; zero where they are not `good`.
    good : ndarray of bool (channel, y, x)
        Voxels that may be used.
    energies : ndarray (channel + 1,) or None
        Nominal edges of the channels, keV; None if the file gives channel numbers only.
    first_channel : int or None
        Number of the first channel where the axis counts channels.
    wcs : `~astropy.wcs.WCS` or None
        Celestial WCS of the pixels.
    exposure : float or None
        Exposure time, s.
    background : ndarray (channel, y, x) or None
        Expected counts of the background.
    vignetting : ndarray (y, x) or (channel, y, x) or None
        Effective area relative to that of the ARF, such as that on the axis.
    name : str
        File name.
    path : `~pathlib.Path` or None
        The file.
    header : `~astropy.io.fits.Header`
        Keywords of the file that describe the observation.
    """

    counts: np.ndarray = field(repr=False)
    good: np.ndarray = field(repr=False)
    energies: np.ndarray | None = field(repr=False)
    first_channel: int | None = None
    wcs: WCS | None = field(default=None, repr=False)
    exposure: float | None = None
    background: np.ndarray | None = field(default=None, repr=False)
    vignetting: np.ndarray | None = field(default=None, repr=False)
    name: str = "the cube"
    path: Path | None = None
    header: fits.Header = field(default_factory=fits.Header, repr=False)

    @classmethod
    def from_arrays(cls, counts, energies, **attributes):
        """
        Make a cube from arrays.

        Parameters
        ----------
        counts : array_like (channel, y, x)
            Counts; NaN and infinite values are not used.
        energies : array_like (channel + 1,)
            Edges of the channels, keV, ascending.
        **attributes
            Attributes of the class, as ``exposure=1e5``.

        Returns
        -------
        CountCube
            The cube.

        Raises
        ------
        ValueError
            If shapes disagree, counts are negative or energies do not rise.
        """
        name = attributes.get("name", "the cube")
        counts, good = _counts(np.array(counts, dtype=float), None, name)
        energies = np.asarray(energies, dtype=float)
        if energies.shape != (len(counts) + 1,) or not (np.diff(energies) > 0).all():
            msg = f"{name} needs {len(counts) + 1} rising edges of its energies (keV)"
            raise ValueError(msg)
        return cls(counts, good, energies, **attributes)

    def cropped(self, window):
        """
        Return a part of the field.

        Parameters
        ----------
        window : tuple of slice
            Rows and columns.

        Returns
        -------
        CountCube
            The smaller cube.
        """
        part = (slice(None), *window)
        images = {
            name: None if image is None else image[(..., *window)]
            for name, image in (("background", self.background), ("vignetting", self.vignetting))
        }
        wcs = None if self.wcs is None else self.wcs[window]
        return replace(self, counts=self.counts[part], good=self.good[part], wcs=wcs, **images)

    @property
    def pixel_scale(self):
        """Side of a pixel, arcsec; None without sky coordinates."""
        if self.wcs is None:
            return None
        return float(np.sqrt(abs(np.linalg.det(self.wcs.pixel_scale_matrix)))) * 3600


@dataclass(frozen=True)
class CountGrid:
    """
    What the headers of a count cube say.

    Attributes
    ----------
    shape : tuple of int
        Channels and pixels (channel, y, x).
    energies : ndarray (channel + 1,) or None
        Edges of the channels, keV; None if the file gives channel numbers only.
    wcs : `~astropy.wcs.WCS` or None
        Celestial WCS of the pixels.
    header : `~astropy.io.fits.Header`
        Keywords of the primary header, and those of the image.
    """

    shape: tuple
    energies: np.ndarray | None
    wcs: WCS | None
    header: fits.Header


def read_count_grid(path):
    """
    Read what the headers of a count cube say, without its counts.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        FITS file, as for `read_counts`.

    Returns
    -------
    CountGrid
        Channels, pixels and header.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If it is no cube of counts.
    """
    path = existing_file(path, "count cube")
    with open_fits(path, "count cube") as hdus:
        image = _image(hdus, path)
        header = image.header
        unit = str(header.get("BUNIT", "")).strip().lower()
        if unit and not unit.startswith(("count", "ct")):
            msg = f"{path} is in {header['BUNIT']}, not in counts"
            raise ValueError(msg)
        axis, kind = _spectral_axis(header, path)
        sizes = [header[f"NAXIS{number}"] for number in (3, 2, 1) if number != axis]
        count = header[f"NAXIS{axis}"]
        energies, _, _ = _energies(hdus, header, axis, kind, count, path)
        kept = hdus[0].header.copy(strip=True) if image is not hdus[0] else fits.Header()
        kept.extend(header.copy(strip=True), unique=True)
        return CountGrid((count, *sizes), energies, _celestial(header, axis), kept)


def read_counts(path):
    """
    Read a cube of counts.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        FITS file with a three-dimensional image: in the extension COUNTS or SCI, else in the
        primary one, else the first. One axis has CTYPE ENER (with CUNIT eV, keV, ...) or counts
        channels (CTYPE PI, PHA or CHANNEL); the other two are on the sky or have no CTYPE. A table
        EBOUNDS with E_MIN and E_MAX takes the place of a linear energy axis. Extensions DQ (bit 1:
        do not use), BACKGROUND (expected counts) and VIGNETTING (relative area, or an exposure map
        with BUNIT s, which is divided by the exposure) are used where they are present; the
        exposure time is EXPOSURE, LIVETIME, ONTIME or EXPTIME.

    Returns
    -------
    CountCube
        The cube, its energies ascending.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If it cannot be read as a cube of counts.
    """
    path = existing_file(path, "count cube")
    with open_fits(path, "count cube") as hdus:
        image = _image(hdus, path)
        data = _read_image(image, path)
        header = image.header
        axis, kind = _spectral_axis(header, path)
        # Axes of FITS are in reverse order.
        order = [data.ndim - axis, *(d for d in range(3) if d != data.ndim - axis)]
        data = np.transpose(data, order)
        extras = {
            name: _extra(hdus, name, image, order, data.shape, path)
            for name in ("DQ", "BACKGROUND", "VIGNETTING")
        }
        energies, first, reverse = _energies(hdus, header, axis, kind, len(data), path)
        exposure = _exposure((hdus[0].header, header), path)
        if extras["VIGNETTING"] is not None:
            unit = str(hdus["VIGNETTING"].header.get("BUNIT", "")).strip()
            extras["VIGNETTING"] = _relative(extras["VIGNETTING"], unit, exposure, path)
        wcs = _celestial(header, axis)
        kept = hdus[0].header.copy(strip=True) if image is not hdus[0] else fits.Header()
        kept.extend(header.copy(strip=True), unique=True)
    if reverse:
        data = data[::-1]
        extras = {k: v[::-1] if v is not None and v.ndim == 3 else v for k, v in extras.items()}
    counts, good = _counts(np.array(data, dtype=float), extras["DQ"], path.name)
    for name in ("BACKGROUND", "VIGNETTING"):
        extra = extras[name]
        if extra is not None and not (np.isfinite(extra) & (extra >= 0)).all():
            msg = f"{path}: {name} has values that are negative or not finite"
            raise ValueError(msg)
    return CountCube(
        counts=counts,
        good=good,
        energies=energies,
        first_channel=first,
        wcs=wcs,
        exposure=exposure,
        background=extras["BACKGROUND"],
        vignetting=extras["VIGNETTING"],
        name=path.name,
        path=path,
        header=kept,
    )


def _image(hdus, path):
    cubes = [hdu for hdu in hdus if hdu.is_image and hdu.header["NAXIS"] == 3]
    if not cubes:
        msg = f"{path} is not a count cube: it has no three-dimensional image"
        raise ValueError(msg)
    return next((hdu for hdu in cubes if hdu.name in ("COUNTS", "SCI")), cubes[0])


def _read_image(hdu, path):
    """Data of an extension; if the file is cut off, an error says so."""
    try:
        return np.asarray(hdu.data)
    except (OSError, ValueError, TypeError) as error:
        msg = f"{path} is truncated or damaged in its extension {hdu.name or 'PRIMARY'}: {error}"
        raise ValueError(msg) from error


def _spectral_axis(header, path):
    types = {axis: str(header.get(f"CTYPE{axis}", "")).upper().split("-")[0] for axis in (1, 2, 3)}
    for axis, text in types.items():
        if text in _ENERGY_AXES:
            return axis, "energy"
    for axis, text in types.items():
        if text in _CHANNEL_AXES:
            return axis, "channel"
    found = ", ".join(f"CTYPE{axis} = {text!r}" for axis, text in types.items())
    msg = (
        f"{path} does not say which axis is energy ({found}): set CTYPE to ENER with CUNIT keV or "
        "eV, or to PI and give an RMF"
    )
    raise ValueError(msg)


def _extra(hdus, name, image, order, shape, path):
    if name not in hdus or hdus[name] is image:
        return None
    array = _read_image(hdus[name], path)
    if name == "VIGNETTING" and array.ndim == 2:
        rows_first = order[1:] == sorted(order[1:])
        array = array if rows_first else array.T
        if array.shape == shape[1:]:
            return array.astype(float)
    elif array.ndim == 3 and np.transpose(array, order).shape == shape:
        return np.transpose(array, order)
    msg = f"{path} has extension {name} of shape {array.shape}, which does not fit the counts"
    raise ValueError(msg)


def _energies(hdus, header, axis, kind, count, path):
    """Edges (ascending) or None, number of the first channel or None, whether to reverse."""

    def number(key, default):
        return header_number(header, f"{key}{axis}", path, default=default)

    start, step = number("CRVAL", 1.0), number("CDELT", None)
    if step is None:
        step = number(f"CD{axis}_", 1.0)
    else:
        step *= number(f"PC{axis}_", 1.0)
    centres = start + (np.arange(count) + 1 - number("CRPIX", 1.0)) * step
    if "EBOUNDS" in hdus:
        table = hdus["EBOUNDS"]
        factor = unit_factor(table, "E_MIN", u.keV, path)
        low, high = (np.asarray(column(table, n, path), float) * factor for n in ("E_MIN", "E_MAX"))
        if low.size != count:
            msg = f"{path} has {count} channels, but {low.size} rows in its table EBOUNDS"
            raise ValueError(msg)
        reverse = count > 1 and low[1] < low[0]
        order = slice(None, None, -1 if reverse else 1)
        return contiguous(low[order], high[order], f"EBOUNDS of {path}"), None, reverse
    if kind == "channel" and str(header.get(f"CUNIT{axis}", "")).strip().lower() in ("ev", "kev"):
        kind = "energy"  # as PI of XMM-Newton, which is in eV
    if kind == "channel":
        if step != 1 or abs(centres[0] - round(centres[0])) > 1e-6:
            msg = f"{path}: its channel axis does not count single channels (CDELT{axis} = {step})"
            raise ValueError(msg)
        return None, round(centres[0]), False
    text = str(header.get(f"CUNIT{axis}", "")).strip()
    try:
        factor = unit_of(text).to(u.keV)
    except (ValueError, u.UnitConversionError) as error:
        msg = f"{path} has energies in {text!r}: set CUNIT{axis} to keV or eV"
        raise ValueError(msg) from error
    if step == 0 or not np.isfinite([start, step]).all():
        msg = f"{path}: its energy axis has CRVAL{axis} = {start} and CDELT{axis} = {step}"
        raise ValueError(msg)
    edges = np.append(centres - 0.5 * step, centres[-1] + 0.5 * step) * factor
    edges = edges[::-1] if step < 0 else edges
    if edges[0] < -1e-9:
        msg = f"{path}: its energies start at {edges[0]:.4g} keV, which is negative"
        raise ValueError(msg)
    return edges, None, step < 0


def _exposure(headers, path):
    for header in headers:
        for key in _EXPOSURES:
            value = header_number(header, key, path)
            if value is None:
                continue
            return checked_seconds(value, f"{path} has {key} =")
    return None


def _relative(image, unit, exposure, path):
    """VIGNETTING as an area relative to that of the ARF, from a map that may be in seconds."""
    try:
        seconds = unit_of(unit).to(u.s) if unit else None
    except (ValueError, u.UnitConversionError):
        seconds = None
    if seconds is not None and exposure is not None:
        return image * (seconds / exposure)
    top = float(np.nanmax(image))
    if top <= _RELATIVE:
        return image
    msg = (
        f"{path} has VIGNETTING up to {top:.6g}: expected the area relative to that of the ARF; "
        "for an exposure map in seconds set its BUNIT to s and EXPOSURE to the exposure time"
    )
    raise ValueError(msg)


def _celestial(header, axis):
    kept = [other for other in (1, 2, 3) if other != axis]
    with warnings.catch_warnings():
        # Headers of X-ray observatories have dates in old formats.
        warnings.simplefilter("ignore", FITSFixedWarning)
        wcs = WCS(header, naxis=3).sub(kept)
        if not wcs.has_celestial or wcs.naxis != 2:
            return None
    return wcs


def _counts(data, flags, name):
    if data.ndim != 3 or 0 in data.shape:
        msg = f"{name} must be a cube (channel, y, x), got shape {data.shape}"
        raise ValueError(msg)
    good = np.isfinite(data) & (np.abs(data) < _MOST)
    lost = data.size - np.count_nonzero(good)
    if lost:
        warn(log, "%s: %d voxels that are not finite are not used", name, lost)
    if flags is not None:
        good &= (flags.astype(np.int64) & _DO_NOT_USE) == 0
    data[~good] = 0.0
    negative = np.count_nonzero(data < 0)
    if negative:
        msg = (
            f"{name} has {negative} negative voxels: counts are needed, with the background in "
            "the extension BACKGROUND instead of subtracted"
        )
        raise ValueError(msg)
    broken = np.count_nonzero(np.abs(data - np.round(data)) > _ROUNDING)
    if broken:
        warn(
            log,
            "%s: %d of %d voxels are no whole numbers: counts are needed, not rates or counts that "
            "were corrected or resampled",
            name,
            broken,
            data.size,
        )
    return data, good
