"""Which events of a list are taken: values of columns, and good times."""

import numpy as np
from astropy.io import fits

from jwst_fusion.hifred.xray.fits_tables import column, column_name, existing_file, open_fits

__all__ = ["good_times", "inside_times", "parse_values", "read_good_times", "selected"]


def parse_values(text):
    """
    Read a list of values and ranges.

    Parameters
    ----------
    text : str
        As ``0-4`` or ``0,2-4,6``.

    Returns
    -------
    list of tuple of float
        Lowest and highest value of each range, both included.

    Raises
    ------
    ValueError
        If it is none.
    """
    found = []
    for part in text.split(","):
        low, _, high = part.strip().partition("-")
        try:
            pair = float(low), float(high or low)
        except ValueError:
            pair = 1.0, 0.0
        if pair[0] > pair[1]:
            msg = f"{text!r} is no list of values: expected numbers and ranges, as 0,2-4,6"
            raise ValueError(msg)
        found.append(pair)
    return found


def selected(table, name, text, path):
    """
    Tell which events have one of the wanted values in a column.

    Parameters
    ----------
    table : `~astropy.io.fits.BinTableHDU`
        The events.
    name : str
        Column, in any case. Of columns of bits the number of bits that are set counts.
    text : str
        Values as for `parse_values`.
    path : `~pathlib.Path`
        The file, for messages.

    Returns
    -------
    ndarray of bool (event,)
        The events.

    Raises
    ------
    ValueError
        If there is no such column, or the values are none.
    """
    values = np.asarray(column(table, name.upper(), path))
    if values.ndim > 1:
        values = values.reshape(len(values), -1).sum(axis=1)
    taken = np.zeros(values.shape, bool)
    for low, high in parse_values(text):
        taken |= (values >= low) & (values <= high)
    return taken


def good_times(hdus):
    """
    Return the good times of an event list, those of all its detectors joined.

    Parameters
    ----------
    hdus : `~astropy.io.fits.HDUList`
        The file.

    Returns
    -------
    ndarray (n, 2) or None
        Starts and ends, in the unit of TIME, in order and apart; None if there are none.
    """
    found = []
    for hdu in hdus:
        name = hdu.name.strip().upper()
        named = name.startswith(("GTI", "STDGTI")) or hdu.header.get("HDUCLAS1") == "GTI"
        if not (named and isinstance(hdu, fits.BinTableHDU)):
            continue
        start, stop = (column_name(hdu, key) for key in ("START", "STOP"))
        if start is not None and stop is not None and len(hdu.data):
            found.append(np.stack([hdu.data[start], hdu.data[stop]], axis=1).astype(float))
    return _joined(np.concatenate(found)) if found else None


def read_good_times(path):
    """
    Read a file of good times.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        FITS file with a table GTI.

    Returns
    -------
    ndarray (n, 2)
        Starts and ends.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If it has none.
    """
    path = existing_file(path, "file of good times")
    with open_fits(path, "file of good times") as hdus:
        times = good_times(hdus)
    if times is None:
        msg = f"{path} has no good times: expected a table GTI with START and STOP"
        raise ValueError(msg)
    return times


def inside_times(time, intervals):
    """
    Tell which times lie in one of some intervals.

    Parameters
    ----------
    time : ndarray (event,)
        Times.
    intervals : ndarray (n, 2)
        Starts and ends, in order and apart.

    Returns
    -------
    ndarray of bool (event,)
        Those that do, ends included.
    """
    place = np.searchsorted(intervals[:, 0], time, side="right") - 1
    return (place >= 0) & (time <= intervals[place, 1])


def _joined(intervals):
    """Intervals in order, those that touch joined."""
    intervals = intervals[np.argsort(intervals[:, 0])]
    ends = np.maximum.accumulate(intervals[:, 1])
    new = np.append(True, intervals[1:, 0] > ends[:-1])
    return np.stack([intervals[new, 0], np.append(ends[:-1][new[1:]], ends[-1])], axis=1)
