import numpy as np
import pytest

from jwst_fusion.bandpass import load_bandpass, photometry_weights
from jwst_fusion.fusion.observed.photometry import (
    calibrate,
    filter_responses,
    noise_of_cube,
    noise_of_image,
    synthetic_image,
)


@pytest.fixture
def psfs(products):
    def make(scale, half=30):
        y, x = np.indices((2 * half + 1, 2 * half + 1)) - half
        radius = (x**2 + y**2) * scale**2
        found = {}
        for name in ("imager_sigma", "cube_sigma"):
            psf = np.exp(-0.5 * radius / getattr(products, name)(2.1) ** 2)
            found[f"psf_{name.split('_')[0].replace('imager', 'image')}"] = psf / psf.sum()
        return found

    return make


def observe(scene, products, shape, pad, factor, *, gain=1.0, noise=0.0, seed=0):
    """Image that reaches beyond the cube, and the cube through the filter, F210M."""
    wave, bandpass = np.linspace(1.95, 2.25, 60), load_bandpass("F210M")
    padded = (shape[0] + 2 * pad, shape[1] + 2 * pad)
    coarse = products.wcs(padded, 0.1)
    fine = products.wcs((padded[0] * factor, padded[1] * factor), 0.1 / factor)
    response = photometry_weights(wave, bandpass)
    cube = scene.cube(coarse, padded, wave, products.cube_sigma)
    synthetic = np.tensordot(response, cube, 1)
    image = np.tensordot(
        response,
        scene.cube(fine, (padded[0] * factor, padded[1] * factor), wave, products.imager_sigma),
        1,
    )
    rng = np.random.default_rng(seed)
    image = gain * image + noise * rng.standard_normal(image.shape)
    outside = np.ones(padded, bool)
    outside[pad : padded[0] - pad, pad : padded[1] - pad] = False
    synthetic[outside] = np.nan
    return image, synthetic


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("gain", [1.0, 1.14])
def test_calibration_is_free_of_light_across_the_border(scene, products, psfs, factor, gain):
    # Of 12 x 12 spaxels, with bright sources at the border, the plain mean is wrong by 1 %.
    image, synthetic = observe(scene, products, (12, 12), 5, factor, gain=gain)
    options = {"factor": factor, **psfs(0.1 / factor)}
    one = np.ones_like(image), synthetic, np.ones_like(synthetic)
    eroded = calibrate(image, *one, method="eroded", **options)
    mean = calibrate(image, *one, method="mean", **options)
    assert eroded.factor == pytest.approx(gain, rel=6e-4)
    assert abs(mean.factor / gain - 1) > 5e-3
    assert 0.2 < eroded.area < 1
    assert mean.area == 1


def test_plain_mean_is_equation_6_of_the_paper(scene, products, psfs):
    image, synthetic = observe(scene, products, (14, 15), 0, 3)
    sigma = np.ones_like(image), synthetic, np.ones_like(synthetic)
    found = calibrate(image, *sigma, method="mean", factor=3, **psfs(0.1 / 3))
    assert found.factor == pytest.approx(image.mean() / synthetic.mean())


def test_error_of_the_calibration(scene, products, psfs):
    found = []
    for seed in range(40):
        image, synthetic = observe(scene, products, (14, 15), 4, 3, noise=30.0, seed=seed)
        sigma = np.full_like(image, 30.0), synthetic, np.zeros_like(synthetic)
        found.append(calibrate(image, *sigma, method="eroded", factor=3, **psfs(0.1 / 3)))
    factors = np.array([one.factor for one in found])
    assert factors.std() == pytest.approx(found[0].error, rel=0.35)
    assert abs(factors.mean() - 1) < 4 * found[0].error


def test_gaps_are_left_out_on_both_sides(scene, products, psfs):
    image, synthetic = observe(scene, products, (16, 18), 4, 3)
    image[30:36, 40:44] = np.nan
    synthetic[9, 14] = np.nan
    sigma = np.ones_like(image), synthetic, np.ones_like(synthetic)
    found = calibrate(image, *sigma, method="mean", factor=3, **psfs(0.1 / 3))
    whole = np.isfinite(synthetic)
    whole &= np.isfinite(image.reshape(24, 3, 26, 3)).all((1, 3))
    fine = np.repeat(np.repeat(whole, 3, 0), 3, 1)
    assert found.factor == pytest.approx(image[fine].mean() / synthetic[whole].mean())


def test_nothing_in_common_or_no_light(psfs):
    image, synthetic = np.ones((12, 12)), np.full((4, 4), np.nan)
    options = {"factor": 3, "method": "eroded", **psfs(0.033, half=2)}
    assert calibrate(image, image, synthetic, synthetic, **options) is None
    flat = np.ones((4, 4))
    assert calibrate(0 * image, image, flat, flat, **options) is None


def test_responses_follow_the_filter():
    wave = np.linspace(1.7, 2.3, 400)
    names = ("F182M", "F212N", "F277W", "F187N")
    bandpasses = [load_bandpass(name) for name in names]
    usable = np.abs(wave - 1.875) > 0.02
    responses, coverages = filter_responses(wave, bandpasses, usable=usable)
    assert responses[1].sum() == pytest.approx(1.0)
    assert not responses[:, ~usable].any()
    assert coverages[1] == pytest.approx(1.0, abs=5e-3)
    assert coverages[2] == 0
    assert coverages[3] < 0.5, "across the gap"
    assert not responses[3].any()
    assert not filter_responses(wave, bandpasses, usable=np.zeros(400, bool))[1].any()


@pytest.mark.parametrize("minimum", [0.3, 0.7])
def test_band_that_is_partly_covered(minimum):
    # F182M up to its middle: the part is reported, and used only if the caller accepts it.
    wave = np.linspace(1.65, 1.845, 400)
    responses, (covered,) = filter_responses(
        wave,
        [load_bandpass("F182M")],
        usable=np.ones(400, bool),
        minimum_coverage=minimum,
    )
    assert covered == pytest.approx(0.5, abs=0.03)
    assert responses.sum() == pytest.approx(float(minimum < covered))


def test_synthetic_image_makes_up_for_single_voxels():
    wave = np.linspace(1.95, 2.25, 300)
    response = photometry_weights(wave, load_bandpass("F210M"))
    cube = np.full((300, 4, 5), 7.0)
    cube[120, 1, 2] = np.nan
    cube[:, 2, 2] = np.nan
    cube[100:200, 3, 3] = np.nan
    image = synthetic_image(cube, 1.1 * response)
    assert np.isnan(image[2, 2])
    assert np.isnan(image[3, 3])
    assert np.count_nonzero(np.isnan(image)) == 2
    assert np.allclose(image[np.isfinite(image)], 7.7)


def test_noise_ignores_smooth_structure():
    rng = np.random.default_rng(0)
    y, x = np.indices((60, 70))
    source = 500 * np.exp(-((x - 30) ** 2 + (y - 20) ** 2) / 200)
    planes = source + np.array([1.0, 4.0])[:, None, None] * rng.standard_normal((2, 60, 70))
    planes[0, :20] = np.nan
    assert noise_of_image(planes) == pytest.approx([1.0, 4.0], rel=0.1)
    cube = np.array([source] * 30) + rng.standard_normal((30, 60, 70))
    assert noise_of_cube(cube) == pytest.approx(np.ones(30), rel=0.1)
    assert np.isnan(noise_of_image(np.full((1, 5, 5), np.nan))).all()
