"""True cubes on the grid of a product, as a perfect instrument would have delivered them."""

import numpy as np
from astropy.wcs import WCS

__all__ = ["truth_cube"]


def truth_cube(scene, psf, header, wavelength):
    """
    The scene behind a PSF on the sky grid of a product.

    Parameters
    ----------
    scene : jwst_fusion.simulation.scene.Scene
        Scene before any PSF.
    psf : jwst_fusion.psf.PsfCube
        For example from `jwst_fusion.simulation.psfs.imager_psf`.
    header : astropy.io.fits.Header
        Header of the extension whose first two axes are the sky grid.
    wavelength : ndarray
        Wavelengths, micrometre, shape (n,), within the nodes of the PSF.

    Returns
    -------
    ndarray
        MJy/sr, shape (n, ny, nx).
    """
    sky = WCS(header).celestial
    y, x = np.mgrid[: header["NAXIS2"], : header["NAXIS1"]]
    ra, dec = sky.all_pix2world(x, y, 0)
    return scene.observe(psf).cube(ra, dec, wavelength)
