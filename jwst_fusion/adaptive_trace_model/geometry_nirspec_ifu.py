"""Geometry of a NIRSpec IFU exposure, with a WCS of coordinate or slice style.

Images are (row, column) with the dispersion along the columns, slices (column, row).
"""

import copy

import numpy as np
from astropy.modeling.bounding_box import CompoundBoundingBox, ModelBoundingBox
from astropy.modeling.models import Identity
from gwcs import WCS
from gwcs.selector import RegionsSelector

from jwst_fusion.adaptive_trace_model.geometry_wcs import (
    GeometryError,
    name_transform,
    native_wcs,
    new_frame,
    oversampled_limits,
    region_map,
    to_native_pixels,
)
from jwst_fusion.adaptive_trace_model.slices import find_slices
from jwst_fusion.adaptive_trace_model.smooth_map import evaluate_smooth

__all__ = ["NirspecIfuGeometry"]

# um per m: the WCS of NIRSpec gives wavelengths in metres.
_METRE_TO_MICROMETRE = 1e6


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
    regions : ndarray of int
        Number of the slice at each pixel, 0 outside.
    transposed : bool
        Engine images are detector images as they are.

    Raises
    ------
    GeometryError
        If the WCS or the region map is missing or unsuitable, or the exposure is oversampled.
    """

    transposed = False

    def __init__(self, model):
        self.wcs = native_wcs(model, {"detector", "slicer"}, "a NIRSpec IFU exposure")
        self.by_slice = "slit_frame" in self.wcs.available_frames
        self.regions = self._regions(model)
        if self.regions.shape != model.data.shape:
            msg = (
                f"its region map has the shape {self.regions.shape}, the data "
                f"{model.data.shape}: run assign_wcs again"
            )
            raise GeometryError(msg)
        self.layouts = find_slices(self.regions)
        if not self.layouts:
            msg = "its region map is empty"
            raise GeometryError(msg)
        if self.by_slice:
            self._to_slicer = self.wcs.get_transform("detector", "slicer")
        else:
            self._selector = self._region_step().transform.selector

    def _region_step(self):
        """Step of a coordinate-style WCS that selects the slice of each pixel."""
        for step in self.wcs.pipeline:
            if isinstance(step.transform, RegionsSelector):
                return step
        msg = "its WCS has no transform that selects the slice of a pixel"
        raise GeometryError(msg)

    def _regions(self, model):
        """Region map; a WCS of coordinate style carries one too."""
        regions = region_map(model)
        if regions is not None:
            return regions
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

        def along_and_wavelength(x, y):
            if self.by_slice:
                return self._to_slicer(x, y, layout.label - 1)[1:3]
            return self._selector[layout.label](x, y)[1:]

        along, wavelength = evaluate_smooth(along_and_wavelength, layout, layout.inside)
        return -along, wavelength * _METRE_TO_MICROMETRE

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
        to_native = to_native_pixels(factor, axis="y")

        def in_new_rows(box):
            return tuple(box[0]), oversampled_limits(box[1], factor)

        if self.by_slice:
            # Slice-style WCS: the slice number is passed through.
            pipeline = [
                (step.frame, step.transform)
                for step in self.wcs.pipeline
                if step.frame.name != "coordinates"
            ]
            names = ("x", "y", "name")
            wcs = WCS([(new_frame(), name_transform(to_native & Identity(1), names)), *pipeline])
            old = self.wcs.bounding_box
            if old is not None:
                boxes = {key[0]: in_new_rows(box) for key, box in old.bounding_boxes.items()}
                wcs.bounding_box = CompoundBoundingBox.validate(
                    wcs.forward_transform, boxes, selector_args=[("name", True)], order="F"
                )
            return wcs
        pipeline = [(new_frame(), name_transform(to_native, ("x", "y")))]
        for step in self.wcs.pipeline[1:]:
            transform = step.transform
            if isinstance(transform, RegionsSelector):
                transform = _with_boxes(transform, in_new_rows)
            pipeline.append((step.frame, transform))
        return WCS(pipeline)


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
