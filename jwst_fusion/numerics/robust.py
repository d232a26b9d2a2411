"""Standard deviation from the median of deviations, which outliers hardly change."""

import numpy as np

__all__ = ["DONOHO_MEDIAN", "robust_sigma", "sigma_of_median", "sigma_of_scatter"]

#: Standard deviation of a normal distribution over its median absolute deviation.
_SIGMA_OF_MEDIAN = 1.4826
# Median absolute deviation of a normal distribution, in standard deviations.
_MEDIAN = 0.674489750196082
#: The same as Donoho & Johnstone (1995, JASA 90, 1200) round it.
DONOHO_MEDIAN = 0.6745


def robust_sigma(values):
    """
    Estimate the standard deviation of values around zero from the median of their sizes.

    Parameters
    ----------
    values : ndarray
        Deviations, of any shape and unit.

    Returns
    -------
    float
        Standard deviation in the same unit, where the values are normal; half of them may be
        anything else. NaN if any value is NaN, or there is none.
    """
    return _SIGMA_OF_MEDIAN * np.median(np.abs(values))


def sigma_of_median(median, *, of_normal=_MEDIAN):
    """
    Turn medians of absolute deviations into standard deviations.

    Parameters
    ----------
    median : float or ndarray
        Medians, of any shape and unit.
    of_normal : float
        Median absolute deviation of a normal distribution, in standard deviations: the exact
        number, or a rounded one of the literature.

    Returns
    -------
    float or ndarray
        Standard deviations in the same unit, where the values are normal.
    """
    return median / of_normal


def sigma_of_scatter(values):
    """
    Estimate the standard deviation of values around their own median.

    Parameters
    ----------
    values : ndarray
        Finite values, of any shape and unit.

    Returns
    -------
    float
        Standard deviation in the same unit, from the median absolute deviation.
    """
    return sigma_of_median(np.median(np.abs(values - np.median(values))))
