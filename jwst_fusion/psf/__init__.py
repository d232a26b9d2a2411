"""Point spread functions of the instruments, at wavelength nodes, on any grid."""

from jwst_fusion.psf.cube import PsfCube, chebyshev_nodes
from jwst_fusion.psf.empirical import star_psf
from jwst_fusion.psf.file import read_psf, write_psf
from jwst_fusion.psf.instruments import aperture_angle
from jwst_fusion.psf.make import make_psf
from jwst_fusion.psf.nodes import count_nodes, interpolation_error

__all__ = [
    "PsfCube",
    "aperture_angle",
    "chebyshev_nodes",
    "count_nodes",
    "interpolation_error",
    "make_psf",
    "read_psf",
    "star_psf",
    "write_psf",
]
