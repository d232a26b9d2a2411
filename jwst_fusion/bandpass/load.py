"""Find the curve of a filter: a file of the user, the data of STPSF, or the built-in table."""

import logging
import os
from pathlib import Path

from jwst_fusion.bandpass.curve import Bandpass
from jwst_fusion.bandpass.names import filter_name
from jwst_fusion.bandpass.nominal import MIRI_FILTERS, NIRCAM_FILTERS, nominal_bandpass
from jwst_fusion.bandpass.read import read_bandpass
from jwst_fusion.messages import warn_once

__all__ = ["data_version", "load_bandpass"]

log = logging.getLogger(__name__)

_FOLDERS = {"NIRCAM": "NIRCam", "MIRI": "MIRI", "NIRISS": "NIRISS"}
# A curve whose pivot lies further than this beyond the half-power wavelengths is of another filter.
_SLACK = 0.01
_NOMINAL = {"NIRCAM": NIRCAM_FILTERS, "MIRI": MIRI_FILTERS}


def load_bandpass(name, *, path=None, instrument="NIRCAM"):
    """
    Throughput curve of a filter.

    Parameters
    ----------
    name : str
        Filter, for instance "F182M".
    path : path-like, optional
        File with the curve (see `read_bandpass`). Without it the curve comes from the data files of
        STPSF if the environment variable STPSF_PATH leads to them, else, for NIRCam and MIRI, from
        the built-in table of half-power wavelengths, of which each product is told once.
    instrument : str, optional
        "NIRCAM", "MIRI" or "NIRISS"; with a file any other as well.

    Returns
    -------
    Bandpass
        The curve; its ``source`` says where it comes from.

    Raises
    ------
    ValueError
        If the filter is unknown, the file cannot be understood or holds the curve of another
        filter, or no curve is found.
    FileNotFoundError
        If `path` does not exist.
    """
    instrument = str(instrument).upper()
    if path is not None:
        text = str(name).strip().upper()
        band = read_bandpass(path, name=text)
        if instrument in _NOMINAL:
            _check_place(band, path, _NOMINAL[instrument])
        return band
    text = filter_name(name, instrument=instrument)
    folder = _data_folder()
    inside = Path(_FOLDERS[instrument]) / "filters" / f"{text}_throughput.fits"
    if (folder / inside).is_file():
        band = read_bandpass(folder / inside, name=text)
        source = f"STPSF data {_version(folder)}, {inside.as_posix()}"
        return Bandpass(text, band.wavelength, band.throughput, source)
    remedy = "run 'jwst-fusion psf fetch' and set STPSF_PATH to its folder, or give a file"
    if instrument not in _NOMINAL:
        msg = f"no throughput of {text} ({instrument}) is found: {remedy}"
        raise ValueError(msg)
    warn_once(
        log,
        "Nominal filter curves, between half-power wavelengths, are used. For the measured ones %s",
        remedy,
    )
    return nominal_bandpass(text)


def data_version():
    """
    Return the version of the data files of STPSF.

    Returns
    -------
    str
        Empty if there are none where STPSF_PATH, or by default the home folder, leads to.
    """
    folder = _data_folder()
    return _version(folder) if (folder / "version.txt").is_file() else ""


def _data_folder():
    value = os.environ.get("STPSF_PATH")
    return Path(value).expanduser() if value else Path.home() / "data" / "stpsf-data"


def _version(folder):
    try:
        return (folder / "version.txt").read_text().strip()
    except OSError:
        return "of unknown version"


def _check_place(band, path, known):
    """Refuse the curve of another filter."""
    blue, red = known.get(band.name, (0.0, float("inf")))
    if not blue * (1 - _SLACK) <= band.pivot <= red * (1 + _SLACK):
        msg = (
            f"the throughput file {path} is not that of {band.name}, which lies at {blue:g} to "
            f"{red:g} um: its pivot wavelength is {band.pivot:.4g} um"
        )
        raise ValueError(msg)
