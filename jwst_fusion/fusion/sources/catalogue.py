"""Read catalogues of sources: files of any table format with sky coordinates."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import QTable
from astropy.units import Quantity, Unit, UnitBase

from jwst_fusion.messages import warn

__all__ = ["Catalogue", "coordinates_of_images", "read_catalogue"]

log = logging.getLogger(__name__)

_SAME_OFFSET = 0.5  # pixels: images whose offsets differ less have the same coordinates

# Columns by their names in lower case, in the order of preference.
_PAIRS = (
    ("ra", "dec"),
    ("ra_deg", "dec_deg"),
    ("raj2000", "dej2000"),
    ("ra_icrs", "de_icrs"),
    ("alpha_j2000", "delta_j2000"),
    ("alphawin_j2000", "deltawin_j2000"),
    ("alpha", "delta"),
    ("right_ascension", "declination"),
)
_POSITIONS = ("sky_centroid", "sky_centroid_icrs", "skycoord", "coord", "sky")
_NAMES = ("name", "label", "id", "source_id", "source", "number")
_FORMATS = {
    ".ecsv": "ascii.ecsv",
    ".csv": "ascii.csv",
    ".fits": "fits",
    ".fit": "fits",
    ".vot": "votable",
    ".xml": "votable",
    ".votable": "votable",
}


@dataclass(frozen=True)
class Catalogue:
    """Sources of a catalogue.

    Parameters
    ----------
    sky : `~astropy.coordinates.SkyCoord`
        Positions (J,), ICRS.
    name : ndarray (J,) of str
        Their names; numbers from 1 if the catalogue gives none.
    """

    sky: SkyCoord
    name: np.ndarray

    def __len__(self):
        return len(self.name)


def read_catalogue(path):
    """
    Read the positions and names of the sources of a catalogue.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        ECSV, CSV, FITS table or VOTable, told by its suffix. Positions are one column of sky
        coordinates (``sky_centroid`` as in the catalogues of jwst) or two of degrees, such as
        ``ra`` and ``dec``, ``ra_deg``, ``RAJ2000`` or ``ALPHA_J2000``, in upper or lower case;
        names, if there are any, are in ``name``, ``label`` or ``id``.

    Returns
    -------
    Catalogue
        The sources, in the order of the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no table, lacks positions, or has values that are missing or not allowed; the
        message names file and column.
    """
    path = Path(path)
    if not path.is_file():
        msg = f"catalogue of sources {path} does not exist"
        raise FileNotFoundError(msg)
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        msg = (
            f"catalogue of sources {path.name} has the suffix {path.suffix!r}: give one of "
            f"{', '.join(_FORMATS)}"
        )
        raise ValueError(msg)
    try:
        table = QTable.read(path, format=kind)
    except Exception as error:  # every reader has its own
        msg = f"catalogue of sources {path.name} cannot be read as {kind}: {error}"
        raise ValueError(msg) from error
    if not len(table):
        msg = f"catalogue of sources {path.name} has no rows"
        raise ValueError(msg)
    return Catalogue(_positions(table, path.name), _names(table, path.name))


def coordinates_of_images(grid, offsets, path):
    """
    Give a grid the coordinates that a catalogue has, which are those of most images.

    Parameters
    ----------
    grid : `~jwst_fusion.fusion.observed.sky.SkyGrid`
        The grid.
    offsets : array (image, 2)
        Offsets along x and y that are taken out of the images, pixels.
    path : str or `~pathlib.Path`
        The catalogue, for messages.

    Returns
    -------
    `~jwst_fusion.fusion.observed.sky.SkyGrid`
        The grid, moved by the median of the offsets.
    """
    if not len(offsets) or not np.any(offsets):
        return grid
    most = np.median(offsets, axis=0)
    spread = float(np.hypot(*(offsets - most).T).max())
    if spread > _SAME_OFFSET:
        warn(
            log,
            'Offsets of the images differ by %.3f": the positions of %s are moved by their median',
            spread * grid.scale,
            path,
        )
    log.info(
        'The positions of %s are moved with the images, by %+.3f, %+.3f"', path, *most * grid.scale
    )
    return grid.shifted(*most)


def _positions(table, file):
    columns = {name.lower(): name for name in reversed(table.colnames)}
    for one in _POSITIONS:
        column = table[columns[one]] if one in columns else None
        if isinstance(column, SkyCoord):
            sky = column.icrs
            _complete(sky.ra.deg, columns[one], file)
            _complete(sky.dec.deg, columns[one], file)
            return SkyCoord(np.atleast_1d(sky.ra), np.atleast_1d(sky.dec))
    for ra, dec in _PAIRS:
        if ra in columns and dec in columns:
            found = [_degrees(table, columns[one], file) for one in (ra, dec)]
            if np.any(np.abs(found[1]) > 90):
                msg = f"column {columns[dec]} of {file} has declinations beyond 90 degrees"
                raise ValueError(msg)
            if np.any((found[0] < -180) | (found[0] > 360)):
                msg = f"column {columns[ra]} of {file} has right ascensions beyond 360 degrees"
                raise ValueError(msg)
            return SkyCoord(*found, unit="deg")
    msg = (
        f"catalogue of sources {file} has no positions among its columns "
        f"{', '.join(table.colnames)}: give ra and dec in degrees"
    )
    raise ValueError(msg)


def _degrees(table, name, file):
    """Values of a column in degrees, all of them present."""
    column = table[name]
    unit = column.unit if isinstance(column, Quantity) else getattr(column, "unit", None)
    missing = getattr(column, "mask", None)
    values = getattr(column, "unmasked", column)
    try:
        if isinstance(unit, UnitBase) and unit != Unit(""):
            values = Quantity(values, unit).to_value("deg")
        values = np.array(np.ma.getdata(values), float)
    except (TypeError, ValueError) as error:
        msg = f"column {name} of {file} is not a number of degrees: {error}"
        raise ValueError(msg) from error
    if missing is not None:
        values = np.where(np.asarray(missing), np.nan, values)
    _complete(values, name, file)
    return values


def _complete(values, name, file):
    rows = np.flatnonzero(~np.isfinite(np.ma.filled(np.ma.asarray(values, float), np.nan)))
    if rows.size:
        msg = (
            f"column {name} of {file} has no value in row {rows[0] + 1} ({rows.size} rows): leave "
            "sources without a position out"
        )
        raise ValueError(msg)


def _names(table, file):
    columns = {name.lower(): name for name in reversed(table.colnames)}
    count = len(table)
    for one in _NAMES:
        if one not in columns:
            continue
        column = table[columns[one]]
        missing = np.broadcast_to(np.asarray(getattr(column, "mask", False)), count)
        values = np.ma.getdata(getattr(column, "unmasked", column))
        texts = [
            value.decode() if isinstance(value, bytes) else str(value) for value in values.tolist()
        ]
        # a source without a name is known by its row
        names = [
            f"row {row}" if absent or not text.strip() else text.strip()
            for row, (text, absent) in enumerate(zip(texts, missing, strict=True), 1)
        ]
        unique, counts = np.unique(names, return_counts=True)
        if np.any(counts > 1):
            msg = f"column {columns[one]} of {file} has a name twice: {unique[counts > 1][0]}"
            raise ValueError(msg)
        return np.array(names, str)
    return np.array([str(row) for row in range(1, count + 1)])
