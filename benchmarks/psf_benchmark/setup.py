"""The fusion whose PSFs are measured: five NIRCam filters and the NIRSpec IFU, 1.66 to 2.3 um."""

import numpy as np

from jwst_fusion.fusion.psf.instrument_psf import psf_pair
from jwst_fusion.fusion.psf.optics import Optics, TelescopeModel
from jwst_fusion.fusion.psf.pixel_kernels import (
    ChannelOptics,
    cube_pixel_kernels,
    image_pixel_kernels,
)

__all__ = ["FILTERS", "HIGH", "LOW", "NPIX", "PIXEL", "pair", "sides"]

FILTERS = ("F182M", "F187N", "F200W", "F210M", "F212N")
LOW, HIGH = 1.66, 2.30
#: Pixel of the fused cube and size of the PSFs (3 arcsec), pixel of the images [arcsec].
PIXEL, NPIX = 0.1 / 3, 91
IMAGE_PIXEL, SPAXEL = 0.0307, 0.1
#: Degrees counterclockwise from +y of the grid to V3, for images and cube.
ANGLES = (37.0, 152.0)


def sides(source, *, cores="all", filter_name=None):
    """Return images and cube of the fusion, as the step describes them."""
    kernels = image_pixel_kernels(
        instrument="NIRCAM",
        channel="SHORT",
        detector="NRCB1",
        pixfrac=1.0,
        pixel_scale=IMAGE_PIXEL,
        grid_angle=4.0,
        angle=ANGLES[0],
    )
    model = TelescopeModel(source=source, maximum_cores=cores)
    image = Optics(
        instrument="NIRCAM",
        angle=ANGLES[0],
        channels={
            "SHORT": ChannelOptics(pixel_kernels=kernels, detector="NRCB1", filter=filter_name)
        },
        model=model,
    )
    cube = Optics(
        instrument="NIRSPEC",
        angle=ANGLES[1],
        channels=ChannelOptics(
            pixel_kernels=cube_pixel_kernels(instrument="NIRSPEC", spaxel=SPAXEL, angle=ANGLES[1])
        ),
        model=model,
    )
    return image, cube


def pair(source, *, channels=400, count="auto", filter_name=None, cores="all"):
    """Make the PSFs of the fusion."""
    wavelength = np.linspace(LOW, HIGH, channels)
    image, cube = sides(source, filter_name=filter_name, cores=cores)
    return psf_pair(wavelength, image, cube, count=count, pixel_scale=PIXEL, npix=NPIX)
