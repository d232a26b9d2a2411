"""Robust standard deviation."""

import numpy as np
import pytest
from scipy import stats

from jwst_fusion.numerics.robust import robust_sigma


def test_noise_is_measured_whatever_half_of_the_rest_is():
    rng = np.random.default_rng(0)
    values = rng.normal(0, 2.5, (301, 100))
    assert robust_sigma(values) == pytest.approx(2.5, rel=0.02)
    values[:, :20] = 1e30
    assert robust_sigma(values) < 1.5 * 2.5
    odd = rng.normal(size=7)
    centred = stats.median_abs_deviation(odd, scale="normal")
    assert robust_sigma(odd - np.median(odd)) == pytest.approx(centred, rel=1e-5)


def test_missing_values_are_not_hidden():
    assert np.isnan(robust_sigma(np.array([1.0, np.nan, 2.0])))
    assert robust_sigma(np.zeros(3)) == 0
