"""What a fault costs, from the truth, and how verdicts agree with it."""

from dataclasses import dataclass

import numpy as np

from jwst_fusion.report.fused.verdict import find_findings, verdict_of

__all__ = ["Score", "score", "tabulate"]

_BRIGHTEST = 2 / 3  # quantile of the brightness above which voxels count
_STAR = 0.05  # arcsec: radius of the pixels of a star
_FEWEST = 5  # voxels
# A fault costs if it adds more than the stated error of voxels, and more than this part of the
# brightness.
_COSTS = 1.0, 0.02
# Likewise a single sum: twice the stated error, which one in twenty exceeds by chance.
_SUM_COSTS = 2.0, 0.02
# Without a fault, a fused cube is off if its error is so many times the stated one over the
# brightest third, or if that is on the mean so much too bright or faint in the band of a filter.
_OFF, _BIAS = 2.0, 0.05
# Likewise at a star: so many times the stated error, and this part of the brightness.
_STAR_OFF = 3.0, 0.10
# Likewise single sums over the brightest third and of stars: of a hundred right ones in each of a
# hundred cases, chance has none beyond five times the stated error.
_SUM_OFF, _STAR_SUM_OFF = (5.0, 0.05), (5.0, 0.10)


@dataclass(frozen=True)
class Score:
    """
    A case and its verdict.

    Attributes
    ----------
    case : verdict_benchmark.cases.Case
    truth : {"sound", "off", "star off", "costly", "harmless"}
        Without a fault: whether the fused cube is right within its error, in voxels and in sums,
        not at all, or not at a star. With a fault: whether it costs more than the stated error.
    cost : float
        Error that the fault adds over the stated one, the largest of all figures over their limits;
        without a fault the whole error over the stated one in the brightest third.
    size : float
        The same relative to the brightness.
    figure : str
        Which figure that is: voxels or a sum, and where.
    verdict : str
        Level of the verdict.
    keys : tuple of str
        Findings that are no notes.
    """

    case: object
    truth: str
    cost: float
    size: float
    figure: str
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
    voxels = _regions(fused, twin)
    if case.fault == "none":
        bright, *stars = voxels.values()
        truth = "sound"
        sums = _sums(fused)
        at_stars = [one for name, one in sums.items() if "star" in name]
        others = [one for name, one in sums.items() if "star" not in name]
        if bright[0] > _OFF or _bias(fused) > _BIAS or _beyond(others, _SUM_OFF):
            truth = "off"
        elif _beyond(stars, _STAR_OFF) or _beyond(at_stars, _STAR_SUM_OFF):
            truth = "star off"
        return Score(case, truth, *bright, "voxels", verdict, keys)
    figures = [
        (min(one / limits[0], part / limits[1]), one, part, name)
        for found, limits in ((voxels, _COSTS), (_sums(fused, twin), _SUM_COSTS))
        for name, (one, part) in found.items()
    ]
    largest, *told = max(figures)
    return Score(case, "costly" if largest > 1 else "harmless", *told, verdict, keys)


def _beyond(figures, limits):
    """Whether any error is beyond both limits: relative to that stated, and to the brightness."""
    return any(one > limits[0] and part > limits[1] for one, part in figures)


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
    """Error of voxels over the stated one and over the brightness: brightest third, each star."""
    product, truth = fused.product, fused.truth
    error = product.data - truth
    stated = np.asarray(product.err, float)
    known = (np.asarray(product.dq) == 0) & np.isfinite(error) & np.isfinite(stated)
    before = None
    if twin is not None:
        before = twin.product.data - twin.truth
        known &= np.isfinite(before)
    rows, columns = np.indices(truth.shape[1:])
    regions = {"voxels, brightest third": truth > np.quantile(truth, _BRIGHTEST)}
    for number, (y, x) in enumerate(fused.stars, 1):
        near = np.hypot(rows - y, columns - x) * product.scale < _STAR
        regions[f"voxels, star {number}"] = np.broadcast_to(near, truth.shape)
    found = {}
    for name, region in regions.items():
        used = region & known
        if used.sum() < _FEWEST:
            continue
        square = np.mean(error[used] ** 2)
        if before is not None:
            square = max(square - np.mean(before[used] ** 2), 0.0)
        size = float(np.sqrt(square))
        found[name] = (
            size / float(np.sqrt(np.mean(stated[used] ** 2))),
            size / float(truth[used].mean()),
        )
    return found


def _sums(fused, twin=None):
    """Error of sums, or what a fault adds to it, over the stated one and over the brightness."""
    found = {}
    before = {} if twin is None else {one.name: one.error for one in twin.sums}
    for one in fused.sums:
        if not one.stated > 0 or (twin is not None and one.name not in before):
            continue
        added = np.sqrt(max(one.error**2 - before.get(one.name, 0.0) ** 2, 0.0))
        found[one.name] = (float(added / one.stated), float(added / one.size))
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
