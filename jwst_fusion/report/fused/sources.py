"""Bright compact sources of a fused cube, and what is left of each in image and cube.

Images are (y, x), in MJy/sr; positions are pixels of the fused cube, counted from 0.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from jwst_fusion.fusion.observed.photometry import synthetic_image
from jwst_fusion.report.fused.agreement import data_error
from jwst_fusion.report.mismatch import Amount

__all__ = ["Source", "find_holes", "find_sources"]

_MOST = 12  # sources that are looked at
_WIDTH = 3.0  # pixels, sigma: what is smoother is no compact source
_APART = 7  # pixels: window in which a source is the brightest
_BORDER = 2  # pixels from the edge of the field
_SHARP = 0.7  # pixels, sigma: smoothing of the peak
# Peak above its surroundings that makes a source: in noise of an image, and relative to the
# surroundings. As much below them makes a hole.
_CONTRAST = 4.0, 0.3
_IMAGE_RADIUS = 3.0  # pixels around a source in which light is compared
_CUBE_RADIUS = 2.5  # spaxels, likewise
_RING = 2.0, 4.0  # pixels: where a wrong PSF leaves a ring
_BASE = 20  # percentile of the brightness around a source from which on it is its own
_CORE = 1.0  # pixels: data missing here are those of the peak
_FEWEST = 6  # samples
_HOLE = 0.7  # depth of a hole below its surroundings, relative to them
_SIDES = 3.0, 6.0  # pixels from a hole: where there must be light on all sides
_WAYS = (1, 0), (-1, 0), (0, 1), (0, -1)  # down, up, right, left


@dataclass(frozen=True)
class Source:
    """
    A compact source.

    Attributes
    ----------
    y, x : int
        Pixel.
    image, cube : Amount
        Light that images and cube show beyond the fused cube in the shape of the source, relative
        to the source, with its error: mean over the bands of the filters.
    images, cubes : dict of Amount
        The same by filter.
    rings : dict of Amount
        Mean residual of each image in a ring around the source, relative to the peak of the source
        above its surroundings.
    continuum, lines : Amount
        The same of the cube in channels without lines, and in the strongest lines above the
        continuum. Both relative to the source in the continuum.
    stated : float
        Error that the fused cube states for a voxel of the peak, relative to the peak above its
        surroundings.
    missing : tuple of str
        Images without data at the peak, or with a hole there.
    """

    y: int
    x: int
    image: Amount
    cube: Amount
    images: dict
    cubes: dict
    rings: dict
    continuum: Amount
    lines: Amount
    stated: float
    missing: tuple


def find_sources(product):
    """
    Find the brightest compact sources, and compare each with the data.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, with images, maps of the cube in bands, and errors.

    Returns
    -------
    list of Source
        The brightest first; none may stand out.

    Notes
    -----
    The shape of a source is what the fused cube predicts around it, less the level of its
    surroundings; its amount is fitted to the residuals, together with a constant.
    """
    arrays = product.arrays
    images = np.asarray(arrays["images"], float)
    residuals = np.asarray(arrays["residuals"], float)
    errors = arrays["image_errors"] * data_error(product, "FUSNSIMG")
    models = images - residuals
    for index, model in enumerate(models):
        lost = ~np.isfinite(model)
        if lost.any():
            filled = synthetic_image(product.data, arrays["responses"][index])
            model[lost] = filled[lost]
    cubes, expected, sigmas = (
        np.asarray(arrays[f"band_{name}"], float) for name in ("images", "models", "errors")
    )
    sigmas = sigmas * data_error(product, "FUSNSCUB")
    factor = images.shape[1] // cubes.shape[1]
    count, found = len(images), []
    contrasts = _contrasts(models, errors)
    for y, x in _peaks(contrasts):
        at = ((y - (factor - 1) / 2) / factor, (x - (factor - 1) / 2) / factor)
        in_images = [
            _share(residuals[k], models[k], errors[k], (y, x), _IMAGE_RADIUS) for k in range(count)
        ]
        in_cube = [
            _share(cubes[k] - expected[k], expected[k], sigmas[k], at, _CUBE_RADIUS)
            for k in range(count + 1)
        ]
        lined = cubes[count + 1] - expected[count + 1]
        lines = _share(lined, expected[count], sigmas[count + 1], at, _CUBE_RADIUS)
        found.append(
            Source(
                y,
                x,
                _mean(in_images),
                _mean(in_cube[:count]),
                dict(zip(product.labels, in_images, strict=True)),
                dict(zip(product.labels, in_cube[:count], strict=True)),
                {
                    label: _ring(residuals[k], models[k], errors[k], (y, x))
                    for k, label in enumerate(product.labels)
                },
                in_cube[count],
                lines,
                _stated(product, y, x),
                tuple(
                    label
                    for k, label in enumerate(product.labels)
                    if _missing(images[k], contrasts[k], (y, x))
                ),
            )
        )
    return found


def _contrasts(models, errors):
    """Compact light of each image above its surroundings, and these, in units of its noise."""
    found = []
    for model, error in zip(models, errors, strict=True):
        noise = np.nanmedian(error)
        seen = np.isfinite(model)
        if not (noise > 0 and seen.any()):
            found.append((np.zeros(model.shape), np.zeros(model.shape)))
            continue
        scaled = np.where(seen, model, np.nanmin(model)) / noise
        smooth = ndimage.gaussian_filter(scaled, _WIDTH)
        found.append((ndimage.gaussian_filter(scaled, _SHARP) - smooth, smooth))
    return np.array(found)


def _peaks(contrasts):
    """Pixels of sources, the brightest first; what one image lacks, another may show."""
    contrast = contrasts[:, 0].max(0)
    enough = contrasts[:, 0] > np.maximum(_CONTRAST[0], _CONTRAST[1] * np.abs(contrasts[:, 1]))
    peak = (ndimage.maximum_filter(contrast, _APART) == contrast) & enough.any(0)
    inner = np.zeros_like(peak)
    inner[_BORDER:-_BORDER, _BORDER:-_BORDER] = True
    rows, columns = np.nonzero(peak & inner)
    order = np.argsort(-contrast[rows, columns])[:_MOST]
    return [(int(y), int(x)) for y, x in zip(rows[order], columns[order], strict=True)]


def find_holes(product):
    """
    Find places where an image is dark amid light: cores of saturated stars that were set to zero.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, with the images and their errors.

    Returns
    -------
    list of tuple
        Name of the image, row and column of each.
    """
    images = np.asarray(product.arrays["images"], float)
    contrasts = _contrasts(images, product.arrays["image_errors"])
    found = []
    for label, image, (contrast, smooth) in zip(product.labels, images, contrasts, strict=True):
        hole = -contrast > np.maximum(_CONTRAST[0], _HOLE * np.abs(smooth))
        hole &= (ndimage.minimum_filter(contrast, _APART) == contrast) & np.isfinite(image)
        found += [
            (label, int(y), int(x))
            for y, x in zip(*np.nonzero(hole), strict=True)
            if _amid_light(image, y, x)
        ]
    return found


def _amid_light(image, y, x):
    """Whether there is light on all sides of a place; there is not beyond the limb of a disk."""
    rows, columns = np.indices(image.shape)
    down, right = rows - y, columns - x
    distance = np.hypot(down, right)
    ring = (distance >= _SIDES[0]) & (distance <= _SIDES[1]) & np.isfinite(image)
    if not ring.any():
        return False
    level = np.median(image[ring])
    sides = [ring & (down * a + right * b > np.abs(down * b - right * a)) for a, b in _WAYS]
    return all(side.any() and np.median(image[side]) > 0.5 * level for side in sides)


def _stated(product, y, x):
    """Stated error of a voxel of a peak over its contrast, typical channel."""
    values = np.array([product.err[channel][y, x] for channel in product.sample], float)
    values = values[np.isfinite(values)]
    image = product.brightness
    near = _around(image.shape, (y, x), _IMAGE_RADIUS + 1.5) & np.isfinite(image)
    peak = image[y, x] - np.percentile(image[near], _BASE) if near.any() else np.nan
    if not values.size or not peak > 0:
        return 0.0
    return float(np.sqrt(np.mean(values**2)) / peak)


def _missing(image, contrast, place):
    """Whether an image has no data at the peak of a source, or a hole."""
    if not np.isfinite(image[_around(image.shape, place, _CORE)]).all():
        return True
    deep, level = contrast[:, place[0], place[1]]
    return bool(-deep > max(_CONTRAST[0], _CONTRAST[1] * abs(level)))


def _around(shape, place, radius):
    rows, columns = np.indices(shape)
    return np.hypot(rows - place[0], columns - place[1]) <= radius


def _share(residual, model, sigma, place, radius):
    """Amount of the shape of a source in residuals around it, relative to the source."""
    near = _around(model.shape, place, radius) & np.isfinite(model)
    good = near & np.isfinite(residual) & (sigma > 0)
    if good.sum() < _FEWEST:
        return Amount(np.nan, np.nan)
    wide = _around(model.shape, place, radius + 1.5) & np.isfinite(model)
    shape = np.maximum(model - np.percentile(model[wide], _BASE), 0)
    design = np.column_stack([shape[good], np.ones(good.sum())]) / sigma[good][:, None]
    scale = np.sqrt((design**2).sum(0))
    if not (scale > 0).all():
        return Amount(np.nan, np.nan)
    design = design / scale
    inverse = np.linalg.pinv(design.T @ design)
    amount = inverse @ (design.T @ (residual[good] / sigma[good])) / scale
    return Amount(float(amount[0]), float(np.sqrt(inverse[0, 0]) / scale[0]))


def _ring(residual, model, sigma, place):
    """Mean residual in a ring around a source, relative to its peak."""
    ring = _around(model.shape, place, _RING[1]) & ~_around(model.shape, place, _RING[0])
    good = ring & np.isfinite(residual) & (sigma > 0)
    near = _around(model.shape, place, _RING[1]) & np.isfinite(model)
    peak = model[place] - np.percentile(model[near], _BASE) if near.any() else np.nan
    if good.sum() < _FEWEST or not peak > 0:
        return Amount(np.nan, np.nan)
    error = np.sqrt(np.sum(sigma[good] ** 2)) / good.sum()
    return Amount(float(residual[good].mean() / peak), float(error / peak))


def _mean(amounts):
    """Mean of amounts, weighted by their errors."""
    known = [one for one in amounts if np.isfinite(one.value) and one.error > 0]
    if not known:
        return Amount(np.nan, np.nan)
    weight = np.array([one.error**-2 for one in known])
    value = np.sum(weight * [one.value for one in known]) / weight.sum()
    return Amount(float(value), float(weight.sum() ** -0.5))
