"""Transforms of a slice, evaluated at few points and interpolated by polynomials."""

import numpy as np
from numpy.polynomial import chebyshev

__all__ = ["evaluate_smooth"]

#: Points along and across the dispersion, Chebyshev nodes.
_N_ALONG, _N_ACROSS = 24, 6
#: Slices with fewer pixels are evaluated as they are: that takes milliseconds.
_MIN_PIXELS = 4000
#: Number of pixels at which the interpolation is compared with the function.
_N_CHECK = 100
#: Largest error, in units of the change from one pixel to the next: far below any that matters.
_TOLERANCE = 1e-5


def evaluate_smooth(function, layout, inside):
    """
    Evaluate functions of the detector position at the pixels of a slice.

    Transforms of slices are smooth: their values at 24 x 6 points along the slice give all others.
    A hundred pixels are compared with the functions themselves; if the interpolation errs
    there by more than 1e-5 of the change from pixel to pixel, all pixels are evaluated.

    Parameters
    ----------
    function : callable
        Of detector columns and rows, two arrays of the same shape; gives a tuple of arrays.
    layout : SliceLayout
        Rows and columns of the slice.
    inside : ndarray of bool
        Pixels to evaluate, shape ``(column, row)``.

    Returns
    -------
    ndarray
        Values of each function, shape ``(function, column, row)``, NaN at all other pixels.
    """
    rows, columns = layout.index()
    values = None
    if inside.sum() >= _MIN_PIXELS:
        values = _interpolate(function, columns[:, 0], rows, inside)
    if values is not None:
        return np.where(inside, values, np.nan)
    rows, columns = np.broadcast_arrays(rows, columns)
    found = np.stack(function(columns[inside].astype(float), rows[inside].astype(float)))
    values = np.full((len(found), *inside.shape), np.nan)
    values[:, inside] = found
    return values


def _interpolate(function, columns, rows, inside):
    """Interpolate to all pixels of a slice; `None` if that is not accurate."""
    used = np.flatnonzero(inside.any(axis=1))
    low, high = columns[used[[0, -1]]].astype(float)
    position = (2 * columns - low - high) / max(high - low, 1.0)
    first = rows[:, 0] + np.argmax(inside, axis=1)
    last = rows[:, -1] - np.argmax(inside[:, ::-1], axis=1)
    middle = chebyshev.Chebyshev.fit(position[used], 0.5 * (first + last)[used], 4, domain=[-1, 1])
    centre = middle(position)
    half = max(np.max((last - centre)[used]), np.max((centre - first)[used])) + 0.01
    along, across = chebyshev.chebpts1(_N_ALONG), chebyshev.chebpts1(_N_ACROSS)
    x_node = np.repeat(0.5 * (low + high + along * (high - low)), _N_ACROSS)
    y_node = (middle(along)[:, None] + half * across).ravel()
    check = np.flatnonzero(inside)
    check = check[np.linspace(0, len(check) - 1, _N_CHECK).astype(np.intp)]
    column, row = np.unravel_index(check, inside.shape)
    x, y = np.append(x_node, columns[column]), np.append(y_node, rows[column, row])
    found = np.stack(function(x, y))
    if not np.isfinite(found).all():
        return None
    nodes = found[:, : x_node.size].reshape(-1, _N_ALONG, _N_ACROSS)
    # Polynomials along the dispersion; across it, coefficients of powers for Horner's scheme.
    basis = chebyshev.chebvander(position, _N_ALONG - 1)
    basis = basis @ np.linalg.inv(chebyshev.chebvander(along, _N_ALONG - 1))
    powers = np.linalg.inv(np.vander(across, increasing=True)).T
    distance = (rows - centre[:, None]) / half
    values = []
    for one in nodes:
        coefficients = basis @ one @ powers
        value = np.repeat(coefficients[:, -1:], distance.shape[1], axis=1)
        for power in range(_N_ACROSS - 2, -1, -1):
            value *= distance
            value += coefficients[:, power, None]
        values.append(value)
    values = np.stack(values)
    across_step = np.max(np.abs(np.diff(nodes, axis=2)), axis=(1, 2)) / half
    along_step = np.max(np.abs(np.diff(nodes, axis=1)), axis=(1, 2)) / max(high - low, 1.0)
    error = np.max(np.abs(values[:, column, row] - found[:, x_node.size :]), axis=1)
    accurate = error <= _TOLERANCE * np.maximum(across_step, along_step)
    return values if accurate.all() else None
