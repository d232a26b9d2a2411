"""Light outside the core of a trace: wings of the PSF, and negative images of nods.

Arrays are (column, row).
"""

import numpy as np
from scipy import ndimage

from jwst_fusion.adaptive_trace_model.background import line_values

__all__ = ["CORE", "Halo", "negative_images", "smooth_sum"]

#: Determinant of equations, relative to the norms of their rows, below which they have no solution.
_SINGULAR = 1e-12
#: Half width of the core of a trace, in widths of the profile (sum over peak): beyond it are wings,
#: which a background of the slit takes for its own.
CORE = 2.5
#: Part of the peak below zero from which on a dip is the negative image of a nod.
_NEGATIVE = 0.1
#: Smallest part of its light that the core of a source may hold for the rest to be inferred.
_LEAST_CORE = 0.3


def negative_images(profile, distance, good):
    """
    Find the negative images that nods leave.

    Parameters
    ----------
    profile, distance : ndarray
        Profile, and distance from the source in native pixels, shape ``(column, row)``.
    good : ndarray of bool
        Pixels that count.

    Returns
    -------
    tuple of tuple of float
        Distance from the source, native pixels, and depth relative to it, of each.
    """
    place = distance[good]
    if not place.size:
        return ()
    index = np.round(place).astype(np.intp)
    low = index.min()
    count = np.bincount(index - low)
    mean = np.bincount(index - low, profile[good]) / np.maximum(count, 1)
    mean = np.where(count > 0.1 * count.max(), mean, 0.0)
    found = []
    lowest = ndimage.minimum_filter1d(mean, 5, mode="nearest")
    for i in np.flatnonzero((mean == lowest) & (mean < -_NEGATIVE * mean.max())):
        near = slice(max(i - 2, 0), i + 3)
        lobe = np.minimum(mean[near], 0.0)
        middle = max(-low - 2, 0)
        share = -lobe.sum() / np.maximum(mean[middle : 3 - low], 0.0).sum()
        found.append(
            (float(np.average(np.arange(*near.indices(mean.size)), weights=lobe) + low), share)
        )
    return tuple(found)


class Halo:
    """
    What the PSF tells of the light outside the core of a trace.

    Parameters
    ----------
    distance : ndarray
        Distance of the pixels from the source, in native pixels, shape ``(column, row)``.
    inside : ndarray of bool
        Pixels of the slit in columns with a fit.
    width : ndarray
        Width of the trace, in native pixels, shape ``(column,)``.
    images : sequence of tuple of float
        Negative images, see `negative_images`.
    psf : callable
        Part of a point source's light in each pixel by the distances.
    """

    def __init__(self, distance, inside, width, images, psf):
        self.inside = inside
        self.share = np.where(inside, psf(distance), 0.0)
        self.net = self.share
        self.core = inside & (np.abs(distance) <= CORE * width[:, None])
        for offset, part in images:
            self.net = self.net - np.where(inside, part * psf(distance - offset), 0.0)
            # What is nearer to a negative image than to the source is not the source's.
            near = np.abs(distance - offset) < np.abs(distance)
            self.core &= ~near
        self.outside = inside & ~self.core
        for offset, _ in images:
            self.outside &= np.abs(distance - offset) > CORE * width[:, None]

    def complete(self, profile, position, width):
        """
        Give a profile the line along the slit with which its wings are those of the PSF.

        Unknown are level, slope, and the light per light of the PSF. Known are the sums over core
        and wings, and the first moment of the wings.

        Parameters
        ----------
        profile, position : ndarray
            Profile, and positions along the slit from -1 to 1, shape ``(column, row)``.
        width : float
            Columns (sigma) over which the sums are averaged.

        Returns
        -------
        ndarray
            The profile, same shape.
        """
        core, far = self.core.astype(float), self.outside.astype(float)
        columns = (np.ones_like(profile), position, -self.net, profile)
        rows = (core, far, far * position)
        sums = np.array(
            [[smooth_sum(np.sum(row * one, axis=1), width) for one in columns] for row in rows]
        )
        matrix, side = np.moveaxis(sums[:, :3], -1, 0), -sums[:, 3].T
        known = np.abs(np.linalg.det(matrix)) > _SINGULAR * np.prod(
            np.linalg.norm(matrix, axis=2), axis=1
        )
        matrix[~known], side[~known] = np.eye(3), 0.0
        line = np.linalg.solve(matrix, side[..., None])[:, :2, 0].T
        return np.where(self.inside, profile + line_values(line, position), profile)

    def total(self, profile):
        """
        Sum the light of the source over all rows, without negative images.

        Parameters
        ----------
        profile : ndarray
            Profile, shape ``(column, row)``.

        Returns
        -------
        ndarray
            Shape ``(column,)``; 0 where too little of the source is in its core.
        """
        net, whole = self.net.sum(axis=1, where=self.core), self.share.sum(axis=1)
        ratio = np.divide(whole, net, out=np.zeros_like(net), where=net > _LEAST_CORE * whole)
        return np.sum(profile, axis=1, where=self.core) * ratio


def smooth_sum(values, width):
    """
    Average sums along the dispersion, to be divided by others.

    Parameters
    ----------
    values : ndarray
        Shape ``(column,)``.
    width : float
        Sigma of the average, in columns.

    Returns
    -------
    ndarray
        Same shape; small near the ends.
    """
    return ndimage.gaussian_filter1d(values, width, axis=-1, mode="constant")
