"""Backgrounds that were subtracted from cube or images only."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from jwst_fusion.fusion.observed.background import image_level
from jwst_fusion.report.fused.image_checks import check_backgrounds

WAVE = np.linspace(1.66, 2.30, 33)
FILTERS = ("F182M", "F210M")


@pytest.fixture
def members(products, scene):
    def make(**options):
        cube = products.cube(scene, WAVE, shape=(15, 16), **options)
        return [cube, *(products.image(scene, name, shape=(150, 154)) for name in FILTERS)]

    return make


@pytest.mark.parametrize("level", [30.0, -20.0])
def test_light_of_the_images_alone_is_taken_off(
    members, scene, quick_fusion, quality_of, bias_of, level
):
    plain = quality_of(quick_fusion(members()), scene)
    given = members()
    for image in given[1:]:
        image.data += np.float32(level)
    result = quick_fusion(given)
    table = result.filter_table
    errors = table["background_error"]
    assert np.all(np.abs(table["background"] - level) < 3 * errors + 0.3)
    assert np.all(errors < 2.0)
    assert np.array_equal(table["applied_background"], table["background"])
    assert result.meta.fusion.background_applied == np.abs(table["background"]).max()
    found, bias = quality_of(result, scene), bias_of(result, scene)
    assert found > plain - 1
    assert abs(bias) < 3e-3
    assert table["calibration"] == pytest.approx(1, abs=0.01)
    left = quick_fusion(given, background="none")
    assert quality_of(left, scene) < found - 6
    assert np.isnan(left.filter_table["background_error"]).all()


def test_with_other_psfs_light_is_taken_off_as_well(
    members, scene, quick_fusion, bias_of, other_psfs
):
    given = members()
    for image in given[1:]:
        image.data += np.float32(30)
    result = quick_fusion(given, **other_psfs)
    table = result.filter_table
    off = np.abs(table["applied_background"] - 30)
    assert np.all(off < 3 * table["background_error"] + 0.3)
    assert abs(bias_of(result, scene)) < 5e-3


def test_one_image_and_a_gain(members, scene, quick_fusion, quality_of):
    given = members()
    given[2].data = 1.1 * given[2].data + np.float32(25.0)
    result = quick_fusion(given)
    table = result.filter_table
    assert table["applied_background"][0] == 0
    assert table["applied_background"][1] == pytest.approx(25, abs=3)
    assert table["calibration"] == pytest.approx([1, 1.1], abs=0.015)
    assert quality_of(result, scene) > 44


def test_nothing_is_taken_off_where_nothing_is(members, quick_fusion):
    table = quick_fusion(members()).filter_table
    assert not table["applied_background"].any()
    assert np.isfinite(table["background_error"]).all()


def test_misplaced_images_have_no_background(members, quick_fusion):
    given = members()
    for image in given[1:]:
        image.data += np.float32(30)
        image.meta.wcsinfo.crval2 += 0.1 / 3600
    table = quick_fusion(given, alignment="wcs").filter_table
    assert not table["applied_background"].any()
    assert np.isnan(table["background_error"]).all()


def observed(rng, *, noise=0.02, slope=1.1, level=0.0, offset=3.0):
    sky = gaussian_filter(rng.standard_normal((90, 96)), 4.0)
    sky = sky / sky.std() + offset
    cube = gaussian_filter(sky, 3.0)[1::3, 1::3]
    cube = cube + noise * rng.standard_normal(cube.shape)
    cube[:3, :5] = np.nan
    image = slope * sky + level + noise * rng.standard_normal(sky.shape)
    y, x = np.indices((31, 31)) - 15
    psf = np.zeros((31, 31))
    psf[15, 15] = 1.0
    wide = np.exp(-0.5 * (x**2 + y**2) / 9.0)
    return image, cube, {"psf_image": psf, "psf_cube": wide / wide.sum(), "factor": 3}


def test_levels_have_honest_errors():
    pulls, sizes = [], []
    for seed in range(25):
        rng = np.random.default_rng(seed)
        image, cube, psfs = observed(rng, noise=0.2, level=0.7)
        found = image_level(image, cube, **psfs)
        pulls.append((found.value - 0.7) / found.error)
        sizes.append(found.error)
    assert np.max(sizes) < 0.3
    assert abs(np.mean(pulls)) < 0.6
    assert 0.3 < np.std(pulls) < 1.3


def test_a_star_that_varies_is_no_background():
    image, cube, psfs = observed(np.random.default_rng(3), level=0.0)
    y, x = np.indices(image.shape)
    star = np.exp(-0.5 * ((x - 40) ** 2 + (y - 50) ** 2))
    seen = gaussian_filter(star, 3.0)[1::3, 1::3]
    found = image_level(image + 150 * star, cube + 50 * seen, **psfs)
    assert abs(found.value) < 4 * found.error < 0.5


@pytest.mark.parametrize("kind", ["uniform", "noise", "empty"])
def test_without_structure_there_is_no_level(kind):
    rng = np.random.default_rng(1)
    image, cube, psfs = observed(rng)
    if kind == "uniform":
        image, cube = np.full(image.shape, 3.0), np.full(cube.shape, 2.0)
    elif kind == "noise":
        image, cube = rng.standard_normal(image.shape), rng.standard_normal(cube.shape)
    else:
        image = np.full(image.shape, np.nan)
    found = image_level(image, cube, **psfs)
    assert abs(found.value) < 4 * found.error


def test_the_report_tells_what_was_taken_off():
    dtype = [("background_error", float), ("applied_background", float)]
    table = np.array([(0.1, 3.0), (0.1, 0.0)], dtype)
    for brightness, level in ((1000.0, "note"), (20.0, "caution")):
        images = np.full((2, 5, 5), brightness)
        product = SimpleNamespace(labels=FILTERS, filters=table, arrays={"images": images})
        (found,) = check_backgrounds(product)
        assert found.level == level
    assert "F182M: 3" in found.text
    assert "F210M" not in found.text
    assert not list(check_backgrounds(SimpleNamespace(labels=("A",), filters=np.zeros(1))))
