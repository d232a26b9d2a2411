"""Fill pixels without data in each integration of a time series with the trace scaled to it.

Arrays of one image are (column, row), with the dispersion along the columns.
"""

from dataclasses import dataclass

import numpy as np

from jwst_fusion.adaptive_trace_model.columns import CLIP, weighted_median_ratio

__all__ = ["FilledIntegration", "SeriesTemplate"]

#: Integrations from which on their median is the better template of a pixel than the model: its
#: noise is then 0.4 of that of one integration, and it holds what no smooth profile does.
ENOUGH = 10
#: Relative error of the template assumed in weights, and in the first and later tests for outliers.
_FLOOR, _COARSE, _FINE = 0.005, 0.1, 0.03
#: Smallest share of the information on the scale that a level of the integration may leave; with
#: less, scale and level would only be noise of opposite sign.
_MIN_APART = 0.05
#: Smallest share of the information on a column's scale that the integration has to show, or else
#: signal-to-noise ratio of the scale.
_MIN_SHARE, _MIN_SNR = 0.1, 5.0
#: Smallest number of pixels that tell scale and level.
_MIN_PIXELS = 4


@dataclass(frozen=True)
class FilledIntegration:
    """
    What one integration holds where it has no data.

    Parameters
    ----------
    filled : ndarray of bool
        Pixels that have been filled, shape ``(column, row)``.
    flux : ndarray
        Flux there, in the unit of the data; 0 elsewhere.
    scale : ndarray
        Factor of the template in each column, shape ``(column,)``; NaN where it is not known.
    level : ndarray
        What is added to it, in the unit of the data, shape ``(column,)``.
    gain : tuple of ndarray
        Derivatives of scale and level to the flux of each pixel, shape ``(column, row)``.
    used : ndarray of bool
        Pixels with data of their own, shape ``(column, row)``.
    template : ndarray
        The template, shape ``(column, row)``.
    """

    filled: np.ndarray
    flux: np.ndarray
    scale: np.ndarray
    level: np.ndarray
    gain: tuple
    used: np.ndarray
    template: np.ndarray

    def variance(self, variance):
        r"""
        Variance of the filled pixels, such that sums over a column have the variance they should.

        With the flux of a filled pixel :math:`F_j = \sum_k d_{jk} f_k`, the sum over all pixels of
        the column has the variance :math:`\sum_k v_k (1 + D_k)^2`, :math:`D_k = \sum_j d_{jk}`.
        Programs that take pixels for independent arrive at it if pixel j has the variance
        :math:`\sum_k d_{jk} v_k (2 + D_k)`.

        Parameters
        ----------
        variance : ndarray
            Variance of each pixel of the integration, shape ``(column, row)``.

        Returns
        -------
        ndarray
            Same shape; at least the variance of the estimate itself, 0 at pixels not filled.
        """
        known = np.where(self.used & np.isfinite(variance), variance, 0.0)
        of_scale, of_level = self.gain
        shape = np.where(self.filled, self.template, 0.0)
        total = np.sum(shape, axis=1, keepdims=True) * of_scale
        total += np.sum(self.filled, axis=1, keepdims=True) * of_level
        weighted = known * (2 + total)
        shared = [np.sum(one * weighted, axis=1, keepdims=True) for one in self.gain]
        own = [
            np.sum(first * second * known, axis=1, keepdims=True)
            for first, second in (
                (of_scale, of_scale),
                (of_scale, of_level),
                (of_level, of_level),
            )
        ]
        shared = shape * shared[0] + shared[1]
        alone = shape**2 * own[0] + 2 * shape * own[1] + own[2]
        return np.where(self.filled, np.maximum(shared, alone), 0.0)


class SeriesTemplate:
    """
    The trace of a time series, to be scaled to its integrations.

    The template is the median of the integrations where enough of them hold a pixel, so that it
    knows what no smooth profile does, and the trace model elsewhere. Each column of an integration
    is a factor times the template, plus a level. Both are found with the noiseless model as
    instrument, which keeps the noise of the template from lowering the factor.

    Parameters
    ----------
    median, error : ndarray
        Median over the integrations and typical error of one of them, shape ``(column, row)``; NaN
        where there are no data.
    count : ndarray of int
        Number of integrations that hold each pixel, same shape.
    model : ndarray
        Trace model, NaN where there is none, same shape.
    used : ndarray
        The same where it may fill pixels, NaN elsewhere.
    """

    def __init__(self, median, error, count, *, model, used):
        self.template = np.where((count >= ENOUGH) & np.isfinite(median), median, used)
        known = np.isfinite(self.template) & np.isfinite(model)
        typical = np.where(np.isfinite(error) & (error > 0), error, np.inf)
        self._weight = np.where(known, 1 / (typical**2 + (_FLOOR * self.template) ** 2), 0.0)
        self._data_template = np.where(known, self.template, 0.0)
        self._instrument = np.where(known, model, 0.0)
        self._known = known & (self._weight > 0)
        self._variance = np.where(np.isfinite(typical), typical, 0.0) ** 2

    def fill(self, flux):
        """
        Fill the pixels of one integration that have no data.

        Parameters
        ----------
        flux : ndarray
            Flux, shape ``(column, row)``; NaN where missing.

        Returns
        -------
        FilledIntegration
            Only columns that the integration itself tells enough about are filled.
        """
        held = np.isfinite(flux)
        good = held & self._known
        data, template = np.where(good, flux, 0.0), self._data_template
        scale = weighted_median_ratio(data, template, good)
        level = np.zeros_like(scale)
        gain = (np.zeros_like(data), np.zeros_like(data))
        solved = np.zeros(len(data), bool)
        keep = good
        for tolerance in (_COARSE, _FINE, _FINE):
            residual = data - scale[:, None] * template - level[:, None]
            spread = self._variance + (tolerance * scale[:, None] * template) ** 2
            keep = good & (residual**2 <= CLIP**2 * spread)
            gain, solved = self._gains(keep)
            scale = np.sum(gain[0] * data, axis=1)
            level = np.sum(gain[1] * data, axis=1)
        filled = ~held & np.isfinite(self.template) & solved[:, None]
        estimate = scale[:, None] * np.where(filled, self.template, 0.0) + level[:, None]
        return FilledIntegration(
            filled=filled,
            flux=np.where(filled, estimate, 0.0),
            scale=np.where(solved, scale, np.nan),
            level=level,
            gain=gain,
            used=held,
            template=self.template,
        )

    def _gains(self, keep):
        """Derivatives of scale and level to the data, and the columns that are known."""
        weight = np.where(keep, self._weight, 0.0)
        instrument, template = self._instrument, self._data_template
        total = np.sum(weight, axis=1, keepdims=True)
        mean = _ratio(np.sum(weight * instrument, axis=1, keepdims=True), total)
        centre = _ratio(np.sum(weight * template, axis=1, keepdims=True), total)
        own = np.sum(weight * (instrument - mean) ** 2, axis=1, keepdims=True)
        whole = np.sum(weight * instrument**2, axis=1, keepdims=True)
        # Where a level would take the place of the trace, there is none.
        apart = own > _MIN_APART * whole
        part = weight * (instrument - np.where(apart, mean, 0.0))
        information = np.sum(part * template, axis=1, keepdims=True)
        of_scale = _ratio(part, information)
        of_level = np.where(apart, _ratio(weight, total) - centre * of_scale, 0.0)
        every = np.where(self._known, self._weight, 0.0)
        shown = _ratio(whole, np.sum(every * instrument**2, axis=1, keepdims=True))
        noise = np.sum(of_scale**2 * self._variance, axis=1, keepdims=True)
        measured = (shown >= _MIN_SHARE) | (_MIN_SNR**2 * noise <= 1)
        solved = measured & (information > 0) & (keep.sum(axis=1, keepdims=True) >= _MIN_PIXELS)
        return (of_scale, of_level), solved[:, 0]


def _ratio(values, total):
    """Quotient, 0 where the divisor is not positive."""
    shape = np.broadcast_shapes(values.shape, total.shape)
    where = np.broadcast_to(total > 0, shape)
    return np.divide(values, total, out=np.zeros(shape), where=where)
