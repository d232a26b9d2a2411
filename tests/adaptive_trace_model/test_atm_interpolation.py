"""Interpolation along rows."""

import numpy as np
import pytest

from jwst_fusion.adaptive_trace_model.interpolation import LinearInterpolation, interpolate_smooth


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    valid = rng.random((37, 13)) < 0.7
    valid[3] = False
    valid[4] = False
    valid[4, 6] = True
    position = rng.uniform(-0.8, 12.8, (37, 29))
    return rng, valid, position, LinearInterpolation(valid, position)


def test_is_numpy_interp_over_missing_pixels(case):
    rng, valid, position, interpolation = case
    values = rng.normal(size=valid.shape)
    found = interpolation.apply(values)
    for i in np.flatnonzero(valid.any(axis=1)):
        rows = np.flatnonzero(valid[i])
        np.testing.assert_allclose(found[i], np.interp(position[i], rows, values[i, rows]))
    assert interpolation.has_data.tolist() == valid.any(axis=1).tolist()


def test_shared_positions(case):
    rng, valid, position, _ = case
    values = rng.normal(size=valid.shape)
    one = LinearInterpolation(valid, position[:1])
    many = LinearInterpolation(valid, np.repeat(position[:1], len(valid), axis=0))
    np.testing.assert_allclose(one.apply(values), many.apply(values))


def test_adjoint(case):
    rng, valid, position, interpolation = case
    x, y = rng.normal(size=valid.shape), rng.normal(size=position.shape)
    np.testing.assert_allclose(
        np.sum(interpolation.apply(x) * y), np.sum(x * interpolation.adjoint(y))
    )


def test_squared_weights(case):
    _, valid, position, interpolation = case
    matrix = np.zeros((position.shape[1], valid.shape[1]))
    for j in range(valid.shape[1]):
        unit = np.zeros(valid.shape)
        unit[:, j] = 1
        matrix[:, j] = interpolation.apply(unit)[7]
    variance = np.random.default_rng(5).uniform(1, 2, valid.shape)
    np.testing.assert_allclose(
        interpolation.apply_squared(variance)[7], matrix**2 @ variance[7], rtol=1e-12
    )


def test_smooth_is_exact_for_cubics():
    row = np.arange(11.0)
    inside = np.ones((5, 11), bool)
    inside[1, 8:] = False
    inside[2, 3:] = False
    position = (np.arange(33) + 0.5) / 3 - 0.5
    scale = np.arange(1, 6)[:, None]
    values = scale * (1e-3 * row**3 - 0.02 * row**2 + row)
    expected = scale * (1e-3 * position**3 - 0.02 * position**2 + position)
    found = interpolate_smooth(np.where(inside, values, np.nan), inside, position[None])
    assert np.isnan(found[2]).all()
    keep = [0, 1, 3, 4]
    np.testing.assert_allclose(found[keep], expected[keep], atol=1e-9)
