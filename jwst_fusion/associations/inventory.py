"""Inventory of folders: headers read in parallel, each file kept, or left out with a reason."""

import logging
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from jwst_fusion.associations.coverage import ranges_of_cube, ranges_of_exposure
from jwst_fusion.associations.footprint import Footprint, footprint_of
from jwst_fusion.associations.headers import read_headers
from jwst_fusion.bandpass.names import band_of_wheels

__all__ = ["NOT_JWST", "Product", "take_inventory"]

log = logging.getLogger(__name__)

#: Reason for which files of other telescopes are left out.
NOT_JWST = "not a JWST product"
_IMAGES = ("NRC_IMAGE", "MIR_IMAGE")
_CORONAGRAPHS = ("NRC_CORON",)  # whose images are refused with their mask as the reason
_SPECTRA = ("NRS_IFU", "MIR_MRS")
_SINGLE = re.compile(r"^jw\d{11}_\d{5}_\d{5}_")  # name of a product of one exposure
# Reading waits for the disk most of the time.
_THREADS = 16
_PATIENCE = 10.0  # s without a line on how far it is


@dataclass(frozen=True)
class Product:
    """
    A file as its headers describe it.

    Attributes
    ----------
    path : `~pathlib.Path`
        The file.
    kind : {"cube", "exposure", "image"}
        What it is.
    instrument, program, observation, target : str
        From the header; the target in capitals.
    moving : bool
        Whether the target moves on the sky.
    footprint : `~jwst_fusion.associations.footprint.Footprint`
        Where it is.
    filter : str
        Band of an image.
    gratings : tuple of tuple
        Disperser and blocking filter of NIRSpec.
    ranges : tuple of tuple
        Wavelengths of a cube or exposure [um].
    single : bool
        Whether it was made from one exposure only.
    """

    path: Path
    kind: str
    instrument: str
    program: str
    observation: str
    target: str
    moving: bool
    footprint: Footprint = field(repr=False)
    filter: str = ""
    gratings: tuple = ()
    ranges: tuple = ()
    single: bool = False


def take_inventory(folders):
    """
    Look through folders, all their subfolders included.

    Parameters
    ----------
    folders : sequence of str or path
        Folders, or single files.

    Returns
    -------
    products : list of Product
        Cubes, exposures and images, sorted by name.
    left_out : dict of `~pathlib.Path` to str
        Every other FITS file with the reason.

    Raises
    ------
    FileNotFoundError
        If a folder does not exist.
    """
    paths = _files(folders)
    products, left_out, places = [], {}, {}
    start = said = time.perf_counter()
    with ThreadPoolExecutor(min(_THREADS, 4 * (os.cpu_count() or 1))) as pool:
        for number, (path, found) in enumerate(zip(paths, pool.map(_look, paths), strict=True), 1):
            # A copy would count twice, and one name makes one product.
            first = path
            if isinstance(found, Product):
                first = places.setdefault(path.name.removesuffix(".gz"), path)
            if first != path:
                left_out[path] = f"has the name of {first}, which is used"
            elif isinstance(found, Product):
                products.append(found)
            else:
                left_out[path] = found
            now = time.perf_counter()
            if now - said > _PATIENCE:
                left = (now - start) * (len(paths) - number) / number
                log.info("%d of %d headers read, about %.0f s left", number, len(paths), left)
                said = now
    log.info("%d headers read in %.1f s", len(paths), time.perf_counter() - start)
    return products, left_out


def _files(folders):
    paths = set()
    for folder in map(Path, folders):
        if folder.is_dir():
            for pattern in ("*.fits", "*.fits.gz"):
                paths |= set(folder.rglob(pattern))
        elif folder.is_file():
            paths.add(folder)
        else:
            msg = f"{folder} is neither a folder nor a file"
            raise FileNotFoundError(msg)
    # names that begin with a dot are files that are being written
    return sorted(path for path in paths if not path.name.startswith("."))


def _look(path):
    """Describe a file, or say why it is of no use."""
    try:
        header, science = read_headers(path)
    except OSError as error:
        return f"cannot be read: {error}"
    kind = str(header.get("EXP_TYPE", ""))
    model = str(header.get("DATAMODL", ""))
    if header.get("TELESCOP") != "JWST" or not model:
        return NOT_JWST
    if "S_FUSION" in header:
        return "made by the fusion"
    if kind in _SPECTRA:
        return _spectra(path, header, science, model)
    if kind in _IMAGES or kind in _CORONAGRAPHS:
        return _image(path, header, science, model)
    return f"exposure type {kind or 'unknown'}: neither an integral field unit nor an imager"


def _spectra(path, header, science, model):
    if model == "IFUCubeModel":
        try:
            kind, ranges = "cube", ranges_of_cube(header, science)
        except ValueError as error:
            return str(error)
    elif model == "IFUImageModel" and re.search(r"_cal\.fits(\.gz)?$", path.name):
        kind, ranges = "exposure", ranges_of_exposure(header)
    elif model == "IFUImageModel":
        return "not a calibrated exposure (cal) but what another step makes of one"
    else:
        return f"{model}: neither cube (s3d) nor calibrated exposure (cal)"
    if kind == "cube" and _SINGLE.match(path.name):
        return "cube of one exposure: a cube of all, or the exposures, are used"
    if not ranges:
        return "wavelengths unknown: disperser and filter, or channel and band, are missing"
    gratings = ()
    if header.get("INSTRUME") == "NIRSPEC":
        gratings = ((str(header.get("GRATING")).upper(), str(header.get("FILTER")).upper()),)
    return _product(path, header, science, kind, ranges=tuple(ranges), gratings=gratings)


def _image(path, header, science, model):
    if model != "ImageModel" or header.get("S_RESAMP") != "COMPLETE":
        return f"{model} that was not resampled: fusion takes mosaics (i2d)"
    pupil = str(header.get("PUPIL", "")).upper()
    if pupil.startswith("MASK"):
        return f"taken through the coronagraphic mask {pupil}, of which no PSF is known"
    band = band_of_wheels(header.get("FILTER"), header.get("PUPIL"))
    if not band:
        return f"no filter of an imager: {header.get('FILTER')}"
    return _product(
        path, header, science, "image", filter=band, single=bool(_SINGLE.match(path.name))
    )


def _product(path, header, science, kind, **values):
    footprint = footprint_of(science)
    if footprint is None:
        return "neither S_REGION nor celestial coordinates: its place on the sky is unknown"
    names = [str(header.get(key, "")).strip().upper() for key in ("TARGNAME", "TARGPROP")]
    return Product(
        path=path,
        kind=kind,
        instrument=str(header.get("INSTRUME", "")).upper(),
        program=str(header.get("PROGRAM", "")).strip(),
        observation=str(header.get("OBSERVTN", "")).strip(),
        target=next((name for name in names if name not in ("", "UNKNOWN")), ""),
        moving=str(header.get("TARGTYPE", "")).upper() == "MOVING",
        footprint=footprint,
        **values,
    )
