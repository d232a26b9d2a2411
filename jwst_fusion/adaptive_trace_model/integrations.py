"""Combine the integrations of a time series into one image."""

import numpy as np

__all__ = ["median_image", "median_scatter"]


def median_image(flux, error):
    r"""
    Median over integrations and its error.

    Parameters
    ----------
    flux, error : ndarray
        Shape ``(integration, y, x)``; pixels whose flux is NaN are left out.

    Returns
    -------
    flux : ndarray
        Median of each pixel, shape ``(y, x)``, float32; NaN without data.
    error : ndarray
        Median error over the root of the number of integrations used, times
        :math:`\sqrt{\pi/2}`, by which the median of many Gaussian values scatters more than their
        mean; the median of one or two is their mean.
    """
    shape = flux.shape[1:]
    median, spread = np.full((2, *shape), np.nan, dtype=np.float32)
    # Row by row: a sorted copy of a long time series would not fit into memory.
    for row in range(shape[0]):
        used = np.isfinite(flux[:, row])
        count = used.sum(axis=0)
        scatter = median_scatter(count)
        median[row] = _median(np.where(used, flux[:, row], np.nan))
        spread[row] = _median(np.where(used, error[:, row], np.nan)) * scatter
    return median, spread


def median_scatter(count):
    """
    Standard deviation of the median of Gaussian values, relative to that of one of them.

    Parameters
    ----------
    count : ndarray of int
        Numbers of values.

    Returns
    -------
    ndarray
        Same shape; that of a mean for one or two values.
    """
    return np.where(count > 2, np.sqrt(np.pi / 2), 1.0) / np.sqrt(np.maximum(count, 1))


def _median(values):
    """Median over the first axis without NaN; NaN without data."""
    ordered = np.sort(values, axis=0)
    count = np.isfinite(ordered).sum(axis=0)
    lower, upper = np.maximum(count - 1, 0) // 2, np.maximum(count // 2, 0)
    upper = np.minimum(upper, len(values) - 1)
    picked = [np.take_along_axis(ordered, index[None], axis=0)[0] for index in (lower, upper)]
    return np.where(count > 0, 0.5 * (picked[0] + picked[1]), np.nan)
