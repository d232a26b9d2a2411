"""MIRI: cubes of the medium-resolution spectrometer and images of a scene, made directly."""

from jwst_fusion.bandpass import load_bandpass, photometry_weights
from jwst_fusion.psf import aperture_angle, chebyshev_nodes, make_psf
from jwst_fusion.psf.instruments import pixel_of
from jwst_fusion.simulation.cubes import simulate_s3d
from jwst_fusion.simulation.images import simulate_i2d

__all__ = ["miri_imager_psf", "mrs_psf", "simulate_miri_i2d", "simulate_mrs_s3d"]

#: Detector pixel of the imager (arcsec).
IMAGER_PIXEL = 0.11
# Default spaxel of the pipeline's cubes (arcsec).
_SPAXELS = {"1": 0.13, "2": 0.17, "3": 0.20, "4": 0.35}
_NAMES = {"A": "SHORT", "B": "MEDIUM", "C": "LONG"}


def mrs_psf(scene, band, *, roll, spaxel=None, nodes=9, width=6.0, **options):
    """
    PSF of a spaxel of a cube of the spectrometer: optics, slice, pixel, drizzle kernel, spaxel.

    Parameters
    ----------
    scene : jwst_fusion.simulation.scene.Scene
        Whose pixel scale and wavelength range the PSF takes.
    band : str
        Band whose slices and orientation the cube has, such as "2B".
    roll : float
        Position angle of V3, degree; the cube has North up.
    spaxel : float, optional
        Side of a spaxel, arcsec. Default: as the pipeline makes it for that channel.
    nodes : int
        Wavelengths.
    width : float
        Side of the PSF, arcsec.
    **options
        Arguments of `jwst_fusion.psf.make_psf`.

    Returns
    -------
    jwst_fusion.psf.PsfCube
        PSF on the pixel scale of the scene, north up, at `nodes` wavelengths.
    """
    slices = (*pixel_of("MIRI_MRS", band), roll + aperture_angle("MIRI_MRS", band))
    spaxel = _SPAXELS[band[0]] if spaxel is None else spaxel
    pixel_kernels = (slices, slices, (spaxel, spaxel, 0.0))
    return _on_scene("MIRI_MRS", scene, roll, pixel_kernels, nodes, width, detector=band, **options)


def miri_imager_psf(scene, *, roll, nodes=9, width=6.0, **options):
    """
    PSF of a pixel of a mosaic of the imager: optics, pixel, drizzle kernel and output pixel.

    Parameters
    ----------
    scene : jwst_fusion.simulation.scene.Scene
        Whose pixel scale and wavelength range the PSF takes.
    roll : float
        Position angle of V3, degree.
    nodes : int
        Wavelengths.
    width : float
        Side of the PSF, arcsec.
    **options
        Arguments of `jwst_fusion.psf.make_psf`.

    Returns
    -------
    jwst_fusion.psf.PsfCube
        PSF on the pixel scale of the scene, north up, at `nodes` wavelengths.
    """
    pixel = (IMAGER_PIXEL, IMAGER_PIXEL, roll + aperture_angle("MIRI"))
    return _on_scene("MIRI", scene, roll, (pixel,) * 3, nodes, width, **options)


def _on_scene(instrument, scene, roll, pixel_kernels, nodes, width, **options):
    return make_psf(
        instrument,
        wavelength=chebyshev_nodes(*scene.wavelength[[0, -1]], nodes),
        pixel_scale=scene.pixel_scale,
        npix=int(width / scene.pixel_scale) // 2 * 2 + 1,
        angle=roll,
        pixel_kernels=pixel_kernels,
        **{"source": "aperture", **options},
    )


def simulate_mrs_s3d(scene, wavelength, band, *, shape, roll, psf, noise=1.0, seed=301):
    """
    Cube of the spectrometer, North up, as cube_build would make it of many dithers.

    Parameters
    ----------
    scene : jwst_fusion.simulation.scene.Scene
        What is seen; the cube is centred on it.
    wavelength : ndarray
        Evenly spaced channels, micrometre, shape (n,).
    band : str
        Band such as "2B", or a channel such as "2" whose three bands were joined.
    shape : tuple of int
        Rows and columns of spaxels.
    roll : float
        Position angle of V3, degree.
    psf : jwst_fusion.psf.PsfCube
        From `mrs_psf`.
    noise : float
        Error per voxel at zero signal, MJy/sr.
    seed : int
        Seed of the noise.

    Returns
    -------
    stdatamodels.jwst.datamodels.IFUCubeModel
        As by `jwst_fusion.simulation.cubes.simulate_s3d`.
    """
    model = simulate_s3d(
        scene,
        wavelength,
        shape=shape,
        spaxel=_SPAXELS[band[0]],
        roll=roll,
        noise=noise,
        psf=psf,
        seed=seed,
    )
    meta = model.meta
    meta.filename = f"jw09999-o001_t001_miri_ch{band.lower()}_s3d.fits"
    meta.instrument.name = "MIRI"
    meta.instrument.detector = "MIRIFUSHORT" if band[0] in "12" else "MIRIFULONG"
    meta.instrument.channel = band[0]
    meta.instrument.band = _NAMES.get(band[1:], "MULTIPLE")
    meta.instrument.grating = meta.instrument.filter = None
    meta.exposure.type = "MIR_MRS"
    meta.aperture.name = "MIRIFU_CHANNEL1A"
    return model


def simulate_miri_i2d(observed, name, *, shape, roll, noise=0.5, seed=401):
    """
    Resampled image of the imager through one filter, along the axes of the detector.

    Parameters
    ----------
    observed : jwst_fusion.simulation.scene.ObservedScene
        Scene convolved with `miri_imager_psf`.
    name : str
        Filter, for example "F1000W".
    shape : tuple of int
        Rows and columns.
    roll : float
        Position angle of V3, degree.
    noise : float
        Error per pixel at zero signal, MJy/sr.
    seed : int
        Seed of the noise.

    Returns
    -------
    stdatamodels.jwst.datamodels.ImageModel
        As by `jwst_fusion.simulation.images.simulate_i2d`.
    """
    scene = observed.scene
    band = load_bandpass(name, instrument="MIRI")
    model = simulate_i2d(
        observed,
        photometry_weights(scene.wavelength, band),
        filter_name=name,
        ra=scene.ra,
        dec=scene.dec,
        position_angle=roll + aperture_angle("MIRI"),
        shape=shape,
        roll=roll,
        noise=noise,
        channel="MIRI",
        seed=seed,
    )
    meta = model.meta
    meta.filename = f"jw09999-o001_t001_miri_{name.lower()}_i2d.fits"
    meta.instrument.name, meta.instrument.detector = "MIRI", "MIRIMAGE"
    meta.instrument.channel = meta.instrument.module = meta.instrument.pupil = None
    meta.exposure.type = "MIR_IMAGE"
    meta.aperture.name = "MIRIM_FULL"
    return model
