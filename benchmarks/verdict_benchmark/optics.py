"""PSFs of imager and spectrometer as the fusion makes them, and of an imager that is not so."""

from functools import cache

import numpy as np

from jwst_fusion.psf import PsfCube, aperture_angle, chebyshev_nodes
from jwst_fusion.psf.aperture import native_psf, pupil, wavefront_error
from jwst_fusion.psf.resample import resample_psf
from jwst_fusion.simulation.images import i2d_pixel_kernels
from jwst_fusion.simulation.psfs import cube_psf, imager_psf

__all__ = ["ROLLS", "random_wavefront", "right_cube_psf", "right_imager_psf", "wrong_imager_psf"]

ROLLS = 30.0, 77.0  # position angles of V3 of spectrograph and imager, degree
_WIDTH = 2.0  # arcsec
_NODES = 9
_FINE = 0.02, 175  # pixel [arcsec] and pixels of the PSFs with another wavefront
_DIFFUSION = 0.0062  # arcsec, sigma: charge diffusion of NIRCam's short channel
_SIDE = 512  # samples of the pupil


@cache
def _made(which, scene_pixel, blue, red, broadening=None):
    scene = _Grid(scene_pixel, np.array([blue, red]))
    options = {"nodes": _NODES, "width": _WIDTH, "source": "aperture"}
    if broadening is not None:
        options["broadening"] = broadening
    if which == "cube":
        return cube_psf(scene, roll=ROLLS[0], **options)
    return imager_psf(scene, roll=ROLLS[1], **options)


class _Grid:
    """What the makers of PSFs read of a scene."""

    def __init__(self, pixel_scale, wavelength):
        self.pixel_scale, self.wavelength = pixel_scale, wavelength


def right_cube_psf(scene, *, wider=None):
    """
    Return the PSF of a spaxel, as the fusion makes it or wider.

    Parameters
    ----------
    scene : jwst_fusion.simulation.scene.Scene
    wider : float, optional
        Sigma of a Gaussian that widens it, arcsec.

    Returns
    -------
    jwst_fusion.psf.PsfCube
    """
    return _made("cube", scene.pixel_scale, *scene.wavelength[[0, -1]], wider)


def right_imager_psf(scene):
    """
    Return the PSF of a pixel of the images, as the fusion makes it.

    Parameters
    ----------
    scene : jwst_fusion.simulation.scene.Scene

    Returns
    -------
    jwst_fusion.psf.PsfCube
    """
    return _made("imager", scene.pixel_scale, *scene.wavelength[[0, -1]])


def wrong_imager_psf(scene, *, jitter=0.0, wavefront=0.0, seed=0):
    """
    Return a PSF of the images that the fusion does not know.

    Parameters
    ----------
    scene : jwst_fusion.simulation.scene.Scene
    jitter : float
        Sigma of a Gaussian that widens it, arcsec.
    wavefront : float
        Additional wavefront error, nm rms: low orders at random.
    seed : int
        Seed of the wavefront.

    Returns
    -------
    jwst_fusion.psf.PsfCube
    """
    blue, red = scene.wavelength[[0, -1]]
    sigma = float(np.hypot(_DIFFUSION, jitter))
    if not wavefront:
        return _made("imager", scene.pixel_scale, blue, red, sigma)
    npix = int(_WIDTH / scene.pixel_scale) // 2 * 2 + 1
    turn = ROLLS[1] + aperture_angle("NIRCAM")
    nodes = chebyshev_nodes(blue, red, _NODES)
    added = random_wavefront(wavefront, seed)
    data = [
        resample_psf(
            native_psf("NIRCAM_SW", one, *_FINE, error=wavefront_error("NIRCAM_SW", one) + added),
            _FINE[0],
            npix=npix,
            pixel_scale=scene.pixel_scale,
            angle=ROLLS[1],
            pixel_kernels=i2d_pixel_kernels(angle=turn),
            broadening=sigma,
            recentre=True,
        )
        for one in nodes
    ]
    return PsfCube(np.array(data), nodes, scene.pixel_scale, "aperture")


def random_wavefront(rms, seed):
    """
    Draw astigmatism, coma, focus and trefoil at random over the open pupil.

    Parameters
    ----------
    rms : float
        Over the open pupil, nm.
    seed : int
        Seed of the terms.

    Returns
    -------
    ndarray
        Optical path difference over the samples of `jwst_fusion.psf.aperture.pupil`, nm.
    """
    y, x = np.mgrid[-1 : 1 : _SIDE * 1j, -1 : 1 : _SIDE * 1j]
    terms = [x**2 + y**2, x**2 - y**2, x * y, x * (x**2 + y**2), y * (x**2 + y**2)]
    terms += [x**3 - 3 * x * y**2, 3 * x**2 * y - y**3]
    surface = np.tensordot(np.random.default_rng(seed).standard_normal(len(terms)), terms, 1)
    used = pupil() > 0
    tilts = np.stack([np.ones(used.sum()), x[used], y[used]], axis=1)
    values = surface[used]
    values -= tilts @ np.linalg.lstsq(tilts, values, rcond=None)[0]
    out = np.zeros_like(surface)
    out[used] = values * rms / np.sqrt(np.mean(values**2))
    return out
