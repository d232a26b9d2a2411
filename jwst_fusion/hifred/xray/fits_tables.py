"""Columns and units of FITS tables, with errors that name the file."""

import warnings
from pathlib import Path

from astropy import units as u
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

__all__ = ["column", "column_name", "existing_file", "open_fits", "unit_factor"]


def column_name(table, name):
    """Return how a table spells the name of a column, or None if it has none."""
    return next((one for one in table.columns.names if one.upper() == name), None)


def column(table, name, path):
    """Return the data of a column, whatever the case of its name."""
    spelling = column_name(table, name)
    if spelling is None:
        msg = f"{path} has no column {name} in its extension {table.name}"
        raise ValueError(msg)
    return table.data[spelling]


def unit_factor(table, name, unit, path):
    """Return the factor from the unit of a column, or from `unit` if it has none, to `unit`."""
    text = table.columns[column_name(table, name)].unit
    if not text:
        return 1.0
    try:
        return float(u.Unit(text.replace("**", "^")).to(unit))
    except (ValueError, u.UnitConversionError) as error:
        msg = f"{path} has {name} in {text!r}: expected {unit}"
        raise ValueError(msg) from error


def existing_file(path, kind):
    """Return a path, or raise FileNotFoundError that says what kind of file is missing."""
    path = Path(path)
    if not path.is_file():
        msg = f"the {kind} {path} does not exist"
        raise FileNotFoundError(msg)
    return path


def open_fits(path, kind):
    """Open a whole FITS file, or raise ValueError that says what kind of file cannot be read."""
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
