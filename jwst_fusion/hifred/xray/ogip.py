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
    open_fits,
    unit_factor,
)
from jwst_fusion.messages import warn

__all__ = ["Arf", "Rmf", "read_arf", "read_rmf"]

log = logging.getLogger(__name__)

# Names that the extension has in files of different age and kind.
_MATRICES = ("MATRIX", "SPECRESP MATRIX")
# No redistribution gives more than one count per photon: larger sums of a row are areas (cm2), or
# else, beyond the second limit, faults of the file; below it they are rounding.
_AREA = 2.0
_NORMALISED = 1.02


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
    """

    matrix: sparse.csr_array
    energies: np.ndarray
    channels: np.ndarray | None
    first_channel: int
    contains_area: bool
    name: str


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
        from TLMIN of F_CHAN, else from the first channel in EBOUNDS, else from 1. Several MATRIX
        extensions are added, those of coarser energies spread over the finer ones.

    Returns
    -------
    Rmf
        The matrix. It is taken to contain the area if its rows sum to more than 2, or if HDUCLAS3
        is FULL. Other rows that sum to more than one are normalised, with a warning; those that
        sum to less keep what they lose.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If it cannot be read as a redistribution matrix.
    """
    path = existing_file(path, "RMF")
    with open_fits(path, "RMF") as hdus:
        tables = [hdu for hdu in hdus if hdu.name.strip().upper() in _MATRICES]
        if not tables:
            names = ", ".join(hdu.name or "?" for hdu in hdus)
            msg = f"the RMF {path} has no extension MATRIX or SPECRESP MATRIX, only {names}"
            raise ValueError(msg)
        bounds = hdus["EBOUNDS"] if "EBOUNDS" in hdus else None
        channels, numbers = _channels(bounds, path) if bounds is not None else (None, None)
        parts = [_Part(table, numbers, path) for table in tables]
    count = channels.size - 1 if channels is not None else max(part.count for part in parts)
    finest = max(parts, key=lambda part: part.energies.size)
    matrix = sum(_onto(part, finest.energies, count, path) for part in parts)
    matrix = sparse.csr_array(matrix)
    matrix, area = _normalised(matrix, any(part.full for part in parts), path)
    return Rmf(matrix, finest.energies, channels, finest.first, area, path.name)


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
        if "SPECRESP" not in hdus:
            names = ", ".join(hdu.name or "?" for hdu in hdus)
            msg = f"the ARF {path} has no extension SPECRESP, only {names}"
            raise ValueError(msg)
        table = hdus["SPECRESP"]
        energies, order = _energies(table, path)
        area = np.asarray(column(table, "SPECRESP", path), float)[order]
        area = area * unit_factor(table, "SPECRESP", u.cm**2, path)
        exposure = table.header.get("EXPOSURE")
    if not np.isfinite(area).all() or (area < 0).any() or not area.any():
        msg = f"the ARF {path} has areas that are negative or not finite, or none but zero"
        raise ValueError(msg)
    return Arf(area, energies, None if exposure is None else float(exposure), path.name)


class _Part:
    """One MATRIX extension as triplets (channel index, energy index, value)."""

    def __init__(self, table, numbers, path):
        self.energies, order = _energies(table, path)
        self.full = str(table.header.get("HDUCLAS3", "")).strip().upper() == "FULL"
        first = [np.atleast_1d(row) for row in column(table, "F_CHAN", path)]
        number = [np.atleast_1d(row) for row in column(table, "N_CHAN", path)]
        groups = np.asarray(column(table, "N_GRP", path), int)
        values = column(table, "MATRIX", path)
        place = table.columns.names.index(column_name(table, "F_CHAN")) + 1
        self.first = table.header.get(f"TLMIN{place}")
        if self.first is None:
            used = [f[0] for f, n, g in zip(first, number, groups, strict=True) if g and n[0]]
            lowest = min(used, default=1)
            self.first = int(numbers[0]) if numbers is not None else min(1, int(lowest))
        channels, energies, found = [], [], []
        for place, row in enumerate(order):
            count = groups[row]
            if count > min(first[row].size, number[row].size):
                msg = f"the RMF {path}: row {row} of {table.name} has {count} groups, fewer F_CHAN"
                raise ValueError(msg)
            spans = [
                np.arange(start, start + length)
                for start, length in zip(first[row][:count], number[row][:count], strict=True)
            ]
            index = np.concatenate([*spans, np.zeros(0, int)]).astype(int) - self.first
            data = np.atleast_1d(np.asarray(values[row], float))
            if data.size < index.size:
                msg = (
                    f"the RMF {path}: row {row} of {table.name} has {data.size} values for "
                    f"{index.size} channels"
                )
                raise ValueError(msg)
            channels.append(index)
            energies.append(np.full(index.size, place))
            found.append(data[: index.size])
        self.channels, self.columns = np.concatenate(channels), np.concatenate(energies)
        self.values = np.concatenate(found)
        declared = int(table.header.get("DETCHANS", 0))
        self.count = max(declared, int(self.channels.max(initial=-1)) + 1)
        if not np.isfinite(self.values).all() or (self.values < 0).any():
            msg = f"the RMF {path} has values that are negative or not finite in {table.name}"
            raise ValueError(msg)


def _onto(part, energies, count, path):
    if part.channels.size and not 0 <= part.channels.min() <= part.channels.max() < count:
        low, high = (int(part.first + c) for c in (part.channels.min(), part.channels.max()))
        msg = (
            f"the RMF {path} names the channels {low} to {high}, but there are "
            f"{count} from {part.first} on (TLMIN of F_CHAN, EBOUNDS)"
        )
        raise ValueError(msg)
    shape = (count, part.energies.size - 1)
    # 32 bits are enough for indices, whose type sparse arrays keep
    places = tuple(one.astype(np.int32) for one in (part.channels, part.columns))
    matrix = sparse.csr_array((part.values, places), shape)
    if part.energies.size == energies.size and np.allclose(part.energies, energies, rtol=1e-5):
        return matrix
    middle = 0.5 * (energies[1:] + energies[:-1])
    coarse = np.searchsorted(part.energies, middle).astype(np.int32) - 1
    inside = (coarse >= 0) & (coarse < shape[1])
    ones = np.ones(np.count_nonzero(inside))
    spread = (ones, (coarse[inside], np.flatnonzero(inside).astype(np.int32)))
    return matrix @ sparse.csr_array(spread, (shape[1], middle.size))


def _normalised(matrix, full, path):
    sums = np.asarray(matrix.sum(axis=0)).ravel()
    if not sums.any():
        msg = f"the RMF {path} is zero throughout"
        raise ValueError(msg)
    if full or sums.max() > _AREA:
        return matrix, True
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
    return sparse.csr_array(matrix), False


def _channels(bounds, path):
    number = np.asarray(column(bounds, "CHANNEL", path), int)
    order = np.argsort(number)
    low = np.asarray(column(bounds, "E_MIN", path), float)[order]
    high = np.asarray(column(bounds, "E_MAX", path), float)[order]
    factor = unit_factor(bounds, "E_MIN", u.keV, path)
    if low.size > 1 and low[1] < low[0]:
        msg = f"the RMF {path} has channels of falling energy (EBOUNDS): only rising ones are read"
        raise ValueError(msg)
    return contiguous(low * factor, high * factor, f"EBOUNDS of {path}"), number[order]


def _energies(table, path):
    low = np.asarray(column(table, "ENERG_LO", path), float)
    high = np.asarray(column(table, "ENERG_HI", path), float)
    order = np.argsort(low, kind="stable")
    factor = unit_factor(table, "ENERG_LO", u.keV, path)
    return contiguous(low[order] * factor, high[order] * factor, f"{table.name} of {path}"), order


def _span(edges):
    return f"{edges[0]:.3g} to {edges[-1]:.3g} keV"
