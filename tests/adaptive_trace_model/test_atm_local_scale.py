"""The scale along the slit follows sources of different spectra, not noise and not cosmic rays."""

import numpy as np

from jwst_fusion.adaptive_trace_model.local_scale import local_scale

ROWS = np.arange(31.0)


def gauss(center, sigma=0.6):
    center = np.broadcast_to(center, (400,))[:, None]
    return np.exp(-0.5 * ((ROWS - center) / sigma) ** 2)


CENTER = 12 + np.linspace(0, 3, 400)
PROFILE = gauss(CENTER) + gauss(CENTER + 4)


def test_change_of_one_of_two_sources_is_found():
    residual = 300 * gauss(CENTER)
    noise = np.random.default_rng(0).standard_normal(PROFILE.shape)
    change = local_scale(residual + noise, np.ones(PROFILE.shape), PROFILE)
    model = change * PROFILE
    near = np.abs(ROWS - CENTER[:, None]) < 1.5
    other = np.abs(ROWS - CENTER[:, None] - 4) < 1.0
    assert np.sqrt(np.mean((model - residual)[near] ** 2)) < 0.02 * 300
    assert np.sqrt(np.mean(model[other] ** 2)) < 0.02 * 300


def test_noise_changes_nothing():
    noise = np.random.default_rng(1).standard_normal(PROFILE.shape)
    change = local_scale(noise, np.ones(PROFILE.shape), PROFILE)
    assert np.mean(change[PROFILE > 0.5] != 0) < 0.1
    assert np.sqrt(np.mean((change * PROFILE) ** 2)) < 0.2


def test_smooth_light_changes_little():
    residual = 300 * np.ones(PROFILE.shape) * (1 + 0.02 * ROWS)
    change = local_scale(residual, np.ones(PROFILE.shape), PROFILE)
    assert np.abs(change * PROFILE).max() < 0.2 * 300


def test_single_wild_pixels_beside_the_peak_change_nothing():
    residual = np.zeros(PROFILE.shape)
    row = np.round(CENTER).astype(int) + 1
    residual[np.arange(400), row] = 50.0
    change = local_scale(residual, np.ones(PROFILE.shape), PROFILE)
    assert np.mean(np.abs(change * PROFILE) > 10) < 0.1


def test_missing_pixels_and_empty_slices():
    inverse = np.zeros(PROFILE.shape)
    assert not local_scale(np.zeros(PROFILE.shape), inverse, PROFILE).any()
    assert not local_scale(np.ones((5, 3)), np.ones((5, 3)), np.zeros((5, 3))).any()
