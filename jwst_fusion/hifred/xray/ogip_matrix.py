"""The table of a redistribution matrix (OGIP): rows of groups of channels, by energy."""

import logging

import numpy as np
from astropy import units as u
from scipy import sparse

from jwst_fusion.hifred.xray.energy_grid import contiguous
from jwst_fusion.hifred.xray.fits_tables import (
    column,
    column_name,
    header_number,
    unit_factor,
    unit_of,
)
from jwst_fusion.messages import warn

__all__ = ["MatrixTable", "energies_of"]

log = logging.getLogger(__name__)

# Negative values are set to zero if the least one is at most this part of the largest value, and
# all together are at most the second part of the sum: those of the EPIC-pn's canned matrices are
# 0.6 % and 0.08 %, left by the interpolation that made them.
_SLIGHT = 0.02
_SLIGHT_SUM = 0.01
# Channels by which the peaks of all rows together may miss their energies before a file that does
# not say how it counts them is doubted.
_MISSED = 0.7


class MatrixTable:
    """
    One extension MATRIX: values by energy and channel.

    Parameters
    ----------
    table : `~astropy.io.fits.BinTableHDU`
        The extension.
    bounds : ndarray (channel + 1,) or None
        Edges of the channels, keV.
    numbers : ndarray of int (channel,) or None
        Numbers of the channels in EBOUNDS.
    path : `~pathlib.Path`
        The file, for messages.

    Attributes
    ----------
    energies : ndarray (energy + 1,)
        Edges of the energies, keV, ascending.
    declared : str
        HDUCLAS3, in capital letters.
    factor : float or None
        Factor to cm2 if MATRIX is in a unit of area.
    first : int
        Number of the first channel in F_CHAN.
    count : int
        Number of channels that it knows of.
    channels : ndarray of int32 (value,)
        Channel of each value, from 0.
    values : ndarray (value,)
        The values, row by row.
    starts : ndarray (energy + 1,)
        Where the values of each row begin.

    Raises
    ------
    ValueError
        If a column or keyword is missing or damaged.
    """

    def __init__(self, table, bounds, numbers, path):
        self.energies, order = energies_of(table, path)
        self.declared = str(table.header.get("HDUCLAS3", "")).strip().upper()
        first = [np.atleast_1d(row) for row in column(table, "F_CHAN", path)]
        number = [np.atleast_1d(row) for row in column(table, "N_CHAN", path)]
        groups = np.asarray(column(table, "N_GRP", path), int)
        values = column(table, "MATRIX", path)
        self.factor = _area_unit(table)
        channels, lengths, found = [], [], []
        for row in order:
            count = groups[row]
            if count > min(first[row].size, number[row].size):
                msg = f"the RMF {path}: row {row} of {table.name} has {count} groups, fewer F_CHAN"
                raise ValueError(msg)
            spans = [
                np.arange(start, start + length, dtype=np.int32)
                for start, length in zip(first[row][:count], number[row][:count], strict=True)
            ]
            index = np.concatenate([*spans, np.zeros(0, np.int32)])
            data = np.atleast_1d(np.asarray(values[row], float))
            if data.size < index.size:
                msg = (
                    f"the RMF {path}: row {row} of {table.name} has {data.size} values for "
                    f"{index.size} channels"
                )
                raise ValueError(msg)
            channels.append(index)
            lengths.append(index.size)
            found.append(data[: index.size])
        self.channels, self.values = np.concatenate(channels), np.concatenate(found)
        del channels, found
        self.starts = np.concatenate([[0], np.cumsum(lengths)])
        self.values = _not_negative(self.values, self.starts, table, path)
        place = table.columns.names.index(column_name(table, "F_CHAN")) + 1
        self.first = header_number(table.header, f"TLMIN{place}", path, whole=True)
        if self.first is None:
            self.first = self._first(bounds, numbers, path)
        self.channels -= np.int32(self.first)
        declared = header_number(table.header, "DETCHANS", path, default=0, whole=True)
        self.count = max(declared, int(self.channels.max(initial=-1)) + 1)

    def _first(self, bounds, numbers, path):
        """Number of the first channel where TLMIN of F_CHAN does not say it."""
        used = self.channels[self.values > 0]
        low, high = int(used.min(initial=1)), int(used.max(initial=0))
        if numbers is None:
            return min(1, low)
        given, size = int(numbers[0]), numbers.size
        fits_in = [
            first for first in dict.fromkeys((given, 1, 0)) if first <= low and high < first + size
        ]
        if not fits_in:
            return given
        best = fits_in[0]
        away = self._offset(bounds, best)
        if len(fits_in) > 1 and abs(away) > _MISSED:
            warn(
                log,
                "The RMF %s has no TLMIN of F_CHAN: channels are counted from %d as in EBOUNDS, "
                "but the peaks lie %.2f channels from their energies; if F_CHAN counts from %d, "
                "set TLMIN of it",
                path.name,
                best,
                away,
                fits_in[1],
            )
        if best != given:
            warn(
                log,
                "The RMF %s: F_CHAN counts channels from %d, its EBOUNDS from %d, as the channels "
                "that the rows reach show; TLMIN of F_CHAN is missing",
                path.name,
                best,
                given,
            )
        return best

    def _offset(self, bounds, first):
        """Median distance of the peaks of all rows from their energies, channels."""
        middle = 0.5 * (self.energies[1:] + self.energies[:-1])
        peaks = np.full(middle.size, np.nan)
        for row, (start, stop) in enumerate(zip(self.starts[:-1], self.starts[1:], strict=True)):
            part = self.values[start:stop]
            if part.any():
                top = part > 0.9 * part.max()
                peaks[row] = np.average(self.channels[start:stop][top], weights=part[top])
        places = np.interp(middle, bounds, np.arange(bounds.size)) - 0.5
        # below and above the channels there are no peaks to compare with
        inside = (places > 1) & (places < bounds.size - 3) & np.isfinite(peaks)
        return float(np.median((peaks - first - places)[inside])) if inside.any() else 0.0

    def largest_sum(self):
        """
        Return the largest sum of a row.

        Returns
        -------
        float
            The sum; zero without values.
        """
        held = self.starts[:-1][np.diff(self.starts) > 0]
        return float(np.add.reduceat(self.values, held).max()) if held.size else 0.0

    def matrix(self, count):
        """
        Return the values as a matrix.

        Parameters
        ----------
        count : int
            Number of channels.

        Returns
        -------
        scipy.sparse.csr_array (channel, energy)
            The matrix.
        """
        shape = (count, self.energies.size - 1)
        kind = np.int32 if self.values.size < np.iinfo(np.int32).max else np.int64
        found = sparse.csc_array((self.values, self.channels, self.starts.astype(kind)), shape)
        found.sum_duplicates()
        return found.tocsr()


def energies_of(table, path):
    """
    Read the energies of a response.

    Parameters
    ----------
    table : `~astropy.io.fits.BinTableHDU`
        Table with ENERG_LO and ENERG_HI.
    path : `~pathlib.Path`
        The file, for messages.

    Returns
    -------
    edges : ndarray (energy + 1,)
        Edges, keV, ascending.
    order : ndarray of int (energy,)
        Rows in that order, without those that have no width.

    Raises
    ------
    ValueError
        If columns are missing, or energies do not rise without gaps.
    """
    low = np.asarray(column(table, "ENERG_LO", path), float)
    high = np.asarray(column(table, "ENERG_HI", path), float)
    factor = unit_factor(table, "ENERG_LO", u.keV, path)
    order = np.argsort(low, kind="stable")
    wide = low[order] != high[order]
    if not wide.all() and wide.any():
        warn(
            log,
            "%s: %d of %d energies in %s have no width and are left out",
            path.name,
            np.count_nonzero(~wide),
            wide.size,
            table.name,
        )
        order = order[wide]
    return contiguous(low[order] * factor, high[order] * factor, f"{table.name} of {path}"), order


def _not_negative(values, starts, table, path):
    """Values without those that are slightly negative; an error for any that are not slight."""
    lost = values.size - np.count_nonzero(np.isfinite(values))
    negative = values < 0
    count = np.count_nonzero(negative)
    if not lost and not count:
        return values
    if lost:
        fault = f"{lost} of {values.size} values are not finite"
    else:
        below, total = -values[negative], values[~negative].sum()
        fault = f"{count} of {values.size} values are negative, down to {-below.max():.3g}"
        if below.max() <= _SLIGHT * values.max() and below.sum() <= _SLIGHT_SUM * total:
            warn(log, "The RMF %s: %s; set to zero", path.name, fault)
            # rows keep their sums, which are efficiencies
            held = starts[:-1][np.diff(starts) > 0]
            clipped = np.where(negative, 0.0, values)
            before, after = (np.add.reduceat(one, held) for one in (values, clipped))
            keep = np.divide(
                before, after, out=np.ones(held.size), where=(after > 0) & (before > 0)
            )
            return clipped * np.repeat(keep, np.diff(starts)[np.diff(starts) > 0])
    msg = (
        f"the RMF {path} has values that are negative or not finite in {table.name}: {fault}; make "
        "it again or take that of the calibration"
    )
    raise ValueError(msg)


def _area_unit(table):
    """Factor to cm2 of a MATRIX in a unit of area, else None."""
    text = table.columns[column_name(table, "MATRIX")].unit
    try:
        return float(unit_of(text or "").to(u.cm**2))
    except (ValueError, u.UnitConversionError):
        return None
