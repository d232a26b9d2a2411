"""Columns and units of FITS tables, with errors that name the file."""

import warnings
from pathlib import Path

from astropy import units as u
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

__all__ = ["column", "column_name", "existing_file", "open_fits", "unit_factor"]


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
        return float(u.Unit(text.replace("**", "^")).to(unit))
    except (ValueError, u.UnitConversionError) as error:
        msg = f"{path} has {name} in {text!r}: expected {unit}"
        raise ValueError(msg) from error


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
