"""WCS of native and oversampled pixels, for the geometries of all instrument modes.

Oversampling by a factor f puts the centre of new pixel q at the native position
(q + 0.5) / f - 0.5, with pixel centres at whole numbers.
"""

import numpy as np
from astropy.modeling.models import Identity, Scale, Shift
from gwcs import WCS, coordinate_frames

__all__ = [
    "GeometryError",
    "name_transform",
    "native_wcs",
    "new_frame",
    "oversampled_limits",
    "oversampled_wcs",
    "region_map",
    "to_native_pixels",
]


class GeometryError(Exception):
    """The exposure's WCS or region map is missing or unsuitable; the message says what."""


def native_wcs(spectrum, frames, kind):
    """
    Take the WCS of an exposure or slit that has not been oversampled.

    Parameters
    ----------
    spectrum : datamodel or slit
        With ``meta.wcs``.
    frames : set of str
        Frames that the WCS must have.
    kind : str
        Name of the instrument mode, for messages.

    Returns
    -------
    `gwcs.wcs.WCS`
        The WCS, not a copy.

    Raises
    ------
    GeometryError
        If there is none, if it is of another kind, or if it is that of oversampled pixels.
    """
    wcs = getattr(spectrum.meta, "wcs", None)
    if wcs is None:
        msg = "it has no WCS: run assign_wcs first"
        raise GeometryError(msg)
    found = wcs.available_frames
    if not frames <= set(found):
        msg = f"its WCS has the frames {', '.join(found)}, not those of {kind}"
        raise GeometryError(msg)
    if "coordinates" in found and _changes_scale(wcs.pipeline[0].transform):
        msg = "it is already oversampled"
        raise GeometryError(msg)
    return wcs


def region_map(model):
    """
    Take the region map of an IFU exposure.

    Parameters
    ----------
    model : `~stdatamodels.jwst.datamodels.IFUImageModel`
        The exposure.

    Returns
    -------
    ndarray of int or None
        Number of the slice at each pixel, 0 outside; `None` if the exposure has none.
    """
    regions = model.regions if model.hasattr("regions") else None
    return None if regions is None else np.asarray(regions)


def _changes_scale(transform):
    """Whether a transform between pixels changes their scale."""
    point = (np.array([0.0, 1.0]), np.array([0.0, 1.0]), np.zeros(2))[: transform.n_inputs]
    x, y, *_ = transform(*point)
    return not np.allclose(np.diff([x, y], axis=1), 1.0)


def to_native_pixels(factor, *, axis):
    """
    Make the transform from oversampled to native pixels.

    Parameters
    ----------
    factor : float
        Oversampling factor.
    axis : {"x", "y"}
        Image axis that is oversampled.

    Returns
    -------
    `astropy.modeling.Model`
        From (x, y) to (x, y), invertible.
    """
    along = Scale(1 / factor) | Shift((1 - factor) / (2 * factor))
    return along & Identity(1) if axis == "x" else Identity(1) & along


def oversampled_limits(limits, factor):
    """
    Translate native limits along the oversampled axis to oversampled pixels.

    Parameters
    ----------
    limits : tuple of float
        Lower and upper limit, native pixels, 0 at the centre of the first one.
    factor : float
        Oversampling factor.

    Returns
    -------
    tuple of float
        The same limits in oversampled pixels, 0 at the centre of the first one.
    """
    return tuple((limit + 0.5) * factor - 0.5 for limit in limits)


def new_frame():
    """Make the input frame of an oversampled WCS, under the name that cube_build looks for."""
    return coordinate_frames.Frame2D(name="coordinates", axes_order=(0, 1))


def name_transform(transform, names):
    """
    Name the transform from oversampled to native pixels, and its in- and outputs.

    Parameters
    ----------
    transform : `astropy.modeling.Model`
        The transform, which is changed in place.
    names : tuple of str
        Names of its inputs, which are those of its outputs as well.

    Returns
    -------
    `astropy.modeling.Model`
        The same transform.
    """
    transform.name = "coord2det"
    transform.inputs = names
    transform.outputs = names
    return transform


def oversampled_wcs(wcs, factor, *, axis):
    """
    Make the WCS of oversampled pixels by prepending a transform to the native one.

    Parameters
    ----------
    wcs : `gwcs.wcs.WCS`
        Native WCS from detector pixels (x, y); it is not changed.
    factor : float
        Oversampling factor.
    axis : {"x", "y"}
        Image axis that is oversampled.

    Returns
    -------
    `gwcs.wcs.WCS`
        With the input frame "coordinates" and, if the native one has it, a bounding box.
    """
    first = name_transform(to_native_pixels(factor, axis=axis), ("x", "y"))
    pipeline = [(step.frame, step.transform) for step in wcs.pipeline]
    result = WCS([(new_frame(), first), *pipeline])
    box = wcs.bounding_box
    if box is not None:
        x, y = tuple(box[0]), tuple(box[1])
        result.bounding_box = (
            (oversampled_limits(x, factor), y)
            if axis == "x"
            else (x, oversampled_limits(y, factor))
        )
    return result
