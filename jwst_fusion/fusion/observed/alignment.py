"""Align images on the common grid: by their WCS, by given or by measured offsets."""

import logging
from dataclasses import dataclass

import numpy as np

from jwst_fusion.bandpass import filter_name
from jwst_fusion.errors import NotFusableError
from jwst_fusion.fusion.observed.offset import image_offset
from jwst_fusion.fusion.observed.photometry import synthetic_image
from jwst_fusion.fusion.observed.registration import resample_image
from jwst_fusion.messages import warn

__all__ = ["Alignment", "align", "filter_offsets"]

log = logging.getLogger(__name__)

# Given offsets, arcsec, beyond which something else is wrong.
_FARTHEST = 3600.0
# A shift of this many fine pixels, if it is significant, deserves a warning.
_NOTABLE_OFFSET = 0.3


@dataclass(frozen=True)
class Alignment:
    """
    Images on the common grid, and where they were found.

    Attributes
    ----------
    data, err : array (F, d h, d w)
        Images and errors; NaN where there are no data.
    measured : array (F, 2)
        Offsets (x, y) of the images against the cube relative to their WCS, fine pixels; where
        nothing was measured, those that were given.
    errors : array (F,)
        Their standard errors per axis, fine pixels; infinite where nothing was measured.
    applied : array (F, 2)
        Offsets (x, y) that were taken out, fine pixels.
    kept : bool array (F,)
        Images that have data on the grid. The other arrays hold only those.
    """

    data: np.ndarray
    err: np.ndarray
    measured: np.ndarray
    errors: np.ndarray
    applied: np.ndarray
    kept: np.ndarray


def filter_offsets(entries):
    """
    Read offsets of images from text.

    Parameters
    ----------
    entries : sequence of str
        Entries of the form FILTER:x:y, arcsec along x and y of the cube: what the cube shows at a
        position, images of the filter show at this position plus the offset.

    Returns
    -------
    dict
        Offset (x, y), arcsec, by filter.

    Raises
    ------
    ValueError
        If an entry has another form, or names an unknown filter or one twice.
    """
    offsets = {}
    for entry in entries:
        name, *numbers = str(entry).split(":")
        try:
            x, y = (float(number) for number in numbers)
            good = max(abs(x), abs(y)) <= _FARTHEST
        except ValueError:
            good = False
        if not good:
            msg = (
                f"offsets has the entry {entry!r}: expected FILTER:x:y, x and y in arcsec, as "
                "F182M:0.012:-0.034"
            )
            raise ValueError(msg)
        name = filter_name(name, parameter="offsets")
        if name in offsets:
            msg = f"offsets names {name} twice"
            raise ValueError(msg)
        offsets[name] = (x, y)
    return offsets


def align(cube, images, responses, *, psf, grid, given, search, apply):
    """
    Resample images onto the common grid and measure their offsets against the cube.

    Parameters
    ----------
    cube : array (L, h, w)
        The cube on the padded grid, MJy/sr; NaN where there are no data.
    images : list of `~jwst_fusion.fusion.observed.observation.ImageObservation`
        The images.
    responses : array (F, L)
        Weights of the channels in each filter.
    psf : `~jwst_fusion.fusion.psf.instrument_psf.PsfPair`
        PSFs of both.
    grid : `~jwst_fusion.fusion.observed.registration.CommonGrid`
        The common grid.
    given : array (F, 2)
        Offsets (x, y) that are known, fine pixels.
    search : float
        Largest offset from the known one that is looked for, arcsec.
    apply : bool
        Whether measured offsets are taken out. Those given always are.

    Returns
    -------
    Alignment
        The images.

    Raises
    ------
    NotFusableError
        If no image has data on the grid.
    """
    rim = int(np.ceil(search / grid.coarse.scale))
    data, err, measured, errors, applied = [], [], [], [], []
    for image, response, known in zip(images, responses, given, strict=True):
        wide = _resample(image, grid, known, rim)
        found, error = image_offset(
            wide[0],
            synthetic_image(cube, response),
            psf_image=np.tensordot(response @ psf.weights, psf.image, axes=1),
            psf_cube=np.tensordot(response @ psf.weights, psf.cube, axes=1),
            factor=grid.factor,
            rim=rim,
        )
        if np.hypot(*found) * grid.fine.scale > search:
            found, error = (0.0, 0.0), np.inf
        _report(image, found, error, applied=apply)
        moved = apply and np.isfinite(error)
        measured.append(known + found)
        errors.append(error)
        applied.append(measured[-1] if moved else known)
        window = (slice(rim * grid.factor, -rim * grid.factor or None),) * 2
        part = [array[window] for array in wide]
        if moved:
            part = _resample(image, grid, applied[-1], 0)
        data.append(part[0])
        err.append(part[1])
    kept = np.array([np.isfinite(plane).any() for plane in data])
    for image in (image for image, keep in zip(images, kept, strict=True) if not keep):
        warn(log, "%s (%s) is not used: it has no data on the field", image.name, image.filter)
    if not kept.any():
        msg = "no image has data on the field of the cube"
        raise NotFusableError(msg)
    arrays = (np.array(one)[kept] for one in (data, err, measured, errors, applied))
    return Alignment(*arrays, kept)


def _resample(image, grid, offset, rim):
    wide = grid.fine.padded((rim * grid.factor,) * 2, (rim * grid.factor,) * 2)
    return resample_image(image.data, image.err, image.good, image.grid, wide.shifted(*offset))


def _report(image, offset, error, *, applied):
    if not np.isfinite(error):
        level = logging.WARNING if applied else logging.INFO
        log.log(
            level,
            "%s: its offset cannot be measured, its WCS (and the offset given) is used as it is",
            image.name,
        )
    elif not applied and np.hypot(*offset) > max(_NOTABLE_OFFSET, 5 * error):
        warn(
            log,
            "%s is shifted by %.2f, %.2f (+- %.2f) fine pixels against the cube: "
            "consider alignment = measured",
            image.name,
            *offset,
            error,
        )
