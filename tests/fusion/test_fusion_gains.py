"""Gains of the images are recovered together with the scene, with honest errors."""

from dataclasses import replace

import numpy as np
import pytest
from analytic_scene import calibration, make_scene, score

from jwst_fusion.fusion.engine import fuse
from jwst_fusion.fusion.solver.settings import FusionSettings
from jwst_fusion.products.observations import read_cube
from jwst_fusion.steps.fusion import FusionStep

GAINS = np.array([1.05, 0.95, 1.04, 0.97, 1.02])


def miscalibrated(scene):
    """The same data with responses that do not contain the gains."""
    return replace(scene.data, response=scene.data.response / GAINS[:, None])


@pytest.mark.parametrize("margin", [0, 3])
def test_gains_are_found(margin):
    scene = make_scene(margin=margin)
    result = fuse(miscalibrated(scene), FusionSettings(gains="fitted"))
    pull = (result.gains - GAINS) / result.gain_errors
    assert np.abs(pull).max() < 4
    assert np.abs(result.gains / GAINS - 1).max() < 0.005
    assert result.gain_errors.min() >= 5e-4
    right = fuse(scene.data)
    assert score(scene, result) > score(scene, right) - 0.5
    assert 0.8 < calibration(scene, result) < 1.2
    assert score(scene, result) > score(scene, fuse(miscalibrated(scene))) + 1


def test_right_gains_stay(caplog):
    scene = make_scene(margin=3)
    result = fuse(scene.data, FusionSettings(gains="fitted", errors=False))
    assert np.abs((result.gains - 1) / result.gain_errors).max() < 4
    fixed = fuse(scene.data, FusionSettings(errors=False))
    np.testing.assert_array_equal(fixed.gains, 1)
    np.testing.assert_array_equal(fixed.gain_errors, 0)
    assert "still change" not in caplog.text


def test_a_narrow_prior_holds_the_gains():
    scene = make_scene(margin=3)
    options = {"gains": "fitted", "errors": False}
    held = fuse(miscalibrated(scene), FusionSettings(gain_prior=1e-5, **options))
    assert np.abs(held.gains - 1).max() < 2e-3


def test_gains_within_the_error_of_an_earlier_calibration_are_found():
    scene = make_scene(margin=3)
    data = replace(miscalibrated(scene), response_error=np.full(5, 0.03))
    result = fuse(data, FusionSettings(gains="fitted", errors=False))
    assert np.abs(result.gains / GAINS - 1).max() < 0.005


def test_gains_that_contradict_an_earlier_calibration_are_not_believed(caplog):
    scene = make_scene(margin=3)
    data = replace(miscalibrated(scene), response_error=np.array([np.nan, *[0.004] * 4]))
    result = fuse(data, FusionSettings(gains="fitted", errors=False))
    assert "contradict their calibration" in caplog.text
    np.testing.assert_array_equal(result.gains, 1)
    assert result.gain_errors.min() >= 0.004


def test_invalid_options():
    scene = make_scene()
    with pytest.raises(ValueError, match="gains is 'free': expected one of"):
        fuse(scene.data, FusionSettings(gains="free"))
    with pytest.raises(ValueError, match=r"gain_prior is 0\.0: expected a number above 0"):
        fuse(scene.data, FusionSettings(gains="fitted", gain_prior=0.0))


@pytest.mark.parametrize(("deep", "noisy"), [(3.0, 30.0), (0.3, 3.0)])
def test_noisy_image_of_large_pixels_beside_a_deep_one(products, gaussian_psfs, deep, noisy):
    """Neither its gain nor the noise that both share may be biased."""
    scene = products.scene()
    given = [
        products.cube(scene, np.linspace(1.66, 2.30, 41), shape=(16, 17)),
        products.image(scene, "F182M", shape=(95, 95), noise=deep, seed=3),
        products.image(scene, "F210M", shape=(50, 50), noise=noisy, seed=5, scale=0.063),
    ]
    result = FusionStep.call(given, psf_size=1.0, margin=0.3, min_coverage=0.9, **gaussian_psfs)
    table = result.filter_table
    pull = (table["calibration"] - 1) / table["calibration_error"]
    assert np.abs(pull).max() < 4
    assert 0.6 < result.meta.fusion.noise_scale_image < 1.3


def test_a_noisy_cube_does_not_raise_the_gains(products, gaussian_psfs):
    """Of two explanations, the prior likes the one with smaller maps and larger gains."""
    scene = products.scene()
    given = [products.cube(scene, np.linspace(1.66, 2.30, 300), shape=(14, 16), noise=40.0, seed=7)]
    given += [
        products.image(scene, name, seed=50 + number)
        for number, name in enumerate(("F187N", "F212N", "F182M"))
    ]
    result = FusionStep.call(given, psf_size=1.0, margin=0.3, **gaussian_psfs)
    assert np.abs(np.mean(result.filter_table["calibration"]) - 1) < 0.01
    seen = read_cube(result)
    truth = scene.cube(seen.grid.wcs, seen.grid.shape, seen.wavelength, products.imager_sigma)
    good = result.dq == 0
    assert abs(result.data[good].sum() / truth[good].sum() - 1) < 0.005


def test_gains_of_an_empty_field_are_those_of_the_prior(products, gaussian_psfs):
    scene = products.scene(sources=((0, 0, 0.1, 1e-9, 0, 0, 1.9),), background=0.0)
    given = [products.cube(scene, np.linspace(1.66, 2.30, 41), shape=(10, 12))]
    given += [products.image(scene, name, seed=2 + i) for i, name in enumerate(("F187N", "F182M"))]
    table = FusionStep.call(given, psf_size=1.0, margin=0.3, **gaussian_psfs).filter_table
    assert np.abs(table["calibration"] - 1).max() < 0.1
    assert table["calibration_error"].min() > 0.05
