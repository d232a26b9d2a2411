"""What a fault costs, from the truth, and how verdicts agree with it."""

from dataclasses import dataclass

import numpy as np

from jwst_fusion.report.fused.verdict import find_findings, verdict_of

__all__ = ["Score", "score", "tabulate"]

_BRIGHTEST = 2 / 3  # quantile of the brightness above which voxels count
_STAR = 0.05  # arcsec: radius of the pixels of a star
_FEWEST = 5  # voxels
# A fault costs if it adds more than the stated error, and more than this part of the brightness.
_COSTS = 1.0, 0.02
# Without a fault, a fused cube is off if its error is so many times the stated one over the
# brightest third, or if that is on the mean so much too bright or faint in the band of a filter.
_OFF, _BIAS = 2.0, 0.05
# Likewise at a star: so many times the stated error, and this part of the brightness.
_STAR_OFF = 3.0, 0.10


@dataclass(frozen=True)
class Score:
    """
    A case and its verdict.

    Attributes
    ----------
    case : verdict_benchmark.cases.Case
    truth : {"sound", "off", "star off", "costly", "harmless"}
        Without a fault: whether the fused cube is right within its error, not at all, or not at a
        star. With a fault: whether it costs more than the stated error.
    cost : float
        Error that the fault adds over the stated one, the largest of all regions; without a fault
        the whole error over the stated one in the brightest third.
    size : float
        The same relative to the brightness.
    verdict : str
        Level of the verdict.
    keys : tuple of str
        Findings that are no notes.
    """

    case: object
    truth: str
    cost: float
    size: float
    verdict: str
    keys: tuple


def score(case, fused, twin=None):
    """
    Judge a fused case by its truth, and take the verdict of the report.

    Parameters
    ----------
    case : verdict_benchmark.cases.Case
    fused : verdict_benchmark.observe.Fused
    twin : verdict_benchmark.observe.Fused, optional
        The same observation without the fault.

    Returns
    -------
    Score
    """
    found = find_findings(fused.product)
    verdict = verdict_of(found)[0]
    keys = tuple(dict.fromkeys(one.key for one in found if one.level != "note"))
    regions = _regions(fused, twin)
    if case.fault == "none":
        bright, *stars = regions
        truth = "sound"
        if bright[0] > _OFF or _bias(fused) > _BIAS:
            truth = "off"
        elif any(one > _STAR_OFF[0] and part > _STAR_OFF[1] for one, part in stars):
            truth = "star off"
        return Score(case, truth, *bright, verdict, keys)
    costly = [one for one in regions if one[0] > _COSTS[0] and one[1] > _COSTS[1]]
    truth = "costly" if costly else "harmless"
    return Score(case, truth, *max(costly or regions), verdict, keys)


def _bias(fused):
    """Mean error of the brightest third over its brightness, in the band of the worst filter."""
    product = fused.product
    channels = np.isfinite(product.data).all((1, 2))
    worst = 0.0
    for response in np.asarray(product.arrays["responses"], float):
        weight = np.where(channels, response, 0)
        truth, found = (
            np.tensordot(weight, np.nan_to_num(one), 1) for one in (fused.truth, product.data)
        )
        bright = truth > np.quantile(truth, _BRIGHTEST)
        worst = max(worst, abs(float((found - truth)[bright].mean() / truth[bright].mean())))
    return worst


def _regions(fused, twin):
    """Error over the stated one and over the brightness: the brightest third, then each star."""
    product, truth = fused.product, fused.truth
    error = product.data - truth
    stated = np.asarray(product.err, float)
    known = (np.asarray(product.dq) == 0) & np.isfinite(error) & np.isfinite(stated)
    before = None
    if twin is not None:
        before = twin.product.data - twin.truth
        known &= np.isfinite(before)
    rows, columns = np.indices(truth.shape[1:])
    regions = [truth > np.quantile(truth, _BRIGHTEST)]
    for y, x in fused.stars:
        near = np.hypot(rows - y, columns - x) * product.scale < _STAR
        regions.append(np.broadcast_to(near, truth.shape))
    found = []
    for region in regions:
        used = region & known
        if used.sum() < _FEWEST:
            continue
        square = np.mean(error[used] ** 2)
        if before is not None:
            square = max(square - np.mean(before[used] ** 2), 0.0)
        size = float(np.sqrt(square))
        found.append(
            (size / float(np.sqrt(np.mean(stated[used] ** 2))), size / float(truth[used].mean()))
        )
    return found


def tabulate(scores, faults):
    """
    Count verdicts.

    Parameters
    ----------
    scores : list of Score
    faults : sequence of str
        Kinds of faults, in order.

    Returns
    -------
    list of tuple of str
        Fault, what the truth says, number of cases, and how many of them are called good, caution
        and fault.
    """
    rows = []
    groups = [("none", one) for one in ("sound", "star off", "off")]
    groups += [(fault, one) for fault in faults for one in ("costly", "harmless")]
    groups += [("any fault", one) for one in ("costly", "harmless")]
    for fault, truth in groups:
        among = [
            one
            for one in scores
            if one.truth == truth
            and (one.case.fault == fault or (fault == "any fault" and one.case.fault != "none"))
        ]
        if among:
            counts = [
                str(sum(one.verdict == level for one in among))
                for level in ("good", "caution", "fault")
            ]
            rows.append((fault, truth, str(len(among)), *counts))
    return rows
