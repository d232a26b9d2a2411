"""Geometry of a MIRI MRS exposure: slices of all its channels.

The dispersion of the MRS runs along the rows of the detector (y). Engine images are (row, column) =
(detector x, detector y); slices are (column, row).
"""

import numpy as np
from gwcs.selector import RegionsSelector
from scipy import ndimage

from jwst_fusion.adaptive_trace_model.geometry_wcs import (
    GeometryError,
    native_wcs,
    oversampled_wcs,
    region_map,
)
from jwst_fusion.adaptive_trace_model.slices import find_slices

__all__ = ["MiriMrsGeometry"]

#: Detached parts of a slice that are smaller than this share of its largest part do not count.
_MIN_PART = 0.5


class MiriMrsGeometry:
    """
    Geometry of a MIRI MRS exposure.

    Parameters
    ----------
    model : `~stdatamodels.jwst.datamodels.IFUImageModel`
        Exposure that has passed assign_wcs.

    Attributes
    ----------
    layouts : list of SliceLayout
        The slices, numbered 100 times the channel plus the number within the channel.
    regions : ndarray of int
        Number of the slice at each pixel, 0 outside; (detector y, detector x).
    transposed : bool
        Engine images are transposed detector images.

    Raises
    ------
    GeometryError
        If the WCS or the region map is missing or unsuitable, or the exposure is oversampled.
    """

    transposed = True

    def __init__(self, model):
        self.wcs = native_wcs(model, {"detector", "alpha_beta"}, "a MIRI MRS exposure")
        transform = self.wcs.get_transform("detector", "alpha_beta")
        if not isinstance(transform, RegionsSelector):
            msg = "its WCS has no transform that selects the slice of a pixel"
            raise GeometryError(msg)
        regions = region_map(model)
        if regions is None:
            regions = np.asarray(transform.label_mapper.mapper)
        if regions.shape != model.data.shape:
            msg = (
                f"its region map has the shape {regions.shape}, the data {model.data.shape}: "
                "run assign_wcs again"
            )
            raise GeometryError(msg)
        self._selector = transform.selector
        self.regions = _whole_slices(regions)
        self.layouts = find_slices(self.regions.T)
        if not self.layouts:
            msg = "its region map is empty"
            raise GeometryError(msg)
        unknown = [layout.label for layout in self.layouts if layout.label not in self._selector]
        if unknown:
            msg = f"its WCS has no transform for slice {', '.join(map(str, unknown))}"
            raise GeometryError(msg)

    def coordinates(self, layout):
        """
        Evaluate slit coordinate and wavelength at the pixels of one slice.

        Parameters
        ----------
        layout : SliceLayout
            The slice.

        Returns
        -------
        coordinate : ndarray
            Slit coordinate alpha in arcsec, shape ``(column, row)``; NaN before the first and after
            the last row of the slice. Gaps in a slice have coordinates, too.
        wavelength : ndarray
            Wavelength in micrometres, same shape.
        """
        x, y = np.broadcast_arrays(*layout.index())
        within = layout.between_ends
        alpha, _, micrometre = self._selector[layout.label](
            x[within].astype(float), y[within].astype(float)
        )
        coordinate, wavelength = np.full((2, *layout.shape), np.nan)
        coordinate[within] = alpha
        wavelength[within] = micrometre
        return coordinate, wavelength

    def oversampled_wcs(self, factor):
        """
        Make the WCS of the oversampled exposure.

        Parameters
        ----------
        factor : float
            Oversampling factor along x.

        Returns
        -------
        `gwcs.wcs.WCS`
            A new WCS whose input frame "coordinates" is that of the oversampled pixels.
        """
        return oversampled_wcs(self.wcs, factor, axis="x")


def _whole_slices(regions):
    """Region map without detached specks, with which a slice would span half the detector."""
    result = np.array(regions, dtype=np.int32)
    for label, box in enumerate(ndimage.find_objects(result), start=1):
        if box is None:
            continue
        view = result[box]
        parts, count = ndimage.label(view == label, structure=np.ones((3, 3)))
        if count > 1:
            sizes = np.bincount(parts.ravel())
            sizes[0] = 0
            small = sizes < _MIN_PART * sizes.max()
            small[0] = False
            view[small[parts]] = 0
    return result
