"""Event lists of X-ray telescopes (FITS): positions on the sky, channels, exposure."""

import logging
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

from jwst_fusion.hifred.xray.cameras import camera_of
from jwst_fusion.hifred.xray.event_selection import (
    good_times,
    inside_times,
    read_good_times,
    selected,
)
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
from jwst_fusion.hifred.xray.ogip import read_ebounds
from jwst_fusion.messages import warn

__all__ = ["EventList", "read_events"]

log = logging.getLogger(__name__)

_EXPOSURES = ("EXPOSURE", "LIVETIME", "ONTIME", "EXPTIME")
_EVENTS = ("EVENTS", "EVENT", "EVT")
_SAME_TIME = 0.99  # part of the exposure that good times must have to be those it was made of
# Keywords that say which observation it is; they go on to the cube.
_KEPT = ("TELESCOP", "INSTRUME", "FILTER", "OBS_ID", "OBJECT", "DATE-OBS", "DATE-END", "PA_NOM")


@dataclass(frozen=True)
class EventList:
    """
    Events that were selected.

    Attributes
    ----------
    x, y : ndarray (event,)
        Sky pixels, counted from 1.
    channel : ndarray of int (event,)
        Index of the channel, from 0; -1 beyond the channels.
    edges : ndarray (channel + 1,)
        Edges of the channels, keV.
    wcs : `~astropy.wcs.WCS`
        Sky coordinates of the pixels.
    exposure : float
        Exposure time, s.
    name : str
        File name.
    steps : list of tuple (str, int)
        What was selected, and how many events were left.
    header : `~astropy.io.fits.Header`
        Keywords of the observation.
    """

    x: np.ndarray = field(repr=False)
    y: np.ndarray = field(repr=False)
    channel: np.ndarray = field(repr=False)
    edges: np.ndarray = field(repr=False)
    wcs: WCS = field(repr=False)
    exposure: float
    name: str
    steps: list
    header: fits.Header = field(repr=False)


def read_events(path, *, rmf=None, keep=None, standard=True, gti=None, exposure=None):
    """
    Read an event list and select events.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        FITS file with a table EVENTS. Columns, in any case: X and Y with sky coordinates (TCTYPn,
        TCRVLn and so on; REFXCTYP and so on), PI or ENERGY, TIME. Tables of good times are applied.
    rmf : str or `~pathlib.Path`, optional
        Redistribution matrix whose EBOUNDS tells the energies of the channels. By default they are
        the nominal ones of EPIC, ACIS, Resolve and Xtend.
    keep : dict of str to str, optional
        Values to take by column, as ``{"PATTERN": "0-4"}``; they go before the usual ones.
    standard : bool
        Whether the usual selection of the camera is made: PATTERN and FLAG of EPIC, GRADE of ACIS
        and Xtend, ITYPE of Resolve.
    gti : str or `~pathlib.Path`, optional
        File of further good times; the exposure is reduced accordingly.
    exposure : float, optional
        Exposure time, s, in place of that in the file.

    Returns
    -------
    EventList
        The events.

    Raises
    ------
    FileNotFoundError
        If a file does not exist.
    ValueError
        If it is no event list, has no sky coordinates, energies or exposure, or a selection cannot
        be made.
    """
    path = existing_file(path, "event list")
    with open_fits(path, "event list") as hdus:
        found = tables_of(hdus, _EVENTS, ("EVENTS",), path, "the event list")
        if not found:
            names = ", ".join(hdu.name or "?" for hdu in hdus)
            msg = f"{path} is no event list: it has no table EVENTS, only {names}"
            raise ValueError(msg)
        table = found[0]
        header = hdus[0].header.copy(strip=True)
        header.extend(table.header.copy(strip=True), unique=True, update=True)
        camera = camera_of(header)
        steps = [("events in the file", len(table.data))]
        taken = np.ones(len(table.data), bool)
        wanted = dict(camera.keep) if camera is not None and standard else {}
        given = {name.upper(): values for name, values in (keep or {}).items()}
        for name, values in {**wanted, **given}.items():
            if name not in given and column_name(table, name) is None:
                warn(log, "%s has no column %s: events are not selected by it", path.name, name)
                continue
            taken &= selected(table, name, values, path)
            steps.append((f"with {name} = {values}", np.count_nonzero(taken)))
        times, exposure = _times(hdus, table, header, gti, exposure, path)
        if times is not None and column_name(table, "TIME") is not None:
            taken &= inside_times(np.asarray(column(table, "TIME", path), float), times)
            steps.append(("within the good times", np.count_nonzero(taken)))
        wcs, x, y = _sky(table, path)
        edges, channel = _channels(table, camera, rmf, path)
    kept = fits.Header([(key, header[key]) for key in _KEPT if key in header])
    return EventList(
        x[taken], y[taken], channel[taken], edges, wcs, exposure, path.name, steps, kept
    )


def _times(hdus, table, header, gti, given, path):
    """Good times, or None, and the exposure that belongs to them."""
    own = good_times(hdus)
    exposure = given
    for key in _EXPOSURES if given is None else ():
        exposure = header_number(header, key, path)
        if exposure is not None:
            break
    if exposure is None or exposure <= 0:
        msg = (
            f"{path} has no exposure time ({', '.join(_EXPOSURES)}) above zero: give it (exposure)"
        )
        raise ValueError(msg)
    if given is None:
        exposure = checked_seconds(exposure, f"{path} has {key} =")
    if own is not None and given is None:
        lasting = float(np.diff(own).sum())
        ontime = header_number(header, "ONTIME", path, default=exposure)
        if lasting < _SAME_TIME * ontime:
            exposure *= lasting / ontime
            warn(
                log,
                "%s: its good times last %.6g s of %.6g s (ONTIME); the exposure is reduced to "
                "%.6g s",
                path.name,
                lasting,
                ontime,
                exposure,
            )
    if gti is None:
        return own, exposure
    if column_name(table, "TIME") is None:
        msg = f"{path} has no column TIME, by which good times could be applied"
        raise ValueError(msg)
    more = read_good_times(gti)
    if own is None and given is None:
        msg = f"{path} has no good times of its own: give the exposure that is left with {gti}"
        raise ValueError(msg)
    if own is None:
        return more, exposure
    both = _common(own, more)
    if not both.size:
        msg = f"{gti} has no times in common with the good times of {path}"
        raise ValueError(msg)
    part = 1.0 if given is not None else np.diff(both).sum() / np.diff(own).sum()
    return both, float(exposure * part)


def _common(first, second):
    low = np.maximum(first[:, None, 0], second[None, :, 0])
    high = np.minimum(first[:, None, 1], second[None, :, 1])
    held = low < high
    both = np.stack([low[held], high[held]], axis=1)
    return both[np.argsort(both[:, 0])]


def _sky(table, path):
    """Sky coordinates of pixels, and the pixels of all events."""
    names = [column_name(table, name) for name in ("X", "Y")]
    if None in names:
        types = {
            str(table.header.get(f"TCTYP{i + 1}", "")).upper()[:4]: name
            for i, name in enumerate(table.columns.names)
        }
        for one, two in (("RA--", "DEC-"), ("GLON", "GLAT")):
            if one in types and two in types:
                names = [types[one], types[two]]
    if None in names:
        msg = f"{path} has no columns X and Y with sky coordinates (TCTYPn RA and DEC)"
        raise ValueError(msg)
    axes = [table.columns.names.index(name) + 1 for name in names]
    header = table.header
    if f"TCTYP{axes[0]}" in header:
        with warnings.catch_warnings():
            # dates of observatories in old formats
            warnings.simplefilter("ignore", FITSFixedWarning)
            wcs = WCS(header, keysel=["pixel"], colsel=axes)
    elif "REFXCTYP" in header:
        wcs = WCS(naxis=2)
        for key, part in (
            ("CTYP", "ctype"),
            ("CRVL", "crval"),
            ("CRPX", "crpix"),
            ("CDLT", "cdelt"),
        ):
            setattr(wcs.wcs, part, [header[f"REF{axis}{key}"] for axis in "XY"])
        wcs.wcs.set()
    else:
        wcs = WCS(naxis=2)
    if not wcs.has_celestial:
        msg = (
            f"{path}: its columns {names[0]} and {names[1]} have no sky coordinates "
            f"(TCTYP{axes[0]}, TCRPX{axes[0]}, TCRVL{axes[0]}, TCDLT{axes[0]}): reproject them"
        )
        raise ValueError(msg)
    places = []
    for name, axis in zip(names, axes, strict=True):
        values = np.asarray(table.data[name], float)
        low, high = (
            header_number(header, f"{key}{axis}", path, default=default)
            for key, default in (("TLMIN", -np.inf), ("TLMAX", np.inf))
        )
        # events without a position have values beyond the limits
        places.append(np.where((values >= low) & (values <= high), values, np.nan))
    return wcs, *places


def _channels(table, camera, rmf, path):
    """Edges of the channels, keV, and the index of the channel of each event."""
    if rmf is not None:
        edges, first = read_ebounds(rmf)
    elif camera is not None:
        edges, first = camera.edges, camera.first
    else:
        telescope, instrument = (table.header.get(k, "?") for k in ("TELESCOP", "INSTRUME"))
        msg = (
            f"{path} is of {telescope} {instrument}, whose channels are not known: give the RMF "
            "(rmf), whose EBOUNDS has their energies"
        )
        raise ValueError(msg)
    pi = column_name(table, "PI")
    name = pi or column_name(table, "ENERGY")
    if name is None:
        msg = f"{path} has neither a column PI nor ENERGY, from which energies could be told"
        raise ValueError(msg)
    values = np.asarray(table.data[name], float)
    unit = table.columns[name].unit
    in_ev = pi is not None and camera is not None and camera.in_ev
    factor = 1e-3 if in_ev else _energy_unit(unit)
    if pi is None and factor is None:
        msg = f"{path} has energies in {unit!r}: expected eV or keV"
        raise ValueError(msg)
    if factor is not None:
        # whole numbers of eV stand for the eV that begins there
        middle = 0.5 * factor if pi is not None else 0.0
        index = np.searchsorted(edges, values * factor + middle, side="right") - 1
    else:
        index = np.where(np.isfinite(values), values, -1).astype(int) - first
        _check_energies(table, edges, index, path)
    return edges, np.where((index >= 0) & (index < edges.size - 1), index, -1)


def _energy_unit(text):
    """Factor from a unit to keV; None if it is none of energy."""
    try:
        return float(unit_of(text or "").to(u.keV))
    except (ValueError, u.UnitConversionError):
        return None


def _check_energies(table, edges, index, path):
    """Warn if channels do not have the energies that the list itself gives."""
    name = column_name(table, "ENERGY")
    factor = None if name is None else _energy_unit(table.columns[name].unit)
    inside = (index > 0) & (index < edges.size - 2)
    if factor is None or not inside.any():
        return
    middle = 0.5 * (edges[1:] + edges[:-1])[index[inside]]
    away = np.median(np.asarray(table.data[name], float)[inside] * factor - middle)
    width = np.median(np.diff(edges))
    if abs(away) > width:
        warn(
            log,
            "%s: its column ENERGY lies %.3g keV from the energies of its channels (PI): is the "
            "RMF that of this camera?",
            Path(path).name,
            away,
        )
