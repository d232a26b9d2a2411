"""Where a slice holds a compact source whose trace is too steep for linear interpolation.

Arrays are (column, row) with NaN outside the slice.
"""

from dataclasses import dataclass

import numpy as np

from jwst_fusion.numerics.robust import robust_sigma

__all__ = ["CollapsedProfile", "collapse", "row_pitch", "significance", "steep_ranges", "taper"]

#: Share of the rows that is taken for background, lowest first.
_BACKGROUND_SHARE = 0.2
#: A position is steep if it is so in at least this share of the columns of the steepest position.
_COLUMN_SHARE = 0.2
#: Rows at either side of a gap between two rows that hold the light of a compact source.
_REACH = 4
#: Smallest number of steep pixels in a slice (or a tenth of its columns, if that is less): fewer
#: are outliers.
_MIN_STEEP = 50
#: Scatter of the scales above which a column is lit by a line, and smallest share of such columns.
_LIT, _LEAST_LIT = 10.0, 0.01
#: Chi-square per pixel of these above which they do not show the profile.
_UNLIKE = 2.5
#: Scale of the other columns, relative to these, below which the source shines in lines only.
_DARK = 0.02
#: Smallest step of the model from row to row, in errors of a pixel: five times the noise that the
#: step of a fitted profile has with three knots per pixel and nodes every fifty columns.
_MIN_STEP = 2.0


@dataclass(frozen=True)
class CollapsedProfile:
    """
    Cross-dispersion profile of a slice.

    Parameters
    ----------
    center : ndarray
        Slit coordinates of the bin centres, ascending, shape ``(bin,)``.
    flux, error : ndarray
        Medians over the pixels of each bin, over all columns; NaN in bins with too few pixels.
    """

    center: np.ndarray
    flux: np.ndarray
    error: np.ndarray

    def filled(self):
        """Bins with data: their centres and fluxes."""
        valid = np.isfinite(self.flux)
        return self.center[valid], self.flux[valid]

    @property
    def background(self):
        """Level of the faintest rows."""
        _, flux = self.filled()
        return np.quantile(flux, _BACKGROUND_SHARE) if flux.size else np.nan


def row_pitch(coordinate):
    """
    Return the median distance of neighbouring rows in the slit coordinate.

    Parameters
    ----------
    coordinate : ndarray
        Shape ``(column, row)``.

    Returns
    -------
    float
        Positive distance; NaN if no two neighbouring rows are valid.
    """
    step = np.diff(coordinate, axis=1)
    step = step[np.isfinite(step)]
    return float(np.abs(np.median(step))) if step.size else np.nan


def collapse(flux, error, coordinate, *, good, step):
    """
    Collapse a slice along the dispersion.

    Parameters
    ----------
    flux, error, coordinate : ndarray
        Shape ``(column, row)``.
    good : ndarray of bool
        Pixels that may be used, same shape.
    step : float
        Width of the bins in the slit coordinate.

    Returns
    -------
    CollapsedProfile
        Bins that hold less than a tenth of the median number of pixels are NaN: a few bad pixels
        at the edge of a slice make no profile.
    """
    # A few hundred columns give the medians to a few per cent of the noise of one pixel.
    column = np.flatnonzero(good.any(axis=1))
    column = column[:: max(column.size // 600, 1)]
    good = good[column]
    position = coordinate[column][good]
    low = position.min()
    index = ((position - low) / step + 0.5).astype(np.intp)
    n_bin = index.max() + 1
    count = np.bincount(index, minlength=n_bin)
    enough = count >= max(0.1 * np.median(count[count > 0]), 3)
    medians = [
        np.where(enough, _grouped_median(values[column][good], index, count), np.nan)
        for values in (flux, error)
    ]
    return CollapsedProfile(low + np.arange(n_bin) * step, *medians)


def _grouped_median(values, index, count):
    """Median of the values of each group (lower middle one); groups without a member get 0."""
    ordered = values[np.lexsort((values, index))]
    start = np.cumsum(count) - count
    middle = np.minimum(start + np.maximum(count - 1, 0) // 2, len(values) - 1)
    return np.where(count > 0, ordered[middle], 0.0)


def significance(collapsed):
    """
    Brightness of the brightest source of a slice above the slice's own background.

    Parameters
    ----------
    collapsed : CollapsedProfile
        Profile of the slice.

    Returns
    -------
    float
        Largest ratio of flux above or, for negative images, below background to the error of a
        single pixel; the median over wavelength. 0 if there are no data.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = (collapsed.flux - collapsed.background) / collapsed.error
    ratio = ratio[np.isfinite(ratio)]
    return float(np.abs(ratio).max()) if ratio.size else 0.0


def steep_ranges(fit, coordinate, error, *, slope_limit, pad, pitch):
    """
    Find the ranges of the slit coordinate in which the trace is steep.

    Parameters
    ----------
    fit : TraceFit
        Fit of the slice.
    coordinate, error : ndarray
        Native slit coordinate and error, shape ``(column, row)``.
    slope_limit : float
        Smallest change from one native pixel to the next, relative to the sum of the profile over
        the four pixels at either side: to the light of that source, however many there are in the
        slice. The level of the background is taken off before, so that the result does not depend
        on it. If not positive, the whole slice counts as steep.
    pad : float
        Native pixels added at both sides of each steep position.
    pitch : float
        Distance of native rows in the slit coordinate.

    Returns
    -------
    list of (float, float)
        Disjoint ascending ranges. They hold for all columns, so that no artefact arises where the
        model takes over from linear interpolation.
    """
    if slope_limit <= 0:
        return [fit.bounds]
    valid = np.isfinite(fit.profile) & np.isfinite(coordinate)
    profile = np.where(valid, fit.profile, np.nan)
    used = valid.any(axis=1)
    if not used.any():
        return []
    observed = np.isfinite(error).any(axis=1)
    errors = error[observed]
    profile, coordinate, error = profile[used], coordinate[used], error[used]
    source = _local_sum(profile)
    slope = np.abs(np.diff(profile, axis=1))
    typical, lit = _typical_scale(np.where(np.isfinite(fit.scale), fit.scale, 0.0)[observed])
    if not typical > 0:
        return []
    if not lit.all() and np.median(fit.chi2[observed][lit]) > _UNLIKE:
        return []  # light that fills the slit, not a source of lines
    noise = np.nanmedian(errors[lit])
    smallest = np.maximum(slope_limit * source, _MIN_STEP * noise / typical)
    with np.errstate(invalid="ignore"):
        steep = slope > smallest
    where = 0.5 * (coordinate[:, 1:] + coordinate[:, :-1])[steep]
    if where.size < min(_MIN_STEEP, 0.1 * used.sum()):
        return []
    low, high = fit.bounds
    n_bin = max(int(np.ceil((high - low) / (0.5 * pitch))), 1)
    counts, edges = np.histogram(where, bins=n_bin, range=(low, high))
    return _merge(edges, counts >= max(_COLUMN_SHARE * counts.max(), 1), pad * pitch)


def _typical_scale(scale):
    """Scale of the columns in which the source shines, and which these are: all, or its lines."""
    middle, every = np.median(scale), np.ones(len(scale), bool)
    lit = scale > middle + _LIT * max(robust_sigma(scale), np.finfo(float).tiny)
    # A scale that is noise makes no trace, however steep in a few columns.
    if lit.sum() <= _LEAST_LIT * len(scale):
        return middle, every
    typical = np.median(scale[lit])
    # A red or blue spectrum is bright at one end, but not dark elsewhere.
    return (typical, lit) if middle < _DARK * typical else (middle, every)


def _local_sum(profile):
    """Light above the level of the column around each gap between two rows: that of one source."""
    valid = np.isfinite(profile)
    ordered = np.sort(np.where(valid, profile, np.inf), axis=1)
    count = valid.sum(axis=1)
    rank = (_BACKGROUND_SHARE * np.maximum(count - 1, 0)).astype(np.intp)
    level = np.take_along_axis(ordered, rank[:, None], axis=1)
    above = np.where(valid, np.abs(profile - level), 0.0)
    total = np.cumsum(np.pad(above, ((0, 0), (_REACH, _REACH))), axis=1)
    n_row = profile.shape[1]
    return total[:, 2 * _REACH : 2 * _REACH + n_row - 1] - total[:, : n_row - 1]


def _merge(edges, chosen, margin):
    """Ranges of the chosen bins, widened and merged where they touch."""
    ranges = []
    for left, right in zip(edges[:-1][chosen] - margin, edges[1:][chosen] + margin, strict=True):
        if ranges and left <= ranges[-1][1]:
            ranges[-1] = (ranges[-1][0], right)
        else:
            ranges.append((left, right))
    return [(float(left), float(right)) for left, right in ranges]


def taper(coordinate, ranges, *, width):
    """
    Weight of the model: 1 inside the ranges, falling linearly to 0 outside.

    Parameters
    ----------
    coordinate : ndarray
        Slit coordinates; NaN gives 0.
    ranges : list of (float, float)
        From `steep_ranges`.
    width : float
        Distance over which the weight falls, in the slit coordinate.

    Returns
    -------
    ndarray
        Weights, same shape.
    """
    weight = np.zeros(coordinate.shape)
    for low, high in ranges:
        outside = np.maximum(low - coordinate, coordinate - high)
        np.maximum(weight, np.clip(1 - outside / width, 0, 1), out=weight, where=outside < width)
    return weight
