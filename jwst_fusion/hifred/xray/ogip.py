"""
Responses of X-ray telescopes in OGIP files: redistribution matrices (RMF) and areas (ARF).

Matrices are (channel, energy), energies in keV, areas in cm2.
"""

import logging
from dataclasses import dataclass

import numpy as np
from astropy import units as u
from scipy import sparse

from jwst_fusion.hifred.response.spectral import NEGLIGIBLE, negligible
from jwst_fusion.hifred.xray.energy_grid import contiguous, interpolation_weights
from jwst_fusion.hifred.xray.fits_tables import (
    checked_seconds,
    column,
    existing_file,
    header_number,
    open_fits,
    tables_of,
    unit_factor,
)
from jwst_fusion.hifred.xray.ogip_matrix import MatrixTable, energies_of
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
            warning, where the file has none or next to none.

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
        area = self.area @ weights
        hardly = negligible(area) & covered
        if hardly.any():
            warn(
                log,
                "The ARF %s has less than %g of its largest area at %d of %d energies, which are "
                "taken not to be seen",
                self.name,
                NEGLIGIBLE,
                np.count_nonzero(hardly),
                area.size,
            )
        return np.where(hardly, 0.0, area)


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
        parts = [MatrixTable(table, channels, numbers, path) for table in tables]
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
        energies, order = energies_of(table, path)
        area = np.asarray(column(table, "SPECRESP", path), float)[order]
        area = area * unit_factor(table, "SPECRESP", u.cm**2, path)
        exposure = header_number(table.header, "EXPOSURE", path)
    if not np.isfinite(area).all() or (area < 0).any() or not area.any():
        msg = f"the ARF {path} has areas that are negative or not finite, or none but zero"
        raise ValueError(msg)
    # areas that belong to no observation have zero
    known = exposure is not None and exposure > 0
    exposure = checked_seconds(exposure, f"{path} has EXPOSURE =") if known else None
    return Arf(area, energies, exposure, path.name)


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


def _span(edges):
    return f"{edges[0]:.3g} to {edges[-1]:.3g} keV"
