"""Columns and units of FITS tables, with errors that name the file."""

import math
import warnings
from pathlib import Path

from astropy import units as u
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

__all__ = [
    "checked_seconds",
    "column",
    "column_name",
    "existing_file",
    "header_number",
    "open_fits",
    "tables_of",
    "unit_factor",
    "unit_of",
]

# Exposure times, s: less than a readout, and more than 30 years, is an error of whoever wrote it.
_SHORTEST, _LONGEST = 1e-3, 1e9

# Spellings of units in files of observatories, in lower case; FITS has its own rules for the case
# of letters, by which EV would be exavolts.
_UNITS = {
    "ev": u.eV,
    "kev": u.keV,
    "mev": u.MeV,
    "s": u.s,
    "sec": u.s,
    "second": u.s,
    "seconds": u.s,
    "ks": u.ks,
    "deg": u.deg,
    "degree": u.deg,
    "degrees": u.deg,
    "arcsec": u.arcsec,
    "mm2": u.mm**2,
    "cm2": u.cm**2,
    "m2": u.m**2,
    "mm^2": u.mm**2,
    "cm^2": u.cm**2,
    "m^2": u.m**2,
}


def column_name(table, name):
    """
    Find how a table spells the name of a column.

    Parameters
    ----------
    table : `~astropy.io.fits.BinTableHDU`
        The table.
    name : str
        Name of the column, in capital letters.

    Returns
    -------
    str or None
        The name as the table has it; None if it has no such column.
    """
    return next((one for one in table.columns.names if one.upper() == name), None)


def column(table, name, path):
    """
    Return the data of a column, whatever the case of its name.

    Parameters
    ----------
    table : `~astropy.io.fits.BinTableHDU`
        The table.
    name : str
        Name of the column, in capital letters.
    path : str or `~pathlib.Path`
        The file, for messages.

    Returns
    -------
    ndarray (rows, ...)
        The column.

    Raises
    ------
    ValueError
        If the table has no such column.
    """
    spelling = column_name(table, name)
    if spelling is None:
        msg = f"{path} has no column {name} in its extension {table.name}"
        raise ValueError(msg)
    return table.data[spelling]


def unit_factor(table, name, unit, path):
    """
    Return the factor that brings a column to a unit.

    Parameters
    ----------
    table : `~astropy.io.fits.BinTableHDU`
        The table.
    name : str
        Name of the column, in capital letters; the table must have it.
    unit : `~astropy.units.Unit`
        The unit that is wanted.
    path : str or `~pathlib.Path`
        The file, for messages.

    Returns
    -------
    float
        The factor; 1 if the column does not say its unit.

    Raises
    ------
    ValueError
        If the unit of the column is not known, or of another kind.
    """
    text = table.columns[column_name(table, name)].unit
    if not text:
        return 1.0
    try:
        return float(unit_of(text).to(unit))
    except (ValueError, u.UnitConversionError) as error:
        msg = f"{path} has {name} in {text!r}: expected {unit}"
        raise ValueError(msg) from error


def unit_of(text):
    """
    Read a unit, whatever the case of its letters and the sign of its powers.

    Parameters
    ----------
    text : str
        As ``KEV``, ``eV``, ``cm**2``, ``CM2`` or ``cm^2``.

    Returns
    -------
    `~astropy.units.UnitBase`
        The unit.

    Raises
    ------
    ValueError
        If there is no such unit.
    """
    plain = text.strip().replace("**", "^")
    known = _UNITS.get(plain.lower().replace("(", "").replace(")", ""))
    return u.Unit(plain) if known is None else known


def checked_seconds(value, said):
    """
    Return an exposure time that can be one.

    Parameters
    ----------
    value : float or None
        The time, s.
    said : str
        Where it is from, for the message, which goes on with the value.

    Returns
    -------
    float or None
        The same.

    Raises
    ------
    ValueError
        If it is none: rates are counts divided by it.
    """
    if value is None or _SHORTEST <= value <= _LONGEST:
        return value
    msg = (
        f"{said} {value!r}, which is no exposure time: expected {_SHORTEST:g} to {_LONGEST:g} s. "
        "Correct the keyword"
    )
    raise ValueError(msg)


def header_number(header, key, path, *, default=None, whole=False):
    """
    Return the number that a keyword holds.

    Parameters
    ----------
    header : `~astropy.io.fits.Header`
        The header.
    key : str
        The keyword.
    path : str or `~pathlib.Path`
        The file, for messages.
    default : float, optional
        What is returned if the keyword is absent or empty.
    whole : bool
        Whether it must be a whole number.

    Returns
    -------
    float, int or None
        The number. Texts that hold one, as some writers leave them, count as numbers.

    Raises
    ------
    ValueError
        If it is something else.
    """
    value = header.get(key)
    if value is None or isinstance(value, fits.card.Undefined):
        return default
    try:
        # a truth value is no number, though Python takes it for one
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if math.isfinite(number) and not (whole and number != int(number)):
        return int(number) if whole else number
    kind = "whole number" if whole else "number"
    msg = f"{path} has {key} = {value!r}: expected a {kind}; correct the keyword"
    raise ValueError(msg)


def tables_of(hdus, names, classes, path, kind):
    """
    Find the tables of one kind, by their names or by what the OGIP keywords say of them.

    Parameters
    ----------
    hdus : `~astropy.io.fits.HDUList`
        The file.
    names : tuple of str
        Names of the extension.
    classes : tuple of str
        Values of HDUCLAS1 and, if there are two, HDUCLAS2.
    path : str or `~pathlib.Path`
        The file, for messages.
    kind : str
        What the file is, for messages.

    Returns
    -------
    list of `~astropy.io.fits.BinTableHDU`
        The tables, in the order of the file; there may be none.

    Raises
    ------
    ValueError
        If an extension of this name is an image.
    """
    found = []
    for hdu in hdus:
        name = hdu.name.strip().upper()
        given = tuple(
            str(hdu.header.get(f"HDUCLAS{i + 1}", "")).strip().upper() for i in range(len(classes))
        )
        if name not in names and given != classes:
            continue
        if isinstance(hdu, (fits.BinTableHDU, fits.TableHDU)):
            found.append(hdu)
        elif name in names:
            msg = f"{kind} {path}: its extension {name} is an image, where a table is expected"
            raise ValueError(msg)
    return found


def existing_file(path, kind):
    """
    Return a path to a file that must exist.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        The file.
    kind : str
        What it holds, for the message.

    Returns
    -------
    `~pathlib.Path`
        The path.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        msg = f"the {kind} {path} does not exist"
        raise FileNotFoundError(msg)
    return path


def open_fits(path, kind):
    """
    Open a FITS file and read all of it.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        The file.
    kind : str
        What it holds, for the message.

    Returns
    -------
    `~astropy.io.fits.HDUList`
        The extensions, in memory; to be closed by the caller.

    Raises
    ------
    ValueError
        If the file cannot be read, or is truncated.
    """
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", AstropyUserWarning)
            hdus = fits.open(path, memmap=False, lazy_load_hdus=False)
    except OSError as error:
        msg = f"the {kind} {path} is not a readable FITS file: {error}"
        raise ValueError(msg) from error
    for warning in caught:
        if "truncated" in str(warning.message):
            hdus.close()
            msg = f"the {kind} {path} is truncated: {warning.message}"
            raise ValueError(msg)
    return hdus
