"""Whether an image shows what the cube shows: contrast that both have in common."""

from dataclasses import dataclass

import numpy as np

from jwst_fusion.fusion.observed.matching import blur_with_gaps, matching_kernel, sample_spaxels
from jwst_fusion.fusion.observed.photometry import synthetic_image

__all__ = ["Likeness", "likeness"]

_FEWEST = 12  # spaxels
_WHOLE = 0.9  # of the kernel that must fall on data
# Part of the contrast of an image that may be noise: beyond, nothing can be said.
_NOISY = 0.5


@dataclass(frozen=True)
class Likeness:
    """
    Contrast of the cube over that of an image.

    Attributes
    ----------
    factor : float
        1 for the same scene, 0 for two that have nothing to do with each other.
    error : float
        Its standard deviation.
    unexplained, unexplained_error : float
        Part of the variance of the cube over the field, beyond noise, that the image does not have,
        and its standard deviation by noise: of PSFs that are wrong a hundredth, of another place of
        similar shape a tenth or more.
    """

    factor: float
    error: float
    unexplained: float
    unexplained_error: float


def likeness(cube, err, images, image_err, *, responses, psf, factor):
    r"""
    Measure how much of the contrast of each image the cube shows.

    An image of another field may be fitted by the fused cube, and cube and image by a compromise of
    both where noise is large; neither tells that they have nothing in common. This compares the
    data alone.

    Parameters
    ----------
    cube, err : array (L, h, w)
        Cube on the padded grid and its errors, MJy/sr; NaN where there are no data.
    images, image_err : array (F, d h, d w)
        Images on the fine grid and their errors.
    responses : array (F, L)
        Weights of the channels in each filter, which sum to 1.
    psf : `~jwst_fusion.fusion.psf.instrument_psf.PsfPair`
        PSFs of both.
    factor : int
        Fine pixels per spaxel, d.

    Returns
    -------
    list of Likeness or None
        One per image; None where it has no contrast beyond its noise.

    Notes
    -----
    With the image at the resolution of the cube x and the cube through the filter y, the slope of
    :math:`y = a + b x` under the errors of y, with the noise of x taken off its variance. Its error
    follows the scatter of the spaxels where that is larger than their noise.
    """
    found = []
    for image, sigma, response in zip(images, image_err, responses, strict=True):
        nodes = response @ psf.weights
        kernel = matching_kernel(
            np.tensordot(nodes, psf.image, axes=1), np.tensordot(nodes, psf.cube, axes=1), factor
        )
        total, share = (sample_spaxels(one, factor) for one in blur_with_gaps(image, kernel))
        noise = sample_spaxels(blur_with_gaps(sigma**2, kernel**2)[0], factor)
        inside = response != 0
        variance = np.tensordot(response[inside] ** 2, np.nan_to_num(err[inside]) ** 2, axes=1)
        found.append(_slope(total, share, noise, synthetic_image(cube, response), variance))
    return found


def _slope(total, share, noise, seen, variance):
    """Slope of the cube against the matched image, and its error; None if nothing is known."""
    good = (share > _WHOLE) & np.isfinite(seen) & (variance > 0) & np.isfinite(noise)
    if good.sum() < _FEWEST:
        return None
    x, y, weight = total[good] / share[good], seen[good], 1 / variance[good]
    x, y = x - np.average(x, weights=weight), y - np.average(y, weights=weight)
    contrast = np.sum(weight * x**2)
    known = contrast - np.sum(weight * np.maximum(noise[good], 0.0))
    if not known > _NOISY * contrast:
        return None
    slope = np.sum(weight * x * y) / known
    free = good.sum() - 2
    chi2 = np.sum(weight * (y - slope * x) ** 2) / free
    # Noise of the image is seen through the slope.
    expected = 1 + slope**2 * np.mean(weight * np.maximum(noise[good], 0.0))
    size = max(np.sum(weight * y**2) / free - 1, np.finfo(float).tiny)
    return Likeness(
        float(slope),
        float(np.sqrt(max(chi2, 1.0) * contrast) / known),
        float((chi2 - expected) / size),
        float(expected * np.sqrt(2 / free) / size),
    )
