"""PSFs from STPSF (WebbPSF under its current name), computed offline from its data files."""

import builtins
import copy
import hashlib
import importlib.util
import os
import re
import sys
import threading
from functools import cache
from pathlib import Path
from types import SimpleNamespace

from jwst_fusion.input_files import check_whole
from jwst_fusion.process import without_warnings

__all__ = ["OpticalModel", "data_fingerprint", "data_version", "find_data", "wavefront_map_of_date"]

#: What to tell somebody who lacks the data.
HOW_TO = (
    "Get them by 'jwst-fusion psf fetch', or as described at "
    "https://stpsf.readthedocs.io/en/stable/installation.html, and set the environment "
    "variable STPSF_PATH to the folder 'stpsf-data'"
)

_PUPIL = "jwst_pupil_RevW_npix1024.fits.gz"
_NEEDED = ("version.txt", _PUPIL)
_OLDEST_DATA = (2, 1)  # version of the data files from which on they have what is needed here
_LONGEST_WAIT = 7  # days; the telescope's wavefront is measured every two days or so
_importing = threading.Lock()


def find_data(channel=None):
    """
    Find the data files of STPSF.

    Parameters
    ----------
    channel : str, optional
        Name of the instrument or channel that must be among them.

    Returns
    -------
    pathlib.Path
        The folder named by the environment variable STPSF_PATH or, without it, STPSF's default,
        ``~/data/stpsf-data``.

    Raises
    ------
    FileNotFoundError
        If there is no such folder or a file that we need is missing from it. Nothing is ever
        downloaded.
    """
    value = os.environ.get("STPSF_PATH")
    folder = Path(value).expanduser() if value else Path.home() / "data" / "stpsf-data"
    where = f"STPSF_PATH={value}" if value else f"STPSF_PATH is not set and {folder}"
    if not folder.is_dir():
        msg = f"The data files of STPSF were not found: {where} is not a folder. {HOW_TO}"
        raise FileNotFoundError(msg)
    needed = _NEEDED if channel is None else (*_NEEDED, f"{_folder_of(channel)}/filters.tsv")
    missing = [name for name in needed if not (folder / name).is_file()]
    if not any(folder.glob("JWST_OTE_OPD*.fits*")):
        missing.append("JWST_OTE_OPD*.fits")
    if missing:
        names = ", ".join(missing)
        msg = f"The data files of STPSF in {folder} (STPSF_PATH) lack {names}. {HOW_TO}"
        raise FileNotFoundError(msg)
    version = (folder / "version.txt").read_text().strip()
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < _OLDEST_DATA:
        msg = f"The data files of STPSF in {folder} (STPSF_PATH) are too old, {version}. {HOW_TO}"
        raise FileNotFoundError(msg)
    return folder


def _folder_of(channel):
    """Return the name of an instrument's folder and class in STPSF."""
    return {"NIRC": "NIRCam", "NIRS": "NIRSpec", "MIRI": "MIRI"}[channel[:4]]


@cache
def _digest(path, _size, _modified):
    # Size and time of the last change tell when to read it again.
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def data_version():
    """
    Version of the data files.

    Returns
    -------
    str
        Content of ``version.txt``.

    Raises
    ------
    FileNotFoundError
        As `find_data`.
    """
    return (find_data() / "version.txt").read_text().strip()


def data_fingerprint(opd, channel):
    """
    Describe the data files that shape the PSFs, for the cache.

    Parameters
    ----------
    opd : pathlib.Path, str or None
        Telescope wavefront map that replaces the one among the data files, or "none".
    channel : str
        Name of the instrument or channel.

    Returns
    -------
    dict
        Version of the data and checksums of pupil, wavefront map, aberrations of the instruments
        and their dependence on the position in the field.
    """
    folder = find_data()
    out = {"version": data_version()}
    instrument = _folder_of(channel)
    used = [
        folder / _PUPIL,
        folder / "si_zernikes_isim_cv3.fits",
        *sorted((folder / instrument / "OPD").glob("*.fits*")),
        *sorted((folder / instrument / "optics").glob("*defocus*.fits")),
    ]
    if opd is None:
        used += sorted(folder.glob("JWST_OTE_OPD*.fits*"))
    elif opd != "none":
        used.append(Path(opd))
    for path in used:
        if path.is_file():
            status = path.stat()
            out[path.name] = _digest(str(path), status.st_size, status.st_mtime_ns)
    return out


def wavefront_map_of_date(date):
    """
    Find the measured telescope wavefront nearest to a date among the downloaded ones.

    Parameters
    ----------
    date : str
        Date in ISO format, with or without time, UTC.

    Returns
    -------
    pathlib.Path
        FITS file in the folder MAST_JWST_WSS_OPDs of STPSF's data files.

    Raises
    ------
    FileNotFoundError
        If there is none from within a week, which says how to get it. Wavefronts are measured
        every two days or so.
    ValueError
        If it is not a date.
    """
    from astropy.io import fits
    from astropy.time import Time

    try:
        wanted = Time(date, scale="utc")
    except ValueError as error:
        msg = f"opd={date!r} is not a date: {error}"
        raise ValueError(msg) from error
    folder = find_data() / "MAST_JWST_WSS_OPDs"
    distances = {}
    for path in sorted(folder.glob("*.fits*")):
        header = fits.getheader(path)
        if "DATE-OBS" in header:
            taken = Time(f"{header['DATE-OBS']}T{header.get('TIME-OBS', '00:00:00')}", scale="utc")
            distances[path] = abs((taken - wanted).to_value("day"))
    nearest = min(distances, key=distances.get, default=None)
    if nearest is None or distances[nearest] > _LONGEST_WAIT:
        msg = (
            f"opd={date!r}: {folder} holds no wavefront map from within {_LONGEST_WAIT} days. With "
            f"a network, stpsf.mast_wss.get_opd_at_time({date!r}) tells its name and "
            "stpsf.mast_wss.mast_retrieve_opd(name) puts it there"
        )
        raise FileNotFoundError(msg)
    return nearest


class _InstalledVersions:
    """Answer pysiaf's question for its versions from its folder instead of a web page."""

    def __init__(self, package):
        self._package = package

    def get(self, *_args, **_keywords):
        names = sorted(os.listdir(self._package / "prd_data" / "JWST"))
        return SimpleNamespace(text=" ".join(f"pysiaf/prd_data/JWST/{n}/SIAFXML" for n in names))


def _import_pysiaf():
    """
    Import pysiaf without network.

    It asks a web page for its newest version when it is imported, and has no switch for that. Its
    code is run here as Python runs it, with a function ``__import__`` of its own, which gives it
    what is installed for the web page. Nothing outside this module is changed.
    """
    if "pysiaf" in sys.modules:
        return
    import requests

    spec = importlib.util.find_spec("pysiaf")
    if spec is None:
        return  # what needs it will say so
    module = importlib.util.module_from_spec(spec)
    installed = _InstalledVersions(Path(spec.origin).parent)

    def import_(name, *args, **keywords):
        return installed if name == "requests" else builtins.__import__(name, *args, **keywords)

    vars(module)["__builtins__"] = {**vars(builtins), "__import__": import_}
    sys.modules["pysiaf"] = module
    try:
        exec(spec.loader.get_code("pysiaf"), vars(module))
    except BaseException:
        del sys.modules["pysiaf"]
        raise
    vars(module).update(__builtins__=vars(builtins), requests=requests)


def _import_stpsf():
    """Import STPSF; the first time without network."""
    find_data()
    with _importing:
        try:
            _import_pysiaf()
            import stpsf
        except ImportError as error:
            msg = "the package stpsf cannot be imported; install it: pip install 'jwst_fusion[psf]'"
            raise ImportError(msg) from error
    return stpsf


class OpticalModel:
    """
    Optical system of one detector, ready for any wavelength.

    Parameters
    ----------
    channel : str
        "NIRCAM_SW", "NIRCAM_LW", "NIRSPEC" (integral field unit), "MIRI_IMAGER" or "MIRI_MRS".
    detector : str
        Detector name of STPSF; for "MIRI_MRS" the band, for "MIRI_IMAGER" of no effect.
    filter_name : str, optional
        NIRCam filter. It matters only for F212N and F323N, which have a focus of their own.
    position : tuple of int, optional
        Column and row on the imager's detector; by default its middle.
    opd : path-like or str, optional
        Telescope wavefront map in the format of STPSF or of the wavefront sensing; by default that
        of STPSF's data files. "none" leaves the wavefront error of the telescope out.

    Raises
    ------
    FileNotFoundError
        If the data files of STPSF are not found.
    ValueError
        If the wavefront map has neither format.

    Notes
    -----
    Of STPSF's optional effects, jitter, charge diffusion and the widening of the integral field
    unit are left to `jwst_fusion.psf.resample`, which applies them exactly; geometric distortion
    and interpixel capacitance are removed from images by the pipeline.

    STPSF gives NIRCam images with V3 up and V2 left (its rotation to the detector is part of the
    distortion step). For NIRSpec and MIRI it turns the wavefront by the aperture's
    ``V3IdlYAngle``, so that the ideal +y axis is up; the further quarter turn of NIRSpec to the
    frame "ifualign" of cube_build is switched off here.

    Scattering within MIRI's detectors (the cruciform pattern of the imager below 12 um, the
    widening of the spectrometer's PSF) is not included.
    """

    def __init__(self, channel, detector, filter_name=None, *, position=None, opd=None):
        with without_warnings():  # of STPSF and what it imports, about their own workings
            stpsf = _import_stpsf()
            model = getattr(stpsf, _folder_of(channel))()
            self.rotation = 0.0
            if channel.startswith("NIRCAM"):
                model.auto_channel = False
                model.detector = detector
                if filter_name is not None:
                    model.filter = filter_name
                model.detector = detector
            elif channel == "NIRSPEC":
                model.detector = detector
                model.mode = "IFU"
                model.options["ifualign_rotation"] = False
                self.rotation = float(model._rotation)
            else:
                if channel == "MIRI_MRS":
                    model.mode = "IFU"
                    model.band = detector
                self.rotation = float(model._rotation)
            if position is not None:
                model.detector_position = position
            model.options["jitter"] = None
            if opd == "none":
                model.pupilopd = None
            elif opd is not None:
                _load_map(model, str(opd))
            self.system = model.get_optical_system(fft_oversample=1, fov_pixels=3)

    def clone(self):
        """Return a copy for another thread: propagation leaves traces in the optical system."""
        return copy.deepcopy(self)

    def native_psf(self, wavelength, scale, size):
        """
        Monochromatic PSF in the frame described above.

        Parameters
        ----------
        wavelength : float
            Wavelength [um].
        scale : float
            Pixel [arcsec].
        size : int
            Pixels a side, odd.

        Returns
        -------
        ndarray
            Intensity at the pixel centres, shape (size, size), as a share of the light that passes
            the entrance pupil.
        """
        import poppy

        self.system.planes[-1] = poppy.Detector(scale, fov_pixels=size, oversample=1)
        result = self.system.calc_psf(wavelength=wavelength * 1e-6)
        return result[0].data.astype(float)


def _load_map(model, path):
    """Give a model the telescope's wavefront from a file of STPSF or of the wavefront sensing."""
    from astropy.io import fits

    try:
        check_whole(path)
        with fits.open(path) as hdus:
            measured = "RESULT_PHASE" in hdus
            image = hdus[1 if measured else 0].data
            if image is None or image.ndim not in (2, 3):
                msg = f"the telescope wavefront map {path} holds no image"
                raise ValueError(msg)
    except OSError as error:
        msg = f"the telescope wavefront map {path} is not a readable FITS file: {error}"
        raise ValueError(msg) from error
    if measured:
        model.load_wss_opd(path, verbose=False)
    else:
        model.pupilopd = path
