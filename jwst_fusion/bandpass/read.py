"""Read a filter curve from a FITS table or a text file."""

import re
import warnings
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

from jwst_fusion.bandpass.curve import Bandpass
from jwst_fusion.input_files import check_whole, one_line

__all__ = ["read_bandpass"]

_SPELLINGS = {
    1.0: "um µm μm micron microns micrometer micrometers micrometre micrometres",
    1e-3: "nm nanometer nanometers nanometre nanometres",
    1e-4: "angstrom angstroms ångström ångströms a å",
    1e6: "m meter meters metre metres",
}
_TO_MICRON = {word: factor for factor, words in _SPELLINGS.items() for word in words.split()}
# Wavelengths [um] that a filter of an optical or infrared camera can have.
_PLAUSIBLE = (0.1, 50.0)
# A unit in brackets or after "unit:" may be one letter, a word in a sentence may not.
_MARKED = re.compile(r"[\[(]\s*([^\W\d_]+)\s*[\])]|unit\s*[:=]\s*['\"]?([^\W\d_]+)")
_WORD = re.compile(r"(?<![^\W_])([^\W\d_]{2,})(?![^\W_])")


def read_bandpass(path, *, name=None):
    """
    Read a throughput curve from a file.

    Parameters
    ----------
    path : path-like
        FITS table with columns WAVELENGTH and THROUGHPUT, or text with wavelength and throughput
        in the first two columns, comments that start with ``#`` and at most one other header line.
        Wavelengths ascend. Their unit is um, nm, Angstrom or m, as said by the file (TUNIT or
        WAVEUNIT, or a word above the numbers of a text file), and um if it says none.
    name : str, optional
        Filter name; by default that of the file.

    Returns
    -------
    Bandpass
        The curve, with wavelengths in um.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file cannot be read, its unit is unclear, or its numbers are not a throughput curve.
    """
    path = Path(path)
    if not path.is_file():
        msg = f"the throughput file {path} does not exist or is not a file"
        raise FileNotFoundError(msg)
    if path.stat().st_size == 0:
        msg = f"the throughput file {path} is empty"
        raise ValueError(msg)
    is_fits = path.name.lower().endswith((".fits", ".fits.gz", ".fit"))
    wavelength, throughput, unit = _from_fits(path) if is_fits else _from_text(path)
    factor = _unit_factor(unit, path)
    known = wavelength[np.isfinite(wavelength)] * factor
    if known.size and not _PLAUSIBLE[0] <= known.min() <= known.max() <= _PLAUSIBLE[1]:
        stated = "no unit is stated, so um is assumed" if unit is None else f"the unit is {unit}"
        msg = (
            f"the throughput file {path} has wavelengths from {np.nanmin(wavelength):g} to "
            f"{np.nanmax(wavelength):g} ({stated}), which are not those of a filter between "
            f"{_PLAUSIBLE[0]:g} and {_PLAUSIBLE[1]:g} um; state the unit: um, nm, Angstrom or m"
        )
        raise ValueError(msg)
    return Bandpass(name or path.stem, wavelength * factor, throughput, str(path))


def _from_fits(path):
    try:
        with warnings.catch_warnings():
            # Warn of faults of a header before the file fails, if it does.
            warnings.simplefilter("ignore", AstropyUserWarning)
            check_whole(path)
            with fits.open(path, memmap=False) as hdus:
                found, seen = _find_table(hdus)
    except Exception as error:
        # A corrupt file fails in many ways, not only with OSError.
        msg = f"the throughput file {path} is not a readable FITS file: {one_line(error)}"
        raise ValueError(msg) from error
    if found is None:
        msg = (
            f"the throughput file {path} has no table with columns WAVELENGTH and THROUGHPUT; its "
            f"columns are {', '.join(seen) or 'none'}"
        )
        raise ValueError(msg)
    return found


def _find_table(hdus):
    seen = []
    for hdu in hdus:
        columns = getattr(hdu, "columns", None)
        names = [] if columns is None else [name.upper() for name in columns.names]
        seen += names
        if "WAVELENGTH" in names and "THROUGHPUT" in names:
            unit = columns[names.index("WAVELENGTH")].unit
            unit = unit or hdu.header.get("WAVEUNIT") or hdus[0].header.get("WAVEUNIT")
            wavelength = np.array(hdu.data["WAVELENGTH"], dtype=float)
            return (wavelength, np.array(hdu.data["THROUGHPUT"], dtype=float), unit), seen
    return None, seen


def _from_text(path):
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        msg = f"the throughput file {path} is neither FITS nor UTF-8 text"
        raise ValueError(msg) from error
    rows, above, headings = [], [], 0
    for number, line in enumerate(lines, 1):
        text = line.split("#")[0].strip()
        if not text:
            if not rows:
                above.append(line)
            continue
        try:
            first, second = re.split(r"[\s,;]+", text.strip(",;"))[:2]
            rows.append((float(first), float(second)))
        except ValueError as error:
            headings += 1
            if rows or headings > 1:
                msg = (
                    f"the throughput file {path} has a line that does not begin with two numbers, "
                    f"wavelength and throughput, line {number}: {line.strip()!r}"
                )
                raise ValueError(msg) from error
            above.append(line)
    if not rows:
        msg = f"the throughput file {path} has no rows with two numbers, wavelength and throughput"
        raise ValueError(msg)
    table = np.array(rows, dtype=float)
    return table[:, 0], table[:, 1], _unit_above(above, path)


def _unit_above(lines, path):
    """Return the unit that the lines above the numbers name, or None."""
    for pattern in (_MARKED, _WORD):
        words = [
            "".join(found.groups("")) for one in lines for found in pattern.finditer(one.lower())
        ]
        units = {_TO_MICRON[word]: word for word in words if word in _TO_MICRON}
        if len(units) > 1:
            msg = (
                f"the throughput file {path} names several units, {' and '.join(units.values())}; "
                "leave that of the wavelengths"
            )
            raise ValueError(msg)
        if units:
            return next(iter(units.values()))
    return None


def _unit_factor(unit, path):
    if unit is None:
        return 1.0
    factor = _TO_MICRON.get(str(unit).strip().lower())
    if factor is None:
        msg = f"the throughput file {path} gives wavelengths in {unit!r}; use um, nm, Angstrom or m"
        raise ValueError(msg)
    return factor
