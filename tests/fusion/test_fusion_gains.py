"""Gains of the images are recovered together with the scene, with honest errors."""

from dataclasses import replace

import numpy as np
import pytest
from analytic_scene import calibration, make_scene, score

from jwst_fusion.fusion.solve import fuse

GAINS = np.array([1.05, 0.95, 1.04, 0.97, 1.02])


def miscalibrated(scene):
    """The same data with responses that do not contain the gains."""
    return replace(scene.data, response=scene.data.response / GAINS[:, None])


@pytest.mark.parametrize("margin", [0, 3])
def test_gains_are_found(margin):
    scene = make_scene(margin=margin)
    result = fuse(miscalibrated(scene), gains="fitted")
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
    result = fuse(scene.data, gains="fitted", uncertainty=False)
    assert np.abs((result.gains - 1) / result.gain_errors).max() < 4
    fixed = fuse(scene.data, uncertainty=False)
    np.testing.assert_array_equal(fixed.gains, 1)
    np.testing.assert_array_equal(fixed.gain_errors, 0)
    assert "still change" not in caplog.text


def test_a_narrow_prior_holds_the_gains():
    scene = make_scene(margin=3)
    options = {"gains": "fitted", "uncertainty": False}
    held = fuse(miscalibrated(scene), gain_prior=1e-5, **options)
    assert np.abs(held.gains - 1).max() < 2e-3


def test_invalid_options():
    scene = make_scene()
    with pytest.raises(ValueError, match="gains must be one of"):
        fuse(scene.data, gains="free")
    with pytest.raises(ValueError, match="gain_prior must be above 0"):
        fuse(scene.data, gains="fitted", gain_prior=0.0)


def test_noisy_image_beside_a_deep_one():
    """Its gain hangs on solves that converge slowly: it must not be biased."""
    scene = make_scene(margin=3)
    data, rng = scene.data, np.random.default_rng(5)
    sigma = data.image_sigma.copy()
    noise = np.sqrt(30**2 - 1) * sigma[0]
    images = data.images.copy()
    images[0] += noise * rng.standard_normal(images[0].shape)
    sigma[0] *= 30
    noisy = replace(data, images=images, image_sigma=sigma)
    result = fuse(noisy, gains="fitted", uncertainty=False)
    assert np.abs((result.gains - 1) / result.gain_errors).max() < 3
