"""Geometry of a single slit: NIRSpec slits and slitlets, MIRI LRS with and without its slit.

Engine images are (row, column) with the dispersion along the columns.
"""

from dataclasses import dataclass

import numpy as np

from jwst_fusion.adaptive_trace_model.geometry_wcs import (
    GeometryError,
    native_wcs,
    oversampled_wcs,
)
from jwst_fusion.adaptive_trace_model.slices import find_slices

__all__ = ["LRS_FRAME", "NIRSPEC_FRAME", "SlitFrame", "SlitGeometry"]


@dataclass(frozen=True)
class SlitFrame:
    """
    Where the WCS of a slit holds slit coordinate and wavelength.

    Parameters
    ----------
    name : str
        Frame of the slit coordinates.
    along : int
        Index of the coordinate along the slit.
    sign : int
        1 or -1, so that the coordinate grows with the row.
    to_micrometre : float
        Unit of the third coordinate, the wavelength.
    transposed : bool
        Whether the dispersion runs along the rows of the detector (y).
    corrected : str or None
        Frame behind it with corrected wavelengths, used where a WCS has it.
    """

    name: str
    along: int
    sign: int
    to_micrometre: float
    transposed: bool
    corrected: str | None = None


#: The zero-point correction of the wavelength for off-centre sources comes in a frame of its own.
NIRSPEC_FRAME = SlitFrame(
    "slit_frame", along=1, sign=-1, to_micrometre=1e6, transposed=False, corrected="wavecorr_frame"
)
LRS_FRAME = SlitFrame("alpha_beta", along=0, sign=1, to_micrometre=1.0, transposed=True)


class SlitGeometry:
    """
    Geometry of one slit.

    Parameters
    ----------
    spectrum : SlitModel or slit of a MultiSlitModel
        It has passed assign_wcs and, for NIRSpec, extract_2d.
    frame : SlitFrame
        Where its WCS holds the coordinates.

    Attributes
    ----------
    layouts : list of SliceLayout
        One layout: the pixels whose slit coordinate is known.
    regions : None
        Slits have no region map.
    transposed : bool
        Whether engine images are transposed detector images.

    Raises
    ------
    GeometryError
        If the WCS is missing or unsuitable, or the data are oversampled.
    """

    regions = None

    def __init__(self, spectrum, *, frame):
        self.wcs = native_wcs(spectrum, {"detector", frame.name}, "a slit")
        self.transposed = frame.transposed
        n_y, n_x = spectrum.data.shape[-2:]
        x, y = _pixels_in_box(self.wcs.bounding_box, n_x, n_y)
        end = frame.corrected if frame.corrected in self.wcs.available_frames else frame.name
        position = self.wcs.get_transform("detector", end)(x, y)
        along = frame.sign * np.asarray(position[frame.along])
        inside = np.isfinite(along)
        if not inside.any():
            msg = "its WCS gives no slit coordinate within the image"
            raise GeometryError(msg)
        x, y = x[inside].astype(np.intp), y[inside].astype(np.intp)
        at = (x, y) if self.transposed else (y, x)
        shape = (n_x, n_y) if self.transposed else (n_y, n_x)
        self._along, self._wavelength = np.full((2, *shape), np.nan)
        self._along[at] = along[inside]
        self._wavelength[at] = np.asarray(position[2])[inside] * frame.to_micrometre
        self.layouts = find_slices(np.isfinite(self._along).astype(np.int32))

    def coordinates(self, layout):
        """
        Slit coordinate and wavelength at the pixels of the slit.

        Parameters
        ----------
        layout : SliceLayout
            The slit.

        Returns
        -------
        coordinate : ndarray
            Coordinate along the slit, shape ``(column, row)``, NaN outside the slit. For NIRSpec
            in units of the slit's or shutter's height, growing with the row; for MIRI in arcsec.
        wavelength : ndarray
            Wavelength in micrometres, same shape.
        """
        return layout.cut(self._along), layout.cut(self._wavelength)

    def oversampled_wcs(self, factor):
        """
        Make the WCS of the oversampled slit.

        Parameters
        ----------
        factor : float
            Oversampling factor along the slit.

        Returns
        -------
        `gwcs.wcs.WCS`
            A new WCS whose input frame "coordinates" is that of the oversampled pixels.
        """
        return oversampled_wcs(self.wcs, factor, axis="x" if self.transposed else "y")


def _pixels_in_box(box, n_x, n_y):
    """Pixels (x, y) within a bounding box and the image, as flat arrays of float."""
    x, y = np.arange(n_x, dtype=float), np.arange(n_y, dtype=float)
    if box is not None:
        x = x[(x >= box[0][0]) & (x <= box[0][1])]
        y = y[(y >= box[1][0]) & (y <= box[1][1])]
    x, y = np.meshgrid(x, y)
    return x.ravel(), y.ravel()
