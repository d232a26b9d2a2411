"""Checks of single sources: their light in images and cube, in lines and beside them.

The limits are those at which simulated observations, with their truth known, go wrong.
"""

from jwst_fusion.report.page import Finding

__all__ = ["check_sources"]

# Light of a source beyond that in the fused cube, relative to the source, and its significance.
IMAGE, IMAGE_SIGMA = 0.10, 5.0
CUBE, CUBE_SIGMA = 0.08, 5.0
# Mean residual of an image in a ring around a source, relative to its peak, and its significance.
RING, RING_SIGMA = 0.03, 8.0
# Neither counts within so many times the error that the fused cube states for a voxel of the peak.
STATED = 1.0
_NAMED = 4  # sources whose numbers are told


def check_sources(sources, holes=()):
    """
    Look for sources that the fused cube shows otherwise than image or cube.

    Parameters
    ----------
    sources : list of `~jwst_fusion.report.fused.sources.Source`
        Compact sources, the brightest first.
    holes : list of tuple, optional
        Name of an image, row and column of places where it is dark amid light, from
        `~jwst_fusion.report.fused.sources.find_holes`.

    Yields
    ------
    Finding
    """
    yield from _told(
        "source_image",
        "in the images",
        [(one, one.image) for one in sources],
        (IMAGE, IMAGE_SIGMA),
        "Images show so much of the source more than the fused cube (less, if negative), mean "
        "over the filters.",
    )
    yield from _told(
        "source_cube",
        "in the cube",
        [(one, one.cube) for one in sources],
        (CUBE, CUBE_SIGMA),
        "Seen by the spectrometer in the bands of the filters, the cube shows so much of the "
        "source more than the fused cube: a variable source, a saturated core, or a wrong PSF.",
    )
    yield from _told(
        "source_continuum",
        "in the continuum of the cube",
        [(one, one.continuum) for one in sources],
        (CUBE, CUBE_SIGMA),
        "Beside lines, the cube shows so much of the source more than the fused cube.",
    )
    yield from _told(
        "source_lines",
        "in the lines of the cube",
        [(one, one.lines) for one in sources],
        (CUBE, CUBE_SIGMA),
        "In the strongest lines, above the continuum, the cube shows so much more light than the "
        "fused cube at the source, relative to its continuum.",
    )
    rings = [
        (one, label, amount)
        for one in sources
        for label, amount in one.rings.items()
        if abs(amount.value) > max(RING, STATED * one.stated) and amount.sigma > RING_SIGMA
    ]
    if rings:
        told = "; ".join(
            f"{_place(one)} in {label}: {100 * amount.value:+.1f} ± {100 * amount.error:.1f} %"
            for one, label, amount in rings[:_NAMED]
        )
        number = len({(one.y, one.x) for one, _, _ in rings})
        yield Finding(
            "source_ring",
            "caution",
            f"the images have rings around {'a source' if number == 1 else f'{number} sources'}",
            f"Mean residual in a ring, relative to the peak of the source: {told}. The PSF of the "
            "images is another, or the source is smeared in the fused cube.",
            "field",
        )
    if holes:
        where = "; ".join(f"{label} at pixel x {x}, y {y}" for label, y, x in holes[:_NAMED])
        yield Finding(
            "hole",
            "caution",
            f"{'an image has a hole' if len(holes) == 1 else 'images have holes'}",
            f"Dark amid light: {where}. The core of a saturated star that was set to zero, or bad "
            "pixels that no flag marks.",
            "field",
        )
    lost = [one for one in sources if one.missing]
    if lost:
        where = "; ".join(f"{_place(one)} in {', '.join(one.missing)}" for one in lost[:_NAMED])
        yield Finding(
            "source_missing",
            "caution",
            f"the peak of {_number(lost)} is missing in an image",
            f"Saturated, flagged, zero, or taken for an outlier: {where}. Its flux rests on the "
            "wings and on other data.",
            "field",
        )


def _told(key, where, amounts, limits, text):
    found = [
        (one, amount)
        for one, amount in amounts
        if abs(amount.value) > max(limits[0], STATED * one.stated) and amount.sigma > limits[1]
    ]
    if not found:
        return
    told = "; ".join(
        f"{_place(one)}: {100 * amount.value:+.1f} ± {100 * amount.error:.1f} %"
        for one, amount in found[:_NAMED]
    )
    yield Finding(
        key,
        "caution",
        f"{_number(found)} not as bright {where} as in the fused cube",
        f"{text} {told}.",
        "field",
    )


def _number(found):
    return "one source" if len(found) == 1 else f"{len(found)} sources"


def _place(source):
    return f"pixel x {source.x}, y {source.y}"
