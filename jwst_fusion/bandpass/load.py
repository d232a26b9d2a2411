"""Read filter curves: a file of the user, the data files of STPSF, or the built-in table."""

import logging
import os
import re
from pathlib import Path

import numpy as np
from astropy.io import fits

from jwst_fusion.bandpass.curve import Bandpass
from jwst_fusion.bandpass.nominal import NIRCAM_FILTERS, nominal_bandpass

__all__ = ["load_bandpass", "read_bandpass"]

log = logging.getLogger(f"stpipe.{__name__}")

_TO_MICRON = {
    "um": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "angstrom": 1e-4,
    "angstroms": 1e-4,
}
# Without a unit in the file: no band of JWST exceeds 30 um, none is shorter than 5000 Angstrom.
_LONGEST_MICRON = 30.0
_SHORTEST_ANGSTROM = 5000.0
_reported = set()


def load_bandpass(name, *, path=None):
    """
    Throughput curve of a NIRCam filter.

    Parameters
    ----------
    name : str
        Filter, for instance "F182M".
    path : path-like, optional
        File with the curve (see `read_bandpass`). Without it the curve comes from the data files of
        STPSF if the environment variable STPSF_PATH leads to them, else from the built-in table of
        half-power wavelengths, which is logged once for every filter.

    Returns
    -------
    Bandpass
        The curve; its ``source`` says where it comes from.

    Raises
    ------
    ValueError
        If the filter is unknown or the file cannot be understood.
    FileNotFoundError
        If `path` does not exist.
    """
    text = str(name).upper()
    if path is not None:
        return read_bandpass(path, name=text)
    if text not in NIRCAM_FILTERS:
        msg = (
            f"{name!r} is no NIRCam filter; known are {', '.join(NIRCAM_FILTERS)}. For another "
            "instrument give the file of its throughput"
        )
        raise ValueError(msg)
    value = os.environ.get("STPSF_PATH")
    folder = Path(value).expanduser() if value else Path.home() / "data" / "stpsf-data"
    found = folder / "NIRCam" / "filters" / f"{text}_throughput.fits"
    if found.is_file():
        return read_bandpass(found, name=text)
    if text not in _reported:
        _reported.add(text)
        log.warning(
            "Throughput of %s: the nominal curve between half-power wavelengths is used. For the "
            "measured one set STPSF_PATH to the data files of STPSF or give a file",
            text,
        )
    return nominal_bandpass(text)


def read_bandpass(path, *, name=None):
    """
    Read a throughput curve from a file.

    Parameters
    ----------
    path : path-like
        FITS table with columns WAVELENGTH and THROUGHPUT, or text with wavelength and throughput
        in the first two columns and at most one header line. The unit of wavelength is that of the
        column (TUNIT, WAVEUNIT or the header line); without one, numbers up to 30 are micrometre
        and numbers from 5000 are Angstrom.
    name : str, optional
        Filter name; by default that of the file.

    Returns
    -------
    Bandpass
        The curve in ascending order of wavelength.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is neither, or the unit is unclear.
    """
    path = Path(path)
    if not path.is_file():
        msg = f"the throughput file {path} does not exist"
        raise FileNotFoundError(msg)
    is_fits = path.name.lower().endswith((".fits", ".fits.gz", ".fit"))
    wavelength, throughput, unit = _from_fits(path) if is_fits else _from_text(path)
    good = np.isfinite(wavelength) & np.isfinite(throughput)
    wavelength, throughput = wavelength[good], throughput[good]
    if wavelength.size < 2:
        msg = f"the throughput file {path} has fewer than two rows of finite numbers"
        raise ValueError(msg)
    wavelength = wavelength * _unit_factor(unit, wavelength, path)
    wavelength, first = np.unique(wavelength, return_index=True)
    return Bandpass(name or path.stem, wavelength, throughput[first], str(path))


def _from_fits(path):
    try:
        with fits.open(path, memmap=False) as hdus:
            for hdu in hdus:
                columns = getattr(hdu, "columns", None)
                names = [] if columns is None else [n.upper() for n in columns.names]
                if "WAVELENGTH" in names and "THROUGHPUT" in names:
                    unit = columns["WAVELENGTH"].unit or hdu.header.get("WAVEUNIT")
                    wavelength = np.array(hdu.data["WAVELENGTH"], dtype=float)
                    return wavelength, np.array(hdu.data["THROUGHPUT"], dtype=float), unit
    except OSError as error:
        msg = f"the throughput file {path} is not a readable FITS file: {error}"
        raise ValueError(msg) from error
    msg = f"the throughput file {path} has no table with columns WAVELENGTH and THROUGHPUT"
    raise ValueError(msg)


def _from_text(path):
    try:
        lines = path.read_text().splitlines()
    except UnicodeDecodeError as error:
        msg = f"the throughput file {path} is neither FITS nor text"
        raise ValueError(msg) from error
    rows, unit = [], None
    for line in lines:
        words = re.split(r"[\s,;]+", line.strip("# \t\r\n"))
        try:
            rows.append((float(words[0]), float(words[1])))
        except (ValueError, IndexError) as error:
            if rows and line.strip() and not line.lstrip().startswith("#"):
                msg = f"the throughput file {path} has a line that is not two numbers: {line!r}"
                raise ValueError(msg) from error
            spelled = re.findall(r"[a-z]+", line.lower())
            unit = next((word for word in spelled if word in _TO_MICRON), unit)
    table = np.array(rows, dtype=float).reshape(-1, 2)
    return table[:, 0], table[:, 1], unit


def _unit_factor(unit, wavelength, path):
    if unit:
        key = str(unit).strip().lower()
        if key in _TO_MICRON:
            return _TO_MICRON[key]
        msg = f"the throughput file {path} gives wavelengths in {unit!r}; use um or Angstrom"
        raise ValueError(msg)
    if np.max(wavelength) <= _LONGEST_MICRON:
        return 1.0
    if np.min(wavelength) >= _SHORTEST_ANGSTROM:
        return 1e-4
    msg = (
        f"the throughput file {path} does not say the unit of its wavelengths, "
        f"{np.min(wavelength):g} to {np.max(wavelength):g}; use um or Angstrom"
    )
    raise ValueError(msg)
