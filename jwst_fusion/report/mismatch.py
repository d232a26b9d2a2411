"""Mismatch of two cubes of one scene: brightness, position, width of the PSF, energies.

What the expectation of a cube lacks is, to first order, a sum of the expectation itself, its
slopes, its curvature and a background. Their amounts are fitted, and those of both cubes compared:
a fused cube may lie between the two.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

__all__ = [
    "Amount",
    "Mismatch",
    "excess",
    "field_mismatch",
    "image_mismatch",
    "reduced",
    "spectral_mismatch",
]

_FEWEST = 8  # pixels or channels
_DARKEST = 1e-3  # of the brightness that is expected
_LEVEL = 6.0  # sigma from which on a background is fitted


@dataclass(frozen=True)
class Amount:
    """
    A number with its error.

    Attributes
    ----------
    value, error : float
        Both NaN if it is not known.
    """

    value: float
    error: float

    @property
    def sigma(self):
        """Value in units of its error, without sign."""
        return abs(self.value) / self.error if self.error > 0 else 0.0


@dataclass(frozen=True)
class Mismatch:
    """
    Y against X.

    Attributes
    ----------
    brightness : Amount
        Logarithm of the brightness of Y relative to that of X.
    shift : tuple of Amount
        By how much Y is displaced: along x and y in pixels of X, or along the spectrum.
    spread : Amount
        By how much the squared width (standard deviation) of the PSF of Y, or of the spectral
        response of X, is larger than given: in squared pixels of X, or in squared units of the
        spectrum.
    level : Amount
        Uniform light that Y has beyond X, relative to the mean of the image.
    """

    brightness: Amount
    shift: tuple
    spread: Amount
    level: Amount = Amount(np.nan, np.nan)


def reduced(observed, expected, sigma):
    """
    Reduced chi-square.

    Parameters
    ----------
    observed, expected, sigma : array
        NaN where nothing is known.

    Returns
    -------
    float
        NaN without data.
    """
    pull = _pulls(observed, expected, sigma)
    return float(np.mean(pull**2)) if pull.size else np.nan


def _pulls(observed, expected, sigma):
    good = np.isfinite(observed) & np.isfinite(expected) & (sigma > 0)
    return (observed[good] - expected[good]) / sigma[good]


def excess(observed, expected, sigma):
    """
    Residuals beyond noise, relative to what is expected.

    Parameters
    ----------
    observed, expected, sigma : array
        NaN where nothing is known.

    Returns
    -------
    float
        Root mean square; 0 if the residuals are no larger than the noise.
    """
    good = np.isfinite(observed) & np.isfinite(expected) & np.isfinite(sigma)
    if not good.any():
        return np.nan
    beyond = np.sum((observed - expected)[good] ** 2 - sigma[good] ** 2)
    return float(np.sqrt(max(beyond, 0.0) / max(np.sum(expected[good] ** 2), 1e-300)))


def field_mismatch(sides, owner):
    """
    Compare the images of both cubes.

    Parameters
    ----------
    sides : tuple of tuple of array
        Of X and of Y: observed and expected image, and standard deviation, (y, x).
    owner : array of int (M, N)
        Pixel of Y in which each pixel of X lies; -1 for none.

    Returns
    -------
    Mismatch
        How Y differs from X; a background is allowed for only where it stands out.
    """
    matrix = _pixel_of_y(owner, sides[1][0].shape)
    with_level = _compared(sides, matrix, level=True)
    if with_level.level.sigma > _LEVEL:
        return with_level
    # A background that is not needed only makes the rest less certain.
    return replace(_compared(sides, matrix, level=False), level=with_level.level)


def _compared(sides, matrix, *, level):
    amounts = []
    for side, turn in zip(sides, (np.eye(2), matrix), strict=True):
        value, covariance = _field_fit(*side, level=level)
        change = np.eye(len(value))
        change[1:3, 1:3] = turn
        change[3, 3] = abs(np.linalg.det(turn))
        amounts.append((change @ value, change @ covariance @ change.T))
    (x, cx), (y, cy) = (_logarithmic(*one) for one in amounts)
    return _mismatch(y - x, cx + cy)


def _logarithmic(values, covariance):
    """Amounts with the logarithm of the brightness instead of what is added to one of it."""
    values = np.array(values, float)
    # a cube that has nothing of what is expected has a brightness that is only known to be small
    brightness = max(1.0 + values[0], _DARKEST)
    values[0] = np.log(brightness)
    change = np.ones(len(values))
    change[0] = 1.0 / brightness
    return values, covariance * np.outer(change, change)


def _mismatch(values, covariance):
    errors = np.sqrt(np.diag(covariance))
    found = [Amount(float(v), float(e)) for v, e in zip(values, errors, strict=True)]
    level = found[4] if len(found) > 4 else Amount(np.nan, np.nan)
    return Mismatch(found[0], tuple(found[1:3]), found[3], level)


def image_mismatch(observed, expected, sigma):
    """
    Compare two images on the same pixels.

    Parameters
    ----------
    observed, expected, sigma : array (y, x)
        An image, the one that it should be, and standard deviations; NaN where nothing is known.

    Returns
    -------
    Mismatch
        Of the first against the second, in pixels.
    """
    return _mismatch(*_logarithmic(*_field_fit(observed, expected, sigma, level=False)))


def _pixel_of_y(owner, shape):
    """Steps along x and y, in pixels of X, to the next column and row of Y: columns of a matrix."""
    row, column = np.nonzero(owner >= 0)
    number = owner[row, column]
    design = np.column_stack([number % shape[1], number // shape[1], np.ones(number.size)])
    solution = np.linalg.lstsq(design.astype(float), np.column_stack([column, row]), rcond=None)[0]
    return solution[:2].T


def _field_fit(observed, expected, sigma, *, level):
    known = np.isfinite(expected)
    filled = expected
    if known.any() and not known.all():
        nearest = ndimage.distance_transform_edt(
            ~known, return_distances=False, return_indices=True
        )
        filled = expected[tuple(nearest)]
    slopes = [_slope(filled, axis) for axis in (1, 0)]
    bend = sum(_slope(one, axis) for one, axis in zip(slopes, (1, 0), strict=True))
    # At the border of the field, the light beyond it is unknown.
    inside = np.zeros(observed.shape, bool)
    inside[1:-1, 1:-1] = True
    parts = [expected, -slopes[0], -slopes[1], 0.5 * bend]
    if level:
        parts.append(np.full(expected.shape, np.nanmean(expected) if known.any() else np.nan))
    return _fit(observed, expected, sigma, parts, inside)


def _slope(image, axis):
    step = np.zeros(image.ndim)
    step[axis] = 0.25
    before, after = (ndimage.shift(image, sign * step, mode="nearest") for sign in (1, -1))
    return (after - before) / 0.5


def spectral_mismatch(sides, width):
    """
    Compare the total spectra of both cubes.

    Parameters
    ----------
    sides : tuple of tuple of array
        Of X and of Y: observed and expected spectrum, and standard deviation.
    width : tuple of float
        Mean width of the channels of X and of Y.

    Returns
    -------
    Mismatch
        With one shift, and the spread of X.
    """
    fits = []
    for (observed, expected, sigma), step in zip(sides, width, strict=True):
        slope = _slope(np.nan_to_num(expected), 0) / step
        bend = _slope(slope, 0) / step
        inside = np.zeros(observed.shape, bool)
        inside[1:-1] = True
        fits.append(_fit(observed, expected, sigma, [expected, -slope, 0.5 * bend], inside))
    (x, cx), (y, cy) = (_logarithmic(*one) for one in fits)
    errors = np.sqrt(np.diag(cx) + np.diag(cy))
    found = [Amount(float(v), float(e)) for v, e in zip(y - x, errors, strict=True)]
    spread = Amount(-found[2].value, found[2].error)
    return Mismatch(found[0], (found[1],), spread)


def _fit(observed, expected, sigma, parts, inside):
    """Amounts of parts in the residuals, and their covariance, which follows the scatter left."""
    good = np.isfinite(observed) & np.isfinite(expected) & (sigma > 0) & inside
    number = len(parts)
    if good.sum() < max(_FEWEST, 2 * number):
        return np.full(number, np.nan), np.full((number, number), np.nan)
    design = np.column_stack([part[good] / sigma[good] for part in parts])
    residual = (observed[good] - expected[good]) / sigma[good]
    scale = np.maximum(np.sqrt((design**2).sum(0)), 1e-300)
    inverse = np.linalg.pinv((design / scale).T @ (design / scale))
    amounts = inverse @ ((design / scale).T @ residual)
    left = residual - (design / scale) @ amounts
    scatter = max(float(np.sum(left**2)) / (good.sum() - number), 1.0)
    return amounts / scale, scatter * inverse / np.outer(scale, scale)
