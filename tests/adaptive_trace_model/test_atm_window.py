"""The moving window: sums, banded solves, and columns that sample the profile too coarsely."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import erf
from stpipe.exceptions import ValidationError

from jwst_fusion.adaptive_trace_model import window
from jwst_fusion.adaptive_trace_model.bspline import UniformKnots, evaluate_surface
from jwst_fusion.adaptive_trace_model.compact import row_pitch
from jwst_fusion.adaptive_trace_model.geometry import make_geometry
from jwst_fusion.adaptive_trace_model.interpolation import interpolate_smooth
from jwst_fusion.adaptive_trace_model.settings import TraceSettings
from jwst_fusion.adaptive_trace_model.trace import fit_trace
from jwst_fusion.adaptive_trace_model.window import (
    WindowFitter,
    solve_banded_columns,
    window_sum,
)
from jwst_fusion.simulation.exposures import builtin_exposure
from jwst_fusion.steps.adaptive_trace_model import AdaptiveTraceModelStep


@given(
    n=st.integers(1, 60),
    half=st.integers(0, 70),
    decades=st.integers(0, 25),
    seed=st.integers(0, 100),
)
def test_window_sum_keeps_the_digits_of_weak_elements(n, half, decades, seed):
    values = 10 ** np.random.default_rng(seed).uniform(-decades, decades, (n, 3))
    before = values.copy()
    expected = [values[max(i - half, 0) : i + half + 1].sum(axis=0) for i in range(n)]
    np.testing.assert_allclose(window_sum(values, half), expected, rtol=1e-13)
    np.testing.assert_array_equal(values, before)


def full_matrix(band):
    n = band.shape[1]
    lower = sum(np.diag(band[k, : n - k], -k) for k in range(min(4, n)))
    return lower + np.tril(lower, -1).T


@pytest.mark.parametrize("n", [1, 2, 3, 4, 17])
def test_banded_solve_of_all_columns(n):
    rng = np.random.default_rng(n)
    band = rng.normal(size=(4, n, 6)) * 10.0 ** np.arange(-9, 9, 3)
    band[0] = 5 * np.abs(band).sum(axis=0).max(axis=0)
    band[0, -1, 4] = -1.0
    right = rng.normal(size=(n, 6))
    matrices = [full_matrix(band[..., i]) for i in range(6)]
    solution, solved = solve_banded_columns(band.copy(), right.copy())
    np.testing.assert_array_equal(solved, [True, True, True, True, False, True])
    for i in np.flatnonzero(solved):
        np.testing.assert_allclose(solution[:, i], np.linalg.solve(matrices[i], right[:, i]))


def drifting(n_column=260, n_row=14, slope=0.011):
    return np.arange(n_row) - slope * np.arange(n_column)[:, None]


def located(coordinate, step=1 / 3):
    knots = UniformKnots.spanning(coordinate.min(), coordinate.max(), step=step)
    return knots, *knots.locate(coordinate)


def dense_fit(knots, interval, basis, weight, target, column, half):
    """Least squares of one column's window by singular values, regularised as documented."""
    n = knots.n_coef
    near = slice(max(column - half, 0), column + half + 1)
    first, values = interval[near].ravel(), basis[:, near].reshape(4, -1)
    design = np.zeros((first.size, n))
    for p in range(4):
        design[np.arange(first.size), first + p] = values[p]
    w = weight[near].ravel()
    diagonal = np.sum(w[:, None] * design**2, axis=0)
    bend = np.diff(np.eye(n), 2, axis=0)
    size = np.convolve(diagonal, np.ones(3) / 3, "valid")
    ridge = window._RIDGE * diagonal.mean()
    rows = [
        np.sqrt(w)[:, None] * design,
        np.sqrt(window._CURVATURE * size + ridge)[:, None] * bend,
        np.sqrt(ridge) * np.eye(n),
    ]
    values = np.concatenate([np.sqrt(w) * target[near].ravel(), np.zeros(2 * n - 2)])
    return np.linalg.lstsq(np.concatenate(rows), values, rcond=None)[0]


def test_agrees_with_least_squares_of_each_column_alone():
    rng = np.random.default_rng(5)
    coordinate = drifting()
    knots, interval, basis = located(coordinate)
    target = rng.normal(size=coordinate.shape)
    weight = 10 ** rng.uniform(-2, 2, coordinate.shape)
    weight[rng.random(coordinate.shape) < 0.1] = 0
    good = rng.random(coordinate.shape) < 0.95
    fitter = WindowFitter(interval, basis, good, n_coef=knots.n_coef, node_spacing=50.0)
    assert fitter.half == 50
    # The slice drifts by three rows: its columns do not all reach the ends of the slit.
    own = fitter.determined
    assert own.mean() > 0.8
    found = fitter.solve(np.where(good, target, 1e9), weight)
    for column in (0, 3, 50, 51, 100, 101, 177, 258, 259):
        expected = dense_fit(knots, interval, basis, weight * good, target, column, 50)
        there = own[column]
        np.testing.assert_allclose(found[column, there], expected[there], atol=1e-8)


def test_a_dominant_column_is_not_seen_beyond_the_window():
    rng = np.random.default_rng(6)
    coordinate = drifting()
    knots, interval, basis = located(coordinate)
    good = np.ones(coordinate.shape, bool)
    fitter = WindowFitter(interval, basis, good, n_coef=knots.n_coef, node_spacing=50.0)
    target = rng.normal(size=coordinate.shape)
    weight = np.ones(coordinate.shape)
    alone = fitter.solve(target, weight)
    target[130], weight[130] = 1e8, 1e16
    found = fitter.solve(target, weight)
    far = (np.abs(np.arange(len(found)) - 130) > 50)[:, None] & fitter.determined
    np.testing.assert_array_equal(found[far], alone[far])
    assert np.abs(found - alone)[80:181].max(axis=1).min() > 1


def profile(coordinate, width=0.6):
    return np.exp(-0.5 * ((coordinate - 6.3) / width) ** 2)


@pytest.mark.parametrize("flat", [(180, 400), (0, 220), (130, 270)])
def test_columns_parallel_to_the_grid_take_the_nearest_good_fit(flat):
    column = np.arange(400)
    slope = np.where((column >= flat[0]) & (column < flat[1]), 0.0, 0.012)
    coordinate = np.arange(14) - np.cumsum(slope)[:, None]
    knots, interval, basis = located(coordinate)
    good = np.ones(coordinate.shape, bool)
    fitter = WindowFitter(interval, basis, good, n_coef=knots.n_coef, node_spacing=50.0)
    coarse = np.flatnonzero(~fitter.determined.any(axis=1))
    assert coarse.size > 50
    assert coarse.min() >= flat[0] - 51
    assert coarse.max() < flat[1] + 51
    np.testing.assert_array_equal(np.diff(coarse), 1)

    # The profile grows in proportion to the column: what is taken over tells where it is from.
    strength = 1 + column[:, None] / 400
    found = fitter.solve(strength * profile(coordinate), good * 1.0)
    determined = fitter.determined.copy()
    fitter.determined[:] = True
    own = fitter.solve(strength * profile(coordinate), good * 1.0)
    for j in range(knots.n_coef):
        columns = np.flatnonzero(determined[:, j])
        nearest = columns[np.argmin(np.abs(columns - column[:, None]), axis=1)]
        np.testing.assert_array_equal(found[:, j], own[nearest, j])

    # A profile that is the same everywhere is known everywhere, between the rows too: to 1 %
    # where a sampling of 0.7 rows, the coarsest that is used, has 3 % of its power beyond Nyquist.
    fitter.determined[:] = determined
    found = fitter.solve(profile(coordinate), good * 1.0)
    fine = np.broadcast_to(np.linspace(4, 8, 31), (400, 31))
    model = evaluate_surface(found, *knots.locate(fine))
    np.testing.assert_allclose(model, profile(fine), atol=0.015)
    assert np.sqrt(np.mean((model - profile(fine)) ** 2)) < 0.004


def test_what_is_taken_over_is_better_than_a_fit_to_the_gaps():
    column = np.arange(600)
    slope = np.where(column < 200, 0.012, 0.0)
    coordinate = np.arange(14) - np.cumsum(slope)[:, None]
    rng = np.random.default_rng(7)
    knots, interval, basis = located(coordinate)
    good = np.ones(coordinate.shape, bool)
    fitter = WindowFitter(interval, basis, good, n_coef=knots.n_coef, node_spacing=50.0)
    target = profile(coordinate) + 0.003 * rng.standard_normal(coordinate.shape)
    fine = np.broadcast_to(np.linspace(5, 8, 31), (600, 31))

    def error():
        model = evaluate_surface(fitter.solve(target, good * 1.0), *knots.locate(fine))
        return np.sqrt(np.mean((model - profile(fine))[300:] ** 2))

    taken = error()
    fitter.determined[:] = True
    own = error()
    assert taken < 0.02
    assert own > 3 * taken


def test_only_the_coefficients_in_a_hole_are_taken_from_elsewhere():
    coordinate = drifting(n_column=400)
    knots, interval, basis = located(coordinate)
    good = np.ones(coordinate.shape, bool)
    good[10:13, 8:11] = False
    whole = WindowFitter(interval, basis, good, n_coef=knots.n_coef, node_spacing=50.0)
    core = np.abs(coordinate - 6.3) < 1.5
    good[150:300] &= ~core[150:300]
    fitter = WindowFitter(interval, basis, good, n_coef=knots.n_coef, node_spacing=50.0)
    lost = np.argwhere(whole.determined & ~fitter.determined)
    place = knots.start + (lost[:, 1] - 1) * knots.step
    assert set(range(200, 250)) <= set(lost[:, 0]) <= set(range(150, 300))
    assert np.abs(place - 6.3).max() < 1.5
    assert np.abs(place - 6.3).max() > 1.0
    found = fitter.solve(np.where(good, profile(coordinate), 1e9), good * 1.0)
    fine = np.broadcast_to(np.linspace(4, 8, 31), (400, 31))
    model = evaluate_surface(found, *knots.locate(fine))
    np.testing.assert_allclose(model, profile(fine), atol=0.01)


def test_slice_that_is_parallel_all_along_is_fitted_all_the_same():
    coordinate = np.broadcast_to(np.arange(12.0), (80, 12))
    knots, interval, basis = located(coordinate)
    good = np.ones(coordinate.shape, bool)
    fitter = WindowFitter(interval, basis, good, n_coef=knots.n_coef, node_spacing=50.0)
    found = fitter.solve(np.sin(coordinate), good * 1.0)
    model = evaluate_surface(found, interval, basis)
    np.testing.assert_allclose(model, np.sin(coordinate), atol=0.02)


def test_window_without_weight_takes_the_nearest_fit_and_no_weight_gives_none():
    coordinate = drifting(n_column=400)
    knots, interval, basis = located(coordinate)
    good = np.ones(coordinate.shape, bool)
    fitter = WindowFitter(interval, basis, good, n_coef=knots.n_coef, node_spacing=50.0)
    weight = np.ones(coordinate.shape)
    weight[120:280] = 0
    found = fitter.solve(profile(coordinate), weight)
    np.testing.assert_array_equal(found[170:200], found[[169] * 30])
    np.testing.assert_array_equal(found[200:230], found[[230] * 30])
    assert fitter.solve(profile(coordinate), 0 * weight) is None
    empty = WindowFitter(interval, basis, ~good, n_coef=knots.n_coef, node_spacing=50.0)
    assert empty.solve(profile(coordinate), weight) is None


def relative_error(model, scene, coordinate, columns, half_width=4.0):
    """RMS error of a model within `half_width` of the trace, relative to the column's peak."""
    truth = scene.truth(coordinate)
    error = (model - truth) / truth.max(axis=1, keepdims=True)
    near = np.abs(coordinate - scene.center) < half_width
    return np.sqrt(np.nanmean(error[columns][near[columns]] ** 2))


def between_pixels(scene):
    """Row positions and slit coordinates of three samples per native row."""
    position = (np.arange(3 * scene.n_row) + 0.5) / 3 - 0.5
    return position, scene.coordinate(position[None])


@pytest.mark.parametrize("background", [0.0, 50.0])
@pytest.mark.parametrize("center", [0.37, -9.3, 11.0])
def test_truth_between_pixels(synthetic, background, center):
    scene = synthetic(background=background, center=center)
    flux, error = scene.observe()
    _, coordinate = between_pixels(scene)
    tilted = slice(0, 300)
    errors = {
        name: relative_error(
            fit_trace(flux, error, scene.coordinate(), profile_model=name).model(coordinate),
            scene,
            coordinate,
            tilted,
        )
        for name in ("window", "surface")
    }
    assert errors["window"] < 0.005
    # Windows of 101 columns have the noise of nodes every 50 columns, and little more bias.
    assert errors["window"] < 2 * errors["surface"]


@pytest.mark.parametrize("center", [0.37, -9.3, 11.0])
def test_trace_parallel_to_the_grid(synthetic, center):
    """The last fit stands for a trace up to 6 % wider, and is far better than no model."""
    scene = synthetic(center=center)
    flux, error = scene.observe()
    fit = fit_trace(flux, error, scene.coordinate(), profile_model="window")
    position, coordinate = between_pixels(scene)
    parallel = slice(480, 600)
    ours = relative_error(fit.model(coordinate), scene, coordinate, parallel)
    rows = np.arange(scene.n_row)
    noiseless = scene.truth(scene.coordinate())
    linear = np.array([np.interp(position, rows, column) for column in noiseless])
    assert ours < 0.02
    assert ours < relative_error(linear, scene, coordinate, parallel) / 3


def test_outliers_and_a_hole_on_the_trace(synthetic):
    scene = synthetic()
    flux, error = scene.observe()
    rng = np.random.default_rng(3)
    hit = rng.random(flux.shape) < 0.01
    flux = np.where(hit, flux + 10 ** rng.uniform(2, 30, flux.shape), flux)
    flux[17, 4] = -1e30
    flux[200:205, 14:19] = np.nan
    fit = fit_trace(flux, error, scene.coordinate(), profile_model="window")
    _, coordinate = between_pixels(scene)
    assert relative_error(fit.model(coordinate), scene, coordinate, slice(0, 300)) < 0.006


def test_wrong_value():
    with pytest.raises(
        ValueError, match="profile_model is 'spline': expected one of surface, window"
    ):
        TraceSettings(profile_model="spline")
    with pytest.raises(ValidationError, match="'profile_model': the value \"spline\""):
        AdaptiveTraceModelStep(profile_model="spline")
    step = AdaptiveTraceModelStep()
    step.profile_model = "spline"
    with pytest.raises(ValueError, match="profile_model"):
        step.process("no such file")


def star(coordinate, pitch):
    """Undersampled star that broadens with wavelength; the sum over the rows is near 1000."""
    width = np.linspace(0.45, 0.55, len(coordinate))[:, None] * pitch
    edges = [erf((coordinate + side * pitch / 2) / (np.sqrt(2) * width)) for side in (1, -1)]
    return 500 * (edges[0] - edges[1])


@pytest.fixture(scope="module")
def painted(quiet_logs):
    """Exposure of two slices with a star each, and their geometry."""
    model = builtin_exposure(ra=83.8, dec=-5.4, roll=30.0)
    model.regions = np.where(np.isin(model.regions, (7, 22)), model.regions, 0)
    geometry = make_geometry("nirspec_ifu", model)
    rng = np.random.default_rng(4)
    shape = model.data.shape
    data, err = np.full(shape, np.nan), np.full(shape, np.nan)
    for layout in geometry.layouts:
        coordinate, _ = geometry.coordinates(layout)
        truth = star(coordinate, row_pitch(coordinate))
        error = np.sqrt(0.16 + 0.02 * truth)
        rows, columns = np.broadcast_arrays(*layout.index())
        at = rows[layout.inside], columns[layout.inside]
        data[at] = (truth + error * rng.standard_normal(truth.shape))[layout.inside]
        err[at] = error[layout.inside]
    model.data, model.err, model.dq = data, err, np.zeros(shape, dtype=np.uint32)
    return model, geometry


def test_step_with_the_window(painted):
    model, geometry = painted
    result = AdaptiveTraceModelStep.call(
        model, oversample=2.0, profile_model="window", fit_threshold=0.0
    )
    assert result.meta.cal_step.adaptive_trace_model == "COMPLETE"
    default = AdaptiveTraceModelStep.call(model, oversample=2.0, fit_threshold=0.0)
    assert not np.array_equal(result.data, default.data, equal_nan=True)
    for layout in geometry.layouts:
        native, _ = geometry.coordinates(layout)
        rows, valid, position = layout.oversampled_rows(2.0)
        coordinate = interpolate_smooth(native, layout.inside, position)
        truth = star(coordinate, row_pitch(native))
        columns = layout.first_column + np.arange(len(rows))[:, None]
        found = result.data[np.minimum(rows, 4095), columns]
        near = valid & (np.abs(coordinate) < 3 * row_pitch(native))
        assert near.sum() > 4000
        error = (found - truth)[near] / truth.max()
        assert np.sqrt(np.nanmean(error**2)) < 0.02
