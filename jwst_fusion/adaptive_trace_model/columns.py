"""Scale and background of each detector column for a given profile, robustly.

Arrays are (column, row). The data are finite, with `good` telling which pixels count.
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["ColumnFit", "first_columns", "fit_columns"]

#: Relative model error assumed in weights, and in the test for outliers.
_WEIGHT_FLOOR, _OUTLIER_FLOOR = 0.01, 0.05
#: Model error assumed in weights, relative to the peak of the column.
_PEAK_FLOOR = 0.001
#: Largest weight of one pixel in a median ratio, relative to the sum of all before this limit.
_MAX_VOTE = 0.3
_CLIP = 5.0
#: Median of chi-square with one degree of freedom.
_MEDIAN_CHI2 = 0.4549
#: A column is trusted if it shows this share of the squared profile, or else its scale has this
#: signal-to-noise ratio: a hole in the core of a bright trace can be filled from its wings.
_MIN_SHARE, _MIN_SNR = 0.1, 5.0
#: Largest correlation coefficient, squared, of profile and background for both to be fitted.
_MAX_CORRELATION = 0.7
#: Share of the rows, faintest first, that give the first background.
_FAINT_SHARE = 0.4


@dataclass(frozen=True)
class ColumnFit:
    """
    Scale and background of each column.

    Parameters
    ----------
    fitted : ndarray
        Scale that goes with the profile it was fitted with, shape ``(column,)``.
    scale : ndarray
        Scale in the gauge for the next profile, 0 where there is none.
    background : ndarray
        Flux added to scale times profile.
    weight : ndarray
        Weights of the pixels for the next fit of the profile to ``(data - background) / scale``:
        inverse variance, 0 for outliers, divided by the column's reduced chi-square.
    gain, background_gain : ndarray
        Derivatives of `fitted` and `background` to the data, shape ``(column, row)``.
    trusted : ndarray of bool
        Columns whose scale is well measured.
    separable : bool
        Whether the source is compact enough to tell its profile from a background.
    """

    fitted: np.ndarray
    scale: np.ndarray
    background: np.ndarray
    weight: np.ndarray
    gain: np.ndarray
    background_gain: np.ndarray
    trusted: np.ndarray
    separable: bool


def first_columns(data, variance, profile, good):
    """
    Find first scales from a crude profile common to all columns.

    Parameters
    ----------
    data, variance, profile : ndarray
        Shape ``(column, row)``.
    good : ndarray of bool
        Pixels that may be used.

    Returns
    -------
    ColumnFit
        With nearly unit weights: the crude profile tells only gross outliers.
    """
    faint = good & (profile <= np.quantile(profile[good], _FAINT_SHARE))
    level = np.median(profile[faint])
    moments = _moments(good.astype(float), profile - level)
    separable = bool(np.median(_correlation(moments)[good.any(axis=1)]) < _MAX_CORRELATION)
    background = np.zeros(len(data))
    if separable:
        profile = profile - level
        background = _column_median(data, faint)
    scale = weighted_median_ratio(data - background[:, None], profile, good)
    model = scale[:, None] * profile + background[:, None]
    keep = good & ((data - model) ** 2 <= 64 * (variance + 0.25 * model**2))
    keep &= (scale > 0)[:, None]
    typical = np.median(scale[scale > 0]) if (scale > 0).any() else 1.0
    # A scale that an outlier has blown up must not get weight from that.
    peak = np.max(np.abs(profile), where=good, initial=0.0)
    spread = np.median(variance[good]) + (0.1 * peak * np.maximum(scale, typical)[:, None]) ** 2
    nothing = np.zeros_like(data)
    return ColumnFit(
        fitted=scale,
        scale=np.where(scale > 0, scale, 0.0),
        background=background,
        weight=np.where(keep, scale[:, None] ** 2 / spread, 0.0),
        gain=nothing,
        background_gain=nothing,
        trusted=scale > 0,
        separable=separable,
    )


def fit_columns(data, variance, profile, good, inside, *, previous, total):
    """
    Fit scale and background of each column, given the profile.

    Parameters
    ----------
    data, variance, profile : ndarray
        Shape ``(column, row)``, finite.
    good, inside : ndarray of bool
        Pixels that may be used, and all pixels of the slice.
    previous : ColumnFit
        Its background starts the fit, and it decides whether there is one.
    total : ndarray
        What the profile of each column is to be divided by, shape ``(column,)``.

    Returns
    -------
    ColumnFit
        The fit.
    """
    background = previous.background
    peak = np.max(np.abs(profile), axis=1, where=inside, initial=0.0)
    scale = weighted_median_ratio(data - background[:, None], profile, good)
    model = scale[:, None] * profile + background[:, None]
    keep = good & ((data - model) ** 2 <= 256 * (variance + (_OUTLIER_FLOOR * model) ** 2))
    for last in (False, False, False, True):
        floor = (_WEIGHT_FLOOR * (model - background[:, None])) ** 2
        floor += (_PEAK_FLOOR * scale * peak)[:, None] ** 2
        inverse = keep / (variance + floor)
        gain, background_gain, information = _gains(inverse, profile, previous.separable)
        scale = np.sum(gain * data, axis=1)
        background = np.sum(background_gain * data, axis=1)
        model = scale[:, None] * profile + background[:, None]
        chi2 = (data - model) ** 2 / (variance + (_OUTLIER_FLOOR * model) ** 2)
        if last:
            break
        kept = good & (chi2 <= _CLIP**2 * _misfit(chi2, keep)[:, None])
        if np.array_equal(kept, keep):
            break
        keep = kept
    n_good = keep.sum(axis=1)
    reduced = np.sum(chi2, axis=1, where=keep) / np.maximum(n_good - 2, 1)
    square = profile**2
    share = np.sum(square, axis=1, where=keep) / np.maximum(
        np.sum(square, axis=1, where=inside), np.finfo(float).tiny
    )
    bright = (scale > 0) & (scale**2 * information >= _MIN_SNR**2)
    measured = (n_good > 3) & (total > 0) & (information > 0)
    usable = measured & (scale > 0)
    in_gauge = np.where(usable, scale * total, 0.0)
    return ColumnFit(
        fitted=scale,
        scale=in_gauge,
        background=background,
        weight=(in_gauge**2 / np.maximum(reduced, 1.0))[:, None] * inverse,
        gain=gain,
        background_gain=background_gain,
        trusted=measured & ((share >= _MIN_SHARE) | bright),
        separable=previous.separable,
    )


def _moments(weight, profile):
    """Weighted sums of 1, profile and squared profile over the rows."""
    weighted = weight * profile
    return (
        np.sum(weight, axis=1),
        np.sum(weighted, axis=1),
        np.sum(weighted * profile, axis=1),
    )


def _correlation(moments):
    """Squared correlation coefficient of profile and constant; 1 without data."""
    w, wp, wpp = moments
    return np.divide(wp**2, w * wpp, out=np.ones_like(w), where=w * wpp > 0)


def _gains(inverse, profile, separable):
    """Derivatives of scale and background to the data, and the inverse variance of the scale."""
    moments = _moments(inverse, profile)
    w, wp, wpp = (moment[:, None] for moment in moments)
    alone = np.divide(inverse * profile, wpp, out=np.zeros_like(profile), where=wpp > 0)
    if not separable:
        return alone, np.zeros_like(profile), moments[2]
    # Where too little of the trace or of the background is seen, only the sum is known.
    apart = (_correlation(moments) < 0.95)[:, None]
    determinant = np.where(apart, w * wpp - wp**2, 1.0)
    gain = np.where(apart, inverse * (profile * w - wp) / determinant, 0.0)
    background_gain = np.where(apart, inverse * (wpp - profile * wp) / determinant, 0.0)
    information = np.where(apart, determinant / np.where(w > 0, w, 1.0), 0.0)[:, 0]
    return gain, background_gain, information


def weighted_median_ratio(data, profile, good):
    """
    Median of data / profile in each column, weighted with the positive part of the profile.

    No pixel may outvote all others, not even one that holds most of the light.

    Parameters
    ----------
    data, profile : ndarray
        Shape ``(column, row)``.
    good : ndarray of bool
        Pixels that may be used.

    Returns
    -------
    ndarray
        Shape ``(column,)``; 0 where the profile is nowhere positive.
    """
    weight = np.where(good & (profile > 0), profile, 0.0)
    weight = np.minimum(weight, _MAX_VOTE * np.sum(weight, axis=1, keepdims=True))
    ratio = np.divide(data, profile, out=np.full_like(data, np.inf), where=weight > 0)
    order = np.argsort(ratio, axis=1)
    ratio = np.take_along_axis(ratio, order, axis=1)
    cumulative = np.cumsum(np.take_along_axis(weight, order, axis=1), axis=1)
    middle = np.argmax(cumulative >= 0.5 * cumulative[:, -1:], axis=1)
    median = np.take_along_axis(ratio, middle[:, None], axis=1)[:, 0]
    return np.where(np.isfinite(median), median, 0.0)


def _column_median(data, chosen):
    """Median of the chosen pixels of each column; interpolated in columns without any."""
    ordered = np.sort(np.where(chosen, data, np.inf), axis=1)
    count = chosen.sum(axis=1)
    middle = np.maximum(count - 1, 0) // 2
    median = np.take_along_axis(ordered, middle[:, None], axis=1)[:, 0]
    known = count > 0
    index = np.arange(len(median))
    return np.interp(index, index[known], median[known])


def _misfit(chi2, keep):
    """Robust reduced chi-square of each column from the median, at least 1."""
    ordered = np.sort(np.where(keep, chi2, np.inf), axis=1)
    middle = np.clip(keep.sum(axis=1) // 2, 0, chi2.shape[1] - 1)
    median = np.take_along_axis(ordered, middle[:, None], axis=1)[:, 0] / _MEDIAN_CHI2
    return np.where(np.isfinite(median), np.maximum(median, 1.0), 1.0)
