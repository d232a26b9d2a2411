"""Where the model is used, and which slices are fitted."""

import numpy as np
import pytest

from jwst_fusion.adaptive_trace_model.compact import (
    collapse,
    row_pitch,
    significance,
    steep_ranges,
    taper,
)
from jwst_fusion.adaptive_trace_model.trace import fit_trace


def ranges_of(scene, slope_limit=0.1, **noise):
    flux, error = scene.observe(**noise)
    coordinate = scene.coordinate()
    fit = fit_trace(flux, error, coordinate)
    return steep_ranges(
        fit, coordinate, error, slope_limit=slope_limit, pad=2.0, pitch=row_pitch(coordinate)
    )


def significance_of(scene, **noise):
    flux, error = scene.observe(**noise)
    coordinate = scene.coordinate()
    good = np.isfinite(flux)
    return significance(collapse(flux, error, coordinate, good=good, step=0.5))


@pytest.mark.parametrize("center", [0.37, -11.4, 9.8])
def test_source_is_found_wherever_it_is(synthetic, center):
    ranges = ranges_of(synthetic(center=center))
    assert len(ranges) == 1
    low, high = ranges[0]
    assert low < center - 2
    assert high > center + 2
    assert high - low < 9


def test_background_does_not_matter(synthetic):
    dark = ranges_of(synthetic(background=0.0), read=0.3, gain=0.0)
    bright = ranges_of(synthetic(background=500.0), read=0.3, gain=0.0)
    np.testing.assert_allclose(bright, dark, atol=0.6)


def test_wide_source_needs_a_lower_limit(synthetic):
    scene = synthetic(sigma=2.5)
    assert ranges_of(scene) == []
    assert ranges_of(scene, slope_limit=0.02)


def test_limit_of_zero_takes_the_whole_slice(synthetic):
    scene = synthetic(sigma=2.5)
    ((low, high),) = ranges_of(scene, slope_limit=0.0)
    # The outermost oversampled rows lie beyond the outermost pixel centres, within their pixels.
    assert scene.coordinate().min() - 0.5 < low < scene.coordinate().min() - 0.3
    assert scene.coordinate().max() + 0.3 < high < scene.coordinate().max() + 0.5


def test_every_star_of_a_crowded_slice_is_steep_on_its_own(synthetic):
    alone = synthetic()
    coordinate = alone.coordinate()
    flux, error = alone.observe()
    for shift in (-9.0, -5.0, 4.5, 8.0, 12.0):
        flux = flux + synthetic(center=alone.center + shift).truth(coordinate)
    fit = fit_trace(flux, error, coordinate)
    found = steep_ranges(
        fit, coordinate, error, slope_limit=0.1, pad=2.0, pitch=row_pitch(coordinate)
    )
    for shift in (-9.0, -5.0, 0.0, 4.5, 8.0, 12.0):
        assert any(low < alone.center + shift < high for low, high in found)


def test_slope_is_that_of_the_profile_of_unit_sum(synthetic):
    # Without background, the steepest step of the normalised profile decides.
    scene = synthetic()
    truth = scene.truth(scene.coordinate())
    steepest = np.abs(np.diff(truth / truth.sum(axis=1, keepdims=True), axis=1)).max()
    assert ranges_of(scene, slope_limit=0.9 * steepest)
    assert not ranges_of(scene, slope_limit=1.1 * steepest)


def test_noise_is_not_steep(synthetic):
    scene = synthetic(flux=1e-3, background=5.0)
    assert ranges_of(scene, read=1.0) == []


def test_faint_star_on_bright_background(synthetic):
    # Twelve sigma of a pixel at the peak, on a background of 5000 sigma.
    scene = synthetic(background=5000.0, flux=20.0)
    assert significance_of(scene, read=1.0, gain=0.0) > 10
    assert significance_of(synthetic(background=5000.0, flux=0.0), read=1.0, gain=0.0) < 1


def test_significance_scales_with_the_source(synthetic):
    bright = significance_of(synthetic(flux=1000.0), read=1.0, gain=0.0)
    faint = significance_of(synthetic(flux=100.0), read=1.0, gain=0.0)
    assert bright / faint == pytest.approx(10, rel=0.1)


def test_a_few_bad_pixels_at_the_edge_are_no_source(synthetic):
    scene = synthetic(flux=0.0, drift=0.0)
    flux, error = scene.observe(read=1.0)
    coordinate = scene.coordinate()
    flux[:, 0] = np.nan
    flux[:20, 0] = 1e4
    collapsed = collapse(flux, error, coordinate, good=np.isfinite(flux), step=0.5)
    assert significance(collapsed) < 1


@pytest.mark.parametrize("column", [0, 1, 700])
def test_a_single_column_is_collapsed_wherever_it_is(synthetic, column):
    scene = synthetic(n_column=1300, drift=0.0)
    flux, error = scene.observe()
    good = np.zeros(flux.shape, dtype=bool)
    good[column] = True
    collapsed = collapse(flux, error, scene.coordinate(), good=good, step=0.5)
    # Two or three pixels in a bin make no median.
    assert not np.isfinite(collapsed.flux).any()
    assert significance(collapsed) == 0


def test_taper():
    coordinate = np.array([[-3.0, -1.5, -1.0, 0.0, 1.0, 1.25, 2.5, np.nan]])
    weight = taper(coordinate, [(-1.0, 1.0)], width=1.0)
    np.testing.assert_allclose(weight, [[0, 0.5, 1, 1, 1, 0.75, 0, 0]])
