"""
Cubes (s3d) and images (i2d) as arrays with sky coordinates, units and masks.

Cubes are (wavelength, y, x), images (y, x), in MJy/sr; wavelengths in micrometre.
"""

import logging
from dataclasses import replace

import numpy as np
from astropy.io import fits
from stdatamodels.jwst import datamodels
from stdatamodels.jwst.datamodels import dqflags

from jwst_fusion.errors import NotFusableError
from jwst_fusion.fusion.observed.observation import CubeObservation, ImageObservation
from jwst_fusion.fusion.observed.photometry import noise_of_cube, noise_of_image
from jwst_fusion.fusion.observed.sky import SkyGrid, crop_to_grid
from jwst_fusion.input_files import is_fits_name, reading
from jwst_fusion.messages import warn
from jwst_fusion.products.keywords import (
    band_name,
    celestial_wcs,
    check_frame,
    moves,
    pa_v3,
    surface_brightness_factor,
    target_position,
)
from jwst_fusion.products.open import open_model
from jwst_fusion.products.preserve import preserve_keywords
from jwst_fusion.products.wavelength import wavelengths

__all__ = ["check_file", "open_cube", "read_cube", "read_image"]

log = logging.getLogger(__name__)

#: No source is that bright; larger values are left over from bad pixels (MJy/sr).
BRIGHTEST = 1e12
# Errors relative to the median of all, below which a pixel is not used.
_SMALLEST = 1e-3
# Errors in units of the scatter that are said: pixels share light and noise, sources scatter; but
# not by this factor.
_MISFIT = 100.0
_PLANES = 32  # channels in which this is looked at
_FEWEST = 16  # good pixels of a channel that tell a scatter


def check_file(path, name):
    """
    Look at what the model of a file does not show: other sky coordinates, flags that it lacks.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        The file of a cube or image; one that is not FITS is not looked at.
    name : str
        Its name, for messages.

    Raises
    ------
    ValueError
        If its sky coordinates are not those of JWST. A cube without flags is warned of.
    """
    if not is_fits_name(path):
        return
    with fits.open(path, memmap=False) as hdus:
        if "SCI" in hdus:
            check_frame(hdus["SCI"].header, name)
            if "DQ" not in hdus and hdus["SCI"].header["NAXIS"] == 3:
                text = "%s has no flags (extension DQ): all its finite values are taken to be good"
                warn(log, text, name, kind="no_flags")


def read_cube(member):
    """
    Read an IFU cube.

    Parameters
    ----------
    member : str, path or `~stdatamodels.jwst.datamodels.IFUCubeModel`
        The cube (s3d). A model is not changed; a file is closed again.

    Returns
    -------
    CubeObservation
        The cube.

    Raises
    ------
    NotFusableError
        If it has no sky coordinates, or no wavelengths.
    ValueError
        If the file cannot be read, units cannot be converted or arrays do not match.
    """
    cube, model = open_cube(member)
    if model is member:
        return cube
    # Copies: the arrays must outlive the file.
    arrays = {name: np.array(getattr(cube, name)) for name in ("data", "err", "good", "wavelength")}
    model.close()
    return replace(cube, **arrays)


def open_cube(member):
    """
    Read an IFU cube, and keep its model for the metadata.

    Parameters
    ----------
    member : str, path or `~stdatamodels.jwst.datamodels.IFUCubeModel`
        The cube (s3d). A model is not changed.

    Returns
    -------
    cube : CubeObservation
        The cube, whose arrays may be those of the model.
    model : `~stdatamodels.jwst.datamodels.IFUCubeModel`
        Its model: `member` itself, or an open file that the caller closes.

    Raises
    ------
    NotFusableError
        If it has no sky coordinates, or no wavelengths.
    ValueError
        If the file cannot be read, units cannot be converted or arrays do not match.
    """
    model = open_model(member)
    name = str(member)
    try:
        name = _name(model, member)
        with reading(name):
            if model is not member:
                preserve_keywords(model, member)
                check_file(member, name)
            return _cube(model, name), model
    except BaseException:
        if model is not member:
            model.close()
        raise


def _cube(model, name):
    """Arrays and metadata of an open cube."""
    if isinstance(model, datamodels.IFUImageModel):
        msg = f"{name} is an exposure, not a cube: run fusion_pipeline, or cube_build before fusion"
        raise ValueError(msg)
    if not isinstance(model, datamodels.IFUCubeModel):
        kind = type(model).__name__
        msg = f"{name} is a {kind}, not a cube (keyword DATAMODL, IFUCubeModel expected)"
        raise ValueError(msg)
    data, err, dq = _arrays(model, name, ndim=3)
    factor = surface_brightness_factor(model, name)
    good = _usable(data, dq, model.weightmap if model.hasattr("weightmap") else None, name)
    if factor != 1:
        data, err = data * np.float32(factor), err * np.float32(factor)
    err, good = _errors(data, err, good, name)
    _check_scatter(data, err, good, name)
    if not model.meta.instrument.name:
        text = "%s does not say its instrument (keyword INSTRUME): PSF and LSF of NIRSpec are taken"
        warn(log, text, name, kind="no_instrument")
    grid = SkyGrid(celestial_wcs(model, name), data.shape[1:])
    instrument = model.meta.instrument
    return CubeObservation(
        data=data,
        err=err,
        good=good,
        wavelength=wavelengths(model, name),
        grid=grid,
        pa_v3=pa_v3(model),
        instrument=(instrument.name or "").upper(),
        grating=(instrument.grating or instrument.channel or "").upper(),
        name=name,
        resampled=bool(model.meta.cal_step.cube_build == "COMPLETE" or model.meta.ifu.weighting),
        linear=(model.meta.wcsinfo.ctype3 or "") != "WAVE-TAB",
        date=_date(model),
        moving=moves(model),
        target=target_position(model),
    )


def read_image(member, *, grid=None, border=12, reach=0.0, offsets=None, target=None):
    """
    Read an image, or the part of it that a grid needs.

    Parameters
    ----------
    member : str, path or `~stdatamodels.jwst.datamodels.ImageModel`
        The resampled image (i2d). A model is not changed; a file is closed again.
    grid : `~jwst_fusion.fusion.observed.sky.SkyGrid`, optional
        Read only the pixels that lie on this grid.
    border : int, optional
        Pixels read beyond the grid on every side.
    reach : float, optional
        What is read beyond the grid in addition to these, arcsec.
    offsets : dict, optional
        By filter, offset (x, y) at which the image shows what belongs on ``grid``, arcsec along
        its axes. Other pixels are read then; the coordinates stay as they are.
    target : `~astropy.coordinates.SkyCoord`, optional
        Where a moving target is on ``grid``. The image is moved such that its target is there.

    Returns
    -------
    ImageObservation
        The image.

    Raises
    ------
    NotFusableError
        If it has no sky coordinates or filter, or does not overlap with the grid.
    ValueError
        If the file cannot be read, units cannot be converted or arrays do not match.
    """
    model = open_model(member)
    try:
        name = _name(model, member)
        with reading(name):
            if model is not member:
                check_file(member, name)
            return _image(model, name, grid, border, reach, offsets or {}, target)
    finally:
        if model is not member:
            model.close()


def _image(model, name, grid, border, reach, offsets, target):
    """Arrays and metadata of an open image."""
    if not isinstance(model, (datamodels.ImageModel, datamodels.SlitModel)):
        kind = type(model).__name__
        msg = f"{name} is a {kind}, not an image (keyword DATAMODL, ImageModel expected)"
        raise ValueError(msg)
    data, err, dq = _arrays(model, name, ndim=2)
    wht = model.wht if model.hasattr("wht") else None
    image_grid = SkyGrid(celestial_wcs(model, name, **_place(model, grid, target)), data.shape)
    filter_name = band_name(model)
    if not filter_name:
        msg = f"{name} does not say its filter (keywords FILTER and PUPIL)"
        raise NotFusableError(msg)
    pupil = str(model.meta.instrument.pupil or "").upper()
    if pupil.startswith("MASK"):
        msg = (
            f"{name} was taken through the coronagraphic mask {pupil}, of which no PSF is known: "
            "give an image with PUPIL = CLEAR"
        )
        raise NotFusableError(msg)
    if target is not None:
        image_grid = _follow(image_grid, target_position(model), target, name)
    if grid is not None:
        x, y = offsets.get(filter_name, (0.0, 0.0))
        grid = grid.shifted(x / grid.scales[0], y / grid.scales[1])
        border = border + int(np.ceil(reach / image_grid.scale))
        window = crop_to_grid(image_grid, grid, border=border)
        if window is None:
            msg = (
                f"{name} (footprint {image_grid.describe()}) does not overlap with the cube "
                f"(footprint {grid.describe()})"
            )
            raise NotFusableError(msg)
        data, err, dq = data[window], err[window], dq[window]
        wht = None if wht is None else wht[window]
        image_grid = image_grid.cropped(window)
    factor = surface_brightness_factor(model, name)
    good = _usable(data, dq, wht, name)
    # Copies: the arrays must outlive the file.
    data, err = np.array(data, float) * factor, np.array(err, float) * factor
    err, good = _errors(data, err, good, name)
    _check_scatter(data, err, good, name)
    pixfrac = model.meta.resample.pixfrac
    if pixfrac is None and model.meta.cal_step.resample == "COMPLETE":
        pixfrac = 1.0
    return ImageObservation(
        data=data,
        err=err,
        good=good,
        grid=image_grid,
        pa_v3=pa_v3(model),
        instrument=(model.meta.instrument.name or "").upper(),
        filter=filter_name,
        detector=(model.meta.instrument.detector or "").upper(),
        name=name,
        pixfrac=pixfrac,
        date=_date(model),
    )


def _place(model, grid, target):
    """Where on the sky an image is looked at, with it the radius in degrees."""
    if grid is None:
        return {}
    centre, own = grid.centre, None if target is None else target_position(model)
    if own is not None:
        centre = own.spherical_offsets_by(*target.spherical_offsets_to(centre))
    return {"centre": centre, "radius": grid.radius}


def _follow(grid, own, target, name):
    """Move the grid of an image such that its target is where that of the cube is."""
    if own is None:
        warn(
            log,
            "%s does not say where its target is (keywords TARGTYPE = MOVING, MT_AVRA, MT_AVDEC): "
            "it is not brought to the target of the cube",
            name,
        )
        return grid
    log.info('%s is moved by %.3f" to the target of the cube', name, own.separation(target).arcsec)
    return grid.recentred(own, target)


def _date(model):
    date, time = model.meta.observation.date, model.meta.observation.time
    if date is None:
        return None
    return f"{date}T{str(time or '00:00:00')[:8]}"


def _arrays(model, name, *, ndim):
    if not model.hasattr("data") or model.data is None or model.data.ndim != ndim:
        kind = "cube" if ndim == 3 else "image"
        msg = f"{name} is not a {kind}: its SCI extension is missing or not {ndim}-dimensional"
        raise ValueError(msg)
    shape = model.data.shape
    if min(shape) < (1 if ndim == 2 else 2):
        msg = f"{name} is too small to be fused: its shape is {shape}"
        raise ValueError(msg)
    # Asking a model for an array that it does not have would add one to it.
    err = model.err if model.hasattr("err") else np.zeros(shape, np.float32)
    dq = model.dq if model.hasattr("dq") else np.zeros(shape, np.uint32)
    for extension, array in (("ERR", err), ("DQ", dq)):
        if array.shape != shape:
            msg = f"{name} has extension {extension} of shape {array.shape}, but SCI has {shape}"
            raise ValueError(msg)
    return model.data, err, dq


def _usable(data, dq, weight, name):
    good = np.isfinite(data) & ((dq & dqflags.pixel["DO_NOT_USE"]) == 0)
    with np.errstate(invalid="ignore"):
        good &= np.abs(data) < BRIGHTEST
    if weight is not None and weight.shape == data.shape and (weight > 0).any():
        good &= weight > 0
    return good


def _errors(data, err, good, name):
    with np.errstate(invalid="ignore"):
        known = np.isfinite(err) & (err > 0) & (err < BRIGHTEST)
    if not good.any():
        return err, good
    if (known & good).any():
        # Errors are never much smaller than the noise of a readout: such weights are no weights.
        floor = _SMALLEST * float(np.median(err[known & good]))
        with np.errstate(invalid="ignore"):
            tiny = known & good & (err < floor)
        if tiny.any():
            text = "%s: %d pixels whose errors are less than %g of the median are not used"
            warn(log, text, name, np.count_nonzero(tiny), _SMALLEST, kind="tiny_errors")
            good = good & ~tiny
    if not (known & good).any():
        text = "%s has no errors (extension ERR): they are estimated from the data"
        warn(log, text, name, kind="no_errors")
        masked = np.where(good, data, np.nan)
        sigma = noise_of_cube(masked) if data.ndim == 3 else noise_of_image(masked[None])
        err = np.broadcast_to(sigma.reshape(-1, 1, 1), (len(sigma), *data.shape[-2:]))
        err = err.reshape(data.shape)
        known = np.isfinite(err) & (err > 0)
    elif not known[good].all():
        lost = np.count_nonzero(good & ~known)
        warn(log, "%s: %d pixels without an error are not used", name, lost)
    return err, good & known


def _check_scatter(data, err, good, name):
    """Refuse data without any structure; warn of errors that do not fit their scatter at all."""
    if good.any() and np.ptp(data[good]) == 0 and data[good][0] != 0:
        msg = f"{name} has the value {data[good][0]:g} in all good pixels: it holds no observation"
        raise NotFusableError(msg)
    planes = data[None] if data.ndim == 2 else data
    some = np.unique(np.linspace(0, len(planes) - 1, _PLANES).astype(int))
    ratios = []
    for plane in some:
        there = good[None][plane] if data.ndim == 2 else good[plane]
        if np.count_nonzero(there) < _FEWEST:
            continue
        image = np.where(there, planes[plane], np.nan)[None].astype(float)
        try:
            sigma = float(noise_of_image(image)[0])
        except ValueError:  # no four neighbours are good
            continue
        error = float(np.median((err[None] if data.ndim == 2 else err)[plane][there]))
        if sigma > 0 and error > 0:
            ratios.append(error / sigma)
    ratio = float(np.median(ratios)) if ratios else 1.0
    if not 1 / _MISFIT < ratio < _MISFIT:
        text = (
            "%s: its errors (extension ERR) are %.2g times the scatter of neighbouring pixels, "
            "which no observation explains: look at ERR and its unit"
        )
        warn(log, text, name, ratio, kind="scale_of_errors")


def _name(model, member):
    return str(model.meta.filename or (member if not hasattr(member, "meta") else "the model"))
