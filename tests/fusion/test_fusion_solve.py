"""Fusion end to end on a scene whose observations and truth are known in closed form."""

from dataclasses import replace

import numpy as np
import pytest
from analytic_scene import calibration, make_scene, psnr, score
from scipy.ndimage import zoom

from jwst_fusion.fusion.engine import fuse
from jwst_fusion.fusion.solver.settings import FusionSettings


@pytest.fixture(scope="module")
def scene():
    return make_scene(margin=3)


@pytest.fixture(scope="module")
def fused(scene):
    return fuse(scene.data)


def test_truth_is_recovered(scene, fused):
    assert fused.converged
    assert fused.iterations > 0
    assert fused.subspace.rank == 4
    cubic = np.array(
        [zoom(c, 3, order=3, mode="grid-mirror", grid_mode=True) for c in scene.blurred]
    )
    assert score(scene, fused) > 48
    assert score(scene, fused) > psnr(scene.truth[scene.inner], cubic) + 15
    assert fused.cube.dtype == fused.error.dtype == np.float32
    assert fused.cube.shape == fused.error.shape == scene.truth.shape


def test_errors_are_calibrated(scene, fused):
    assert 0.8 < calibration(scene, fused) < 1.2
    assert fused.noise_scale_image == pytest.approx(1, abs=0.1)
    assert fused.noise_scale_cube == pytest.approx(1, abs=0.1)
    outside = fused.error[:, :5, :5].mean((1, 2))  # no spectra there
    assert np.all(outside > 1.2 * fused.error[scene.inner].mean((1, 2)))


def test_noise_of_images_with_larger_pixels(scene):
    """Noise that fine pixels share shows as less in each, and does not average out."""
    data, rng = scene.data, np.random.default_rng(4)
    exact = np.tensordot(data.response, scene.truth, 1)
    shared = []
    for sigma in data.image_sigma:
        coarse = rng.normal(size=[size // 2 + 1 for size in exact.shape[1:]])
        fine = zoom(coarse, 2, order=5, mode="grid-mirror", grid_mode=True)
        shared.append(sigma * fine[: exact.shape[1], : exact.shape[2]])
    images = exact + np.array(shared)
    wide = {"images": images, "image_sigma": 2 * data.image_sigma}
    result = fuse(replace(data, **wide, image_independent=np.full(len(images), 0.25)))
    assert result.noise_scale_image == pytest.approx(1, abs=0.2)
    assert 0.75 < calibration(scene, result) < 1.25
    believed = fuse(replace(data, **wide))
    assert believed.noise_scale_image < 0.65
    assert calibration(scene, believed) > calibration(scene, result)


def test_edge_is_as_good_as_the_middle(scene, fused):
    error = (fused.cube - scene.truth)[scene.inner]
    edge = np.ones(error.shape[1:], bool)
    edge[4:-4, 4:-4] = False
    assert np.sqrt(np.mean(error[:, edge] ** 2)) < 1.3 * np.sqrt(np.mean(error[:, ~edge] ** 2))


def test_data_are_reobserved(scene, fused):
    data, m = scene.data, scene.margin
    images = (fused.images_model - data.images) / data.image_sigma[:, None, None]
    assert np.sqrt(np.mean(images**2)) < 1.05
    field = np.s_[:, m:-m, m:-m]
    residual = (fused.cube_model - data.cube)[field] / data.cube_sigma[:, None, None]
    assert 0.9 < np.sqrt(np.mean(residual**2)) < 1.05
    sharp = (fused.cube_model[field] - scene.blurred) / data.cube_sigma[:, None, None]
    assert np.sqrt(np.mean(sharp**2)) < 0.4  # much closer to the truth than the data


def test_refinement_corrects_the_spectra(scene, fused):
    plain = fuse(scene.data, FusionSettings(refine=False))
    assert score(scene, fused) > score(scene, plain) + 2
    assert fused.noise_scale_cube < plain.noise_scale_cube
    assert np.abs(calibration(scene, fused) - 1) < np.abs(calibration(scene, plain) - 1)


def test_a_wrong_psf_is_noticed():
    scene = make_scene(margin=3, noise=0.1)
    data = scene.data
    options = {"rank": 4, "tuning": "manual", "mu": 1e-5, "errors": False}
    best = score(scene, fuse(data, FusionSettings(**options)))
    assert best > 55
    for change in (
        lambda p: p[:, ::-1, ::-1],  # conjugated transfer functions
        lambda p: p.transpose(0, 2, 1),
        lambda p: np.roll(p, 3, axis=0),  # shifted in wavelength
    ):
        wrong = replace(data, psf_image=change(data.psf_image), psf_cube=change(data.psf_cube))
        assert score(scene, fuse(wrong, FusionSettings(**options))) < best - 5


def test_complete_field_without_margin():
    scene = make_scene()
    free, mirror = fuse(scene.data), fuse(scene.data, FusionSettings(boundary="mirror"))
    assert mirror.iterations == 0
    assert mirror.converged
    assert score(scene, free) > 43
    assert score(scene, mirror) > 40
    assert free.boundary == "free"
    assert 0.7 < calibration(scene, free) < 1.25
    with pytest.raises(ValueError, match="complete data"):
        fuse(
            replace(scene.data, spaxel_weight=np.tri(10, 11, 3)), FusionSettings(boundary="mirror")
        )


@pytest.mark.parametrize("factor", [2, 4])
def test_even_factors(factor):
    scene = make_scene(factor=factor, shape=(8, 7), margin=2)
    result = fuse(scene.data)
    assert score(scene, result) > 40
    assert 0.75 < calibration(scene, result) < 1.3
    shifted = replace(scene.data, images=np.roll(scene.data.images, 1, axis=2))
    assert score(scene, fuse(shifted, FusionSettings(errors=False))) < score(scene, result) - 5


def test_missing_data(scene, fused):
    rng = np.random.default_rng(8)
    data = scene.data
    cube, images = data.cube.copy(), data.images.copy()
    cube[:, rng.random(cube.shape[1:]) < 0.08] = np.nan
    cube[rng.random(cube.shape) < 0.03] = np.nan
    cube[20:23] = np.nan
    images[rng.random(images.shape) < 0.02] = np.nan
    result = fuse(replace(data, cube=cube, images=images))
    alive = np.ones(len(cube), bool)
    alive[20:23] = False
    assert np.isnan(result.cube[~alive]).all()
    assert np.isfinite(result.cube[alive]).all()
    truth, inner = scene.truth[alive], scene.inner
    assert psnr(truth[inner], result.cube[alive][inner]) > score(scene, fused) - 3
    np.testing.assert_allclose(np.log10(result.mu / fused.mu), 0, atol=0.4)
    assert result.noise_scale_cube == pytest.approx(1, abs=0.1)


def test_missing_voxels_act_like_infinite_errors(scene):
    """A voxel that is absent and one that is garbage of no weight give the same result."""
    data = scene.data
    options = {"rank": 4, "tuning": "manual", "mu": 1e-4, "errors": False, "tolerance": 1e-4}
    absent = data.cube.copy()
    absent[30] = np.nan
    noise = data.cube_sigma.copy()
    noise[30] = np.inf
    a = fuse(replace(data, cube=absent), FusionSettings(**options))
    b = fuse(replace(data, cube_sigma=noise), FusionSettings(**options))
    np.testing.assert_allclose(a.coefficients, b.coefficients, atol=1e-6)


def test_signal_dependent_weights(scene):
    data, m = scene.data, scene.margin
    rng = np.random.default_rng(3)
    relative = 0.5 + scene.blurred.mean(0) / scene.blurred.mean()
    sigma = np.sqrt(relative) * data.cube_sigma[:, None, None]
    cube = data.cube.copy()
    cube[:, m:-m, m:-m] = scene.blurred + sigma * rng.normal(size=scene.blurred.shape)
    weight = np.pad(1 / relative, m)
    result = fuse(replace(data, cube=cube, spaxel_weight=weight))
    assert score(scene, result) > 44
    assert 0.8 < calibration(scene, result) < 1.2


def test_gratings_share_one_subspace(scene, fused):
    """The order of the channels, and a gap between them, mean nothing to the solver."""
    data = scene.data
    order = np.r_[90:150, 0:60, 60:90]
    names = ("cube", "cube_sigma", "psf_weights")
    changed = {name: getattr(data, name)[order] for name in names}
    joined = fuse(replace(data, response=data.response[:, order], **changed))
    error = np.abs(joined.cube - fused.cube[order]) / fused.error[order]
    assert np.quantile(error, 0.99) < 0.1
    np.testing.assert_allclose(joined.error, fused.error[order], rtol=0.02)


@pytest.mark.parametrize(("image", "cube"), [(3.0, 0.3), (0.2, 1.0)])
def test_wrong_errors_are_corrected(scene, fused, image, cube):
    data = replace(
        scene.data,
        image_sigma=image * scene.data.image_sigma,
        cube_sigma=cube * scene.data.cube_sigma,
    )
    result = fuse(data)
    assert result.noise_scale_image == pytest.approx(1 / image, rel=0.1)
    assert result.noise_scale_cube == pytest.approx(1 / cube, rel=0.1)
    assert score(scene, result) > score(scene, fused) - 0.5
    assert 0.8 < calibration(scene, result) < 1.2


def test_scale_of_the_units_does_not_matter(scene, fused):
    names = ("cube", "images", "cube_sigma", "image_sigma")
    result = fuse(replace(scene.data, **{n: 1e-3 * getattr(scene.data, n) for n in names}))
    np.testing.assert_allclose(1e3 * result.cube, fused.cube, rtol=1e-3, atol=1e-3)


def test_weights_and_errors_are_interchangeable(scene):
    data = scene.data
    options = {"rank": 4, "tuning": "manual", "mu": 1e-4, "tolerance": 1e-4}
    one = fuse(data, FusionSettings(**options))
    other = replace(data, image_sigma=2 * data.image_sigma, image_weight=4 * data.image_weight)
    two = fuse(other, FusionSettings(**options))
    np.testing.assert_allclose(two.cube, one.cube, rtol=1e-4)
    np.testing.assert_allclose(two.error, one.error, rtol=1e-4)


def test_deconvolved_cube_is_sharper(scene, fused):
    sharp = fuse(scene.data, FusionSettings(resolution="deconvolved"))
    np.testing.assert_allclose(sharp.coefficients, fused.coefficients, atol=1e-6)
    expected = np.tensordot(sharp.subspace.basis, sharp.coefficients, 1)
    expected += sharp.subspace.mean[:, None, None]
    np.testing.assert_allclose(sharp.cube, expected, rtol=1e-4, atol=1e-3)
    assert sharp.cube.max() > fused.cube.max()
    assert sharp.error.mean() > fused.error.mean()


def test_other_tunings(scene, fused):
    syfu = fuse(scene.data, FusionSettings(tuning="syfu", rank=4))
    assert np.ptp(syfu.mu) == 0
    assert 30 < score(scene, syfu) < score(scene, fused)
    options = {"tuning": "manual", "rank": 4, "mu": fused.mu, "gamma": 1.0}
    manual = fuse(scene.data, FusionSettings(regularisation="edge_preserving", **options))
    assert score(scene, manual) == pytest.approx(score(scene, fused), abs=0.3)


def test_iteration_limit_is_reported(scene, caplog):
    options = {"tuning": "manual", "rank": 4, "mu": 1e-4, "max_iterations": 2, "errors": False}
    result = fuse(scene.data, FusionSettings(**options))
    assert not result.converged
    assert result.error is None
    assert "stopped at" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tuning": "best"}, "tuning is 'best': expected one of"),
        ({"resolution": "high"}, "resolution is 'high': expected one of"),
        ({"boundary": "auto"}, "boundary is 'auto': expected one of"),
        ({"tuning": "manual"}, "needs mu"),
        ({"mu": 1.0}, "only used with tuning='manual'"),
        ({"tuning": "manual", "mu": -1.0}, r"mu is -1\.0: expected a number above 0"),
        ({"tuning": "manual", "mu": [1.0, 2.0], "rank": 3}, "one per component"),
        ({"tolerance": 2.0}, r"tolerance is 2\.0: expected"),
        ({"max_iterations": 0}, "max_iterations is 0: expected"),
        ({"rank": -1}, "rank must be"),
        ({"outlier_sigma": 1.0}, r"outlier_sigma is 1\.0: expected a number from 3"),
        ({"errors": 1}, "errors is 1: expected True or False"),
        ({"tuning": "manual", "mu": [1.0, -1.0]}, r"mu is \[1\.0, -1\.0\]: expected"),
    ],
)
def test_invalid_options(scene, options, message):
    with pytest.raises(ValueError, match=message):
        fuse(scene.data, FusionSettings(**options))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("spaxel_weight", 0.0, "cube has no finite voxel"),
        ("cube_sigma", np.nan, "cube has no finite voxel"),
        ("image_weight", 0.0, "images have no finite pixel"),
        ("response", 0.0, "response of image"),
    ],
)
def test_data_that_cannot_be_fused(scene, field, value, message):
    data = replace(scene.data, **{field: np.full_like(getattr(scene.data, field), value)})
    with pytest.raises(ValueError, match=message):
        fuse(data)
