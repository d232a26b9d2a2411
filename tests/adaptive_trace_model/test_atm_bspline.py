"""Splines and the banded surface fit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import BSpline

from jwst_fusion.adaptive_trace_model.bspline import (
    SurfaceFitter,
    UniformKnots,
    evaluate_surface,
)


@given(
    start=st.floats(-1e3, 1e3),
    length=st.floats(0.1, 100.0),
    step=st.floats(0.05, 30.0),
    share=st.lists(st.floats(0, 1), min_size=1, max_size=20),
)
def test_matches_scipy_and_sums_to_one(start, length, step, share):
    knots = UniformKnots.spanning(start, start + length, step=step)
    assert knots.step <= step * (1 + 1e-6)
    z = start + length * np.array(share)
    interval, basis = knots.locate(z)
    np.testing.assert_allclose(basis.sum(axis=0), 1.0, atol=1e-12)
    coefficients = np.random.default_rng(0).normal(size=knots.n_coef)
    t = np.arange(-3, knots.n_interval + 4.0)
    u = np.clip((z - knots.start) / knots.step, 0, knots.n_interval)
    expected = BSpline(t, coefficients, 3)(u)
    ours = sum(basis[p] * coefficients[interval + p] for p in range(4))
    np.testing.assert_allclose(ours, expected, atol=1e-7)


def surface_case(rng, n_column=240, n_row=21):
    coordinate = np.arange(n_row) + 0.03 * np.arange(n_column)[:, None]
    knots = UniformKnots.spanning(coordinate.min(), coordinate.max(), step=0.8)
    interval, basis = knots.locate(coordinate)
    nodes = rng.normal(size=(4, knots.n_coef))
    position = np.arange(n_column) * 3 / (n_column - 1)
    node = np.minimum(position.astype(int), 2)
    t = (position - node)[:, None]
    coefficients = (1 - t) * nodes[node] + t * nodes[node + 1]
    return knots, interval, basis, coefficients


def test_recovers_a_surface_of_its_own_space():
    rng = np.random.default_rng(1)
    knots, interval, basis, coefficients = surface_case(rng)
    target = evaluate_surface(coefficients, interval, basis)
    good = rng.random(target.shape) < 0.9
    weight = rng.uniform(0.5, 2, target.shape)
    fitter = SurfaceFitter(
        interval, basis, good, n_coef=knots.n_coef, node_spacing=80.0, stiffness=1e-9
    )
    assert fitter.n_node == 4
    found = fitter.solve(np.where(good, target, 1e6), weight)
    model = evaluate_surface(found, interval, basis)
    np.testing.assert_allclose(model, target, atol=1e-2)


def test_pixels_of_weight_zero_do_not_count():
    rng = np.random.default_rng(2)
    knots, interval, basis, coefficients = surface_case(rng)
    target = evaluate_surface(coefficients, interval, basis)
    good = np.ones(target.shape, bool)
    options = {"n_coef": knots.n_coef, "node_spacing": 80.0, "stiffness": 0.1}
    weight = (rng.random(target.shape) < 0.8).astype(float)
    first = SurfaceFitter(interval, basis, good, **options).solve(target, weight)
    second = SurfaceFitter(interval, basis, weight > 0, **options).solve(target * 1.0, weight)
    np.testing.assert_allclose(first, second, atol=1e-10)


def test_interpolates_where_there_are_no_data():
    rng = np.random.default_rng(3)
    knots, interval, basis, _ = surface_case(rng)
    good = np.ones(interval.shape, bool)
    good[100:140] = False
    target = np.broadcast_to(np.linspace(1, 2, len(interval))[:, None], interval.shape)
    fitter = SurfaceFitter(
        interval, basis, good, n_coef=knots.n_coef, node_spacing=20.0, stiffness=0.1
    )
    found = fitter.solve(target, good.astype(float))
    model = evaluate_surface(found, interval, basis)
    np.testing.assert_allclose(model[100:140, 3:-3], target[100:140, 3:-3], rtol=0.05)


def test_no_data_gives_none():
    knots, interval, basis, _ = surface_case(np.random.default_rng(4))
    good = np.zeros(interval.shape, bool)
    fitter = SurfaceFitter(
        interval, basis, good, n_coef=knots.n_coef, node_spacing=50.0, stiffness=0.1
    )
    assert fitter.solve(np.ones(interval.shape), good.astype(float)) is None


def test_stiffness_keeps_a_surface_of_few_columns_determined():
    knots = UniformKnots.spanning(0.0, 9.0, step=0.5)
    coordinate = np.broadcast_to(np.arange(10.0), (30, 10))
    interval, basis = knots.locate(coordinate)
    good = np.ones(coordinate.shape, bool)
    fitter = SurfaceFitter(
        interval, basis, good, n_coef=knots.n_coef, node_spacing=10.0, stiffness=0.1
    )
    target = np.sin(coordinate)
    model = evaluate_surface(fitter.solve(target, good * 1.0), interval, basis)
    assert model == pytest.approx(target, abs=1e-2)
