"""Where the slices of an integral field unit lie on the sky."""

import numpy as np
from gwcs.selector import RegionsSelector

from jwst_fusion.adaptive_trace_model.extraction_ifu import SlicePlace

__all__ = ["places_of_slices", "sky_of_slice"]


def sky_of_slice(geometry, layout):
    """
    Find the transform of one slice to the sky.

    Parameters
    ----------
    geometry : NirspecIfuGeometry or MiriMrsGeometry
        Geometry of the exposure.
    layout : SliceLayout
        The slice.

    Returns
    -------
    callable
        From columns and rows of the detector to right ascension, declination (degree) and
        wavelength.
    """
    wcs = geometry.wcs
    frames = list(wcs.available_frames)
    for index, step in enumerate(wcs.pipeline):
        if isinstance(step.transform, RegionsSelector):
            own = step.transform.selector[layout.label]
            rest = wcs.get_transform(frames[index + 1], frames[-1])
            return lambda x, y: rest(*own(x, y)[:3])
    # A WCS of slice style takes the number of the slice, which most frames pass on.
    whole = wcs.get_transform("detector", frames[-1])
    return lambda x, y: whole(x, y, layout.label - 1)


def places_of_slices(geometry):
    """
    Find where the slices of an exposure lie across their direction.

    Parameters
    ----------
    geometry : NirspecIfuGeometry
        Geometry of the exposure.

    Returns
    -------
    dict of int to SlicePlace
        By the labels of the slices, with the distance of neighbours as width.
    """
    found = {}
    for layout in geometry.layouts:
        rows, columns = np.broadcast_arrays(*layout.index())
        middle = int(np.median(np.flatnonzero(layout.inside.any(axis=1))))
        inside = np.flatnonzero(layout.inside[middle])
        row = rows[middle, inside[inside.size // 2]]
        x = np.full(2, float(columns[middle, 0]))
        sky = sky_of_slice(geometry, layout)(x, row + np.array([0.0, 1.0]))
        found[layout.label] = np.array(sky[:2], float)
    first = next(iter(found.values()))[:, 0]
    plane = {}
    for label, (ra, dec) in found.items():
        east = ((ra - first[0] + 180) % 360 - 180) * np.cos(np.radians(first[1]))
        plane[label] = 3600 * np.array([east, dec - first[1]])
    steps = {label: one[:, 1] - one[:, 0] for label, one in plane.items()}
    pitch = {label: float(np.hypot(*step)) for label, step in steps.items()}
    along = np.mean([step / pitch[label] for label, step in steps.items()], axis=0)
    along /= np.hypot(*along)
    # To the right of the direction of growing rows, seen on the sky.
    right = np.array([-along[1], along[0]])
    across = {label: float(right @ one[:, 0]) for label, one in plane.items()}
    order = sorted(across, key=across.get)
    widths = np.gradient([across[label] for label in order])
    return {
        label: SlicePlace(across[label], pitch[label], float(width))
        for label, width in zip(order, widths, strict=True)
    }
