"""Observe a case, fuse it, and say what the fault costs; the truth is known."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from jwst.assign_wcs.pointing import create_fitswcs

from jwst_fusion.bandpass import load_bandpass, photometry_weights
from jwst_fusion.fusion import FusionOptions, fuse_observations
from jwst_fusion.messages import collected_warnings
from jwst_fusion.products.fused_cube import fused_product
from jwst_fusion.products.observations import open_cube, read_image
from jwst_fusion.psf import aperture_angle
from jwst_fusion.report.fused.product import read_fused
from jwst_fusion.simulation.cubes import simulate_s3d
from jwst_fusion.simulation.images import simulate_i2d
from jwst_fusion.simulation.truth import truth_cube
from verdict_benchmark.optics import (
    ROLLS,
    right_cube_psf,
    right_imager_psf,
    wrong_imager_psf,
)
from verdict_benchmark.scenes import random_scene, with_variable_star
from verdict_benchmark.sums import sums_of

__all__ = ["Fused", "fuse_case"]

_SHAPE = (12, 13)  # spaxels
_WAVELENGTH = np.arange(1.7, 2.2301, 5e-3)  # micrometre: 107 channels
_SIDE = 84  # pixels of the images, 2.6 arcsec
_BRIGHTEST = 2 / 3  # quantile of the brightness above which errors count
_STAR = 0.05  # arcsec: radius of what counts as a star
_CORE = 0.06  # arcsec: radius of a saturated core
_CLIP = 0.5  # of the peak, above which a clipped star is flat
_OPTIONS = {
    "psf_source": "aperture",
    "psf_size": 1.6,
    "psf_nodes": 8,
    "margin": 0.3,
}
# Sizes of faults that are parameters of the fusion.
_PARAMETERS = ("rank", "crosscal", "noise_scales")


@dataclass(frozen=True)
class Fused:
    """
    A fused case.

    Attributes
    ----------
    product : jwst_fusion.report.fused.product.FusedProduct
        What the report reads.
    truth : array (L, y, x)
        The scene at the resolution of the imager, MJy/sr.
    stars : list of tuple of float
        Row and column of each star within the field.
    sums : list of verdict_benchmark.sums.Sum
        Sums over the fused cube, with their errors.
    """

    product: object
    truth: np.ndarray
    stars: list
    sums: list


def fuse_case(case, keep=None):
    """
    Simulate, fuse, and read the product back.

    Parameters
    ----------
    case : verdict_benchmark.cases.Case
    keep : pathlib.Path, optional
        File for the product.

    Returns
    -------
    Fused
    """
    base, values = case.base, case.values
    scene = random_scene(base.scene, base.stars, np.random.default_rng(base.number))
    with collected_warnings() as messages:
        cube, images = _observed(scene, base, case.fault, values)
        given = {name: values[name] for name in _PARAMETERS if name in values}
        if case.fault == "PSF of cube":
            given["psf_broadening"] = 0.0
        options = FusionOptions(**_OPTIONS, **given)
        observation, model = open_cube(cube)
        grid = observation.grid.padded((6, 6), (6, 6))
        read = [read_image(image, grid=grid) for image in images]
        fused = fuse_observations(observation, read, options)
    product = fused_product(model, fused, options, images_given=len(images), messages=messages)
    product.meta.cal_step.fusion = "COMPLETE"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case_fused_s3d.fits"
        product.save(str(path))
        if keep is not None:
            shutil.copyfile(path, keep)
        with fits.open(path, memmap=False) as hdus:
            found = read_fused(hdus, "case")
            found.data, found.err, found.dq, found.origin  # noqa: B018
            header = hdus["SCI"].header
            psf = _imager_psf(scene, case.fault, values)
            truth = truth_cube(scene, psf, header, found.wavelength).astype(np.float32)
            stars = _stars(scene, header)
    sums = sums_of(product, found, truth, stars)
    return Fused(found, truth, stars, sums)


def _observed(scene, base, fault, values):
    """Cube and images with their fault, as data models."""
    seed = 1000 + 10 * base.number
    bright = _brightness(scene)
    cube = simulate_s3d(
        scene,
        _WAVELENGTH,
        shape=_SHAPE,
        roll=ROLLS[0],
        noise=_noise(bright, base.cube_sn, 100),
        psf=right_cube_psf(scene, wider=values.get("wider")),
        seed=seed,
    )
    if fault == "sky of cube":
        cube.data = cube.data + np.float32(values["sky"] * bright)
    if values.get("which") == "cube":
        cube.err = cube.err * np.float32(values["factor"])
    seen = with_variable_star(scene, values["factor"]) if fault == "variable star" else scene
    observed = seen.observe(_imager_psf(scene, fault, values))
    images = []
    for index, name in enumerate(base.filters):
        image = _image(scene, observed, name, _noise(bright, base.image_sn, 1000), seed + 1 + index)
        if index == values.get("image", 0) or fault not in _ONE_IMAGE:
            _spoil(image, scene, fault, values, bright)
        images.append(image)
    return cube, images


_ONE_IMAGE = ("offset", "gain", "sky of image", "dead image", "wrong field", "saturated star")


def _noise(bright, signal_to_noise, doubling):
    """Noise without signal that gives a signal-to-noise ratio, of `simulate_s3d` and others."""
    # sigma^2 = noise^2 + noise bright / doubling
    share = bright / doubling
    sigma = bright / signal_to_noise
    return float(0.5 * (np.sqrt(share**2 + 4 * sigma**2) - share))


def _brightness(scene):
    """Mean over wavelength of the brightest third of the diffuse light, MJy/sr."""
    mean = np.tensordot(scene.spectra.mean(1), scene.maps, 1)
    middle = mean.shape[0] // 2
    part = mean[middle - 24 : middle + 25, middle - 24 : middle + 25]
    return float(part[part > np.quantile(part, _BRIGHTEST)].mean())


def _imager_psf(scene, fault, values):
    if fault not in ("wavefront", "jitter"):
        return right_imager_psf(scene)
    return wrong_imager_psf(scene, **values)


def _image(scene, observed, name, noise, seed):
    weights = photometry_weights(scene.wavelength, load_bandpass(name))
    return simulate_i2d(
        observed,
        weights / weights.sum(),
        filter_name=name,
        ra=scene.ra,
        dec=scene.dec,
        position_angle=ROLLS[1] + aperture_angle("NIRCAM"),
        shape=(_SIDE, _SIDE + 2),
        roll=ROLLS[1],
        noise=noise,
        seed=seed,
    )


def _spoil(image, scene, fault, values, bright):
    """Put the fault into an image."""
    data = np.array(image.data)
    if fault == "offset":
        east, north = values["shift"]
        image.meta.wcsinfo.crval1 += east / 3600 / np.cos(np.radians(scene.dec))
        image.meta.wcsinfo.crval2 += north / 3600
        image.meta.wcs = create_fitswcs(image)
    elif fault == "gain":
        image.data = data * np.float32(values["gain"])
        image.err = image.err * np.float32(values["gain"])
    elif fault == "sky of image":
        image.data = data + np.float32(values["sky"] * bright)
    elif fault == "dead image":
        rng = np.random.default_rng(1)
        sigma = np.sqrt(image.var_rnoise)
        image.data = (sigma * rng.standard_normal(data.shape)).astype(np.float32)
        image.err = sigma
    elif fault == "wrong field":
        turned = np.rot90(data[:, :_SIDE])
        image.data = np.pad(turned, ((0, 0), (0, data.shape[1] - _SIDE)), mode="edge")
    elif fault == "saturated star":
        _saturate(image, scene, values["core"])
    elif values.get("which") == "images":
        image.err = image.err * np.float32(values["factor"])


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
        data = np.minimum(data, np.where(distance < 0.3, _CLIP * data[core].max(), np.inf))
    image.data = data.astype(np.float32)


def _stars(scene, header):
    sky = WCS(header).celestial
    found = []
    for one in scene.sources:
        ra = scene.ra + one.east / 3600 / np.cos(np.radians(scene.dec))
        x, y = sky.all_world2pix(ra, scene.dec + one.north / 3600, 0)
        if 1 <= x < header["NAXIS1"] - 2 and 1 <= y < header["NAXIS2"] - 2:
            found.append((float(y), float(x)))
    return found
