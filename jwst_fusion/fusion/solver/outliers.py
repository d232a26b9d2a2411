"""Find outliers that no flag marks: sharper than the PSF, or unexplained by a first solution.

Cubes are (wavelength, y, x), images (y, x). What a point source may look like is taken from the
PSFs, so that neither stars nor emission lines are mistaken for outliers.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
import scipy.ndimage as ndi

from jwst_fusion.messages import warn
from jwst_fusion.numerics.robust import sigma_of_median

__all__ = [
    "Rejection",
    "isolated_outliers",
    "residual_outliers",
    "sharper_than_psf",
    "sharpest_contrast",
]

log = logging.getLogger(__name__)

_RANK = 4  # a bad detector pixel may reach three neighbours of its brightest sample
_GUARD = 10.0  # standard deviations that the test before the fusion ignores
_NATIVE_CONTRAST = 100.0  # twice that of a star on NIRSpec's spaxels at 0.8 um, the sharpest case
_GUARD_MARGIN = 3.0  # by how much the sharpest contrast of the PSF must be exceeded there
_MARGIN = 1.5  # the same for residuals
_PEAK = 0.5  # height of an outlier, relative to its brightest neighbour
_MISFIT = 0.1  # part of the local range of the model that errors of the PSF may explain
_LINE = 4.0  # a line that a spectrograph resolves is not this much brighter than both neighbours
_SMALLEST_SCATTER = 0.3  # of residuals in given errors: a close fit must not look like outliers
# Channels and pixels of the running medians: wider than a resolved line, and than a star's core.
_SPECTRAL, _SPATIAL = 7, 7
# Steps to the eight neighbours of a pixel.
_AROUND = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x]


@dataclass
class Rejection:
    """Data that were found to be outliers.

    Attributes
    ----------
    images : ndarray (F, Y, X) of bool
        Pixels.
    voxels : ndarray (L, h, w) of bool
        Voxels of the cube.
    """

    images: np.ndarray
    voxels: np.ndarray

    @classmethod
    def nothing(cls, data):
        """Reject nothing.

        Parameters
        ----------
        data : FusionData
            Data whose shapes count.

        Returns
        -------
        Rejection
            No outliers.
        """
        return cls(np.zeros(data.images.shape, bool), np.zeros(data.cube.shape, bool))

    def any(self):
        """Whether there are any."""
        return bool(self.images.any() or self.voxels.any())

    def add(self, other):
        """Take the outliers of both.

        Parameters
        ----------
        other : Rejection
            Outliers of the same data.

        Returns
        -------
        Rejection
            What is in either of them.
        """
        return Rejection(self.images | other.images, self.voxels | other.voxels)

    def removed_from(self, data):
        """Leave the outliers out of the data.

        Parameters
        ----------
        data : FusionData
            Data of the same shapes.

        Returns
        -------
        FusionData
            A copy in which outliers have no weight: 0 for a pixel of an image, NaN for a voxel.
        """
        weight = np.where(self.images, 0.0, data.image_weight)
        cube = data.cube
        if self.voxels.any():
            cube = np.where(self.voxels, np.nan, cube).astype(cube.dtype, copy=False)
        return replace(data, image_weight=weight, cube=cube)


def sharpest_contrast(psf, factor):
    """Largest ratio of a point source's brightest sample to the fourth of its neighbours.

    Parameters
    ----------
    psf : ndarray (R, m, m)
        PSFs on the fine grid.
    factor : int
        Fine pixels between samples: 1 for images, d for the cube.

    Returns
    -------
    float
        Maximum over the PSFs and the positions of the source within a sample.
    """
    best = 1.0
    for plane in np.abs(psf):
        for phase in np.ndindex(factor, factor):
            seen = np.pad(plane[phase[0] :: factor, phase[1] :: factor], 1)
            y, x = np.unravel_index(seen.argmax(), seen.shape)
            near = np.sort([seen[y + dy, x + dx] for dy, dx in _AROUND])
            if near[-1] > 0:
                best = max(best, seen[y, x] / max(near[-_RANK], 1e-3 * seen[y, x]))
    return float(best)


def isolated_outliers(planes, good, *, spectral=False):
    """Find gross outliers of native data, before anything is resampled or calibrated with them.

    Parameters
    ----------
    planes : ndarray (n, y, x)
        Images, or the channels of a cube.
    good : ndarray (n, y, x) of bool
        Samples with data.
    spectral : bool
        Whether the planes are channels of a cube. Then an outlier is also narrower than a resolved
        line, which no star is, however coarse the spaxels.

    Returns
    -------
    ndarray (n, y, x) of bool
        Samples that no point source explains, with up to three bad neighbours.
    """
    detail = np.where(good & np.isfinite(planes), planes, np.nan).astype(float)
    detail -= _medians(detail)
    scatter = sigma_of_median(_medians(np.abs(detail)))
    found = _isolated(detail, _GUARD, _NATIVE_CONTRAST, scatter=scatter) & good
    if spectral:
        found &= _narrow(detail, _GUARD * scatter)
    return found


def sharper_than_psf(data):
    """Find samples that stand out more than a point source would, before any model exists.

    Images are compared with their running median. Spectra are split into their running median,
    which knows no lines, and the rest, which knows no stars; either part is tested in space.

    Parameters
    ----------
    data : FusionData
        Observations, from `usable_data`.

    Returns
    -------
    Rejection
        Gross outliers, of either sign, with up to three bad neighbours.
    """
    found = Rejection.nothing(data)
    limit = _GUARD_MARGIN * sharpest_contrast(data.psf_image, 1)
    for bad, image, weight in zip(found.images, data.images, data.image_weight, strict=True):
        known = (weight > 0) & np.isfinite(image)
        if known.any():
            detail = _minus_median(np.where(known, image, np.median(image[known])))
            detail = np.where(known, detail, np.nan)
            bad |= _isolated(detail[None], _GUARD, limit, scatter=_scatter(detail))[0]
    live = np.flatnonzero(np.isfinite(data.cube_sigma))
    used = data.spaxel_weight > 0
    cube = np.where(used, data.cube[live], np.nan)
    known = np.isfinite(cube)
    level = _medians(cube)
    smooth = ndi.median_filter(np.where(known, cube, level), size=(_SPECTRAL, 1, 1))
    limit = _GUARD_MARGIN * sharpest_contrast(data.psf_cube, data.factor)
    sigma = data.cube_noise[live, None, None]
    for part in (cube - smooth, np.where(known, smooth - level, np.nan)):
        scatter = np.maximum(sigma, sigma_of_median(_medians(np.abs(part))))
        found.voxels[live] |= _isolated(part, _GUARD, limit, scatter=scatter)
    _report(found, "stand out more than a point source can")
    return found


def residual_outliers(data, images_model, cube_model, limit):
    """Find data that a model of them cannot explain.

    Parameters
    ----------
    data : FusionData
        Observations, from `usable_data`.
    images_model : ndarray (F, Y, X)
        Images of the model.
    cube_model : ndarray (L, h, w)
        Cube of the model; NaN in channels without data.
    limit : float
        Robust standard deviations that a residual may have. Part of the local range of the model
        is allowed in addition: at a star, the PSF is never exactly known.

    Returns
    -------
    rejection : Rejection
        Residuals beyond the limit that are sharper than the PSF. In the cube a residual also counts
        that is narrower than a resolved line: a source that is missing from the model is neither.
    worst : float
        Largest of them in robust standard deviations.
    """
    found, worst = Rejection.nothing(data), 0.0
    contrast = _MARGIN * sharpest_contrast(data.psf_image, 1)
    for f, model in enumerate(images_model):
        weight = data.image_weight[f]
        root = np.sqrt(weight) / data.image_sigma[f]
        residual = np.where(weight > 0, (data.images[f] - model) * root, np.nan)
        scatter = max(_scatter(residual), _SMALLEST_SCATTER)
        reach = ndi.maximum_filter(model, 5) - ndi.minimum_filter(model, 5)
        threshold = limit * scatter + _MISFIT * reach * root
        found.images[f] = _isolated(residual[None], threshold, contrast)[0]
        if found.images[f].any():
            worst = max(worst, np.abs(residual[found.images[f]]).max() / scatter)
    contrast = _MARGIN * sharpest_contrast(data.psf_cube, data.factor)
    live = np.flatnonzero(np.isfinite(data.cube_sigma))
    root = np.sqrt(data.spaxel_weight) / data.cube_noise[live, None, None]
    residual = np.where(root > 0, (data.cube[live] - cube_model[live]) * root, np.nan)
    scatter = sigma_of_median(_medians(np.abs(residual)))
    scatter = np.maximum(scatter, max(np.median(scatter), _SMALLEST_SCATTER))
    reach = ndi.maximum_filter(cube_model[live], (1, 3, 3))
    reach -= ndi.minimum_filter(cube_model[live], (1, 3, 3))
    threshold = limit * scatter + _MISFIT * reach * root
    bad = _isolated(residual, threshold, contrast) | _narrow(residual, threshold)
    found.voxels[live] = bad
    if bad.any():
        worst = max(worst, np.abs(residual / scatter)[bad].max())
    _report(found, f"lie beyond {limit:g} standard deviations")
    return found, float(worst)


def _report(found, why):
    if found.any():
        warn(
            log,
            "%d pixels of the images and %d voxels of the cube %s and are not used",
            found.images.sum(),
            found.voxels.sum(),
            why,
        )


def _minus_median(image):
    return image - ndi.median_filter(image, _SPATIAL)


def _scatter(values):
    """Robust standard deviation about zero of what is finite."""
    known = values[np.isfinite(values)]
    return float(sigma_of_median(np.median(np.abs(known)))) if known.size else 0.0


def _medians(planes):
    """Medians (n, 1, 1) of what is finite in each plane (n, y, x), 0 if nothing is."""
    values = np.sort(planes.reshape(len(planes), -1), axis=1)
    count = np.isfinite(values).sum(1)
    middle = values[np.arange(len(values)), np.maximum(count - 1, 0) // 2]
    return np.where(count > 0, middle, 0.0)[:, None, None]


def _isolated(values, threshold, contrast, *, scatter=None):
    """Samples (n, y, x) beyond a threshold, and `contrast` times brighter than their surroundings.

    Only peaks count. Where one was found, what lies beside it is tested again without it. Values
    whose noise is not evenly distributed, as after a running median, come with their scatter; the
    surroundings then count as at least that bright.
    """
    floor = 0.0 if scatter is None else 1.0
    values = values if scatter is None else values / np.maximum(scatter, np.finfo(float).tiny)
    size = np.pad(np.abs(values), [(0, 0), (1, 1), (1, 1)], constant_values=np.nan)
    inner = size[:, 1:-1, 1:-1]
    found = np.zeros(values.shape, bool)
    with np.errstate(invalid="ignore"):
        n, y, x = np.nonzero(inner > threshold)
    for _ in range(_RANK + 1):
        near = np.array([size[n, y + 1 + dy, x + 1 + dx] for dy, dx in _AROUND])
        known = np.isfinite(near)
        near = np.sort(np.where(known, near, -1.0), axis=0)
        # At the border half of those that exist; without any, nothing can be said.
        rank = np.maximum(known.sum(0) // 2, 1)
        reference = near[len(_AROUND) - rank, np.arange(len(n))]
        height = inner[n, y, x]
        alone = height > contrast * np.maximum(reference, floor)
        alone &= (reference >= 0) & (height > _PEAK * near[-1])
        if not alone.any():
            break
        found[n[alone], y[alone], x[alone]] = True
        inner[found] = np.nan
        n, y, x = n[~alone], y[~alone], x[~alone]
    return found


def _narrow(values, threshold):
    """Samples (n, y, x) beyond a threshold that both neighbouring channels do not share."""
    size = np.abs(values)
    with np.errstate(invalid="ignore"):
        n, y, x = np.nonzero(size > threshold)
    padded = np.pad(size, [(1, 1), (0, 0), (0, 0)], constant_values=np.nan)
    below, above = padded[n, y, x], padded[n + 2, y, x]
    alone = size[n, y, x] > _LINE * np.maximum(below, above)  # False next to a gap
    found = np.zeros(values.shape, bool)
    found[n[alone], y[alone], x[alone]] = True
    return found
