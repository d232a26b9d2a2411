"""Align images on the common grid: by their WCS, by given or by measured offsets."""

import logging
from dataclasses import dataclass

import numpy as np

from jwst_fusion.bandpass import filter_name
from jwst_fusion.errors import NotFusableError
from jwst_fusion.fusion.observed.offset import image_offset
from jwst_fusion.fusion.observed.photometry import synthetic_image
from jwst_fusion.fusion.observed.registration import resample_image
from jwst_fusion.fusion.observed.rotation import image_motion
from jwst_fusion.messages import warn

__all__ = ["Alignment", "Shared", "align", "filter_offsets", "report_alignment"]

log = logging.getLogger(__name__)

# Given offsets, arcsec, beyond which something else is wrong.
_FARTHEST = 3600.0
# A shift of this many fine pixels, if it is significant, deserves a warning.
_NOTABLE_OFFSET = 0.3
# Standard errors from which on offsets and rotations are significant.
_SIGNIFICANT = 5.0
# Images that are closer than this (fine pixels) share one offset, and what is less is not taken
# out: the fit of the PSFs has a shift that mends it. Rotations count by what they do at half the
# field's width.
_NEGLIGIBLE = 0.1
# Spaxels, of the place of a source in a cube, whatever the noise: few dithers sample the PSF
# coarsely, and cubes of two show a field of two stars turned by 0.7 deg. For rotations it counts
# where less than so many parts of the field tell them; else these show how far they disagree.
_SAMPLING, _ENOUGH = 0.05, 4.0
_FINEST = 0.1  # of what is negligible, the least error that is believed
_ROUNDS = 3  # of measuring rotation and offset, each of what the one before has left


@dataclass(frozen=True)
class Shared:
    """
    What is taken out of images, and what most of them share.

    Attributes
    ----------
    taken : array (F, k)
        What is taken out of each image.
    most : array (k,)
        What is taken out of the largest set of images that agree.
    common : array (k,)
        What was measured of the largest set of images that agree; NaN where nothing was.
    error : float
        Its standard error.
    """

    taken: np.ndarray
    most: np.ndarray
    common: np.ndarray
    error: float

    @classmethod
    def of(cls, values, errors, least, *, shared_error=0.0):
        """
        Find one value for the largest set of images that agree, and their own for the others.

        Parameters
        ----------
        values : array (F, k)
            What was measured.
        errors : array (F,)
            Standard errors; infinite where nothing was measured.
        least : float
            What is smaller is not taken out, and images that are closer agree.
        shared_error : float, optional
            Error that all images have in common, as it is one of the cube.

        Returns
        -------
        Shared
            What is taken out. Images of which nothing was measured go with the set. Of sets of the
            same size it is the one whose values are smallest: headers are more often right than
            wrong.
        """
        taken = np.zeros_like(values)
        known = np.flatnonzero(np.isfinite(errors))
        if not len(known):
            none = np.zeros(values.shape[1])
            return cls(taken, none, np.full(none.shape, np.nan), np.nan)
        # No error is believed to be much smaller than what does not matter.
        value, error = values[known], np.hypot(errors[known], _FINEST * least)
        apart = np.linalg.norm(value[:, None] - value, axis=-1)
        agree = apart <= np.maximum(_SIGNIFICANT * np.hypot(error[:, None], error), least)
        size = np.linalg.norm(value, axis=-1)
        alike = agree[np.lexsort((size, -agree.sum(1)))[0]]
        weight = error[alike] ** -2
        common = np.average(value[alike], axis=0, weights=weight)
        chi2 = np.sum(weight[:, None] * (value[alike] - common) ** 2)
        freedom = max(common.size * (np.count_nonzero(alike) - 1), 1)
        spread = float(np.hypot(np.sqrt(max(chi2 / freedom, 1.0) / weight.sum()), shared_error))

        def significant(one, its_error):
            return np.linalg.norm(one) > max(_SIGNIFICANT * its_error, least)

        most = common if significant(common, spread) else np.zeros_like(common)
        taken[:] = most
        for index in np.flatnonzero(~alike):
            own = significant(value[index], np.hypot(error[index], shared_error))
            taken[known[index]] = value[index] if own else 0.0
        return cls(taken, most, common, spread)


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
        nothing was measured, those that were given, or are applied.
    errors : array (F,)
        Their standard errors per axis, fine pixels; infinite where nothing was measured.
    applied : array (F, 2)
        Offsets (x, y) that were taken out, fine pixels.
    turned : array (F,)
        Rotations around the middle of the grid that were taken out, degrees from +x to +y.
    kept : bool array (F,)
        Images that have data on the grid. The other arrays hold only those.
    offset, angle : Shared or None
        Offset (fine pixels) and rotation (degrees) of most images, where these were looked for.
    """

    data: np.ndarray
    err: np.ndarray
    measured: np.ndarray
    errors: np.ndarray
    applied: np.ndarray
    turned: np.ndarray
    kept: np.ndarray
    offset: Shared | None = None
    angle: Shared | None = None

    def sky_of(self, grid):
        """
        Return the coordinates that most images give to the pixels of the cube.

        Parameters
        ----------
        grid : `~jwst_fusion.fusion.observed.sky.SkyGrid`
            The fine grid, with the coordinates of the cube.

        Returns
        -------
        `~jwst_fusion.fusion.observed.sky.SkyGrid`
            The grid, moved by what is taken out of most images.
        """
        if not self.corrected:
            return grid
        moved = grid.shifted(*self.offset.most)
        return moved.turned(float(self.angle.most[0]))

    @property
    def corrected(self):
        """Whether a common offset or a rotation was looked for, and something taken out."""
        return bool(self.offset and (self.offset.taken.any() or self.angle.taken.any()))


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
    apply : {"none", "each", "common"}
        Which measured offsets are taken out beside those given: none; that of each image; or one
        for all images that agree, with a rotation, if it is significant, and its own for an image
        that significantly disagrees.

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
    seen = [_Seen.through(cube, response, psf) for response in responses]
    data, err, found, errors = [], [], [], []
    window = (slice(rim * grid.factor, -rim * grid.factor or None),) * 2
    for image, one, known in zip(images, seen, given, strict=True):
        wide = _resample(image, grid, known, rim=rim)
        offset, error = image_offset(wide[0], **one.options(grid), rim=rim)
        if np.hypot(*offset) * grid.fine.scale > search:
            offset, error = (0.0, 0.0), np.inf
        found.append(offset)
        errors.append(error)
        part = [array[window] for array in wide]
        if apply == "each" and np.isfinite(error):
            part = _resample(image, grid, known + offset)
        data.append(part[0])
        err.append(part[1])
    found, errors, given = np.array(found), np.array(errors), np.array(given, float)
    known = np.isfinite(errors)
    taken, turned = np.where(known[:, None], found, 0.0), np.zeros(len(images))
    offsets = angles = None
    if apply == "none":
        taken = np.zeros_like(found)
    elif apply == "common":
        offsets, angles = _corrections(images, seen, grid, given, found, errors, data)
        taken, turned = offsets.taken, angles.taken[:, 0]
        for index in np.flatnonzero(taken.any(1) | (turned != 0)):
            place = given[index] + taken[index]
            data[index], err[index] = _resample(images[index], grid, place, angle=turned[index])
    measured = given + np.where(known[:, None], found, taken)
    kept = np.array([np.isfinite(plane).any() for plane in data])
    for image in (image for image, keep in zip(images, kept, strict=True) if not keep):
        warn(log, "%s (%s) is not used: it has no data on the field", image.name, image.filter)
    if not kept.any():
        msg = "no image has data on the field of the cube"
        raise NotFusableError(msg)
    arrays = (data, err, measured, errors, given + taken, turned)
    arrays = (np.array(one)[kept] for one in arrays)
    return Alignment(*arrays, kept, offsets, angles)


@dataclass(frozen=True)
class _Seen:
    """The cube through a filter, and the PSFs of image and cube there."""

    synthetic: np.ndarray
    psf_image: np.ndarray
    psf_cube: np.ndarray

    @classmethod
    def through(cls, cube, response, psf):
        nodes = response @ psf.weights
        psfs = (np.tensordot(nodes, one, axes=1) for one in (psf.image, psf.cube))
        return cls(synthetic_image(cube, response), *psfs)

    def options(self, grid):
        return {
            "synthetic": self.synthetic,
            "psf_image": self.psf_image,
            "psf_cube": self.psf_cube,
            "factor": grid.factor,
        }


def _corrections(images, seen, grid, given, found, errors, data):
    """Offsets (F, 2) and angles (F,) to take out; `found` and `errors` are made better in place."""
    moved = _SAMPLING * grid.factor
    offsets = Shared.of(found, errors, _NEGLIGIBLE, shared_error=moved)
    none = np.zeros((len(images), 1))
    angles = Shared.of(none, np.full(len(images), np.inf), 1.0)
    if not np.isfinite(errors).any():
        return offsets, angles
    rows, columns = (part.stop - part.start for part in grid.inner(fine=True))
    least = float(np.rad2deg(_NEGLIGIBLE / (0.5 * min(rows, columns))))
    wobble = float(np.rad2deg(2 * moved / min(rows, columns)))
    spreads, parts = np.full(len(images), np.inf), np.zeros(len(images))
    places, place_errors, turns = found.copy(), errors.copy(), none.copy()
    turn_errors = np.full(len(images), np.inf)
    for _ in range(_ROUNDS):
        for index in np.flatnonzero(np.isfinite(errors)):
            plane, place = data[index], given[index] + offsets.taken[index]
            if offsets.taken[index].any() or angles.taken[index].any():
                plane = _resample(images[index], grid, place, angle=angles.taken[index, 0])[0]
            motion = image_motion(plane, **seen[index].options(grid))
            turn_errors[index], spreads[index] = motion.angle_error, motion.angle_spread
            parts[index] = motion.parts
            if np.isfinite(motion.angle_error):
                turns[index] = angles.taken[index] + motion.angle
                places[index] = offsets.taken[index] + motion.offset
                place_errors[index] = motion.offset_error
        # What the cube's sampling does, all images see.
        known, sampled = np.isfinite(turn_errors), 0.0
        if known.any():
            few = np.median(parts[known]) < _ENOUGH
            sampled = float(np.hypot(np.median(spreads[known]), wobble * few))
        before, angles = angles, Shared.of(turns, turn_errors, least, shared_error=sampled)
        if not angles.taken.any():
            # Without a rotation, offsets are known better than with one that is free.
            return Shared.of(found, errors, _NEGLIGIBLE, shared_error=moved), angles
        offsets = Shared.of(places, place_errors, _NEGLIGIBLE, shared_error=moved)
        if np.allclose(angles.taken, before.taken, rtol=0, atol=0.1 * least):
            break
    found[:], errors[:] = places, place_errors
    return offsets, angles


def _resample(image, grid, offset, *, rim=0, angle=0.0):
    wide = grid.fine.padded((rim * grid.factor,) * 2, (rim * grid.factor,) * 2).shifted(*offset)
    if angle:
        wide = wide.turned(angle)
    return resample_image(image.data, image.err, image.good, image.grid, wide)


def report_alignment(images, aligned, given, *, scale, apply):
    """
    Warn of what was taken out of images, or should be, and of what could not be measured.

    Parameters
    ----------
    images : list of `~jwst_fusion.fusion.observed.observation.ImageObservation`
        The images.
    aligned : Alignment
        These images on the common grid.
    given : array (F, 2)
        Offsets (x, y) that are known, fine pixels.
    scale : float
        Fine pixel, arcsec.
    apply : {"none", "each", "common"}
        As for `align`.
    """
    found = aligned.measured - given
    for image, offset, error in zip(images, found, aligned.errors, strict=True):
        if not np.isfinite(error):
            log.log(
                logging.WARNING if apply == "each" else logging.INFO,
                "%s: its offset cannot be measured, its WCS (and the offset given) is used as it "
                "is, or that of the other images",
                image.name,
            )
        elif apply == "none" and np.hypot(*offset) > max(_NOTABLE_OFFSET, 5 * error):
            text = (
                "%s is shifted by %.2f, %.2f (+- %.2f) fine pixels against the cube: "
                "consider alignment = measured"
            )
            warn(log, text, image.name, *offset, error)
    if not aligned.corrected:
        return
    values = np.column_stack([(aligned.applied - given) * scale, aligned.turned])
    for value in np.unique(values, axis=0):
        if value.any():
            names = [images[index].name for index in np.flatnonzero((values == value).all(1))]
            text = (
                '%s: shifted by %.4f", %.4f" and turned by %.3f deg against the cube, which is '
                "taken out; alignment = wcs leaves images where their headers put them"
            )
            warn(log, text, ", ".join(names), *value, kind="offset_corrected")
