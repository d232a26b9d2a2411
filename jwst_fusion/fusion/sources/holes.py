"""Find holes in images where the cores of bright stars are saturated."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

__all__ = ["holes"]

_BRIGHT, _DARK = 10.0, 3.0  # standard deviations of the noise: a rim is bright, a hole dark
_LARGE = 5.0  # widths of the PSF: holes that are larger are no cores
_RIM = 2  # pixels


def holes(images, inverse_variance, widths):
    """
    Find holes in images: pixels without data, or dark ones with a bright rim all around.

    Parameters
    ----------
    images, inverse_variance : ndarray (F, Y, X)
        Images, finite, and inverse variances of their pixels, 0 where there are no data.
    widths : sequence of float
        Full width at half maximum of the PSF of each image, pixels.

    Returns
    -------
    dark : ndarray (F, Y, X) of bool
        Pixels of such holes that have values, which are wrong.
    places : list of tuple
        Column, row and radius of each hole, pixels; of holes in several images at one place the
        largest.
    """
    dark = np.zeros(images.shape, bool)
    found = []
    for index, (image, weight) in enumerate(zip(images, inverse_variance, strict=True)):
        ratio = image * np.sqrt(weight)
        missing = weight == 0
        # whatever touches the edge of the image is no hole
        low = missing | (ratio < _DARK)
        for mask in (missing, low):
            labels, _ = ndimage.label(mask, np.ones((3, 3)))
            for number, box in enumerate(ndimage.find_objects(labels), 1):
                size = max(part.stop - part.start for part in box)
                if size > _LARGE * widths[index] or _at_edge(box, image.shape):
                    continue
                hole = labels == number
                rim = ndimage.binary_dilation(hole, iterations=_RIM) & ~hole
                rim &= ~missing
                if not np.any(rim) or ratio[rim].min() < _BRIGHT:
                    continue
                dark[index] |= hole & ~missing
                y, x = ndimage.center_of_mass(hole)
                found.append((x, y, float(np.sqrt(hole.sum() / np.pi))))
    places = []
    for x, y, radius in sorted(found, key=lambda one: -one[2]):
        if all(np.hypot(x - one[0], y - one[1]) > one[2] + radius for one in places):
            places.append((x, y, radius))
    return dark, places


def _at_edge(box, shape):
    return any(part.start == 0 or part.stop == size for part, size in zip(box, shape, strict=True))
