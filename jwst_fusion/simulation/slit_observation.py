"""Light and noise of a scene on the pixels of one slit, and the noiseless truth."""

from functools import partial

import numpy as np

from jwst_fusion.simulation.noise import Noise, expose
from jwst_fusion.simulation.slit_geometry import NIRSPEC_PITCH
from jwst_fusion.simulation.slit_scene import LRS_PROFILE, NIRSPEC_PROFILE

__all__ = ["observe_slit", "slit_coordinate", "slit_noise", "slit_truth"]

slit_noise = partial(Noise, bad_clusters=4, residues=0)


def slit_truth(slit, scene, *, oversample=1.0):
    """
    Noiseless light of a scene on the native or on finer pixels along a slit.

    Parameters
    ----------
    slit : stdatamodels.jwst.datamodels.SlitModel or item of MultiSlitModel.slits
        Native slit with its WCS.
    scene : SlitScene
        What the slit sees.
    oversample : float
        Pixels per native pixel along the slit.

    Returns
    -------
    ndarray
        In the unit of the slit's data, as a native pixel centred there would see it, of shape (rows
        x oversample, columns), for the LRS (rows, columns x oversample); NaN outside the slit.
    """
    position, wavelength, profile = slit_coordinate(slit, oversample=oversample)
    return scene.surface_brightness(position, wavelength, profile) * _scale(slit)


def slit_coordinate(slit, *, oversample=1.0):
    """
    Evaluate the coordinates of the pixels of a slit.

    Parameters
    ----------
    slit : stdatamodels.jwst.datamodels.SlitModel or item of MultiSlitModel.slits
        Native slit with its WCS.
    oversample : float
        Pixels per native pixel along the slit.

    Returns
    -------
    position : ndarray
        Arcsec along the slit, towards growing rows (NIRSpec) or columns (LRS); NaN outside.
    wavelength : ndarray
        Micrometre, same shape.
    profile : SlitProfile
        Of a point source in this instrument.
    """
    wcs, shape = slit.meta.wcs, slit.data.shape[-2:]
    along = int("alpha_beta" in wcs.available_frames)
    native = [np.arange(float(n)) for n in shape]
    count = int(np.ceil(shape[along] * oversample))
    native[along] = (np.arange(count) + 0.5) / oversample - 0.5
    y, x = np.meshgrid(*native, indexing="ij")
    _, _, wavelength = wcs(x, y)
    if along:
        position, _, _ = wcs.transform("detector", "alpha_beta", x, y)
        return np.where(np.isfinite(wavelength), position, np.nan), wavelength, LRS_PROFILE
    _, coordinate, _ = wcs.transform("detector", "slit_frame", x, y)
    unit = NIRSPEC_PITCH / np.nanmedian(np.abs(np.diff(coordinate, axis=0))) / oversample
    return -coordinate * unit, wavelength, NIRSPEC_PROFILE


def _scale(slit):
    """MJy/sr of a native pixel in the unit of the data."""
    return slit.meta.photometry.pixelarea_steradians if slit.meta.bunit_data == "MJy" else 1.0


def observe_slit(slit, scene, *, unit, rng, noise=None, light_curve=None):
    """
    Fill a slit that has a WCS with light and noise.

    Parameters
    ----------
    slit : stdatamodels.jwst.datamodels.SlitModel
        Slit with data of its shape; changed in place: data, errors, flags, unit, wavelength.
    scene : SlitScene
        What the slit sees.
    unit : {"MJy", "MJy/sr"}
        Of data and errors; MJy is the flux of a pixel.
    rng : numpy.random.Generator
        Source of the randomness.
    noise : Noise, optional
        Default: `slit_noise()`.
    light_curve : sequence of float, optional
        Factor of the light in each integration. Default: one exposure without that axis.
    """
    slit.meta.bunit_data = slit.meta.bunit_err = unit
    noise = slit_noise() if noise is None else noise
    position, wavelength, profile = slit_coordinate(slit)
    truth = scene.surface_brightness(position, wavelength, profile)
    light = scene.collected(position, wavelength, profile)
    images = [
        expose(factor * truth, noise=noise, rng=rng, light=factor * light)
        for factor in ([1.0] if light_curve is None else light_curve)
    ]
    for name in images[0]:
        stack = np.array([image[name] for image in images])
        power = {"dq": 0, "data": 1, "err": 1}.get(name, 2)
        stack = stack[0] if light_curve is None else stack
        setattr(slit, name, (stack * _scale(slit) ** power).astype(stack.dtype))
    slit.wavelength = wavelength.astype(np.float32)
