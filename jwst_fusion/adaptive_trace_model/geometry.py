"""Geometry of an exposure: slices or slit, slit coordinate and wavelength, by instrument mode.

A geometry has the attributes ``layouts`` (list of SliceLayout), ``regions`` (region map as on the
detector, or `None` for slits) and ``transposed``, and the methods ``coordinates(layout)`` and
``oversampled_wcs(factor)``. Layouts and coordinates are those of engine images: (row, column) with
the dispersion along the columns. Where the dispersion runs along the rows of the detector
(``transposed``), engine images are transposed detector images.
"""

from functools import partial

from jwst_fusion.adaptive_trace_model.geometry_mrs import MiriMrsGeometry
from jwst_fusion.adaptive_trace_model.geometry_nirspec_ifu import NirspecIfuGeometry
from jwst_fusion.adaptive_trace_model.geometry_slit import LRS_FRAME, NIRSPEC_FRAME, SlitGeometry
from jwst_fusion.adaptive_trace_model.geometry_wcs import GeometryError

__all__ = [
    "GeometryError",
    "MiriMrsGeometry",
    "NirspecIfuGeometry",
    "SlitGeometry",
    "make_geometry",
]

_GEOMETRIES = {
    "nirspec_ifu": NirspecIfuGeometry,
    "miri_mrs": MiriMrsGeometry,
    "nirspec_slit": partial(SlitGeometry, frame=NIRSPEC_FRAME),
    "miri_lrs": partial(SlitGeometry, frame=LRS_FRAME),
}


def make_geometry(kind, spectrum):
    """
    Read the geometry of an exposure or of one slit.

    Parameters
    ----------
    kind : str
        `TraceMode.geometry` of the exposure's mode.
    spectrum : `~stdatamodels.jwst.datamodels.IFUImageModel`, SlitModel or slit of a MultiSlitModel
        It has passed assign_wcs.

    Returns
    -------
    NirspecIfuGeometry, MiriMrsGeometry or SlitGeometry
        The geometry.

    Raises
    ------
    GeometryError
        If the WCS is missing or unsuitable.
    """
    return _GEOMETRIES[kind](spectrum)
