"""Spectral subspace: rank under honest, wrong and correlated errors; missing voxels."""

import numpy as np
import pytest
from scipy import ndimage

from jwst_fusion.fusion.solver.data import FusionData
from jwst_fusion.fusion.solver.image_components import with_image_components
from jwst_fusion.fusion.solver.subspace import estimate_subspace, noise_edge

SIDE, CHANNELS, RANK = 18, 500, 4


def signal(seed=0):
    """Low-rank cube, its spectra (L, k) and the noise per channel."""
    rng = np.random.default_rng(seed)
    maps = rng.normal(size=(RANK, SIDE, SIDE))
    maps = np.array([ndimage.gaussian_filter(m, 1.5) for m in maps])
    maps /= maps.std((1, 2), keepdims=True)
    spectra = rng.normal(size=(CHANNELS, RANK)) * np.geomspace(8, 1, RANK)
    return np.tensordot(spectra, maps, 1) + 30, spectra, np.linspace(0.5, 2, CHANNELS)


def noisy(sigma, seed=1, blur=None):
    noise = np.random.default_rng(seed).normal(size=(CHANNELS, SIDE, SIDE))
    if blur:
        noise = ndimage.gaussian_filter(noise, blur)
        noise /= noise.std()
    return noise * sigma[:, None, None]


def misalignment(subspace, spectra, keep=slice(None)):
    """Largest sine of an angle between the true spectra and the subspace, whitened."""
    white = spectra[keep] / subspace.sigma[keep, None]
    basis = subspace.basis[keep] / subspace.sigma[keep, None]
    true = np.linalg.qr(white)[0]
    return np.linalg.norm(true - basis @ (basis.T @ true), 2)


@pytest.mark.parametrize("factor", [1.0, 0.2, 5.0])
def test_rank_does_not_depend_on_the_level_of_the_errors(factor):
    truth, spectra, sigma = signal()
    subspace = estimate_subspace(truth + noisy(sigma), factor * sigma)
    assert subspace.rank == RANK
    assert subspace.noise == pytest.approx(1 / factor, rel=0.03)
    assert misalignment(subspace, spectra) < 0.2
    basis = subspace.basis / subspace.sigma[:, None]
    np.testing.assert_allclose(basis.T @ basis, np.eye(RANK), atol=1e-10)
    assert np.all(np.diff(subspace.eigenvalues) <= 0)
    assert subspace.explained[-1] == pytest.approx(1)


@pytest.mark.parametrize("blur", [(0, 0.6, 0.6), (1.0, 0, 0), (0.6, 0.6, 0.6)])
def test_correlated_noise_does_not_inflate_the_rank(blur):
    truth, spectra, sigma = signal()
    subspace = estimate_subspace(truth + noisy(sigma, blur=blur), sigma)
    assert RANK <= subspace.rank <= RANK + 2  # the white-noise edge alone would keep all 12
    assert misalignment(subspace, spectra) < 0.3


def test_pure_noise_has_one_component():
    sigma = np.ones(CHANNELS)
    assert estimate_subspace(noisy(sigma), sigma).rank == 1


def test_edge_of_white_noise():
    for samples, channels in ((200, 1000), (1000, 200)):
        noise = 3 * np.random.default_rng(0).normal(size=(samples, channels))
        values = np.linalg.svd(noise, compute_uv=False) ** 2
        edge = noise_edge(values, samples, channels)
        assert values[0] < edge < 1.2 * values[0]


@pytest.mark.parametrize("share", [0.02, 0.15])
def test_missing_voxels_do_not_harm_the_subspace(share):
    truth, spectra, sigma = signal()
    cube = truth + noisy(sigma)
    complete = estimate_subspace(cube, sigma)
    cube[np.random.default_rng(2).random(cube.shape) < share] = np.nan
    subspace = estimate_subspace(cube, sigma)
    assert subspace.rank == RANK
    assert misalignment(subspace, spectra) < 1.3 * misalignment(complete, spectra)
    difference = subspace.mean - complete.mean
    assert np.sqrt(np.mean((difference / sigma) ** 2)) < 2 / SIDE


def test_masked_and_weightless_spaxels_are_ignored():
    truth, _, sigma = signal()
    cube = truth + noisy(sigma)
    good = np.ones((SIDE, SIDE), bool)
    good[3, :], good[:, 5] = False, False
    clean = estimate_subspace(cube, sigma, mask=good)
    dirty = np.where(good, cube, 1e4)
    for subspace in (
        estimate_subspace(dirty, sigma, mask=good),
        estimate_subspace(dirty, sigma, weight=good.astype(float)),
    ):
        assert subspace.samples == good.sum()
        np.testing.assert_allclose(subspace.mean, clean.mean)
        assert np.isnan(subspace.scores[:, ~good]).all()
        assert np.isfinite(subspace.scores[:, good]).all()


def test_noisy_spaxels_count_according_to_their_weight():
    truth, spectra, sigma = signal()
    noise = noisy(sigma)
    weight = np.ones((SIDE, SIDE))
    weight[:6] = 1 / 64
    cube = truth + noise / np.sqrt(weight)
    weighted = estimate_subspace(cube, sigma, weight=weight, rank=RANK)
    plain = estimate_subspace(cube, sigma, rank=RANK)
    assert misalignment(weighted, spectra) < 0.5 * misalignment(plain, spectra)


def test_channels_without_data_stay_empty():
    truth, spectra, sigma = signal()
    cube = truth + noisy(sigma)
    cube[40:50] = np.nan
    sigma = sigma.copy()
    sigma[60] = np.nan
    subspace = estimate_subspace(cube, sigma)
    dead = np.zeros(CHANNELS, bool)
    dead[40:50] = dead[60] = True
    np.testing.assert_array_equal(subspace.valid, ~dead)
    assert np.isnan(subspace.mean[dead]).all()
    assert not subspace.basis[dead].any()
    assert subspace.rank == RANK
    assert misalignment(subspace, spectra, ~dead) < 0.2


def test_rank_by_hand_and_its_limits(caplog):
    truth, _, sigma = signal()
    cube = truth + noisy(sigma)
    assert estimate_subspace(cube, sigma, rank=7).rank == 7
    assert estimate_subspace(cube, sigma, max_rank=2).rank == 2
    few = estimate_subspace(cube[:, :2, :2], sigma, rank=9)
    assert few.rank == 3
    assert "exceeds what 4 spaxels allow" in caplog.text


def test_rank_by_explained_variance():
    truth, _, sigma = signal()
    cube = truth + noisy(sigma)
    automatic = estimate_subspace(cube, sigma)
    power = automatic.eigenvalues[: automatic.rank]
    share = np.cumsum(power) / power.sum()
    for fraction in (0.5, 0.9, 0.99999999):
        expected = int(np.sum(share < fraction)) + 1
        assert estimate_subspace(cube, sigma, rank=fraction).rank == expected
        assert estimate_subspace(cube, sigma, rank=f"explained:{fraction}").rank == expected
    assert estimate_subspace(cube, sigma, rank=0.99999999).rank == automatic.rank
    assert estimate_subspace(cube, sigma, rank=0.99999999, max_rank=2).rank == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": "explained:1.5"}, "rank must be 'auto'"),
        ({"rank": "explained:3"}, "rank must be 'auto'"),
        ({"rank": 2.5}, "rank must be 'auto'"),
        ({"rank": np.nan}, "rank must be 'auto'"),
        ({"rank": "best"}, "rank must be 'auto'"),
        ({"rank": 0}, "rank must be 'auto'"),
        ({"max_rank": 0}, "max_rank must be"),
        ({"mask": np.zeros((SIDE, SIDE), bool)}, "at least 2 of each"),
    ],
)
def test_invalid_options(options, message):
    truth, _, sigma = signal()
    with pytest.raises(ValueError, match=message):
        estimate_subspace(truth, sigma, **options)


def test_mismatched_noise():
    with pytest.raises(ValueError, match="do not match"):
        estimate_subspace(np.zeros((5, 3, 3)), np.ones(4))


def faint_components(noise, *, unlike=False, seed=4):
    """Data of a bright and a faint component, the faint one below the noise of the cube."""
    rng = np.random.default_rng(seed)
    side, factor, channels = 16, 3, 200
    maps = rng.normal(size=(2, factor * side, factor * side))
    maps = np.array([ndimage.gaussian_filter(one, 4, mode="wrap") for one in maps])
    maps /= maps.std((1, 2), keepdims=True)
    wave = np.linspace(0, 1, channels)
    lines = np.exp(-0.5 * ((wave - 0.8) / 0.03) ** 2)
    spectra = np.array([np.full(channels, 5.0), 0.9 * lines])
    response = np.array([np.exp(-0.5 * ((wave - at) / 0.05) ** 2) for at in (0.2, 0.8)])
    response /= response.sum(1, keepdims=True)
    blurred = np.array([ndimage.gaussian_filter(one, 3, mode="wrap") for one in maps])
    seen = blurred[:, 1::factor, 1::factor]
    cube = 20 + np.tensordot(spectra.T, seen, 1)
    images = 20 + np.tensordot(response @ spectra.T, maps, 1)
    if unlike:
        images[1] = 20 + ndimage.gaussian_filter(rng.normal(size=images[1].shape), 4)
    x = np.arange(-10, 11)
    psf = np.exp(-0.5 * (x[:, None] ** 2 + x**2) / 9)[None]
    sharp = np.zeros_like(psf)
    sharp[0, 10, 10] = 1
    data = FusionData(
        cube=cube + noise * rng.normal(size=cube.shape),
        cube_sigma=np.full(channels, noise),
        spaxel_weight=np.ones((side, side)),
        images=images + 1e-3 * rng.normal(size=images.shape),
        image_sigma=np.full(2, 1e-3),
        image_weight=np.ones(images.shape),
        response=response,
        psf_weights=np.ones((channels, 1)),
        psf_image=sharp,
        psf_cube=psf / psf.sum(),
        factor=factor,
    )
    return data, spectra


def test_spectra_of_maps_that_images_know_are_found_below_the_noise():
    data, spectra = faint_components(noise=3.0)
    alone = estimate_subspace(data.cube, data.cube_sigma)
    assert alone.rank == 1
    more = with_image_components(data, alone, max_rank=12)
    assert more.rank == 2
    faint = spectra[1] / np.linalg.norm(spectra[1])
    basis = np.linalg.qr(more.basis)[0]
    # A regression on a known map, with as much noise in its spectrum as signal.
    assert np.linalg.norm(basis.T @ faint) > 0.55
    assert np.linalg.norm(np.linalg.qr(alone.basis)[0].T @ faint) < 0.4
    white = more.basis / more.sigma[:, None]
    np.testing.assert_allclose(white.T @ white, np.eye(2), atol=1e-8)


def test_images_tell_nothing_more_of_a_clean_cube_nor_of_another_field():
    data, _ = faint_components(noise=0.05)
    alone = estimate_subspace(data.cube, data.cube_sigma)
    assert alone.rank == 2
    assert with_image_components(data, alone, max_rank=12).rank == 2
    for seed in range(5):
        data, _ = faint_components(noise=3.0, unlike=True, seed=seed)
        alone = estimate_subspace(data.cube, data.cube_sigma)
        assert with_image_components(data, alone, max_rank=12).rank == alone.rank


def test_images_add_no_more_components_than_allowed():
    data, _ = faint_components(noise=3.0)
    alone = estimate_subspace(data.cube, data.cube_sigma)
    assert with_image_components(data, alone, max_rank=1) is alone
