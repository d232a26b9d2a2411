"""
Responses of X-ray telescopes in OGIP files: redistribution matrices (RMF) and areas (ARF).

Matrices are (channel, energy), energies in keV, areas in cm2.
"""

import logging
from dataclasses import dataclass

import numpy as np
from astropy import units as u
from scipy import sparse

from jwst_fusion.hifred.xray.energy_grid import contiguous, interpolation_weights
from jwst_fusion.hifred.xray.fits_tables import (
    column,
    column_name,
    existing_file,
    header_number,
    open_fits,
    tables_of,
    unit_factor,
    unit_of,
)
from jwst_fusion.messages import warn

__all__ = ["Arf", "Rmf", "read_arf", "read_ebounds", "read_rmf"]

log = logging.getLogger(__name__)

# Names that the extension has in files of different age and kind.
_MATRICES = ("MATRIX", "SPECRESP MATRIX", "RSP_MATRIX")
# HDUCLAS3 of matrices without and with the area of the telescope; DETECTOR has the efficiency of
# the detector alone.
_PROBABILITY = ("REDIST", "DETECTOR")
_FULL = "FULL"
# No redistribution gives more than one count per photon: larger sums of a row are areas (cm2), or
# else, beyond the second limit, faults of the file; below it they are rounding.
_AREA = 2.0
_NORMALISED = 1.02
# Negative values are set to zero if the least one is at most this part of the largest value, and
# all together are at most the second part of the sum: those of the EPIC-pn's canned matrices are
# 0.6 % and 0.08 %, left by the interpolation that made them.
_SLIGHT = 0.02
_SLIGHT_SUM = 0.01
# Channels by which the peaks of all rows together may miss their energies before a file that does
# not say how it counts them is doubted.
_MISSED = 0.7


@dataclass(frozen=True)
class Rmf:
    """
    A redistribution matrix.

    Attributes
    ----------
    matrix : scipy.sparse.csr_array (channel, energy)
        Probability of each channel, or area times probability [cm2].
    energies : ndarray (energy + 1,)
        Edges of the energies, keV, ascending.
    channels : ndarray (channel + 1,) or None
        Nominal edges of the channels, keV; None if the file does not give them.
    first_channel : int
        Number of the first channel.
    contains_area : bool
        Whether the matrix holds the effective area.
    name : str
        File name.
    telescope : str
        TELESCOP of the header, in capital letters; empty if it is not said.
    """

    matrix: sparse.csr_array
    energies: np.ndarray
    channels: np.ndarray | None
    first_channel: int
    contains_area: bool
    name: str
    telescope: str = ""

    def width_at(self, energy):
        """
        Return the spectral resolution.

        Parameters
        ----------
        energy : float
            Energy, keV.

        Returns
        -------
        float or None
            Full width at half maximum of the response to that energy, keV; None without energies
            of the channels, or if the energy lies beyond the matrix.
        """
        column = int(np.searchsorted(self.energies, energy)) - 1
        if self.channels is None or not 0 <= column < self.energies.size - 1:
            return None
        row = self.matrix[:, [column]].toarray().ravel() / np.diff(self.channels)
        if not row.any():
            return None
        peak = int(row.argmax())
        # the main peak alone, not escape peaks
        below = np.flatnonzero(row[:peak] < 0.5 * row[peak])
        above = np.flatnonzero(row[peak:] < 0.5 * row[peak])
        low = below[-1] + 1 if below.size else 0
        high = peak + above[0] if above.size else row.size
        return float(self.channels[high] - self.channels[low])


@dataclass(frozen=True)
class Arf:
    """
    An effective area.

    Attributes
    ----------
    area : ndarray (energy,)
        Area, cm2.
    energies : ndarray (energy + 1,)
        Edges of the energies, keV, ascending.
    exposure : float or None
        Exposure time in the header, s.
    name : str
        File name.
    """

    area: np.ndarray
    energies: np.ndarray
    exposure: float | None
    name: str

    def at(self, edges):
        """
        Return the area on other energies.

        Parameters
        ----------
        edges : ndarray (n + 1,)
            Edges of the energies, keV, ascending.

        Returns
        -------
        ndarray (n,)
            Area, cm2, the mean over each bin of the line through the file's values; zero, with a
            warning, where the file has none.

        Raises
        ------
        ValueError
            If the file has no area at any of these energies.
        """
        weights, covered = interpolation_weights(self.energies, edges)
        if not covered.any():
            msg = (
                f"the ARF {self.name} covers {_span(self.energies)}, nothing of {_span(edges)}: "
                "give the ARF of this observation"
            )
            raise ValueError(msg)
        if not covered.all():
            warn(
                log,
                "The ARF %s covers %s: the area is taken as zero at %d of %d energies",
                self.name,
                _span(self.energies),
                np.count_nonzero(~covered),
                covered.size,
            )
        return self.area @ weights


def read_rmf(path):
    """
    Read a redistribution matrix (OGIP memo CAL/GEN/92-002 and 92-002a).

    Parameters
    ----------
    path : str or `~pathlib.Path`
        FITS file with an extension MATRIX or SPECRESP MATRIX, and mostly EBOUNDS. Rows may be of
        fixed or variable length; F_CHAN and N_CHAN may be numbers or vectors; channels are counted
        from TLMIN of F_CHAN, else from the first channel in EBOUNDS (unless the rows show that it
        is not so, with a warning), else from 1. Several MATRIX extensions are added, those of
        coarser energies spread over the finer ones. Energies of no width are left out, and slightly
        negative values are set to zero, both with a warning.

    Returns
    -------
    Rmf
        The matrix. Whether it contains the area is told by HDUCLAS3 (FULL; REDIST and DETECTOR do
        not), else by the unit of MATRIX; if neither says it, by rows that sum to more than 2. Other
        rows that sum to more than one are normalised, with a warning; those that sum to less keep
        what they lose.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If it cannot be read as a redistribution matrix.
    """
    path = existing_file(path, "RMF")
    with open_fits(path, "RMF") as hdus:
        tables = tables_of(hdus, _MATRICES, ("RESPONSE", "RSP_MATRIX"), path, "the RMF")
        if not tables:
            names = ", ".join(hdu.name or "?" for hdu in hdus)
            msg = f"the RMF {path} has no extension MATRIX or SPECRESP MATRIX, only {names}"
            raise ValueError(msg)
        bounds = _bounds(hdus, path)
        channels, numbers = _channels(bounds, path) if bounds is not None else (None, None)
        parts = [_Part(table, channels, numbers, path) for table in tables]
        telescope = str(tables[0].header.get("TELESCOP", "")).strip().upper()
    count = channels.size - 1 if channels is not None else max(part.count for part in parts)
    finest = max(parts, key=lambda part: part.energies.size)
    area = _contains_area(parts, path)
    matrix = sum(_onto(part, finest.energies, count, path) for part in parts)
    matrix = _normalised(sparse.csr_array(matrix), area, path)
    first = finest.first if numbers is None else int(numbers[0])
    return Rmf(matrix, finest.energies, channels, first, area, path.name, telescope)


def read_ebounds(path):
    """
    Read the nominal energies of the channels of a redistribution matrix.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        FITS file with an extension EBOUNDS.

    Returns
    -------
    edges : ndarray (channel + 1,)
        Edges of the channels, keV, ascending.
    first_channel : int
        Number of the first channel.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If it has no such extension, or a damaged one.
    """
    path = existing_file(path, "RMF")
    with open_fits(path, "RMF") as hdus:
        bounds = _bounds(hdus, path)
        if bounds is None:
            names = ", ".join(hdu.name or "?" for hdu in hdus)
            msg = f"the RMF {path} has no extension EBOUNDS, only {names}"
            raise ValueError(msg)
        edges, numbers = _channels(bounds, path)
    return edges, int(numbers[0])


def read_arf(path):
    """
    Read an effective area (OGIP memo CAL/GEN/92-002).

    Parameters
    ----------
    path : str or `~pathlib.Path`
        FITS file with an extension SPECRESP.

    Returns
    -------
    Arf
        The area.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If it cannot be read as an effective area.
    """
    path = existing_file(path, "ARF")
    with open_fits(path, "ARF") as hdus:
        tables = tables_of(hdus, ("SPECRESP",), ("RESPONSE", "SPECRESP"), path, "the ARF")
        if not tables:
            names = ", ".join(hdu.name or "?" for hdu in hdus)
            msg = f"the ARF {path} has no extension SPECRESP, only {names}"
            raise ValueError(msg)
        table = tables[0]
        energies, order = _energies(table, path)
        area = np.asarray(column(table, "SPECRESP", path), float)[order]
        area = area * unit_factor(table, "SPECRESP", u.cm**2, path)
        exposure = header_number(table.header, "EXPOSURE", path)
    if not np.isfinite(area).all() or (area < 0).any() or not area.any():
        msg = f"the ARF {path} has areas that are negative or not finite, or none but zero"
        raise ValueError(msg)
    if exposure is not None and exposure <= 0:
        exposure = None  # areas that belong to no observation have zero
    return Arf(area, energies, exposure, path.name)


class _Part:
    """One MATRIX extension: values by energy and channel, whose numbers begin at `first`."""

    def __init__(self, table, bounds, numbers, path):
        self.energies, order = _energies(table, path)
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
        """Largest sum of a row."""
        held = self.starts[:-1][np.diff(self.starts) > 0]
        return float(np.add.reduceat(self.values, held).max()) if held.size else 0.0

    def matrix(self, count):
        """Sparse matrix (channel, energy) of the values."""
        shape = (count, self.energies.size - 1)
        kind = np.int32 if self.values.size < np.iinfo(np.int32).max else np.int64
        found = sparse.csc_array((self.values, self.channels, self.starts.astype(kind)), shape)
        found.sum_duplicates()
        return found.tocsr()


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


def _contains_area(parts, path):
    """Tell whether matrices hold the area, which all of a file do or none."""
    said = {part.declared for part in parts}
    top = max(part.largest_sum() for part in parts)
    if not top:
        msg = f"the RMF {path} is zero throughout"
        raise ValueError(msg)
    units = [part.factor is not None for part in parts]
    if _FULL in said or (not said & set(_PROBABILITY) and any(units)):
        for part in parts:
            if part.factor is not None and part.factor != 1.0:
                part.values *= part.factor
        return True
    if top <= _AREA:
        if not said & set(_PROBABILITY) and top < 0.5 and len(parts) == 1:
            warn(
                log,
                "The RMF %s says neither by HDUCLAS3 nor by a unit of MATRIX whether it holds the "
                "area; its rows sum to %.3g at most, which is taken for an efficiency",
                path.name,
                top,
            )
        return False
    if said & set(_PROBABILITY):
        warn(
            log,
            "The RMF %s has HDUCLAS3 = %s, but its rows sum to %.3g at most, which only areas can: "
            "it is taken to hold the area",
            path.name,
            ", ".join(sorted(said)),
            top,
        )
    return True


def _onto(part, energies, count, path):
    if part.channels.size and not 0 <= part.channels.min() <= part.channels.max() < count:
        low, high = (int(part.first + c) for c in (part.channels.min(), part.channels.max()))
        msg = (
            f"the RMF {path} names the channels {low} to {high}, but there are "
            f"{count} from {part.first} on (TLMIN of F_CHAN, EBOUNDS)"
        )
        raise ValueError(msg)
    matrix = part.matrix(count)
    if part.energies.size == energies.size and np.allclose(part.energies, energies, rtol=1e-5):
        return matrix
    middle = 0.5 * (energies[1:] + energies[:-1])
    coarse = np.searchsorted(part.energies, middle).astype(np.int32) - 1
    inside = (coarse >= 0) & (coarse < matrix.shape[1])
    ones = np.ones(np.count_nonzero(inside))
    spread = (ones, (coarse[inside], np.flatnonzero(inside).astype(np.int32)))
    return matrix @ sparse.csr_array(spread, (matrix.shape[1], middle.size))


def _normalised(matrix, area, path):
    if area:
        return matrix
    sums = np.asarray(matrix.sum(axis=0)).ravel()
    large = sums > _NORMALISED
    if large.any():
        warn(
            log,
            "The RMF %s: %d of %d rows sum to more than one, up to %.3f; normalised",
            path.name,
            np.count_nonzero(large),
            sums.size,
            sums.max(),
        )
        matrix = matrix @ sparse.diags_array(np.where(large, 1 / np.where(large, sums, 1.0), 1.0))
    return sparse.csr_array(matrix)


def _bounds(hdus, path):
    """Table EBOUNDS, or None."""
    found = tables_of(hdus, ("EBOUNDS",), ("RESPONSE", "EBOUNDS"), path, "the RMF")
    return found[0] if found else None


def _channels(bounds, path):
    """Edges of the channels, keV, and their numbers."""
    number = np.asarray(column(bounds, "CHANNEL", path), float)
    order = np.argsort(number, kind="stable")
    whole = np.isfinite(number).all() and (number == np.round(number)).all()
    if not whole or (np.diff(number[order]) != 1).any():
        shown = ", ".join(f"{value:g}" for value in number[:4])
        msg = (
            f"the RMF {path}: the column CHANNEL of EBOUNDS is damaged ({shown}, ...): expected "
            "consecutive whole numbers; take the file from the archive again or number them anew"
        )
        raise ValueError(msg)
    low = np.asarray(column(bounds, "E_MIN", path), float)[order]
    high = np.asarray(column(bounds, "E_MAX", path), float)[order]
    factor = unit_factor(bounds, "E_MIN", u.keV, path)
    if low.size > 1 and low[1] < low[0]:
        msg = f"the RMF {path} has channels of falling energy (EBOUNDS): only rising ones are read"
        raise ValueError(msg)
    edges = contiguous(low * factor, high * factor, f"EBOUNDS of {path}")
    return edges, number[order].astype(int)


def _energies(table, path):
    """Edges, keV, and the order of the rows that have a width."""
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


def _span(edges):
    return f"{edges[0]:.3g} to {edges[-1]:.3g} keV"
