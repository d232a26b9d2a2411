"""Fit of the profile of a slice and of the scale and background of its columns, in turns."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from jwst_fusion.adaptive_trace_model.background import line_values
from jwst_fusion.adaptive_trace_model.bspline import evaluate_surface
from jwst_fusion.adaptive_trace_model.columns import ColumnFit, fit_columns

__all__ = ["SMOOTH", "Alternation", "alternate"]

#: Columns over which the slope of the background, and the level of the profile, are smooth: about
#: two distances of the nodes, over which the profile changes, too.
SMOOTH = 101
#: Turns, and their largest number for sources at the ends of the slit. Three more change the flux
#: of simulated stars and galaxies by less than 0.2 of its error; crowded slices and sources at the
#: end of the slit never come to rest.
_ROUNDS, _MAX_ROUNDS = 3, 4
#: Share of the light that has to be away from the ends of the slit for its sum to be the
#: normalisation.
_MIDDLE_SHARE = 0.5


@dataclass(frozen=True)
class Alternation:
    """
    Outcome of `alternate`.

    Parameters
    ----------
    columns : ColumnFit
        Scale and background of each column.
    profile : ndarray
        Profile at the pixels, shape ``(column, row)``.
    coefficients : ndarray
        B-spline coefficients of the profile of each column, shape ``(column, n_coef)``.
    at_end : bool
        Whether most of the light is at the ends of the slit, where the window spoils the
        normalisation.
    filled : float
        Light in the median row times the number of rows, relative to all light.
    power : float
        Mean squared signal-to-noise ratio of a pixel from the source alone, 0 if source and
        background cannot be told apart.
    """

    columns: ColumnFit
    profile: np.ndarray
    coefficients: np.ndarray
    at_end: bool
    filled: float
    power: float


def alternate(arrays, columns, *, fitter, interval, basis, window, smooth_sum=False):
    """
    Fit profile and columns in turns.

    Parameters
    ----------
    arrays : tuple of ndarray
        Data, variance, good pixels, pixels inside the slit, and position along it from -1 to 1;
        each ``(column, row)``.
    columns : ColumnFit
        First scales and backgrounds.
    fitter : SurfaceFitter or WindowFitter
        Fit of the profile.
    interval, basis : ndarray
        Knot interval of each pixel, and the B-splines there.
    window : ndarray
        Weight of each pixel in the sum that normalises the profile.
    smooth_sum : bool, optional
        Whether that sum is smoothed along the dispersion.

    Returns
    -------
    Alternation or None
        `None` if there is no solution.

    Notes
    -----
    The fluxes stay the same if the scale is multiplied, and the profile divided, by any function of
    the pixel phase of the trace; only the values between the pixels change. What fixes this freedom
    is that a profile that has been integrated over pixels has the same sum over the rows for every
    phase. The window keeps rows that enter or leave at the ends of the slice from spoiling it.
    Absolute values stand for the sum, since a negative image may cancel it.
    """
    data, variance, good, inside, position = arrays
    for turn in range(1, _MAX_ROUNDS + 1):
        scale = columns.scale[:, None]
        source = data - line_values(columns.background, position)
        target = np.divide(source, scale, out=np.zeros_like(data), where=scale > 0)
        coefficients = fitter.solve(target, columns.weight)
        if coefficients is None:
            return None
        profile = evaluate_surface(coefficients, interval, basis)
        level = _level(profile, window)
        if columns.separable:
            profile -= level
            coefficients = coefficients - level
        total = np.sum(window * np.abs(profile), axis=1)
        if smooth_sum:
            total = ndimage.median_filter(total, 3 * SMOOTH, mode="nearest")
            total = ndimage.uniform_filter1d(total, SMOOTH, mode="nearest")
        columns = fit_columns(
            data, variance, profile, good, inside, position, previous=columns, total=total
        )
        light = np.sum(np.abs(profile), axis=1, where=inside)
        at_end = bool(np.median(total) < _MIDDLE_SHARE * np.median(light))
        if turn >= _ROUNDS and not at_end:
            break
    return Alternation(
        columns,
        profile,
        coefficients,
        at_end=at_end,
        filled=_filled_share(profile, window),
        power=float(np.mean((columns.fitted[:, None] * profile) ** 2 / variance, where=good))
        if columns.separable
        else 0.0,
    )


def _level(profile, window):
    """Median of each column's profile, smooth along the dispersion; sources have either sign."""
    ordered = np.sort(np.where(window > 0.5, profile, np.inf), axis=1)
    count = np.sum(window > 0.5, axis=1)
    rank = np.maximum(count - 1, 0) // 2
    level = np.take_along_axis(ordered, rank[:, None], axis=1)[:, 0]
    known = np.isfinite(level)
    index = np.arange(len(level))
    level = np.interp(index, index[known], level[known]) if known.any() else np.zeros(len(level))
    return ndimage.uniform_filter1d(level, min(SMOOTH, len(level)), mode="nearest")[:, None]


def _filled_share(profile, window):
    """Light in the median row times the number of rows, relative to all light."""
    size = np.abs(profile[window > 0.5])
    return float(np.median(size) / np.mean(size)) if np.any(size) else 0.0
