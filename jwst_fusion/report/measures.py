"""Numbers that a report derives from a fused cube: residuals, correlation, places to look at.

Images are (y, x), cubes (wavelength, y, x), wavelengths in micrometre.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage, stats

from jwst_fusion.metrics.lines import mean_of

__all__ = [
    "Place",
    "correlation",
    "pick_places",
    "pixels_of",
    "residual_structure",
    "spaxel_means",
]

# Distance, in pixels, between places that are picked, and from the edge of the field.
_APART, _EDGE = 6, 3


@dataclass(frozen=True)
class Place:
    """
    A place whose spectrum is shown.

    Attributes
    ----------
    letter, title : str
        Mark in the images, and why it is shown.
    y, x : int
        Pixel.
    """

    letter: str
    title: str
    y: int
    x: int


def residual_structure(residual, model):
    """
    How far residuals follow the scene: 0 for noise, towards 1 for what a model misses.

    Parameters
    ----------
    residual : array (y, x)
        Residuals in units of their errors; NaN where there are none.
    model : array (y, x)
        What was predicted; NaN where nothing was.

    Returns
    -------
    float
        Rank correlation of the size of the residuals with the gradient of the prediction, to
        which errors of PSF and position are proportional; NaN without data.
    """
    slope = np.hypot(*np.gradient(np.asarray(model, float)))
    good = np.isfinite(residual) & np.isfinite(slope)
    if good.sum() < 50 or np.ptp(slope[good]) == 0:
        return np.nan
    return float(stats.spearmanr(np.abs(residual[good]), slope[good])[0])


def spaxel_means(image, shape):
    """
    Average an image over spaxels.

    Parameters
    ----------
    image : array (y, x)
        NaN where there are no data.
    shape : tuple of int
        Rows and columns of spaxels; those of the image are whole multiples.

    Returns
    -------
    array (h, w)
        Means of what is known; NaN where nothing is.
    """
    factor = image.shape[0] // shape[0]
    blocks = np.asarray(image, float).reshape(shape[0], factor, shape[1], factor)
    return mean_of(blocks.transpose(1, 3, 0, 2).reshape(factor**2, *shape))


def correlation(image, model):
    """
    Correlation coefficient of an image with what is predicted for it.

    Parameters
    ----------
    image, model : array (y, x)
        NaN where there are no data.

    Returns
    -------
    float
        From -1 to 1; NaN if one of them is constant or without data.
    """
    good = np.isfinite(image) & np.isfinite(model)
    if good.sum() < 3:
        return np.nan
    first, second = (one[good] - np.mean(one[good]) for one in (image, model))
    norm = np.sqrt(np.sum(first**2) * np.sum(second**2))
    return float(np.sum(first * second) / norm) if norm > 0 else np.nan


def pixels_of(product, positions):
    """
    Find the pixels that a user names.

    Parameters
    ----------
    product : object
        With attributes data (L, y, x) and name.
    positions : sequence of tuple of float
        Columns and rows, counted from 0.

    Returns
    -------
    list of tuple of int
        Rows and columns.

    Raises
    ------
    ValueError
        If one lies outside.
    """
    height, width = product.data.shape[1:]
    pixels = []
    for x, y in positions:
        column, row = round(float(x)), round(float(y))
        if not (0 <= column < width and 0 <= row < height):
            msg = (
                f"position {x:g},{y:g} lies outside {product.name}, which has columns 0 to "
                f"{width - 1} and rows 0 to {height - 1}"
            )
            raise ValueError(msg)
        pixels.append((row, column))
    return pixels


def pick_places(product, *, factor, chosen=()):
    """
    Pick places whose spectra tell most, after those that the user names.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        The fused cube, or another with an image ``brightness`` (y, x).
    factor : int
        Pixels per spaxel.
    chosen : sequence of tuple of int, optional
        Rows and columns that the user wants.

    Returns
    -------
    list of Place
        The user's; the brightest; the one with most detail within a spaxel; a faint one.
    """
    image = product.brightness
    seen = np.isfinite(image)
    inside = ndimage.binary_erosion(seen, iterations=_EDGE, border_value=0)
    free = inside if inside.any() else seen
    places = [("as asked for", int(y), int(x)) for y, x in chosen]
    level = np.where(seen, image, 0.0)
    weight = np.maximum(ndimage.gaussian_filter(seen.astype(float), factor), 1e-6)
    smooth = ndimage.gaussian_filter(level, factor) / weight
    bright = _mark(places, "brightest", image, free)
    away = free & _far(bright, free.shape)
    detail = _mark(places, "most detail gained", np.abs(image - smooth), away)
    away &= _far(detail, free.shape)
    if away.any():
        dim = np.percentile(smooth[away], 20)
        _mark(places, "faint", -np.abs(smooth - dim), away)
    return [Place(chr(65 + i), *one) for i, one in enumerate(places)]


def _mark(places, title, measure, allowed):
    if not allowed.any():
        return None
    best = np.argmax(np.where(allowed & np.isfinite(measure), measure, -np.inf))
    y, x = (int(one) for one in np.unravel_index(best, measure.shape))
    places.append((title, y, x))
    return y, x


def _far(place, shape):
    if place is None:
        return np.ones(shape, bool)
    y, x = np.ogrid[: shape[0], : shape[1]]
    return np.hypot(y - place[0], x - place[1]) > _APART
