"""PSFs with which the simulated instruments see a scene, on the pixels of the scene, north up."""

from jwst_fusion.psf import aperture_angle, chebyshev_nodes, make_psf
from jwst_fusion.psf.instruments import NIRCAM_LIMIT
from jwst_fusion.simulation.images import i2d_pixel_kernels

__all__ = ["cube_psf", "imager_psf", "long_imager_psf", "pixel_psf"]

_SPAXEL = 0.1  # arcsec: width of a slice, and detector pixel along it


def pixel_psf(scene, *, roll, pitch=_SPAXEL, **options):
    """
    PSF of a detector pixel of the NIRSpec IFU: optics, slice and pixel.

    Parameters
    ----------
    scene : jwst_fusion.simulation.scene.Scene
        Whose pixel scale and wavelength range the PSF takes.
    roll : float
        Position angle of V3, degree.
    pitch : float
        Distance of neighbouring pixels along a slice, arcsec.
    **options
        ``nodes`` (9), ``width`` (4 arcsec), and arguments of `jwst_fusion.psf.make_psf`.

    Returns
    -------
    jwst_fusion.psf.PsfCube
        PSF on the pixel scale of the scene, north up.
    """
    slices = roll + aperture_angle("NIRSPEC")
    return _on_scene("NIRSPEC", scene, roll, ((_SPAXEL, pitch, slices),), **options)


def cube_psf(scene, *, roll, oversample=1.0, spaxel=0.1, cube_angle=0.0, **options):
    """
    PSF of a spaxel of a NIRSpec cube: optics, slice, pixel, drizzle kernel and spaxel.

    Parameters
    ----------
    scene : jwst_fusion.simulation.scene.Scene
        Whose pixel scale and wavelength range the PSF takes.
    roll : float
        Position angle of V3, degree.
    oversample : float
        Factor by which the exposures were oversampled along the slices.
    spaxel : float
        Side of a spaxel, arcsec.
    cube_angle : float
        Position angle of the cube's y axis, degree.
    **options
        ``nodes`` (9), ``width`` (4 arcsec), and arguments of `jwst_fusion.psf.make_psf`.

    Returns
    -------
    jwst_fusion.psf.PsfCube
        PSF on the pixel scale of the scene, north up.
    """
    slices = roll + aperture_angle("NIRSPEC")
    pixel_kernels = (
        (_SPAXEL, _SPAXEL, slices),
        (_SPAXEL, _SPAXEL / oversample, slices),
        (spaxel, spaxel, cube_angle),
    )
    return _on_scene("NIRSPEC", scene, roll, pixel_kernels, **options)


def imager_psf(scene, *, roll, **options):
    """
    PSF of a pixel of a short-wavelength NIRCam mosaic: optics, pixel and drizzle kernel.

    Parameters
    ----------
    scene : jwst_fusion.simulation.scene.Scene
        Whose pixel scale and wavelength range, up to the end of the short channel, the PSF takes.
    roll : float
        Position angle of V3 of the imager's visit, degree.
    **options
        ``nodes`` (9), ``width`` (4 arcsec), and arguments of `jwst_fusion.psf.make_psf`.

    Returns
    -------
    jwst_fusion.psf.PsfCube
        PSF on the pixel scale of the scene, north up.
    """
    pixel_kernels = i2d_pixel_kernels(angle=roll + aperture_angle("NIRCAM"))
    return _on_scene("NIRCAM", scene, roll, pixel_kernels, limit=NIRCAM_LIMIT, **options)


def long_imager_psf(scene, *, roll, **options):
    """
    PSF of a pixel of a long-wavelength NIRCam mosaic: optics, pixel and drizzle kernel.

    Parameters
    ----------
    scene : jwst_fusion.simulation.scene.Scene
        Whose pixel scale and wavelength range, from the beginning of the long channel, the PSF
        takes.
    roll : float
        Position angle of V3 of the imager's visit, degree.
    **options
        ``nodes`` (9), ``width`` (4 arcsec), and arguments of `jwst_fusion.psf.make_psf`.

    Returns
    -------
    jwst_fusion.psf.PsfCube
        PSF on the pixel scale of the scene, north up.
    """
    kernels = i2d_pixel_kernels(channel="LONG", angle=roll + aperture_angle("NIRCAM"))
    return _on_scene("NIRCAM", scene, roll, kernels, start=NIRCAM_LIMIT, **options)


def _on_scene(
    instrument,
    scene,
    roll,
    pixel_kernels,
    *,
    nodes=9,
    width=4.0,
    start=0.0,
    limit=float("inf"),
    **options,
):
    """PSF on the pixels of a scene, at nodes over the range that the instrument sees."""
    blue, red = scene.wavelength[[0, -1]]
    return make_psf(
        instrument,
        wavelength=chebyshev_nodes(max(blue, start), min(red, limit), nodes),
        pixel_scale=scene.pixel_scale,
        npix=int(width / scene.pixel_scale) // 2 * 2 + 1,
        angle=roll,
        pixel_kernels=pixel_kernels,
        **options,
    )
