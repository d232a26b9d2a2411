"""Scale and background of each detector column for a given profile, robustly.

Arrays are (column, row). The data are finite, with `good` telling which pixels count.
"""

from dataclasses import dataclass

import numpy as np

from jwst_fusion.adaptive_trace_model.background import Lines, line_values

__all__ = [
    "CLIP",
    "OUTLIER_FLOOR",
    "ColumnFit",
    "first_columns",
    "fit_columns",
    "model_variance",
    "robust_misfit",
]

#: Relative model error assumed in weights.
_WEIGHT_FLOOR = 0.01
#: Relative model error assumed in the test for outliers.
OUTLIER_FLOOR = 0.05
#: Model error assumed in weights, relative to the peak of the column.
_PEAK_FLOOR = 0.001
#: Largest weight of one pixel in a median ratio, relative to the sum of all before this limit.
_MAX_VOTE = 0.3
#: Pixels that miss the model by more than this many errors are outliers, errors being raised to
#: what the residuals of the column show.
CLIP = 5.0
#: Largest number of times that outliers are looked for; twice as many change fluxes by less than
#: 0.05 of their error.
_STEPS = 4
#: Median of chi-square with one degree of freedom.
_MEDIAN_CHI2 = 0.4549
#: A column is trusted if it shows this share of the squared profile, or else its scale has this
#: signal-to-noise ratio: a hole in the core of a bright trace can be filled from its wings.
_MIN_SHARE, _MIN_SNR = 0.1, 5.0
#: Largest squared correlation coefficient of profile and background for both to be fitted.
_MAX_CORRELATION = 0.7
#: Smallest share of the information on a scale that is left beside an unknown background; with
#: less, scale and background would only be noise of opposite sign.
_MIN_APART = 0.05
#: Excess of the squared slope of a column's background over its noise that makes it count.
_SLOPE_SIGNIFICANCE = 2.0
#: A pixel that the first, crude model misses by this, squared and in units of noise and model, is
#: an outlier; likewise for the median ratio with a good profile.
_GROSS, _COARSE = 64.0, 256.0
#: The pixel that tells most of a scale is an outlier if the others contradict it by this many of
#: their errors, and if it makes the scale this many times as large.
_CONTRADICTION, _INFLATION = 5.0, 3.0


@dataclass(frozen=True)
class ColumnFit:
    """
    Scale and background of each column.

    Parameters
    ----------
    fitted : ndarray
        Scale that goes with the profile it was fitted with, shape ``(column,)``.
    scale : ndarray
        Scale for the normalised profile, 0 where there is none.
    background : ndarray
        Level and slope of the background, shape ``(2, column)``, see `Lines`.
    weight : ndarray
        Weights of the pixels for the next fit of the profile to ``(data - background) / scale``:
        inverse variance, 0 for outliers, divided by the column's reduced chi-square.
    gain : ndarray
        Derivative of `fitted` to the data, shape ``(column, row)``.
    background_gain : ndarray
        Derivatives of the background, shape ``(2, column, row)``.
    trusted : ndarray of bool
        Columns whose scale is well measured.
    separable : bool
        Whether the source is compact enough to tell its profile from a background.
    chi2 : ndarray
        Sum over the pixels of each column of chi-square, that of outliers cut, shape
        ``(column,)``.
    """

    fitted: np.ndarray
    scale: np.ndarray
    background: np.ndarray
    weight: np.ndarray
    gain: np.ndarray
    background_gain: np.ndarray
    trusted: np.ndarray
    separable: bool
    chi2: np.ndarray | None = None

    @property
    def misfit(self):
        """Sum of chi-square over all columns; infinite before there is a fit."""
        return np.inf if self.chi2 is None else float(np.sum(self.chi2))


def first_columns(data, variance, profile, good, position, background):
    """
    Find first scales from a crude profile common to all columns.

    Parameters
    ----------
    data, variance, profile : ndarray
        Shape ``(column, row)``.
    good : ndarray of bool
        Pixels that may be used.
    position : ndarray
        Positions along the slit from -1 to 1, shape ``(column, row)``.
    background : ndarray
        First background, shape ``(2, column)``.

    Returns
    -------
    ColumnFit
        With nearly unit weights: the crude profile tells only gross outliers.
    """
    weight = good.astype(float)
    apart = _part_of_its_own(profile, weight, Lines(weight, position).fit(profile), position)
    separable = bool(np.median(apart[good.any(axis=1)]) > 1 - _MAX_CORRELATION)
    if not separable:
        background = np.zeros_like(background)
    source = data - line_values(background, position)
    scale = weighted_median_ratio(source, profile, good)
    model = scale[:, None] * profile
    keep = good & ((source - model) ** 2 <= _GROSS * (variance + 0.25 * model**2))
    keep &= (scale > 0)[:, None]
    typical = np.median(scale[scale > 0]) if (scale > 0).any() else 1.0
    # A scale that an outlier has inflated must not get weight from that.
    peak = np.max(np.abs(profile), where=good, initial=0.0)
    # A pixel that may be far off by its own error must not get the weight of the others.
    spread = np.maximum(variance, np.median(variance[good]))
    spread = spread + (0.1 * peak * np.maximum(scale, typical)[:, None]) ** 2
    return ColumnFit(
        fitted=scale,
        scale=np.where(scale > 0, scale, 0.0),
        background=background,
        weight=np.where(keep, scale[:, None] ** 2 / spread, 0.0),
        gain=np.zeros_like(data),
        background_gain=np.zeros((2, *data.shape)),
        trusted=scale > 0,
        separable=separable,
    )


def fit_columns(data, variance, profile, good, inside, position, *, previous, total):
    """
    Fit scale and background of each column, given the profile.

    Parameters
    ----------
    data, variance, profile : ndarray
        Shape ``(column, row)``, finite.
    good, inside : ndarray of bool
        Pixels that may be used, and all pixels of the slice.
    position : ndarray
        Positions along the slit from -1 to 1, shape ``(column, row)``.
    previous : ColumnFit
        Its background starts the fit, and it decides whether there is one.
    total : ndarray
        What the profile of each column is to be divided by, shape ``(column,)``.

    Returns
    -------
    ColumnFit
        The fit.
    """
    peak = np.max(np.abs(profile), axis=1, where=inside, initial=0.0)
    level = line_values(previous.background, position)
    scale = weighted_median_ratio(data - level, profile, good)
    source = scale[:, None] * profile
    # The model's own error is that of the source: a background needs no tolerance, however bright.
    # The error of a bright core has shifted the background, too.
    tolerance = variance + (OUTLIER_FLOOR * source) ** 2
    tolerance += (_PEAK_FLOOR * scale * peak)[:, None] ** 2
    good = good & ~_contradicted(data - level, profile, good / tolerance)
    keep = good & ((data - level - source) ** 2 <= _COARSE * tolerance)
    precision = np.zeros(len(data))
    for step in range(_STEPS):
        floor = (_WEIGHT_FLOOR * source) ** 2 + (_PEAK_FLOOR * scale * peak)[:, None] ** 2
        inverse = keep / (variance + floor)
        gain, background_gain, information = _gains(
            inverse, profile, position, precision, separable=previous.separable
        )
        scale = np.sum(gain * data, axis=1)
        background = np.sum(background_gain * data, axis=2)
        source = scale[:, None] * profile
        residual = data - source - line_values(background, position)
        chi2 = residual**2 / (variance + (OUTLIER_FLOOR * source) ** 2)
        if step == _STEPS - 1:
            break
        if step == 0 and previous.separable:
            noise = np.sum(background_gain[1] ** 2 * (variance + floor), axis=1)
            precision = _slope_precision(background[1], noise, _reduced(chi2, keep))
        kept = good & (chi2 <= CLIP**2 * robust_misfit(chi2, keep)[:, None])
        if step > 0 and np.array_equal(kept, keep):
            break
        keep = kept
    square = profile**2
    share = np.sum(square, axis=1, where=keep) / np.maximum(
        np.sum(square, axis=1, where=inside), np.finfo(float).tiny
    )
    bright = (scale > 0) & (scale**2 * information >= _MIN_SNR**2)
    measured = (keep.sum(axis=1) > 3) & (total > 0) & (information > 0)
    normalised = np.where(measured & (scale > 0), scale * total, 0.0)
    return ColumnFit(
        fitted=scale,
        scale=normalised,
        background=background,
        weight=(normalised**2 / np.maximum(_reduced(chi2, keep), 1.0))[:, None] * inverse,
        gain=gain,
        background_gain=background_gain,
        trusted=measured & ((share >= _MIN_SHARE) | bright),
        separable=previous.separable,
        chi2=np.sum(np.minimum(chi2, CLIP**2), axis=1, where=good),
    )


def model_variance(scale, profile):
    """
    Variance of the model's own error that weights assume.

    Parameters
    ----------
    scale : ndarray
        Shape ``(column,)``.
    profile : ndarray
        Shape ``(column, row)``.

    Returns
    -------
    ndarray
        Shape ``(column, row)``.
    """
    return (_WEIGHT_FLOOR * scale[:, None] * profile) ** 2


def _contradicted(source, profile, inverse):
    """Pixels that alone give their column a scale of which the others know nothing."""
    share = inverse * profile**2
    first = np.argmax(share, axis=1)[:, None]
    side = inverse * profile * source
    total, others = np.sum(side, axis=1), np.sum(share, axis=1)
    scale = np.divide(total, others, out=np.zeros_like(total), where=others > 0)
    total = total - np.take_along_axis(side, first, axis=1)[:, 0]
    others = others - np.take_along_axis(share, first, axis=1)[:, 0]
    rest = np.divide(total, others, out=np.full_like(total, np.nan), where=others > 0)
    wrong = np.abs(scale - rest) * np.sqrt(np.maximum(others, 0)) > _CONTRADICTION
    wrong &= np.abs(scale) > _INFLATION * np.abs(rest)
    return wrong[:, None] & (np.arange(profile.shape[1]) == first)


def _reduced(chi2, keep):
    """Chi-square per degree of freedom of each column."""
    return np.sum(chi2, axis=1, where=keep) / np.maximum(keep.sum(axis=1) - 3, 1)


def _slope_precision(slope, noise, reduced):
    """
    Inverse variance with which the slope is expected to be zero.

    The slope matters where there are gradients; elsewhere, it would only add noise to the scale.
    """
    excess = slope**2 - _SLOPE_SIGNIFICANCE * noise * np.maximum(reduced, 1.0)
    return 1 / np.maximum(excess, 1e-6 * noise + np.finfo(float).tiny)


def _part_of_its_own(profile, weight, line, position):
    """Share of the squared profile that a line along the slit cannot mimic; 0 without data."""
    rest = np.sum(weight * (profile - line_values(line, position)) ** 2, axis=1)
    whole = np.sum(weight * profile**2, axis=1)
    return np.divide(rest, whole, out=np.zeros_like(whole), where=whole > 0)


def _gains(inverse, profile, position, precision, *, separable):
    """Derivatives of scale and background to the data, and the inverse variance of the scale."""
    weighted = inverse * profile
    whole = np.sum(weighted * profile, axis=1)
    if not separable:
        alone = np.divide(
            weighted, whole[:, None], out=np.zeros_like(profile), where=whole[:, None] > 0
        )
        return alone, np.zeros((2, *profile.shape)), whole
    # Only the part of the profile that the background cannot mimic determines the scale.
    lines = Lines(inverse, position, precision)
    mimic = lines.fit(profile)
    own = inverse * (profile - line_values(mimic, position))
    information = np.sum(own * profile, axis=1)
    # Where too little of the trace or of the background is seen, only their sum is known.
    apart = information > _MIN_APART * whole
    gain = np.where(apart[:, None], own / np.where(apart, information, 1.0)[:, None], 0.0)
    background_gain = lines.gain() - mimic[:, :, None] * gain
    return gain, background_gain, np.where(apart, information, 0.0)


def weighted_median_ratio(data, profile, good):
    """
    Median of data / profile in each column, weighted with the size of the profile.

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
        Shape ``(column,)``; 0 where the profile vanishes.
    """
    weight = np.where(good, np.abs(profile), 0.0)
    weight = np.minimum(weight, _MAX_VOTE * np.sum(weight, axis=1, keepdims=True))
    ratio = np.divide(data, profile, out=np.full_like(data, np.inf), where=weight > 0)
    order = np.argsort(ratio, axis=1)
    ratio = np.take_along_axis(ratio, order, axis=1)
    cumulative = np.cumsum(np.take_along_axis(weight, order, axis=1), axis=1)
    middle = np.argmax(cumulative >= 0.5 * cumulative[:, -1:], axis=1)
    median = np.take_along_axis(ratio, middle[:, None], axis=1)[:, 0]
    return np.where(np.isfinite(median), median, 0.0)


def robust_misfit(chi2, keep):
    """
    Reduced chi-square of each column from the median, which outliers hardly change.

    Parameters
    ----------
    chi2 : ndarray
        Chi-square of each pixel, shape ``(column, row)``.
    keep : ndarray of bool
        Pixels that count.

    Returns
    -------
    ndarray
        At least 1, shape ``(column,)``; 1 without pixels.
    """
    ordered = np.sort(np.where(keep, chi2, np.inf), axis=1)
    middle = np.clip(keep.sum(axis=1) // 2, 0, chi2.shape[1] - 1)
    median = np.take_along_axis(ordered, middle[:, None], axis=1)[:, 0] / _MEDIAN_CHI2
    return np.where(np.isfinite(median), np.maximum(median, 1.0), 1.0)
