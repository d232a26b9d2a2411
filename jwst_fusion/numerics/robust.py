"""Standard deviation from the median of deviations, which outliers hardly change."""

import numpy as np

__all__ = ["robust_sigma"]

#: Standard deviation of a normal distribution over its median absolute deviation.
_SIGMA_OF_MEDIAN = 1.4826


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
