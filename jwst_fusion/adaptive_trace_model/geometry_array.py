"""Geometry of slices whose coordinates are given as arrays, without a WCS.

Images are (row, column) with the dispersion along the columns, slices (column, row).
"""

import numpy as np

from jwst_fusion.adaptive_trace_model.slices import find_slices

__all__ = ["ArrayGeometry"]


class ArrayGeometry:
    """
    Geometry of slices whose coordinates are given as arrays.

    Parameters
    ----------
    coordinate : ndarray
        Coordinate along the slit at the pixel centres, in any unit, ``(row, column)``; NaN outside
        the slices.
    wavelength : ndarray, optional
        Wavelength in micrometre, same shape; unknown (NaN) by default.
    regions : ndarray of int, optional
        Number of the slice at each pixel, 0 outside, same shape. By default there is one slice,
        number 1: all pixels whose coordinate is finite.

    Attributes
    ----------
    layouts : list of SliceLayout
        The slices, in the order of their numbers.
    regions : ndarray of int
        Number of the slice at each pixel, 0 outside.
    transposed : bool
        Engine images are the images as they are.

    Raises
    ------
    ValueError
        If shapes differ, there is no slice, or a pixel between the first and the last row of a
        slice has no coordinate.
    """

    transposed = False

    def __init__(self, coordinate, wavelength=None, regions=None):
        self._coordinate = np.asarray(coordinate, dtype=float)
        shape = self._coordinate.shape
        if self._coordinate.ndim != 2:
            msg = f"coordinate has the shape {shape}: expected (row, column)"
            raise ValueError(msg)
        if wavelength is None:
            wavelength = np.full(shape, np.nan)
        self._wavelength = np.asarray(wavelength, dtype=float)
        if regions is None:
            regions = np.isfinite(self._coordinate).astype(np.int32)
        self.regions = np.asarray(regions)
        if not np.issubdtype(self.regions.dtype, np.integer) or (self.regions < 0).any():
            msg = "regions holds something else than the numbers of slices: expected integers >= 0"
            raise ValueError(msg)
        for name, values in (("wavelength", self._wavelength), ("regions", self.regions)):
            if values.shape != shape:
                msg = f"{name} has the shape {values.shape}, coordinate {shape}"
                raise ValueError(msg)
        self.layouts = find_slices(self.regions)
        if not self.layouts:
            msg = "there is no slice: coordinate holds no finite value, or regions only zeros"
            raise ValueError(msg)
        for layout in self.layouts:
            missing = layout.between_ends & ~np.isfinite(self.coordinates(layout)[0])
            if missing.any():
                msg = (
                    f"coordinate is not finite at {np.count_nonzero(missing)} pixels between the "
                    f"first and the last row of slice {layout.label}: every pixel there needs "
                    "one, good or bad"
                )
                raise ValueError(msg)

    def coordinates(self, layout):
        """
        Cut slit coordinate and wavelength of one slice out of the images.

        Parameters
        ----------
        layout : SliceLayout
            The slice.

        Returns
        -------
        coordinate : ndarray
            Slit coordinate, in the unit in which it was given, shape ``(column, row)``; NaN before
            the first and after the last row of the slice.
        wavelength : ndarray
            Wavelength in micrometre, in the same shape and with the same NaN.
        """
        rows, columns = layout.index()
        rows = np.minimum(rows, len(self._coordinate) - 1)
        return tuple(
            np.where(layout.between_ends, image[rows, columns], np.nan)
            for image in (self._coordinate, self._wavelength)
        )
