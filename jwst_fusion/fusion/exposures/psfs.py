"""PSFs of exposures from what their headers and geometry say."""

import logging

import numpy as np

from jwst_fusion.errors import NotFusableError
from jwst_fusion.fusion.exposures.footprint import PixelFootprint
from jwst_fusion.fusion.psf.headers import default_size
from jwst_fusion.psf import chebyshev_nodes, count_nodes, make_psf
from jwst_fusion.psf.checks import LARGEST_FIELD

__all__ = ["exposure_psfs"]

log = logging.getLogger(__name__)


def exposure_psfs(exposures, grid, *, wavelength, source="auto", size=None, **options):
    """
    Make the PSFs of optics, slice and pixel for exposures.

    Width and direction of the slices and the height of the pixels are measured on the coordinates
    of the pixels.

    Parameters
    ----------
    exposures : list of ExposureObservation
        The exposures.
    grid : SkyGrid
        Fine grid of the product.
    wavelength : array (L,)
        Channels of the product, micrometre.
    source : {"auto", "webbpsf", "aperture"}, optional
        What computes the optics, see `jwst_fusion.psf.make_psf`.
    size : float, optional
        Side of the PSFs, arcsec; by default what holds nearly all light at the wavelengths.
    **options
        Other arguments of `jwst_fusion.psf.make_psf`, such as ``jitter`` and ``opd``.

    Returns
    -------
    list of PsfCube
        One for each exposure; those of one detector, grating and roll are the same object.

    Raises
    ------
    NotFusableError
        If an exposure does not say the roll of the telescope, has fewer than two slices, or none of
        its pixels lies within the channels.
    """
    known, psfs = {}, []
    for exposure in exposures:
        if exposure.pa_v3 is None:
            msg = (
                f"{exposure.name} does not say the telescope's roll (keyword ROLL_REF), which its "
                "PSF needs: set the parameter roll_cube"
            )
            raise NotFusableError(msg)
        key = (exposure.instrument, exposure.detector, exposure.grating, round(exposure.pa_v3, 2))
        if key not in known:
            known[key] = _made(exposure, grid, wavelength, source, size, options)
        psfs.append(known[key])
    return psfs


def _made(exposure, grid, wavelength, source, size, options):
    inside = exposure.good & (exposure.wavelength >= wavelength[0])
    inside &= exposure.wavelength <= wavelength[-1]
    pixel = PixelFootprint.of(exposure, grid, wavelength)
    kernel = pixel.height * grid.scale, pixel.width * grid.scale, pixel.angle
    low, high = exposure.wavelength[inside].min(), exposure.wavelength[inside].max()
    instrument = exposure.instrument.removesuffix("_MRS")
    size = size or default_size(np.array([low, high]), instrument)
    npix = int(size / grid.scale) // 2 * 2 + 1
    if npix * grid.scale > LARGEST_FIELD:
        npix -= 2
    given = {"pixel_scale": grid.scale, "npix": npix, "pixel_kernels": (kernel,)}
    count = count_nodes(exposure.instrument, low, high, **given)
    log.info(
        "%s: pixels of %.3f x %.3f arcsec, slices at %.1f deg, %d wavelengths of the PSF",
        exposure.name,
        *kernel,
        count,
    )
    detector = exposure.grating if exposure.instrument == "MIRI_MRS" else exposure.detector
    return make_psf(
        exposure.instrument,
        wavelength=chebyshev_nodes(low, high, count),
        angle=exposure.pa_v3 - grid.pa_y,
        detector=detector,
        source=source,
        **given,
        **options,
    )
