"""Errors know what the cube shows of components that were left out."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage, signal

from jwst_fusion.fusion import FusionData, FusionSettings, error_of, fuse
from jwst_fusion.fusion.solver.whitening import usable_data
from jwst_fusion.fusion.stored_posterior import packed, unpacked

FACTOR, SIZE, CHANNELS = 3, 14, 40
FIELD = slice(12, 12 + FACTOR * SIZE)


def gaussian(width):
    y, x = np.indices((21, 21)) - 10
    psf = np.exp(-0.5 * (x**2 + y**2) / width**2)
    return (psf / psf.sum())[None]


IMAGE, CUBE = gaussian(1.0), gaussian(2.5)


def seen(maps, psf):
    return np.array([signal.fftconvolve(one, psf[0], "same")[FIELD, FIELD] for one in maps])


@pytest.fixture(scope="module")
def scene():
    """Three kinds of spectra, of which one is faint; data and truth."""
    rng = np.random.default_rng(2)
    side = FACTOR * SIZE + 24
    clouds = ndimage.gaussian_filter(rng.standard_normal((3, side, side)), (0, 4, 4))
    maps = np.exp(0.5 * clouds / clouds.std())
    at = np.linspace(0, 1, CHANNELS)
    lines = [np.exp(-0.5 * ((at - centre) / 0.06) ** 2) for centre in (0.3, 0.7)]
    spectra = np.array([5 + 2 * at, 4 * lines[0], 1.5 * lines[1]])
    sigma = np.array([0.05, 0.02])
    response = np.full((1, CHANNELS), 1 / CHANNELS)
    cube = np.tensordot(spectra.T, seen(maps, CUBE)[:, 1::FACTOR, 1::FACTOR], 1)
    truth = np.tensordot(spectra.T, seen(maps, IMAGE), 1)
    image = np.tensordot(response, truth, 1)
    data = FusionData(
        cube=cube + sigma[0] * rng.standard_normal(cube.shape),
        cube_sigma=np.full(CHANNELS, sigma[0]),
        spaxel_weight=np.ones((SIZE, SIZE)),
        images=image + sigma[1] * rng.standard_normal(image.shape),
        image_sigma=np.full(1, sigma[1]),
        image_weight=np.ones_like(image),
        response=response,
        psf_weights=np.ones((CHANNELS, 1)),
        psf_image=IMAGE,
        psf_cube=CUBE,
        factor=FACTOR,
    )
    return data, truth


@pytest.fixture(scope="module")
def low(scene):
    return fuse(scene[0], FusionSettings(rank=1, sources="none", psf_fit="none"))


def test_all_components_leave_nothing(scene):
    result = fuse(scene[0], FusionSettings(sources="none"))
    assert result.subspace.signal == result.subspace.rank
    assert result.subspace.truncated == 0
    assert result.posterior.left_maps is None


def test_errors_hold_where_components_are_missing(scene, low):
    truth = scene[1]
    assert low.subspace.signal > 1
    assert low.subspace.truncated > 1
    inside = slice(4, -4)
    ratio = ((low.cube - truth) / low.error)[:, inside, inside]
    assert np.quantile(np.abs(ratio), 0.683) < 1.2
    without = replace(low.posterior, left_maps=None, left_spectra=None)
    blind = replace(low, posterior=without)
    rng = np.random.default_rng(1)
    ratios = {"left": [], "blind": []}
    for size in (3, 9, 15):
        for _ in range(12):
            mask, band = np.zeros(truth.shape[1:]), np.zeros(CHANNELS)
            y, x = rng.integers(2, FACTOR * SIZE - 2 - size, 2)
            mask[y : y + size, x : x + size] = 1
            start = rng.integers(0, CHANNELS - 6)
            band[start : start + 6] = 1
            wrong = band @ ((low.cube - truth) * mask).sum((1, 2))
            for name, one in (("left", low), ("blind", blind)):
                ratios[name].append(abs(wrong) / error_of(one, mask, band))
    known, unknown = (np.quantile(one, 0.683) for one in ratios.values())
    assert known < 1.6
    assert unknown > 3 * known


def test_one_channel_and_weights_agree(low):
    mask = np.ones(low.cube.shape[1:])
    each = error_of(low, mask)
    again = error_of(low, mask, np.eye(CHANNELS))
    assert again == pytest.approx(each, rel=0.02)


def test_products_keep_it(low):
    arrays = packed(low.posterior, mirrored=False)
    names = ("posterior_sources", "posterior_missed", "posterior_structure", "posterior_positions")
    names += ("posterior_spectra", "posterior_residual", "posterior_noise", "posterior_inverse")
    arrays = dict.fromkeys(names) | arrays | {"component_spectra": low.subspace.basis.T}
    found, _ = unpacked(arrays)
    assert found.left_maps == pytest.approx(low.posterior.left_maps, rel=1e-5, abs=1e-5)
    assert found.left_spectra == pytest.approx(low.posterior.left_spectra, rel=1e-5, abs=1e-5)
    part = low.posterior.cropped(slice(3, 21), slice(6, 30), FACTOR)
    assert part.left_maps.shape[1:] == (6, 8)
    assert np.array_equal(part.left_maps, low.posterior.left_maps[:, 1:7, 2:10])


def test_spaxels_without_data(scene):
    weight = np.ones((SIZE, SIZE))
    weight[:3] = 0
    data = usable_data(replace(scene[0], spaxel_weight=weight))
    result = fuse(data, FusionSettings(rank=1, sources="none"))
    assert np.all(result.posterior.left_maps[:, :3] == 0)
    assert np.all(np.isfinite(result.error))
