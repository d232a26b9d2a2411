"""Levels of the findings of a report."""

import numpy as np

__all__ = ["OFFSET", "OFFSET_SIGMA", "ORDER", "both", "level_of", "sum_up", "worse"]

#: Levels, the worst first.
ORDER = {"fault": 0, "caution": 1, "note": 2}
#: Offset between images of one field that was not taken out, fine pixels: caution, fault.
OFFSET = (0.3, 1.0)
OFFSET_SIGMA = 5.0  #: standard deviations that it must have to count


def level_of(value, limits):
    """
    Compare a value that should be small with its limits.

    Parameters
    ----------
    value : float
        The value; NaN and infinity count as none.
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
        Levels to choose from, see `ORDER`; None says that nothing is wrong.

    Returns
    -------
    str or None
        None if all are.
    """
    known = [one for one in levels if one]
    return min(known, key=ORDER.get) if known else None


def both(*levels):
    """
    Choose the level that all reach: what counts must be, say, large and significant.

    Parameters
    ----------
    *levels : str or None
        Levels to choose from, see `ORDER`; None says that nothing is wrong.

    Returns
    -------
    str or None
        None if one is.
    """
    return None if None in levels else max(levels, key=ORDER.get)


def sum_up(findings, good, *, subject="cube", causes=()):
    """
    Sum findings up.

    Parameters
    ----------
    findings : sequence of Finding
        What was found, in any order of levels.
    good : str
        Sentence if there is neither a fault nor a caution.
    subject : str, optional
        What the findings are about.
    causes : sequence of Finding, optional
        Those that a fault should be told by; by default the faults.

    Returns
    -------
    tuple of str
        Level, and a sentence.
    """
    faults = [one for one in findings if one.level == "fault"]
    cautions = [one for one in findings if one.level == "caution"]
    if faults:
        what = "; ".join(dict.fromkeys(one.title for one in (list(causes) or faults)[:2]))
        return "fault", f"Do not trust this {subject} as it is: {what}."
    if cautions:
        number = "one point" if len(cautions) == 1 else f"{len(cautions)} points"
        return "caution", f"Usable with care: look at {number} below."
    return "good", good
