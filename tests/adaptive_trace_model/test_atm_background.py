"""Lines under the columns: exact, robust, and with the right derivatives."""

import numpy as np
import pytest

from jwst_fusion.adaptive_trace_model.background import Lines, first_background, line_values


@pytest.fixture
def slice_of_lines():
    rng = np.random.default_rng(4)
    position = np.linspace(-1, 1, 31) + 0.01 * rng.standard_normal((40, 1))
    line = np.stack([rng.normal(50, 20, 40), rng.normal(0, 10, 40)])
    return position, line, rng


def test_lines_agree_with_numpy(slice_of_lines):
    position, line, rng = slice_of_lines
    data = line_values(line, position) + rng.standard_normal(position.shape)
    weight = rng.uniform(0.1, 2.0, position.shape)
    found = Lines(weight, position).fit(data)
    for i in range(len(data)):
        slope, level = np.polyfit(position[i], data[i], 1, w=np.sqrt(weight[i]))
        assert found[:, i] == pytest.approx([level, slope], rel=1e-4, abs=1e-3)


def test_gain_is_the_derivative(slice_of_lines):
    position, _, rng = slice_of_lines
    data = rng.standard_normal(position.shape)
    lines = Lines(rng.uniform(0.1, 2.0, position.shape), position, np.full(40, 3.0))
    np.testing.assert_allclose(np.sum(lines.gain() * data, axis=2), lines.fit(data), atol=1e-12)


def test_precision_pulls_the_slope_to_zero(slice_of_lines):
    position, line, _ = slice_of_lines
    data = line_values(line, position)
    free, tied = (Lines(np.ones_like(data), position, p).fit(data) for p in (0.0, 1e6))
    np.testing.assert_allclose(free, line, rtol=1e-4)
    assert np.abs(tied[1]).max() < 1e-3 * np.abs(line[1]).max()


@pytest.mark.parametrize("sign", [-1, 1])
def test_sources_of_either_sign_and_wild_pixels_do_not_lift_the_line(slice_of_lines, sign):
    position, line, rng = slice_of_lines
    data = line_values(line, position) + rng.standard_normal(position.shape)
    data += sign * 500 * np.exp(-0.5 * ((position - 0.2) / 0.06) ** 2)
    data[::7, 3] = 1e30
    data[3::7, 20] = -1e6
    found = first_background(data, np.ones(data.shape, bool), position)
    # 31 pixels of unit noise tell the level to 0.2 and the slope to 0.3.
    assert np.abs(found - line).max() < 2.0


def test_columns_without_pixels_give_zero(slice_of_lines):
    position, line, _ = slice_of_lines
    good = np.ones(position.shape, bool)
    good[5] = False
    found = first_background(np.where(good, line_values(line, position), 0.0), good, position)
    assert found[:, 5] == pytest.approx([0, 0])
    assert np.isfinite(found).all()
