"""Spectral subspace: rank under honest, wrong and correlated errors; missing voxels."""

import numpy as np
import pytest
from scipy import ndimage

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
