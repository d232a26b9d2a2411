"""Findings of a report: how much they matter."""

import numpy as np

__all__ = ["ORDER", "level_of", "worse"]

#: Levels, the worst first.
ORDER = {"fault": 0, "caution": 1, "note": 2}


def level_of(value, limits):
    """
    Compare a value that should be small with its limits.

    Parameters
    ----------
    value : float
    limits : tuple of float
        Above the first is a caution, above the second a fault.

    Returns
    -------
    str or None
        None below both, or if there is no value.
    """
    if not np.isfinite(value) or value <= limits[0]:
        return None
    return "fault" if value > limits[1] else "caution"


def worse(*levels):
    """
    Choose the worst level.

    Parameters
    ----------
    *levels : str or None

    Returns
    -------
    str or None
        None if all are.
    """
    known = [one for one in levels if one]
    return min(known, key=ORDER.get) if known else None
