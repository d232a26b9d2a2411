"""Slices of an exposure: region map, slit coordinate and wavelength from the datamodel's WCS.

Images are (row, column) with the dispersion along the columns, slices (column, row).
"""

import copy

import numpy as np
from astropy.modeling.bounding_box import CompoundBoundingBox, ModelBoundingBox
from astropy.modeling.models import Identity, Scale, Shift
from gwcs import WCS, coordinate_frames
from gwcs.selector import RegionsSelector

from jwst_fusion.adaptive_trace_model.slices import find_slices

__all__ = ["GeometryError", "NirspecIfuGeometry", "make_geometry"]

_METRE_TO_MICROMETRE = 1e6


class GeometryError(Exception):
    """The exposure's WCS or region map is missing or unsuitable; the message says what."""


def make_geometry(kind, model):
    """
    Read the geometry of an exposure.

    Parameters
    ----------
    kind : str
        `TraceMode.geometry` of the exposure's mode.
    model : `~stdatamodels.jwst.datamodels.IFUImageModel`
        Exposure that has passed assign_wcs.

    Returns
    -------
    NirspecIfuGeometry
        The geometry.

    Raises
    ------
    GeometryError
        If the WCS is missing or unsuitable.
    """
    return {"nirspec_ifu": NirspecIfuGeometry}[kind](model)


class NirspecIfuGeometry:
    """
    Geometry of a NIRSpec IFU exposure, with a WCS of coordinate or slice style.

    Parameters
    ----------
    model : `~stdatamodels.jwst.datamodels.IFUImageModel`
        Exposure that has passed assign_wcs.

    Attributes
    ----------
    layouts : list of SliceLayout
        The slices, numbered from 1.

    Raises
    ------
    GeometryError
        If the WCS or the region map is missing or unsuitable, or the exposure is oversampled.
    """

    def __init__(self, model):
        self.wcs = model.meta.wcs
        if self.wcs is None:
            msg = "it has no WCS: run assign_wcs first"
            raise GeometryError(msg)
        frames = self.wcs.available_frames
        if not {"detector", "slicer"} <= set(frames):
            msg = f"its WCS has the frames {', '.join(frames)}, not those of a NIRSpec IFU exposure"
            raise GeometryError(msg)
        self.by_slice = "slit_frame" in frames
        if "coordinates" in frames and self._is_oversampled():
            msg = "it is already oversampled"
            raise GeometryError(msg)
        regions = self._regions(model)
        if regions.shape != model.data.shape:
            msg = (
                f"its region map has the shape {regions.shape}, the data {model.data.shape}: "
                "run assign_wcs again"
            )
            raise GeometryError(msg)
        self.layouts = find_slices(regions)
        if not self.layouts:
            msg = "its region map is empty"
            raise GeometryError(msg)
        if self.by_slice:
            self._to_slicer = self.wcs.get_transform("detector", "slicer")
        else:
            self._selector = self._region_step().transform.selector

    def _is_oversampled(self):
        """Whether the WCS begins with a change of the pixel scale."""
        transform = self.wcs.pipeline[0].transform
        point = (np.array([0.0, 1.0]), np.array([0.0, 1.0]), np.zeros(2))[: transform.n_inputs]
        x, y, *_ = transform(*point)
        return not np.allclose(np.diff([x, y], axis=1), 1.0)

    def _region_step(self):
        """Step of a coordinate-style WCS that selects the slice of each pixel."""
        for step in self.wcs.pipeline:
            if isinstance(step.transform, RegionsSelector):
                return step
        msg = "its WCS has no transform that selects the slice of a pixel"
        raise GeometryError(msg)

    def _regions(self, model):
        """Region map; a WCS of coordinate style carries one too."""
        if model.hasattr("regions"):
            return np.asarray(model.regions)
        if self.by_slice:
            msg = "it has no region map (extension REGIONS): run assign_wcs again"
            raise GeometryError(msg)
        return np.asarray(self._region_step().transform.label_mapper.mapper)

    def coordinates(self, layout):
        """
        Evaluate slit coordinate and wavelength at the pixels of one slice.

        Parameters
        ----------
        layout : SliceLayout
            The slice. Only its own transform is evaluated, and only at its own pixels, so that
            overlapping bounding boxes of neighbouring slices do no harm.

        Returns
        -------
        coordinate : ndarray
            Slit coordinate in metres in the slicer plane, growing with the row, shape
            ``(column, row)``; NaN outside the slice.
        wavelength : ndarray
            Wavelength in micrometres, same shape.
        """
        rows, columns = np.broadcast_arrays(*layout.index())
        inside = layout.inside
        x, y = columns[inside].astype(float), rows[inside].astype(float)
        if self.by_slice:
            _, along, wavelength, *_ = self._to_slicer(x, y, layout.label - 1)
        else:
            _, along, wavelength = self._selector[layout.label](x, y)
        coordinate, micrometre = np.full((2, *layout.shape), np.nan)
        coordinate[inside] = -along
        micrometre[inside] = wavelength * _METRE_TO_MICROMETRE
        return coordinate, micrometre

    def oversampled_wcs(self, factor):
        """
        Make the WCS of the oversampled exposure.

        Parameters
        ----------
        factor : float
            Oversampling factor of the rows.

        Returns
        -------
        `gwcs.wcs.WCS`
            A new WCS whose input frame "coordinates" is that of the oversampled pixels; each
            slice's bounding box is given in them. The WCS of the exposure stays as it is.
        """
        to_native = Identity(1) & (Scale(1 / factor) | Shift((1 - factor) / (2 * factor)))

        def in_new_rows(box):
            x, y = box[0], box[1]
            return tuple(x), tuple((limit + 0.5) * factor - 0.5 for limit in y)

        frame = coordinate_frames.Frame2D(name="coordinates", axes_order=(0, 1))
        if self.by_slice:
            # Slice-style WCS: the slice number is passed through.
            pipeline = [
                (step.frame, step.transform)
                for step in self.wcs.pipeline
                if step.frame.name != "coordinates"
            ]
            names = ("x", "y", "name")
            wcs = WCS([(frame, _named(to_native & Identity(1), names)), *pipeline])
            old = self.wcs.bounding_box
            if old is not None:
                boxes = {key[0]: in_new_rows(box) for key, box in old.bounding_boxes.items()}
                wcs.bounding_box = CompoundBoundingBox.validate(
                    wcs.forward_transform, boxes, selector_args=[("name", True)], order="F"
                )
            return wcs
        pipeline = [(frame, _named(to_native, ("x", "y")))]
        for step in self.wcs.pipeline[1:]:
            transform = step.transform
            if isinstance(transform, RegionsSelector):
                transform = _with_boxes(transform, in_new_rows)
            pipeline.append((step.frame, transform))
        return WCS(pipeline)


def _named(transform, names):
    """Name the transform from oversampled pixels to the detector, and its in- and outputs."""
    transform.name = "coord2det"
    transform.inputs = names
    transform.outputs = names
    return transform


def _with_boxes(regions, change):
    """Copy of a selector of slices with changed bounding boxes of the slices' transforms."""
    selector = {}
    for label, transform in regions.selector.items():
        box = change(transform.bounding_box)
        # A shallow copy: only the bounding box differs, the parameters are shared.
        selector[label] = copy.copy(transform)
        selector[label].bounding_box = ModelBoundingBox.validate(selector[label], box, order="F")
    return RegionsSelector(
        regions.inputs,
        regions.outputs,
        selector,
        label_mapper=regions.label_mapper,
        undefined_transform_value=regions.undefined_transform_value,
        name=regions.name,
    )
