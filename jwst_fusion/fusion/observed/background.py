"""Background that an image has and the cube has not, or the other way round."""

import logging
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from jwst_fusion.fusion.observed.matching import blur_with_gaps, matching_kernel, sample_spaxels
from jwst_fusion.fusion.observed.photometry import noise_of_image, synthetic_image
from jwst_fusion.fusion.solver.psf_modes import core_variance
from jwst_fusion.messages import warn
from jwst_fusion.numerics.robust import sigma_of_scatter

__all__ = [
    "CALIBRATED",
    "Backgrounds",
    "Level",
    "Line",
    "find_backgrounds",
    "image_level",
    "robust_line",
]

log = logging.getLogger(__name__)

#: Calibrations of cube and image differ by no larger factor: where the fit says so, a scene of low
#: contrast, or stars, have led it astray, and nothing is measured.
CALIBRATED = 1.15
# Where less than this share of a PSF falls on data, a spaxel is not compared.
_COMPLETE = 0.98
# Spaxels at least from which scale and level are fitted.
_FEWEST = 25
# Residuals of spaxels in squares of this side, two PSFs of the cube, are not independent.
_BLOCK = 4
# Residuals beyond this many robust standard deviations have no weight (Tukey's biweight, 95 %
# efficient for normal errors), as those of stars whose PSF is not quite right.
_TUKEY = 4.685
_STEPS = 30
_SETTLED = 1e-4  # relative change of the scale at which the iteration ends
# Of the variance of the image at the spaxels, by which its noise may make it larger.
_NOISE = 0.5
# Of the typical brightness, an error that PSFs and filter curves leave whatever the noise.
_FLOOR = 1e-3
# Of the variance of the core of the cube's PSF, by which it may be wider than it is known to be.
_WIDER = 0.1
# Standard errors from which on a background is taken off.
_SIGNIFICANT = 5.0
# Offset (fine pixels) up to which an image counts as lying on the cube.
_ALIGNED = 0.3


@dataclass(frozen=True)
class Level:
    """
    Uniform light of an image that the cube does not have.

    Attributes
    ----------
    value, error : float
        Surface brightness in the units of the image, and standard error; 0 and infinity where
        nothing can be measured.
    """

    value: float
    error: float

    @classmethod
    def unknown(cls):
        """
        Return what cannot be measured.

        Returns
        -------
        Level
            None, of infinite error.
        """
        return cls(0.0, np.inf)


@dataclass(frozen=True)
class Backgrounds:
    """
    Backgrounds of images beyond that of the cube.

    Attributes
    ----------
    values, errors : array (F,)
        Surface brightness, MJy/sr, and standard errors; infinite where nothing was measured.
    taken : array (F,)
        What is taken off the images, MJy/sr.
    """

    values: np.ndarray
    errors: np.ndarray
    taken: np.ndarray

    @classmethod
    def none(cls, count):
        """
        Return what was not looked for.

        Parameters
        ----------
        count : int
            Number of images, F.

        Returns
        -------
        Backgrounds
            None.
        """
        return cls(np.zeros(count), np.full(count, np.inf), np.zeros(count))


def find_backgrounds(cube, images, responses, aligned, *, psf, factor):
    """
    Find the backgrounds of the images that the cube does not have.

    Parameters
    ----------
    cube : array (L, h, w)
        The cube on the padded grid, MJy/sr; NaN where there are no data.
    images : list of `~jwst_fusion.fusion.observed.observation.ImageObservation`
        The images, for their names.
    responses : array (F, L)
        Weights of the channels in each filter.
    aligned : `~jwst_fusion.fusion.observed.alignment.Alignment`
        The images on the common grid.
    psf : `~jwst_fusion.fusion.psf.instrument_psf.PsfPair`
        PSFs of both.
    factor : int
        Fine pixels per spaxel, d.

    Returns
    -------
    Backgrounds
        What was found, of images that are known to lie on the cube, and what is significant.
    """
    found = Backgrounds.none(len(images))
    left = np.hypot(*(aligned.measured - aligned.applied).T)
    for index in np.flatnonzero(np.isfinite(aligned.errors) & (left < _ALIGNED)):
        nodes = responses[index] @ psf.weights
        level = image_level(
            aligned.data[index],
            synthetic_image(cube, responses[index]),
            psf_image=np.tensordot(nodes, psf.image, axes=1),
            psf_cube=np.tensordot(nodes, psf.cube, axes=1),
            factor=factor,
        )
        found.values[index], found.errors[index] = level.value, level.error
        if abs(level.value) <= _SIGNIFICANT * level.error:
            continue
        found.taken[index] = level.value
        warn(
            log,
            "%s has %.4g (+- %.2g) MJy/sr of uniform light that the cube does not have, which is "
            "taken off it: the result has the background of the cube",
            images[index].name,
            level.value,
            level.error,
            kind="background",
        )
    return found


def image_level(image, synthetic, *, psf_image, psf_cube, factor):
    """
    Measure the uniform light that an image has beyond that of the cube through the same filter.

    Parameters
    ----------
    image : array (d h, d w)
        The image on the fine grid, aligned; NaN where there are no data.
    synthetic : array (h, w)
        The cube seen through the filter of the image; NaN where there are no data.
    psf_image, psf_cube : array (m, m)
        PSFs of both in the band, on the fine grid, unit sum, odd size.
    factor : int
        Fine pixels per spaxel, d.

    Returns
    -------
    Level
        The light.

    Notes
    -----
    The image, smoothed to the resolution of the cube, is a straight line of the cube: its slope is
    the calibration factor, and its intercept the level. What tells them apart is the contrast of
    the scene, so that without structure the error is as large as the brightness. Fitted by
    least squares with Tukey's weights, with the cube over the image, since the image has the
    smaller noise, of which the variance is taken off (errors in variables, Fuller 1987). Errors
    are those of residuals that are correlated within squares of spaxels, as in
    `~jwst_fusion.fusion.observed.rotation.image_motion`, and what a PSF of the cube would change
    whose core is wider by a tenth in variance: wings of stars look like a background.
    """
    kernel = matching_kernel(psf_image, psf_cube, factor)
    total, share = blur_with_gaps(image, kernel)
    noise = np.nan_to_num(noise_of_image(image[None])[0]) ** 2 * np.sum(kernel**2)
    width = np.sqrt(_WIDER * core_variance(psf_cube))
    wider = [ndimage.gaussian_filter(one, width, mode="constant") for one in (total, share)]
    used = np.isfinite(synthetic) & (sample_spaxels(wider[1], factor) > _COMPLETE)
    if np.count_nonzero(used) < _FEWEST:
        return Level.unknown()
    found, other = (
        robust_line(
            sample_spaxels(one / np.maximum(part, 1e-6), factor)[used], synthetic[used], noise
        )
        for one, part in ((total, share), wider)
    )
    if found is None or other is None or not 1 / CALIBRATED < found.slope < CALIBRATED:
        return Level.unknown()
    brightness = np.median(np.abs(found.x))
    error = _error(found.influence, used) / found.slope
    error = np.linalg.norm([error, found.level - other.level, _FLOOR * brightness])
    return Level(float(found.level), float(error))


@dataclass(frozen=True)
class Line:
    """
    A straight line y = slope (x - level) through points of which a few lie elsewhere.

    Attributes
    ----------
    slope, level : float
        The line.
    x : array (n,)
        Where the points are.
    influence : array (n,)
        What each of them adds to the error of ``slope * level``.
    """

    slope: float
    level: float
    x: np.ndarray
    influence: np.ndarray


def robust_line(x, y, noise):
    """
    Fit a straight line by least squares with Tukey's weights.

    Parameters
    ----------
    x, y : array (n,)
        The points.
    noise : float
        Variance of the noise of x, which is taken off.

    Returns
    -------
    Line or None
        The line; None if it does not rise or x is hardly more than noise.
    """
    weight, slope = np.ones(len(x)), 0.0
    for _ in range(_STEPS):
        before = slope
        middle = np.average(x, weights=weight), np.average(y, weights=weight)
        spread = np.average((x - middle[0]) ** 2, weights=weight)
        if not spread > 0 or noise > _NOISE * spread:
            return None
        product = np.average((x - middle[0]) * (y - middle[1]), weights=weight)
        slope = product / (spread - noise)
        residual = y - middle[1] - slope * (x - middle[0])
        scatter = sigma_of_scatter(residual)
        if not scatter > 0:
            break
        weight = np.clip(1 - (residual / (_TUKEY * scatter)) ** 2, 0, None) ** 2
        if not weight.any() or abs(slope - before) <= _SETTLED * abs(slope):
            break
    if not slope > 0 or not weight.any():
        return None
    # Of mean and slope, to first order.
    of_slope = (x - middle[0]) * middle[0] / (spread - noise)
    influence = weight * residual * (1 - of_slope) / weight.sum()
    return Line(slope, middle[0] - middle[1] / slope, x, influence)


def _error(influence, used):
    """Standard error of a sum of contributions that are correlated within squares of spaxels."""
    rows, columns = np.nonzero(used)
    block = rows // _BLOCK * used.shape[1] + columns // _BLOCK
    _, block = np.unique(block, return_inverse=True)
    sums = np.bincount(block, influence)
    clustered = np.sum(sums**2) * len(sums) / max(len(sums) - 1, 1)
    return np.sqrt(max(np.sum(influence**2), clustered))
