"""Lists of sources and their spectra."""

import numpy as np
import pytest

from jwst_fusion.fusion.sources.source_list import SourceList
from jwst_fusion.fusion.sources.source_spectra import SourceSpectra


def made(names, *, given=False):
    n = len(names)
    return SourceList(
        x=np.arange(n) + 0.25,
        y=np.arange(n) * 2.0,
        x_error=np.full(n, 0.01),
        y_error=np.full(n, 0.02),
        significance=np.arange(n) + 10.0,
        name=names,
        given=np.full(n, given),
    )


def test_choice_and_join():
    both = made(["a", "b"], given=True).joined(made(["b", "c", "b-2"]))
    assert list(both.name) == ["a", "b", "b-3", "c", "b-2"]
    assert list(both.given) == [True, True, False, False, False]
    assert list(both.chosen([2, 0]).x) == [0.25, 0.25]
    assert len(both.chosen(both.significance > 11.5)) == 1
    assert len(SourceList.empty().joined(both)) == 5
    moved = both.shifted(3, -1)
    assert np.array_equal(moved.x - both.x, np.full(5, 3.0))
    assert np.array_equal(moved.y - both.y, np.full(5, -1.0))


def test_bad_lists_are_refused():
    with pytest.raises(ValueError, match="more than once: a"):
        made(["a", "a"])
    with pytest.raises(ValueError, match="must be finite"):
        made(["a"]).shifted(np.nan, 0)
    with pytest.raises(ValueError, match="y_error of a source list has shape"):
        SourceList([1.0], [1.0], [0.1], [0.1, 0.2], [5.0], ["a"], [False])


def test_sums_of_spectra_have_the_errors_of_their_covariance():
    rng = np.random.default_rng(1)
    factor = rng.standard_normal((2, 6, 3))
    error = np.sqrt(np.sum(factor**2, 2) + 0.5)
    spectra = SourceSpectra(made(["a", "b"]), rng.standard_normal((2, 6)), error, factor)
    weights = rng.standard_normal((4, 6))
    value, sigma = spectra.sum(weights)
    for j in range(2):
        covariance = 0.5 * np.eye(6) + factor[j] @ factor[j].T
        assert np.allclose(value[j], weights @ spectra.flux[j])
        assert np.allclose(sigma[j] ** 2, np.diag(weights @ covariance @ weights.T))
    one = spectra.sum(np.eye(6)[2])
    assert np.allclose(one[0], spectra.flux[:, 2])
    assert np.allclose(one[1], error[:, 2])
    assert len(spectra.chosen([1])) == 1


def test_channels_without_data_spoil_only_sums_that_use_them():
    flux = np.ones((1, 3))
    flux[0, 1] = np.nan
    spectra = SourceSpectra(made(["a"]), flux, np.ones((1, 3)), np.zeros((1, 3, 0)))
    value, error = spectra.sum(np.array([[1.0, 0, 1], [1, 1, 0]]))
    assert value[0, 0] == 2
    assert np.isclose(error[0, 0], np.sqrt(2))
    assert np.isnan(value[0, 1])
    assert np.isnan(error[0, 1])


def test_shapes_of_spectra_are_checked():
    with pytest.raises(ValueError, match="covariance_factor of source spectra"):
        SourceSpectra(made(["a"]), np.ones((1, 3)), np.ones((1, 3)), np.zeros((1, 4, 2)))
