"""Noise that neighbouring spaxels share: it is measured, and errors know it."""

import numpy as np
import pytest
from scipy import ndimage

from jwst_fusion.fusion.observed.correlation import independent_spaxels

DRIZZLED = np.array([0.15, 0.7, 0.15])


def psf(sigma=2.5):
    y, x = np.indices((31, 31)) - 15
    plane = np.exp(-0.5 * (x**2 + y**2) / sigma**2)
    return plane / plane.sum()


def noisy(*, shared, shape=(60, 30, 31), seed=1):
    """Noise of unit variance beside a scene with a star, lines and a gap."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(shape)
    if shared:
        for axis in (1, 2):
            noise = ndimage.convolve1d(noise, DRIZZLED, axis=axis, mode="wrap")
        noise /= np.sum(DRIZZLED**2)
    y, x = np.indices(shape[1:])
    star = 300 * np.exp(-0.5 * ((x - 12) ** 2 + (y - 17) ** 2) / 0.8**2)
    wave = np.linspace(0, 1, shape[0])[:, None, None]
    line = (np.arange(shape[0]) % 20 == 7)[:, None, None]
    cube = noise + star * (1 + 0.3 * wave) + 50 * line * ndimage.gaussian_filter(star, 3.0)
    cube[:, :3, :4] = np.nan
    return cube


def expected(plane):
    """Share of independent spaxels, in closed form, from both autocorrelations."""
    seen = plane[0::3, 0::3]
    kernel = np.outer(DRIZZLED, DRIZZLED)
    blurred = ndimage.convolve(seen, kernel, mode="constant")
    white = np.sum(kernel**2) * np.sum(seen**2)
    return white / np.sum(blurred**2)


def test_noise_that_is_not_shared_is_believed():
    assert independent_spaxels(noisy(shared=False), psf(), 3) == 1.0


@pytest.mark.parametrize("seed", [1, 2])
def test_noise_that_is_shared_is_measured(seed):
    found = independent_spaxels(noisy(shared=True, seed=seed), psf(), 3)
    assert found == pytest.approx(expected(psf()), rel=0.1)
    assert found < 0.5


def test_too_few_channels_tell_nothing():
    assert independent_spaxels(noisy(shared=True, shape=(9, 30, 31)), psf(), 3) == 1.0
    assert independent_spaxels(np.full((20, 30, 31), np.nan), psf(), 3) == 1.0


def test_errors_and_noise_scale_know_of_shared_noise(products, scene, gaussian_psfs):
    from jwst_fusion.products.observations import read_cube
    from jwst_fusion.steps.fusion import FusionStep

    wave = np.linspace(1.66, 2.30, 33)
    cube = products.cube(scene, wave, shape=(15, 16), noise=10.0, corners=False)
    clean = products.cube(scene, wave, shape=(15, 16), noise=0.0, corners=False)
    noise = np.asarray(cube.data, float) - clean.data
    for axis in (1, 2):
        noise = ndimage.convolve1d(noise, DRIZZLED, axis=axis, mode="wrap")
    cube.data = (clean.data + noise / np.sum(DRIZZLED**2)).astype(np.float32)
    options = {"psf_size": 1.0, "margin": 0.3, "sources": "none", "psf_fit": "none"}
    image = products.image(scene, "F210M", shape=(130, 134))
    result = FusionStep.call([cube, image], **options, **gaussian_psfs)
    assert 0.7 < result.meta.fusion.noise_scale_cube < 1.3
    assert 0.7 < result.meta.fusion.chi2_cube < 1.4
    grid = read_cube(result).grid
    truth = scene.cube(grid.wcs, grid.shape, wave, products.imager_sigma)
    good = result.dq == 0
    pull = np.quantile(np.abs(result.data - truth)[good] / result.err[good], 0.683)
    assert 0.6 < pull < 1.25


@pytest.mark.parametrize("size", [1, 3, 5])
def test_a_psf_of_few_pixels_is_no_obstacle(size):
    kernel = np.full((size, size), 1 / size**2)
    assert independent_spaxels(noisy(shared=False), kernel, 2) == 1.0
