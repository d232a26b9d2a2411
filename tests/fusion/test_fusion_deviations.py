"""What spectra of sources have beyond the subspace is believed where it is no noise."""

import numpy as np
import pytest

from jwst_fusion.fusion.solver.deviations import Deviations
from jwst_fusion.fusion.solver.posterior import BLOCK

CHANNELS = 300


def spectra(kind, *, amount=1.0, count=40):
    """Deviations, noise of unit variance added, and the truth."""
    rng = np.random.default_rng(5)
    at = np.arange(CHANNELS)
    if kind == "none":
        truth = np.zeros((count, CHANNELS))
    elif kind == "continuum":
        phase = rng.uniform(0, 2 * np.pi, (count, 1))
        truth = amount * np.sin(2 * np.pi * at / 120 + phase)
    else:
        centre = rng.uniform(50, 250, (count, 1))
        truth = amount * np.exp(-0.5 * ((at - centre) / 1.2) ** 2)
    noisy = truth + rng.standard_normal(truth.shape)
    return Deviations(noisy, np.ones_like(noisy)), truth


def sums(values, size):
    return values[:, : CHANNELS // size * size].reshape(len(values), -1, size).sum(2)


def ratio(found, truth, size):
    """Errors of sums over channels in units of those stated: 68 % quantile."""
    error = sums(found.believed() - truth, size)
    single, broad = found.spread()
    posterior = blocks(broad, size)
    stated = np.sqrt(sums(single**2, size) + posterior)
    return np.quantile(np.abs(error / stated), 0.683)


def blocks(broad, size):
    """Variance of sums over channels of what the channels of a block share."""
    found = []
    for start in range(0, CHANNELS // size * size, size):
        inside = np.zeros_like(broad)
        inside[:, start : start + size] = broad[:, start : start + size]
        starts = np.arange(0, CHANNELS, BLOCK)
        found.append((np.add.reduceat(inside, starts, axis=1) ** 2).sum(1))
    return np.array(found).T


def test_noise_is_not_believed():
    found, _ = spectra("none")
    assert np.sqrt(np.mean(found.believed() ** 2)) < 0.35
    assert np.sqrt(np.mean(sums(found.believed(), 20) ** 2)) < 0.6 * np.sqrt(20)


def test_continuum_below_the_noise_of_a_channel_is_believed():
    found, truth = spectra("continuum")
    error = found.believed() - truth
    assert np.sqrt(np.mean(error**2)) < 0.6 * np.sqrt(np.mean(truth**2))
    assert np.sqrt(np.mean(sums(error, 20) ** 2)) < 0.35 * np.sqrt(np.mean(sums(truth, 20) ** 2))


def test_a_line_is_believed():
    found, truth = spectra("line", amount=12.0)
    lit = truth > 3
    assert np.sum(found.believed()[lit]) == pytest.approx(np.sum(truth[lit]), rel=0.05)


@pytest.mark.parametrize("kind", ["continuum", "line"])
@pytest.mark.parametrize("size", [1, 20])
def test_stated_errors_hold(kind, size):
    found, truth = spectra(kind, amount=4.0)
    assert ratio(found, truth, size) < 1.25


def test_channels_without_data():
    found, truth = spectra("continuum", amount=3.0)
    errors = found.errors.copy()
    errors[:, 100:110] = np.inf
    gappy = Deviations(np.where(np.isfinite(errors), found.spectra, 0.0), errors)
    assert np.all(gappy.believed()[:, 100:110] == 0)
    assert np.all(np.array(gappy.spread())[:, :, 100:110] == 0)
    known = np.isfinite(errors)
    error = (gappy.believed() - truth)[known]
    assert np.sqrt(np.mean(error**2)) < 0.7
    empty = Deviations.none(2, CHANNELS)
    assert not empty.believed().any()
    assert not np.any(empty.spread())


def test_few_channels():
    rng = np.random.default_rng(1)
    few = Deviations(5 + rng.standard_normal((2, 3)), np.ones((2, 3)))
    assert np.all(np.abs(few.believed() - 5) < 4)
    assert np.all(np.isfinite(few.spread()))


@pytest.mark.parametrize("channels", [12, 31])
def test_of_few_channels_each_has_its_own_noise(channels):
    noise = np.random.default_rng(2).standard_normal((200, channels))
    few = Deviations(30 + noise, np.ones_like(noise))
    single, broad = few.spread()
    error = np.abs(few.believed() - 30) / np.hypot(single, broad)
    assert 0.85 < np.quantile(error, 0.683) < 1.15
