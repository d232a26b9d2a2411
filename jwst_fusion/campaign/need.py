"""Memory that the task of a target needs, from headers and parameters, before anything starts."""

import math
from pathlib import Path

import numpy as np

from jwst_fusion.associations.coverage import ranges_of_exposure
from jwst_fusion.associations.footprint import footprint_of
from jwst_fusion.associations.headers import read_headers
from jwst_fusion.fusion.exposures.memory import estimate_exposure_memory
from jwst_fusion.fusion.memory import estimate_fusion_memory
from jwst_fusion.fusion.options import FusionOptions

__all__ = ["PROGRAM", "estimate_memory"]

#: GB of a Python process with jwst and this package loaded.
PROGRAM = 0.8
# Memory of a step that has no estimate of its own, in sizes of its input: data, errors and flags
# of all members in double precision and a copy.
_COPIES = 6.0
# Part of the detector that slices cover.
_ON_SLICES = {"NIRSPEC": 0.5, "MIRI": 0.9}
# Pixels along the dispersion: those of the detector.
_DISPERSED = {"NIRSPEC": 2048, "MIRI": 1024}
# Spaxels [arcsec] of NIRSpec and of the channels of the MRS, as jwst builds cubes.
_NIRSPEC_SPAXEL, _MRS_SPAXELS = 0.1, {"1": 0.13, "2": 0.17, "3": 0.2, "4": 0.35}
_FINEST = 3  # fine pixels per spaxel without images
_NODES = 16  # wavelengths of the PSFs, as long as their number is automatic
_REACH = 3.0  # arcsec that PSFs reach beyond the field, both sides together
_GB = 1e9


def estimate_memory(target, step):
    """
    Estimate the memory that a target needs.

    Parameters
    ----------
    target : `~jwst_fusion.campaign.targets.Target`
        The target. Only headers of its members are read.
    step : `~stpipe.Step`
        Step or pipeline with its parameters.

    Returns
    -------
    float
        GB, with the program. Members that cannot be read count nothing: their task will say so.

    Raises
    ------
    ValueError
        If a parameter of the fusion is not allowed.
    """
    fusion = getattr(step, "fusion", step)
    generic = PROGRAM + _COPIES * sum(_size(path) for path, _ in target.members) / _GB
    if not hasattr(fusion, "psf_nodes"):
        return generic
    options = FusionOptions.from_step(fusion)
    science = _headers(target, "science")
    images = _headers(target, "direct_image")
    exposures = [one for one in science if one[0].get("DATAMODL") == "IFUImageModel"]
    cubes = [one for one in science if one[0].get("DATAMODL") == "IFUCubeModel"]
    if not exposures and not cubes:
        return generic
    if exposures and not cubes and options.input != "cube":
        return _of_exposures(exposures, images, options) / _GB
    need = [_of_cube(_cube_shape(header), header, images, options) for header in cubes]
    if exposures:
        # All exposures together, then the cube that they make.
        shape = _built_shape(exposures, options)
        need += [generic * _GB, _of_cube(shape, exposures[0], images, options)]
    return max(need) / _GB


def _size(path):
    path = Path(path)
    return path.stat().st_size if path.is_file() else 0


def _headers(target, role):
    found = []
    for path, kind in target.members:
        if kind == role:
            try:
                found.append(read_headers(path))
            except OSError:
                continue  # the task says what is wrong with the file
    return found


def _of_exposures(exposures, images, options):
    """Bytes of a fusion at the native pixels of exposures."""
    first = exposures[0][0]
    instrument = str(first.get("INSTRUME", "NIRSPEC")).upper()
    pixels = sum(one.get("NAXIS1", 0) * one.get("NAXIS2", 0) for _, one in exposures)
    pixels *= _ON_SLICES.get(instrument, 1.0)
    whole = _extent(exposures)
    rows, columns, channels = _built_shape(exposures, options)
    spaxel = _spaxel(exposures)
    share = min(1.0, rows * columns * spaxel**2 / max(math.prod(whole), spaxel**2))
    inside = pixels * share * _part(exposures, options)
    factor = _factor(spaxel, images, options)
    shape = (rows * factor, columns * factor)
    reach = math.ceil((options.psf_size or _REACH) / spaxel * factor)
    domain = tuple(size + reach for size in shape)
    return estimate_exposure_memory(
        inside, pixels - inside, channels, shape, domain, rank=_rank(options)
    )


def _of_cube(size, header, images, options):
    """Bytes of a fusion of a cube, with its input and the program."""
    rows, columns, channels = size
    spaxel = _spaxel([header])
    rim = math.ceil(options.margin / spaxel)
    shape = (rows + 2 * rim, columns + 2 * rim)
    nodes = options.psf_nodes if isinstance(options.psf_nodes, int) else _NODES
    need = estimate_fusion_memory(
        channels,
        shape,
        _factor(spaxel, images, options),
        filters=max(len(images), 1),
        nodes=nodes,
        rank=_rank(options),
    )
    read = 4 * 4 * rows * columns * channels  # data, errors, flags, weights
    read += sum(4 * 4 * one.get("NAXIS1", 0) * one.get("NAXIS2", 0) for _, one in images)
    return need + read + PROGRAM * _GB


def _cube_shape(header):
    science = header[1]
    return tuple(max(int(science.get(f"NAXIS{axis}", 1)), 1) for axis in (2, 1, 3))


def _built_shape(exposures, options):
    """Rows, columns and channels of the cube that exposures make, of the part that is wanted."""
    spaxel = _spaxel(exposures)
    height, width = _extent(exposures)
    width = min(width, options.field_width or width)
    height = min(height, options.field_height or height)
    bands = set()
    for primary, _ in exposures:
        for span in ranges_of_exposure(primary):
            bands.add((primary.get("INSTRUME"), primary.get("DETECTOR"), span))
    instrument = str(exposures[0][0].get("INSTRUME", "")).upper()
    dispersed = _DISPERSED.get(instrument, max(_DISPERSED.values()))
    channels = max(len(bands), 1) * dispersed * _part(exposures, options)
    sides = (max(math.ceil(side / spaxel), 2) for side in (height, width))
    return (*sides, max(math.ceil(channels), 2))


def _extent(exposures):
    """Height and width [arcsec] of the field that the exposures cover together."""
    places = [footprint_of(science) for _, science in exposures]
    corners = [np.concatenate(one.polygons) for one in places if one is not None]
    if not corners:
        return 4.0, 4.0  # of the NIRSpec IFU with a dither
    moving = str(exposures[0][0].get("TARGTYPE", "")).upper() == "MOVING"
    groups = corners if moving else [np.concatenate(corners)]
    sizes = []
    for one in groups:
        ra = np.unwrap(one[:, 0], period=360.0)
        sizes.append((np.ptp(one[:, 1]), np.ptp(ra) * np.cos(np.radians(one[:, 1].mean()))))
    return tuple(3600 * max(size[axis] for size in sizes) for axis in (0, 1))


def _part(exposures, options):
    """Part of the wavelengths that is wanted, 0 to 1."""
    spans = {span for primary, _ in exposures for span in ranges_of_exposure(primary)}
    low, high = options.wave_min or 0.0, options.wave_max or np.inf
    whole = sum(top - bottom for bottom, top in spans)
    kept = sum(max(min(top, high) - max(bottom, low), 0.0) for bottom, top in spans)
    return kept / whole if whole > 0 else 1.0


def _spaxel(members):
    """Smallest spaxel, arcsec."""
    found = []
    for primary, science in members:
        step = abs(science.get("CDELT1", 0.0)) * 3600
        if step and primary.get("DATAMODL") == "IFUCubeModel":
            found.append(step)
        elif str(primary.get("INSTRUME", "")).upper() == "MIRI":
            channels = str(primary.get("CHANNEL", "1"))
            found += [_MRS_SPAXELS[one] for one in channels if one in _MRS_SPAXELS]
    return min(found, default=_NIRSPEC_SPAXEL)


def _factor(spaxel, images, options):
    """Fine pixels per spaxel."""
    if isinstance(options.factor, int):
        return options.factor
    scales = [3600 * _pixel(science) for _, science in images]
    scales = [one for one in scales if one > 0]
    return max(2, round(spaxel / min(scales))) if scales else _FINEST


def _pixel(header):
    """Side of the pixels of an image, degree; 0 if it is not known."""
    if "CD1_1" in header:
        return math.hypot(header["CD1_1"], header.get("CD2_1", 0.0))
    return abs(header.get("CDELT1", 0.0)) * math.hypot(
        header.get("PC1_1", 1.0), header.get("PC2_1", 0.0)
    )


def _rank(options):
    return options.rank if isinstance(options.rank, int) else options.max_rank
