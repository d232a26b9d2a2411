"""The weight of a penalty from data held out: search for the smallest held-out deviance."""

from __future__ import annotations

import logging

import numpy as np

__all__ = ["search"]

log = logging.getLogger(__name__)


def search(evaluate, start, *, step, most, what):
    """
    Find the weight of a penalty whose solution predicts held-out data best.

    Parameters
    ----------
    evaluate : callable
        Held-out half deviance of the solution at a weight.
    start : float
        First weight.
    step : float
        Factor between the weights that are tried.
    most : int
        Largest number of weights to try.
    what : str
        Name of the weight, for log lines.

    Returns
    -------
    mu : float
        The minimum of the parabola, in the logarithm, through the best weight and its two
        neighbours; the best weight itself at the end of the range that was tried.
    table : list of dict
        ``mu`` and ``deviance`` (held out, relative to the best), in order of the weight.
    bracketed : bool
        Whether the best weight has worse ones on both sides.
    """
    found = {}

    def at(k):
        if k not in found:
            found[k] = evaluate(start * step**k)
            log.info("%s = %.3g: held-out half deviance %.2f", what, start * step**k, found[k])
        return found[k]

    best = 0
    at(0)
    direction = 1 if at(1) < at(0) else -1
    best = max(direction, 0)
    while len(found) < most:
        if at(best + direction) >= found[best]:
            break
        best += direction
    bracketed = best - 1 in found and best + 1 in found
    place = float(best)
    if bracketed:
        left, middle, right = (found[best + k] for k in (-1, 0, 1))
        bend = left - 2 * middle + right
        if np.isfinite(bend) and bend > 0:
            place += 0.5 * (left - right) / bend
    lowest = found[best]
    table = [{"mu": start * step**k, "deviance": 2.0 * (found[k] - lowest)} for k in sorted(found)]
    return start * step**place, table, bracketed
