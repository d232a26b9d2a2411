"""Verdict on a cube joined from several: its parts, and how they fit together."""

import numpy as np

from jwst_fusion.report.fused.verdict import find_findings, verdict_of
from jwst_fusion.report.levels import OFFSET, OFFSET_SIGMA, ORDER, level_of, sum_up
from jwst_fusion.report.page import Finding
from jwst_fusion.report.voxels import check_voxels

__all__ = ["RATIO", "STEP", "find_joined_findings", "joined_verdict", "part_verdict"]

# Logarithm of the ratio of two cubes in their overlap: caution, fault.
RATIO = (0.05, 0.2)
# Jump of the mean spectrum at a border, relative to it: caution, fault.
STEP = (0.05, 0.2)
_SIGMA = 5.0  # standard deviations that it must have to count


def part_verdict(joined, part):
    """
    Say whether to trust one of the cubes.

    Parameters
    ----------
    joined : `~jwst_fusion.report.joined.product.JoinedProduct`
        The joined cube, whose other parts say which images were used.
    part : `~jwst_fusion.report.joined.product.Part`
        The cube to judge.

    Returns
    -------
    tuple of str or None
        Level and sentence; None if the cube is not known. Images that another part uses, for their
        filters lie there, are not missed.
    """
    if part.product is None:
        return None
    found = find_findings(part.product)
    if _all_images_used(joined):
        found = [one for one in found if one.key != "dropped"]
    level, sentence = verdict_of(found)
    if level == "caution":
        titles = dict.fromkeys(one.title for one in found if one.level == level)
        sentence = f"Usable with care: {'; '.join(titles)}."
    return level, sentence


def _all_images_used(joined):
    known = [part.product for part in joined.parts if part.product is not None]
    used = {str(name) for one in known for name in one.filters["filename"]}
    return all(len(used) >= one.header.get("FUSNGIVN", 0) for one in known)


def find_joined_findings(joined):
    """
    Look for what the reader should know before using a joined cube.

    Parameters
    ----------
    joined : `~jwst_fusion.report.joined.product.JoinedProduct`
        The joined cube, and those of its parts that are known.

    Returns
    -------
    list of Finding
        Faults first.
    """
    found = [*_parts(joined), *_borders(joined), *check_voxels(joined.whole)]
    return sorted(found, key=lambda one: ORDER[one.level])


def joined_verdict(findings):
    """
    Sum findings up.

    Parameters
    ----------
    findings : sequence of Finding
        What `find_joined_findings` found.

    Returns
    -------
    tuple of str
        Level, and a sentence.
    """
    good = "Every part is good, and they fit together: nothing speaks against this cube."
    level, sentence = sum_up(findings, good)
    if level == "good" and any(one.key == "part_unknown" for one in findings):
        return "caution", "The cubes fit together; whether each of them is right is not known here."
    return level, sentence


def _parts(joined):
    unknown = [part.name for part in joined.parts if part.product is None]
    if unknown:
        yield Finding(
            "part_unknown",
            "note",
            f"{len(unknown)} of {len(joined.parts)} parts were not looked at",
            f"{', '.join(unknown)}: not found beside this cube (--input).",
            "parts",
        )
    for part in joined.parts:
        verdict = part_verdict(joined, part)
        if verdict is not None and verdict[0] != "good":
            level, sentence = verdict
            yield Finding(
                "part",
                level,
                f"{part.label} is {'faulty' if level == 'fault' else 'to be used with care'}",
                f"{part.name}: {sentence}",
                "parts",
            )
        if part.resampled:
            yield Finding(
                "resampled",
                "note",
                f"{part.label} was resampled",
                "It had other pixels; noise of neighbouring pixels is correlated.",
                "parts",
            )


def _borders(joined):
    for border in joined.borders:
        names = f"{border.before.label} and {border.after.label}"
        if not border.overlap:
            yield Finding(
                "gap",
                "note",
                f"between {names} there is a gap",
                f"From {border.high:.4f} to {border.low:.4f} µm there are no data.",
                "borders",
            )
        ratio = border.after.ratio
        level = level_of(abs(np.log(ratio)), RATIO) if ratio > 0 else None
        if level:
            yield Finding(
                "ratio",
                level,
                f"{names} differ in brightness",
                f"Where they overlap, the second is {ratio:.3f} times as bright. Flux calibration "
                "or background of one of them, or its fusion, is wrong.",
                "borders",
            )
        level = level_of(abs(border.step), STEP)
        if level and abs(border.step) > _SIGMA * border.step_error:
            yield Finding(
                "step",
                level,
                f"the spectrum jumps between {names}",
                f"By {100 * border.step:+.1f} ± {100 * border.step_error:.1f} % of the mean "
                "spectrum, seen from the channels on either side.",
                "borders",
            )
        yield from _shift(border, names, joined.whole.scale)


def _shift(border, names, scale):
    if border.mismatch is None:
        return
    length = float(np.hypot(*(one.value for one in border.mismatch.shift)))
    error = float(np.hypot(*(one.error for one in border.mismatch.shift)))
    level = level_of(length, OFFSET)
    if level and length > OFFSET_SIGMA * error:
        yield Finding(
            "shift",
            level,
            f"{names} are displaced against each other",
            f"In their overlap, by {length:.2f} ± {error:.2f} pixels "
            f"({1e3 * length * scale:.0f} mas).",
            "borders",
        )
