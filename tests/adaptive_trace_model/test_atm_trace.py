"""The robust fit of a trace: truth recovered, between the pixels too."""

import numpy as np
import pytest

from jwst_fusion.adaptive_trace_model.trace import fit_trace


def between_pixels(scene):
    """Coordinates of three samples per native row."""
    position = (np.arange(3 * scene.n_row) + 0.5) / 3 - 0.5
    return scene.coordinate(position[None])


def relative_error(fit, scene, coordinate, half_width=4.0):
    truth = scene.truth(coordinate)
    model = fit.model(coordinate)
    near = np.abs(coordinate - scene.center) < half_width
    error = (model - truth) / truth.max(axis=1, keepdims=True)
    return np.sqrt(np.nanmean(error[near] ** 2))


@pytest.mark.parametrize("background", [0.0, 50.0])
@pytest.mark.parametrize("center", [0.37, -9.3, 11.0])
def test_truth_between_pixels(synthetic, background, center):
    scene = synthetic(background=background, center=center)
    flux, error = scene.observe()
    fit = fit_trace(flux, error, scene.coordinate())
    assert relative_error(fit, scene, between_pixels(scene)) < 0.011
    assert np.isfinite(fit.scale).all()


def test_scale_follows_the_spectrum_whatever_the_pixel_phase(synthetic):
    scene = synthetic()
    flux, error = scene.observe()
    fit = fit_trace(flux, error, scene.coordinate())
    ratio = fit.scale / scene.spectrum()
    ratio /= np.median(ratio)
    # The profile broadens by 30 %; the sum over the rows does not know.
    assert np.std(ratio) < 0.006
    np.testing.assert_allclose(np.nansum(fit.profile, axis=1), 1.0, atol=0.02)


def test_trace_parallel_to_the_grid(synthetic):
    scene = synthetic()
    flux, error = scene.observe()
    fit = fit_trace(flux, error, scene.coordinate())
    coordinate = between_pixels(scene)
    coordinate[: -scene.n_column // 8] = np.nan
    assert relative_error(fit, scene, coordinate) < 0.015


def test_missing_core_pixels_do_not_inflate_the_model(synthetic):
    scene = synthetic()
    flux, error = scene.observe()
    coordinate = scene.coordinate()
    columns = np.arange(20, 580, 40)
    core = np.argmin(np.abs(coordinate - scene.center), axis=1)
    holed = flux.copy()
    for column in columns:
        holed[column : column + 3, core[column] - 1 : core[column] + 2] = np.nan
    fit = fit_trace(holed, error, coordinate)
    assert relative_error(fit, scene, between_pixels(scene)) < 0.012
    model = fit.model(coordinate)
    peak = scene.truth(coordinate)[columns + 1, core[columns + 1]]
    filled = model[columns + 1, core[columns + 1]]
    np.testing.assert_allclose(filled, peak, rtol=0.12)
    assert np.median(np.abs(filled / peak - 1)) < 0.03


def test_lone_core_pixel_under_a_cosmic_ray(synthetic):
    """The other pixels know nothing of a scale a hundred times as large."""
    scene = synthetic()
    flux, error = scene.observe()
    coordinate = scene.coordinate()
    core = np.argmin(np.abs(coordinate - scene.center), axis=1)
    columns = np.arange(20, 580, 40)
    spoilt = flux.copy()
    for column in columns:
        middle = core[column]
        spoilt[column, middle - 1 : middle + 2] = np.nan
        spoilt[column, middle] = 100 * np.nanmax(flux[column])
    fit = fit_trace(spoilt, error, coordinate)
    rest = np.setdiff1d(np.arange(len(flux)), columns)
    assert np.isfinite(fit.scale[rest]).all()
    known = np.isfinite(fit.scale)
    np.testing.assert_allclose(fit.scale[known], scene.spectrum()[known], rtol=0.25)
    assert relative_error(fit, scene, between_pixels(scene)) < 0.012


def test_negative_star_has_a_model_in_all_columns(synthetic):
    scene = synthetic(background=50.0)
    flux, error = scene.observe()
    fit = fit_trace(2 * 50.0 - flux, error, scene.coordinate())
    assert np.isfinite(fit.scale).all()
    source = fit.model(scene.coordinate()) - 2 * 50.0 + scene.truth(scene.coordinate())
    largest = np.nanmax(scene.truth(scene.coordinate()), axis=1)
    assert np.sqrt(np.nanmean((source / largest[:, None]) ** 2)) < 0.01


def test_very_bright_star_keeps_its_columns(synthetic):
    """Errors of a few per cent of the core, thousands of sigma of the background."""
    scene = synthetic(background=5.0)
    flux, error = scene.observe()
    source = flux - 5.0
    fit = fit_trace(5.0 + 1000 * source, error * np.sqrt(1000), scene.coordinate())
    assert np.isfinite(fit.scale).all()


def test_outliers_are_rejected(synthetic):
    scene = synthetic()
    flux, error = scene.observe()
    rng = np.random.default_rng(3)
    hit = rng.random(flux.shape) < 0.01
    flux = np.where(hit, flux + 10 ** rng.uniform(2, 30, flux.shape), flux)
    flux[17, 4] = -1e30
    fit = fit_trace(flux, error, scene.coordinate())
    assert relative_error(fit, scene, between_pixels(scene)) < 0.012


def test_negative_background(synthetic):
    scene = synthetic(background=-40.0)
    flux, error = scene.observe()
    fit = fit_trace(flux, error, scene.coordinate())
    assert relative_error(fit, scene, between_pixels(scene)) < 0.012


def test_gain_is_the_derivative_of_the_scale(synthetic):
    scene = synthetic()
    flux, error = scene.observe()
    fit = fit_trace(flux, error, scene.coordinate())
    np.testing.assert_allclose(np.nansum(fit.gain * fit.profile, axis=1), 1.0, rtol=0.02)
    predicted = np.sqrt(np.sum(fit.gain**2 * error**2, axis=1))
    pull = (fit.scale / scene.spectrum() - np.median(fit.scale / scene.spectrum())) * (
        scene.spectrum() / predicted
    )
    assert 0.5 < np.std(pull) < 2.0


def test_column_without_data_has_no_scale(synthetic):
    scene = synthetic()
    flux, error = scene.observe()
    flux[100:103] = np.nan
    fit = fit_trace(flux, error, scene.coordinate())
    assert np.isnan(fit.scale[100:103]).all()
    assert np.isnan(fit.evaluate(scene.coordinate())[101]).all()
    assert np.isfinite(fit.scale[[99, 103]]).all()


def test_too_few_good_pixels_give_none(synthetic):
    scene = synthetic()
    flux, error = scene.observe()
    flux[:, 1:] = np.nan
    assert fit_trace(flux, error, scene.coordinate()) is None


@pytest.mark.parametrize("n_column", [2, 3])
def test_a_few_columns_that_never_meet_give_none(synthetic, n_column):
    # Enough pixels, but nowhere three of them at the same place along the slit.
    scene = synthetic(n_column=n_column, drift=20.0)
    flux, error = scene.observe()
    assert fit_trace(flux, error, scene.coordinate(), min_good=0.0) is None


def test_input_is_not_changed(synthetic):
    scene = synthetic(n_column=200)
    arrays = [*scene.observe(), scene.coordinate()]
    before = [array.copy() for array in arrays]
    for array in arrays:
        array.setflags(write=False)
    assert fit_trace(*arrays) is not None
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)
