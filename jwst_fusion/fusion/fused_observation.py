"""The result of a fusion of observations: the cube, how it was made, and its quality."""

from dataclasses import dataclass

import numpy as np

from jwst_fusion.fusion.engine import FusionResult
from jwst_fusion.fusion.observed.background import Backgrounds
from jwst_fusion.fusion.observed.registration import CommonGrid
from jwst_fusion.fusion.psf.broadening import Broadening
from jwst_fusion.fusion.psf.instrument_psf import PsfPair
from jwst_fusion.fusion.solver.data import FusionData
from jwst_fusion.fusion.validation import Quality

__all__ = ["FusedObservation", "Pointing"]


@dataclass(frozen=True)
class Pointing:
    """
    How most images are moved against the cube, relative to their headers.

    Attributes
    ----------
    offset : array (2,)
        Offset (x, y) in the middle of the field, arcsec; NaN where nothing was measured.
    offset_error : float
        Its standard error per axis, arcsec.
    angle, angle_error : float
        By how much they show the scene turned from North to East, and its standard error, degrees.
    turned : array (F,)
        Rotation that was taken out of each image, degrees.
    """

    offset: np.ndarray
    offset_error: float
    angle: float
    angle_error: float
    turned: np.ndarray


@dataclass(frozen=True)
class FusedObservation:
    """
    The fused cube, how it was made, and how well it agrees with the data.

    Attributes
    ----------
    cube, error : array (L, y, x)
        Surface brightness at fine pixels and its standard deviation, MJy/sr, in the
        orientation of the common grid.
    origin : uint8 array (L, y, x)
        What constrains each voxel, see `~jwst_fusion.fusion.origin.voxel_origin`.
    grid : CommonGrid
        Common grid.
    mirrored : bool
        Whether the columns were reversed against those of the input cube.
    channels : slice
        Channels of the input cube.
    images : list of ImageObservation
        Images used.
    calibrations : list of Calibration or None
        Their calibration.
    measured_calibrations : list of Calibration or None
        What means of image and cube say of it, whether that is used or not.
    likenesses : list of Likeness or None
        How much of the contrast of each image the cube shows, see
        `~jwst_fusion.fusion.observed.likeness.likeness`.
    offsets, offset_errors : array (F, 2) and (F,)
        Measured offsets (x, y) of the images against the cube and their errors, arcsec; infinite
        errors where nothing could be measured.
    applied_offsets : array (F, 2)
        Offsets (x, y) that were taken out, arcsec.
    alignment : {"wcs", "measured", "corrected"}
        How images were aligned: by their headers, each by its own offset, or by one offset and
        rotation for all that agree.
    pointing : Pointing or None
        That offset and rotation; None if they were not looked for.
    backgrounds : Backgrounds
        Uniform light of the images that the cube does not have.
    coverages : array (F,)
        Parts of the filters' bands that the cube covers.
    throughputs : list of str
        Where the filters' curves come from.
    psf : PsfPair
        PSFs.
    broadening : Broadening
        The Gaussian by which the PSF of the cube was widened.
    angles : tuple of float
        Degrees counterclockwise from +y of the grid to V3, for images and cube.
    inputs, result : FusionData and FusionResult
        What the engine was given, less what it rejected, and what it returned.
    quality : Quality
        Agreement with the data.
    left_out : list of LeftOut
        Prediction of images that were left out.
    report : list of str
        The agreement as text.
    """

    cube: np.ndarray
    error: np.ndarray
    origin: np.ndarray
    grid: CommonGrid
    mirrored: bool
    channels: slice
    images: list
    calibrations: list
    measured_calibrations: list
    likenesses: list
    offsets: np.ndarray
    offset_errors: np.ndarray
    applied_offsets: np.ndarray
    alignment: str
    pointing: Pointing | None
    backgrounds: Backgrounds
    coverages: np.ndarray
    throughputs: list
    psf: PsfPair
    broadening: Broadening
    angles: tuple
    inputs: FusionData
    result: FusionResult
    quality: Quality
    left_out: list
    report: list
