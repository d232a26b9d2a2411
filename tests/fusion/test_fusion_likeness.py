"""Whether image and cube show the same scene, from the data alone."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage, signal

from jwst_fusion.fusion.observed.likeness import likeness

FACTOR, SIZE, CHANNELS = 3, 16, 12


def gaussian(width):
    y, x = np.indices((25, 25)) - 12
    psf = np.exp(-0.5 * (x**2 + y**2) / width**2)
    return (psf / psf.sum())[None]


PSF = SimpleNamespace(weights=np.ones((CHANNELS, 1)), image=gaussian(1.0), cube=gaussian(2.5))


def scene(seed):
    """Clouds of ten per cent."""
    rng = np.random.default_rng(seed)
    clouds = ndimage.gaussian_filter(rng.standard_normal((FACTOR * SIZE + 24,) * 2), 2.5)
    return 10 + clouds / clouds.std()


def seen(light, psf):
    inside = slice(12, 12 + FACTOR * SIZE)
    return signal.fftconvolve(light, psf[0], "same")[inside, inside]


def measured(light, other, noise, *, gain=1.0, shape=None):
    rng = np.random.default_rng(3)
    image = gain * seen(other, PSF.image)
    cube = seen(light, PSF.cube)[FACTOR // 2 :: FACTOR, FACTOR // 2 :: FACTOR]
    cube = np.broadcast_to(cube, (CHANNELS, SIZE, SIZE))
    sigma = noise * np.array([1.0, np.sqrt(CHANNELS)])
    image = image + sigma[0] * rng.standard_normal(image.shape)
    cube = cube + sigma[1] * rng.standard_normal(cube.shape)
    cube[:, :2] = np.nan
    image[:, :3] = np.nan
    responses = np.full((1, CHANNELS), 1 / CHANNELS)
    errors = np.full(cube.shape, sigma[1]), np.full((1, *image.shape), sigma[0])
    (found,) = likeness(
        cube, errors[0], image[None], errors[1], responses=responses, psf=PSF, factor=FACTOR
    )
    return found


@pytest.mark.parametrize("noise", [0.01, 0.3])
def test_the_same_scene_has_the_same_contrast(noise):
    found = measured(scene(1), scene(1), noise)
    assert abs(found.factor - 1) < 4 * found.error + 0.02
    assert found.factor > 5 * found.error


def test_contrast_follows_the_gain():
    found = measured(scene(1), scene(1), 0.01, gain=1.25)
    assert found.factor == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("noise", [0.01, 0.3])
def test_another_scene_has_nothing_in_common(noise):
    found = measured(scene(1), scene(2), noise)
    assert abs(found.factor) < 4 * found.error
    assert found.factor < 0.5
    assert 1 - found.factor > 5 * found.error


def test_an_image_of_noise_tells_nothing():
    assert measured(scene(1), 10 + 0 * scene(1), 0.3) is None
