"""Observe the demo's nebula as products, with what may differ between two observations."""

from dataclasses import dataclass, field, replace
from functools import cache, lru_cache

import numpy as np
from jwst.assign_wcs.pointing import create_fitswcs
from scipy import ndimage
from verdict_benchmark.scenes import with_variable_star

from jwst_fusion.bandpass import load_bandpass, photometry_weights
from jwst_fusion.psf import aperture_angle
from jwst_fusion.simulation.cubes import simulate_s3d
from jwst_fusion.simulation.images import simulate_i2d
from jwst_fusion.simulation.scenes import nebula
from mismatch_benchmark.optics import RIGHT, ROLLS, Truth, true_psfs

__all__ = ["FILTERS", "Fault", "Products", "Size", "demo_scene", "observe", "seen_by_images"]

#: Filters of the images.
FILTERS = ("F182M", "F187N", "F200W", "F210M", "F212N")
_SCENE = {"blue": 1.63, "red": 2.33, "field": 5.6, "pixel_scale": 0.0125}
_BLUE, _RED, _STEP = 1.66, 2.302, 4e-3  # micrometre; channels of the cube
_LINE = 4e-3  # micrometre, sigma: lines are as wide as channels, which shows them whole
_RIM = 0.45  # arcsec by which images are larger than the cube on every side
_NOISE = {"cube": 0.25, "images": 0.1}  # MJy/sr
_CORE = 0.06  # arcsec, radius of a saturated core
_CLIPPED = 0.5  # of the peak of a clipped star
# Noise of neighbouring spaxels as drizzling leaves it: weights along each axis.
_DRIZZLED = (0.15, 0.7, 0.15)


@dataclass(frozen=True)
class Size:
    """
    How large the observation is.

    Parameters
    ----------
    spaxels : int
        Along each side of the cube.
    images : float, optional
        Side of the images, arcsec; by default larger than the cube.
    step : float
        Width of a channel, micrometre.
    """

    spaxels: int = 31
    images: float | None = None
    step: float = _STEP


@dataclass(frozen=True)
class Fault:
    """
    What differs between cube and images.

    Parameters
    ----------
    offset : tuple of float
        By which headers of all images are wrong, to the East and North, arcsec.
    roll : float
        By which these headers are wrong, degree.
    sky : float
        Uniform light of the images alone, in units of their median.
    gains : dict of str to float
        By how much images are brighter than the cube says, by filter; 1 where left out.
    core : {"", "nan", "zero", "clipped"}
        What the images hold in the core of the brightest star.
    brighter : float
        Factor by which the brightest star is brighter in the images.
    correlated : bool
        Noise of the cube as drizzling leaves it, of the stated standard deviation.
    """

    offset: tuple = (0.0, 0.0)
    roll: float = 0.0
    sky: float = 0.0
    gains: dict = field(default_factory=dict)
    core: str = ""
    brighter: float = 1.0
    correlated: bool = False


@dataclass(frozen=True)
class Products:
    """
    Cube and images, and the truth behind them.

    Parameters
    ----------
    cube : stdatamodels.jwst.datamodels.IFUCubeModel
        The cube.
    images : list of stdatamodels.jwst.datamodels.ImageModel
        The images.
    scene : jwst_fusion.simulation.scene.Scene
        What they show.
    psf : Truth
        PSFs behind which they show it.
    skies : list of float
        Uniform light that each image has and the cube has not, MJy/sr.
    """

    cube: object
    images: list
    scene: object
    psf: Truth
    skies: list


@cache
def demo_scene():
    """
    Draw the nebula of the demo with its six stars, its lines as wide as a channel.

    Returns
    -------
    jwst_fusion.simulation.scene.Scene
    """
    scene = nebula(**_SCENE)
    step = np.diff(np.log(scene.wavelength)).mean() * np.mean(scene.wavelength)
    return replace(scene, spectra=ndimage.gaussian_filter1d(scene.spectra, _LINE / step, axis=1))


@lru_cache(maxsize=3)
def seen_by_images(psf, brighter=1.0):
    """
    Return the scene behind the PSFs of the images.

    Parameters
    ----------
    psf : Truth
        The PSFs.
    brighter : float
        Factor by which the brightest star is brighter.

    Returns
    -------
    jwst_fusion.simulation.scene.ObservedScene
    """
    scene = demo_scene()
    imager = true_psfs(psf, scene.pixel_scale, *scene.wavelength[[0, -1]])[0]
    return (with_variable_star(scene, brighter) if brighter != 1 else scene).observe(imager)


def observe(*, psf=RIGHT, fault=None, size=None, seed=1):
    """
    Observe the nebula.

    Parameters
    ----------
    psf : Truth
        PSFs of both instruments.
    fault : Fault, optional
        What differs between them.
    size : Size, optional
        Sizes of cube and images.
    seed : int
        Seed of the noise.

    Returns
    -------
    Products
    """
    fault, size, scene = fault or Fault(), size or Size(), demo_scene()
    wavelength = np.arange(_BLUE, _RED, size.step)
    _, spectrometer = true_psfs(psf, scene.pixel_scale, *scene.wavelength[[0, -1]])
    cube = simulate_s3d(
        scene,
        wavelength,
        shape=(size.spaxels, size.spaxels),
        roll=ROLLS[0],
        noise=_NOISE["cube"],
        psf=spectrometer,
        seed=1000 + seed,
    )
    if fault.correlated:
        _correlate(cube, scene, wavelength, spectrometer)
    observed = seen_by_images(psf, fault.brighter)
    side = size.images or 0.1 * size.spaxels + 2 * _RIM
    images, skies = [], []
    for index, name in enumerate(FILTERS):
        weights = photometry_weights(scene.wavelength, load_bandpass(name))
        image = simulate_i2d(
            observed,
            weights / weights.sum(),
            filter_name=name,
            ra=scene.ra,
            dec=scene.dec,
            position_angle=ROLLS[1] + aperture_angle("NIRCAM"),
            shape=(round(side / 0.0311), round(side / 0.0311) + 1),
            roll=ROLLS[1],
            noise=_NOISE["images"],
            seed=2000 + 10 * seed + index,
        )
        skies.append(fault.sky * float(np.median(image.data)))
        _spoil(image, scene, fault, skies[-1], fault.gains.get(name, 1.0))
        images.append(image)
    return Products(cube, images, scene, psf, skies)


def _correlate(cube, scene, wavelength, psf):
    """Replace the noise of a cube by one that neighbouring spaxels share, of the same size."""
    y, x = np.mgrid[: cube.data.shape[1], : cube.data.shape[2]].astype(float)
    ra, dec, _ = cube.meta.wcs(x, y, np.zeros_like(x))
    clean = scene.observe(psf).cube(ra, dec, wavelength)
    noise = (cube.data - clean) / cube.err
    for axis in (1, 2):
        noise = ndimage.convolve1d(noise, _DRIZZLED, axis=axis, mode="wrap")
    noise /= np.sum(np.square(_DRIZZLED))
    cube.data = (clean + noise * cube.err).astype(np.float32)


def _spoil(image, scene, fault, sky, gain):
    """Put faults into an image, in place."""
    if fault.core:
        _saturate(image, scene, fault.core)
    image.data = np.float32(gain) * image.data + np.float32(sky)
    image.err = np.float32(gain) * image.err
    if fault.roll or any(fault.offset):
        info = image.meta.wcsinfo
        angle = np.radians(ROLLS[1] + aperture_angle("NIRCAM") + fault.roll)
        info.pc1_1, info.pc1_2 = -np.cos(angle), np.sin(angle)
        info.pc2_1, info.pc2_2 = np.sin(angle), np.cos(angle)
        info.crval1 += fault.offset[0] / 3600 / np.cos(np.radians(scene.dec))
        info.crval2 += fault.offset[1] / 3600
        image.meta.wcs = create_fitswcs(image)


def _saturate(image, scene, how):
    """Saturate the core of the brightest star: no data, zeros, or flat."""
    star = max(scene.sources, key=lambda one: one.flux)
    north = scene.dec + star.north / 3600
    east = scene.ra + star.east / 3600 / np.cos(np.radians(scene.dec))
    x, y = image.meta.wcs.invert(east, north)
    rows, columns = np.indices(image.data.shape)
    distance = np.hypot(rows - y, columns - x) * 0.0311
    core = distance < _CORE
    data = np.array(image.data)
    if how == "nan":
        data[core] = np.nan
    elif how == "zero":
        data[core] = 0
    else:
        data = np.minimum(data, np.where(distance < 0.3, _CLIPPED * data[core].max(), np.inf))
    image.data = data.astype(np.float32)
