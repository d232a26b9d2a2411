"""Count cubes from event lists: binned on the sky and in energy, with exposure and background."""

import logging
import warnings
from dataclasses import dataclass

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS, FITSFixedWarning
from scipy.ndimage import map_coordinates

from jwst_fusion.hifred.xray.fits_tables import (
    checked_seconds,
    column,
    column_name,
    existing_file,
    header_number,
    open_fits,
    tables_of,
    unit_of,
)
from jwst_fusion.messages import warn

__all__ = ["Grid", "bin_events", "event_channels", "read_exposure_map", "spectrum_background"]

log = logging.getLogger(__name__)

_MOST_VOXELS = 3e8  # 1.2 GB as 32-bit integers
_POINTS = 3  # along each side of a pixel, at which exposure maps are read
# Exposure maps without a unit are relative up to this value: areas relative to a mean reach it.
_RELATIVE = 2.0
_ON_AXIS = 1.05  # largest value of a map in seconds, in units of the exposure


@dataclass(frozen=True)
class Grid:
    """
    Pixels on the sky, in a tangential projection.

    Attributes
    ----------
    wcs : `~astropy.wcs.WCS`
        Celestial WCS.
    shape : tuple of int
        Numbers of pixels (y, x).
    """

    wcs: WCS
    shape: tuple

    @classmethod
    def of_events(cls, events, pixel, *, centre=None, size=None, angle=0.0):
        """
        Lay a grid over events.

        Parameters
        ----------
        events : `~jwst_fusion.hifred.xray.events.EventList`
            The events.
        pixel : float
            Side of a pixel, arcsec.
        centre : tuple of float, optional
            Right ascension and declination, degrees; by default the middle of the events.
        size : tuple of float, optional
            Width and height, arcsec; by default all events lie on the grid.
        angle : float
            Position angle of the y axis, degrees from north to east.

        Returns
        -------
        Grid
            The grid.

        Raises
        ------
        ValueError
            If `pixel`, `size` or `centre` are none, or there are no events to lay it over.
        """
        if not (np.isfinite(pixel) and pixel > 0):
            msg = f"pixel is {pixel}: expected a width above 0 arcsec"
            raise ValueError(msg)
        if size is not None and not all(np.isfinite(one) and one >= pixel for one in size):
            msg = f"size is {size}: expected a width and a height of at least a pixel, arcsec"
            raise ValueError(msg)
        if centre is not None and not (0 <= centre[0] <= 360 and -90 <= centre[1] <= 90):
            msg = f"centre is {centre}: expected right ascension and declination, degrees"
            raise ValueError(msg)
        placed = np.isfinite(events.x) & np.isfinite(events.y)
        if (centre is None or size is None) and not placed.any():
            msg = f"{events.name}: no event with a position is left; give centre and size"
            raise ValueError(msg)
        if centre is None:
            middle = [0.5 * (v[placed].min() + v[placed].max()) for v in (events.x, events.y)]
            centre = events.wcs.wcs_pix2world([middle], 1)[0]
        else:
            position = SkyCoord(*centre, unit="deg")
            centre = [one.value for one in _of_frame(events.wcs, position)]
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = [f"{name[:5]}TAN" for name in events.wcs.wcs.ctype]
        wcs.wcs.crval = centre
        wcs.wcs.crpix = [0.5, 0.5]
        wcs.wcs.cdelt = [-pixel / 3600, pixel / 3600]
        turn = np.deg2rad(angle)
        wcs.wcs.pc = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
        if events.wcs.wcs.radesys:
            wcs.wcs.radesys = events.wcs.wcs.radesys
        wcs.wcs.set()
        if size is None:
            column_, row = _pixels(events, wcs)
            reach = [np.nanmax(np.abs(part)) for part in (row, column_)]
            shape = tuple(2 * int(np.floor(one + 0.5)) + 2 for one in reach)
        else:
            shape = tuple(max(1, round(one / pixel)) for one in size[::-1])
        wcs.wcs.crpix = [0.5 * (shape[1] + 1), 0.5 * (shape[0] + 1)]
        wcs.wcs.set()
        return cls(wcs, shape)


def event_channels(edges, energy, group=1):
    """
    Choose the channels within a range of energies.

    Parameters
    ----------
    edges : ndarray (n + 1,)
        Edges of the channels, keV.
    energy : tuple of float
        Lowest and highest energy, keV.
    group : int
        Number of channels that are summed to one.

    Returns
    -------
    first : int
        Index of the first channel.
    edges : ndarray (m + 1,)
        Edges of the summed channels, keV.

    Raises
    ------
    ValueError
        If there are fewer than two.
    """
    if not energy[0] < energy[1]:
        msg = f"energy is {energy[0]:g} to {energy[1]:g} keV: the second must be larger"
        raise ValueError(msg)
    if group < 1:
        msg = f"group is {group}: expected the number of channels to sum, at least 1"
        raise ValueError(msg)
    close = 1e-6 * edges[-1]
    inside = np.flatnonzero((edges[:-1] >= energy[0] - close) & (edges[1:] <= energy[1] + close))
    count = inside.size // group
    if count < 2:
        width = float(np.median(np.diff(edges)))
        msg = (
            f"energy {energy[0]:g} to {energy[1]:g} keV holds {inside.size} channels of "
            f"{1e3 * width:.4g} eV, fewer than two groups of {group}; the channels reach from "
            f"{edges[0]:.4g} to {edges[-1]:.4g} keV"
        )
        raise ValueError(msg)
    first = int(inside[0])
    return first, edges[first : first + count * group + 1 : group]


def bin_events(events, grid, energy, group=1):
    """
    Bin events to a cube of counts.

    Parameters
    ----------
    events : `~jwst_fusion.hifred.xray.events.EventList`
        The events.
    grid : Grid
        Pixels on the sky.
    energy : tuple of float
        Lowest and highest energy, keV.
    group : int
        Number of channels that are summed to one.

    Returns
    -------
    counts : ndarray of int32 (channel, y, x)
        Counts.
    edges : ndarray (channel + 1,)
        Edges of the channels, keV.

    Raises
    ------
    ValueError
        If no event is left, with what was lost where; or the cube would be too large.
    """
    first, edges = event_channels(events.edges, energy, group)
    shape = (edges.size - 1, *grid.shape)
    if np.prod(shape, dtype=float) > _MOST_VOXELS:
        msg = (
            f"{events.name} would become a cube of {shape[0]} x {shape[1]} x {shape[2]} voxels: "
            "give a smaller size, larger pixels, fewer energies, or a larger group"
        )
        raise ValueError(msg)
    channel = np.where(events.channel >= 0, (events.channel - first) // group, -1)
    steps = list(events.steps)
    taken = (channel >= 0) & (channel < shape[0])
    steps.append((f"of {edges[0]:.4g} to {edges[-1]:.4g} keV", np.count_nonzero(taken)))
    x, y = _pixels(events, grid.wcs)
    inside = (x > -0.5) & (x < shape[2] - 0.5) & (y > -0.5) & (y < shape[1] - 0.5)
    taken &= inside
    steps.append(("on the field", np.count_nonzero(taken)))
    said = ", ".join(f"{count} {what}" for what, count in steps)
    if not taken.any():
        msg = (
            f"{events.name}: no event is left of {said}; its channels reach from "
            f"{events.edges[0]:.4g} to {events.edges[-1]:.4g} keV: look at the energies, the field "
            "and the selection"
        )
        raise ValueError(msg)
    log.info("%s: %s", events.name, said)
    counts = np.zeros(shape, np.int32)
    column_, row = (np.floor(part[taken] + 0.5).astype(int) for part in (x, y))
    np.add.at(counts, (channel[taken], row, column_), 1)
    return counts, edges


def read_exposure_map(path, grid, exposure):
    """
    Read an exposure map as the effective area relative to that of the whole exposure.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        FITS image with a celestial WCS: in seconds (BUNIT s), in cm2 s, or relative.
    grid : Grid
        Pixels on the sky.
    exposure : float
        Exposure time, s.

    Returns
    -------
    ndarray (y, x)
        Relative area, the mean over each pixel; zero beyond the map. Maps in seconds are divided by
        the exposure, those in cm2 s by their largest value.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If it is no such image, or its values are none of these.
    """
    path = existing_file(path, "exposure map")
    with open_fits(path, "exposure map") as hdus:
        image = next((hdu for hdu in hdus if hdu.is_image and hdu.header["NAXIS"] == 2), None)
        if image is None:
            msg = f"the exposure map {path} has no image"
            raise ValueError(msg)
        data = np.asarray(image.data, float)
        text = str(image.header.get("BUNIT", "")).strip()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)
            wcs = WCS(image.header)
    if not wcs.has_celestial:
        msg = f"the exposure map {path} has no sky coordinates"
        raise ValueError(msg)
    data = np.where(np.isfinite(data), data, 0.0)
    if data.min() < 0 or not data.any():
        msg = f"the exposure map {path} has negative values, or none but zero"
        raise ValueError(msg)
    data = data / _map_scale(data, text, exposure, path)
    steps = (np.arange(_POINTS) + 0.5) / _POINTS - 0.5
    row, column_ = np.indices(grid.shape)
    total = np.zeros(grid.shape)
    for down in steps:
        for right in steps:
            sky = grid.wcs.pixel_to_world((column_ + right).ravel(), (row + down).ravel())
            x, y = wcs.celestial.world_to_pixel(sky)
            found = map_coordinates(data, [y, x], order=1, mode="constant")
            total += found.reshape(grid.shape)
    return total / _POINTS**2


def spectrum_background(path, edges, shape, exposure, scale=None):
    """
    Expected background from the spectrum of a whole field, spread evenly over the pixels.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        Spectrum (OGIP, type I) with CHANNEL and COUNTS or RATE.
    edges : tuple
        Edges of all channels of the spectrum, keV, number of the first, and edges of the cube's.
    shape : tuple of int
        Shape (channel, y, x) of the cube.
    exposure : float
        Exposure time of the cube, s.
    scale : float, optional
        Factor from the counts of the spectrum to those of the cube; by default the ratio of the
        exposures.

    Returns
    -------
    ndarray (channel, y, x)
        Expected counts.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If it is no spectrum, or has no counts at these energies.
    """
    path = existing_file(path, "background")
    channels, first, wanted = edges
    with open_fits(path, "background") as hdus:
        found = tables_of(hdus, ("SPECTRUM",), ("SPECTRUM",), path, "the background")
        if not found:
            names = ", ".join(hdu.name or "?" for hdu in hdus)
            msg = f"the background {path} has neither EVENTS nor SPECTRUM, only {names}"
            raise ValueError(msg)
        table = found[0]
        number = np.asarray(column(table, "CHANNEL", path), int) - first
        lasting = header_number(table.header, "EXPOSURE", path)
        lasting = checked_seconds(lasting or None, f"{path} has EXPOSURE =")
        if column_name(table, "COUNTS") is not None:
            counts = np.asarray(column(table, "COUNTS", path), float)
            if scale is None and not lasting:
                msg = f"the background {path} has no EXPOSURE: give its scale"
                raise ValueError(msg)
            counts = counts * (exposure / lasting if scale is None else scale)
        else:
            counts = np.asarray(column(table, "RATE", path), float) * exposure * (scale or 1.0)
    inside = (number >= 0) & (number < channels.size - 1)
    if not np.isfinite(counts).all() or (counts < 0).any():
        msg = f"the background {path} has counts that are negative or not finite"
        raise ValueError(msg)
    middle = 0.5 * (channels[1:] + channels[:-1])
    spectrum, _ = np.histogram(middle[number[inside]], wanted, weights=counts[inside])
    if not spectrum.any():
        msg = f"the background {path} has no counts from {wanted[0]:.4g} to {wanted[-1]:.4g} keV"
        raise ValueError(msg)
    pixels = shape[1] * shape[2]
    return np.broadcast_to((spectrum / pixels)[:, None, None], shape).copy()


def _map_scale(data, text, exposure, path):
    """What an exposure map is divided by to be relative."""
    top = data.max()
    unit = None
    if text:
        try:
            unit = unit_of(text)
        except ValueError:
            warn(log, "The exposure map %s has the unit %r, which is not known", path.name, text)
    if unit is not None and unit.is_equivalent(u.s):
        part = top * unit.to(u.s) / exposure
        if part > _ON_AXIS:
            msg = (
                f"the exposure map {path} has values up to {top * unit.to(u.s):.6g} s, more than "
                f"the exposure of {exposure:.6g} s: give that of the same observation"
            )
            raise ValueError(msg)
        return exposure / unit.to(u.s)
    if unit is not None and unit.is_equivalent(u.cm**2 * u.s):
        warn(
            log,
            "The exposure map %s is in %s: taken relative to its largest value, which must be that "
            "of the ARF",
            path.name,
            text,
        )
        return top
    if top <= _RELATIVE:
        return 1.0
    msg = (
        f"the exposure map {path} has values up to {top:.6g} and no unit that says whether they "
        "are seconds: set BUNIT to s, or divide it by its value on the axis"
    )
    raise ValueError(msg)


def _of_frame(wcs, position):
    """Coordinates of a position in the frame of a WCS."""
    if wcs.wcs.ctype[0].startswith("GLON"):
        return position.galactic.l, position.galactic.b
    return position.ra, position.dec


def _pixels(events, wcs):
    """Places of events on the pixels of a WCS, counted from 0."""
    sky = events.wcs.wcs_pix2world(np.stack([events.x, events.y], axis=1), 1)
    placed = np.isfinite(sky).all(axis=1)
    found = np.full(sky.shape, np.nan)
    if placed.any():
        found[placed] = wcs.wcs_world2pix(sky[placed], 0)
    return found.T
