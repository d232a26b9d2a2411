"""Errors of oversampled pixels: with them, errors of spaxels are those of native pixels."""

from dataclasses import replace

import numpy as np
import pytest

from jwst_fusion.adaptive_trace_model.combination import oversample_slice
from jwst_fusion.adaptive_trace_model.interpolation import LinearInterpolation
from jwst_fusion.adaptive_trace_model.trace import fit_trace
from jwst_fusion.adaptive_trace_model.uncertainty import overlap_factor, propagate_variances


def positions(n_row, factor):
    return ((np.arange(n_row * factor) + 0.5) / factor - 0.5)[None]


def spaxel_weights(n_row, factor, offset):
    """Overlaps of unit spaxels, shifted by `offset`, with pixels of size 1 / factor."""
    edges = np.arange(n_row * factor + 1) / factor
    low = np.arange(2, n_row - 3)[:, None] + offset
    overlap = np.minimum(edges[1:], low + 1) - np.maximum(edges[:-1], low)
    return np.maximum(overlap, 0)


def spaxel_variance(variance, factor, offset):
    """Variance that a program reports which takes the pixels for independent."""
    weight = spaxel_weights(variance.shape[1] // factor, factor, offset)
    return (weight**2 @ variance.T / weight.sum(axis=1)[:, None] ** 2).T


# pixels no larger than spaxels
@pytest.mark.parametrize(
    ("factor", "spaxel"),
    [(f, s) for f in (1, 2, 3, 5) for s in (0.66, 1.0, 1.3) if s >= 1 / f],
)
def test_overlap_factor_by_integration(factor, spaxel):
    def reduction(size):
        start = (np.arange(20000) + 0.5) / 20000 * 4 - 2
        overlap = np.minimum(start + size, spaxel) - np.maximum(start, 0)
        return np.mean(np.maximum(overlap, 0) ** 2) * 4 / size

    expected = reduction(1.0) / (factor * reduction(1 / factor))
    assert overlap_factor(float(factor), spaxel) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_spaxel_errors_do_not_depend_on_the_factor(factor):
    rng = np.random.default_rng(0)
    variance = rng.uniform(0.5, 2.0, (400, 24))
    flux = rng.normal(size=variance.shape)
    valid = np.ones((400, 24 * factor), bool)
    result = oversample_slice(flux, {"err": variance}, positions(24, factor), valid, factor=factor)
    offsets = np.linspace(0, 1, 20, endpoint=False)
    native = [spaxel_variance(variance, 1, offset).mean() for offset in offsets]
    ours = [spaxel_variance(result.variances["err"], factor, offset).mean() for offset in offsets]
    assert np.mean(ours) / np.mean(native) == pytest.approx(1.0, abs=0.01)


def test_variance_of_the_sum_is_conserved():
    rng = np.random.default_rng(1)
    variance = rng.uniform(0.5, 2.0, (50, 20))
    valid = np.ones((50, 60), bool)
    interpolation = LinearInterpolation(np.ones(variance.shape, bool), positions(20, 3))
    known = {"err": variance}
    rows = propagate_variances(known, interpolation, None, None, valid, overlap=1.0)["err"]
    np.testing.assert_allclose(rows.sum(axis=1), 9 * variance.sum(axis=1), rtol=0.02)


def test_combined_estimate_against_monte_carlo(synthetic):
    scene = synthetic(n_column=400)
    coordinate = scene.coordinate()
    factor = 3
    position = positions(scene.n_row, factor)
    oversampled = scene.coordinate(position)
    truth = scene.truth(coordinate)
    error = np.sqrt(0.3**2 + 0.02 * truth)
    fit = fit_trace(truth, error, coordinate)
    rng = np.random.default_rng(2)
    valid = np.ones(oversampled.shape, bool)
    near = np.abs(oversampled - scene.center) < 4
    sums = []
    for _ in range(60):
        noise = error * rng.standard_normal(truth.shape)
        scale = fit.scale + np.sum(fit.gain * noise, axis=1)
        noisy = replace(fit, scale=scale)
        result = oversample_slice(
            truth + noise,
            {"err": error**2},
            position,
            valid,
            factor=factor,
            fit=noisy,
            coordinate=oversampled,
            ranges=[(-5.0, 6.0)],
        )
        sums.append(np.sum(np.where(near, result.flux, 0), axis=1))
    true_variance = np.var(sums, axis=0)
    reported = np.sum(np.where(near, result.variances["err"], 0), axis=1)
    # Sums over many pixels: the partial overlaps of spaxels play no part.
    ratio = np.mean(reported / overlap_factor(factor)) / np.mean(true_variance)
    assert ratio == pytest.approx(1.0, abs=0.1)


def test_photon_noise_follows_the_model(synthetic):
    # A bright trace: the variance at an oversampled pixel is that of its own flux.
    scene = synthetic(n_column=300, flux=100.0)
    coordinate = scene.coordinate()
    truth = scene.truth(coordinate)
    variance = 0.02 * truth + 1e-4
    fit = fit_trace(truth, np.sqrt(variance), coordinate)
    position = positions(scene.n_row, 3)
    oversampled = scene.coordinate(position)
    result = oversample_slice(
        truth,
        {"err": variance},
        position,
        np.ones(oversampled.shape, bool),
        factor=3,
        fit=fit,
        coordinate=oversampled,
        ranges=[fit.bounds],
    )
    expected = overlap_factor(3) * 3 * 0.02 * scene.truth(oversampled)
    core = np.abs(oversampled - scene.center) < 0.7
    np.testing.assert_allclose(result.variances["err"][core], expected[core], rtol=0.1)


def test_native_grid_keeps_its_variances():
    variance = np.random.default_rng(4).uniform(1, 2, (30, 12))
    flux = np.zeros(variance.shape)
    flux[3, 4] = np.nan
    result = oversample_slice(
        flux, {"err": variance}, positions(12, 1), np.ones(flux.shape, bool), factor=1.0
    )
    assert np.isnan(result.variances["err"][3, 4])
    keep = np.ones(flux.shape, bool)
    keep[3, 4] = False
    np.testing.assert_allclose(result.variances["err"][keep], variance[keep])
