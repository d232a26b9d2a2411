"""The verdict on a fused cube weighs size and significance, per filter and per source."""

from dataclasses import replace

import numpy as np
import pytest

from jwst_fusion.products.bands import band_maps, band_weights
from jwst_fusion.report.fused.agreement import band_agreements
from jwst_fusion.report.fused.sources import find_sources
from jwst_fusion.report.fused.verdict import find_findings, verdict_of
from jwst_fusion.report.levels import both

FILTER = 1  # the image that is changed


@pytest.fixture
def product(fused):
    """Return a good product whose numbers may be changed."""
    found = fused("none").read()
    arrays = {name: np.array(one, float) for name, one in found.arrays.items()}
    tables = {name: None if t is None else t.copy() for name, t in found.tables.items()}
    return replace(found, arrays=arrays, tables=tables, header=found.header.copy())


def keys(product, level=None):
    """Return findings that are no notes, or those of one level."""
    found = find_findings(product)
    wanted = [one for one in found if one.level != "note" or level == "note"]
    return {one.key for one in wanted if level in (None, one.level)}


def change_cube(product, index, added):
    """Add light to the cube in one band, that the fused cube does not have."""
    product.arrays["band_images"][index] += added
    if index < len(product.labels):
        error = product.arrays["band_errors"][index]
        product.arrays["cube_residuals"][index] += added / error


def test_good_is_good(product):
    assert not keys(product)
    assert verdict_of(find_findings(product))[0] == "good"


def test_small_residuals_are_no_fault_however_significant(product):
    # Signal-to-noise ratios of 500 to 1000 a pixel: what resampling leaves is many sigma.
    product.arrays["image_errors"] /= 25
    product.header["FUSNSIMG"] = 20.0
    agreements = band_agreements(product)
    assert max(one.image.chi2 for one in agreements) > 100
    assert max(one.image.relative for one in agreements) < 0.03
    found = {one.key: one.level for one in find_findings(product)}
    assert "chi2_image" not in found
    small = max(one.image.relative for one in agreements) < 0.01
    assert found["noise_scale"] == ("note" if small else "caution")


def test_noise_is_no_fault_however_large(product):
    rng = np.random.default_rng(2)
    arrays = product.arrays
    noise = 0.4 * np.nanstd(arrays["images"][FILTER])
    added = noise * rng.standard_normal(arrays["images"][FILTER].shape)
    arrays["images"][FILTER] += added
    arrays["residuals"][FILTER] += added
    arrays["image_errors"][FILTER] = np.hypot(arrays["image_errors"][FILTER], noise)
    residual = arrays["residuals"][FILTER] / arrays["images"][FILTER]
    assert np.nanstd(residual) > 0.1
    assert not keys(product)


def test_large_significant_residuals_are_told(product):
    arrays = product.arrays
    for name in ("images", "residuals"):
        arrays[name][FILTER] += 0.2 * np.nanmean(arrays["images"][FILTER])
    assert "chi2_image" in keys(product)
    # The same residuals within larger errors are noise.
    arrays["image_errors"][FILTER] *= 1000
    assert "chi2_image" not in keys(product)


def test_errors_that_are_too_large_do_not_hide_a_fault(product):
    change_cube(product, FILTER, 0.2 * np.nanmean(product.arrays["band_images"][FILTER]))
    assert "background" in keys(product)
    product.arrays["band_errors"] *= 1000
    assert "background" not in keys(product)
    product.header["FUSNSCUB"] = 0.001
    assert "background" in keys(product)


@pytest.mark.parametrize(("size", "level"), [(0.02, None), (0.12, "caution"), (0.5, "fault")])
def test_background_of_the_cube(product, size, level):
    change_cube(product, FILTER, size * np.nanmean(product.arrays["band_images"][FILTER]))
    found = {one.level for one in find_findings(product) if one.key == "background"}
    assert found == ({level} if level else set())


def test_an_image_of_another_field(product):
    product.tables["filters"]["likeness"][FILTER] = 0.2
    product.tables["filters"]["likeness_error"][FILTER] = 0.1
    assert "unlike" in keys(product, "fault")
    # Too uncertain to say so.
    product.tables["filters"]["likeness_error"][FILTER] = 0.2
    assert "unlike" not in keys(product)


@pytest.mark.parametrize(("name", "value"), [("likeness", 0.4), ("unexplained", 0.1)])
def test_a_place_that_nothing_confirms(product, name, value):
    table = product.tables["filters"]
    table["offset_error"][FILTER] = np.nan
    assert "offset_unknown" in keys(product, "note")
    table[name][FILTER], table[f"{name}_error"][FILTER] = value, value / 4
    assert "offset_unknown" in keys(product, "caution")


@pytest.mark.parametrize(("value", "level"), [(1.01, None), (0.95, "caution"), (1.4, "fault")])
def test_images_that_were_not_calibrated(product, value, level):
    table = product.tables["filters"]
    product.header["FUSXCAL"] = "off"
    table["calibration"], table["calibration_error"] = 1.0, np.nan
    table["measured_calibration"], table["measured_calibration_error"] = value, 0.002
    found = {one.level for one in find_findings(product) if one.key == "calibration"}
    assert found == {level or "note"}
    table["measured_calibration_error"] = 0.1  # noise
    found = {one.level for one in find_findings(product) if one.key == "calibration"}
    assert found == {"note"} if value < 1.3 else {"fault"}


def test_components_that_were_left_out(product):
    product.header["FUSNSIGN"] = product.header["FUSNCOMP"] + 2
    product.header["FUSTRUNC"] = 0.01
    assert "components" not in keys(product)
    product.header["FUSTRUNC"] = 5.0
    assert "components" in keys(product, "caution")


def test_a_cube_cannot_be_sharper_than_its_model(product):
    fitted = {"FUSPFIX": 0.0, "FUSPFIY": 0.0, "FUSPFCX": -0.05, "FUSPFCY": -0.045}
    product.header.update(fitted | {"FUSPFSIG": -3.0})
    assert "psf_fit" not in keys(product)
    product.header["FUSPFSIG"] = -30.0
    assert "psf_fit" in keys(product, "caution")
    # What only takes back a Gaussian that the cube was given is no narrower PSF.
    product.header.update({"FUSBRACR": 0.05, "FUSBRALO": 0.06})
    assert "psf_fit" not in keys(product)
    product.header.update({"FUSBRACR": 0.0, "FUSBRALO": 0.0})
    # Images that were widened by as much leave the cube as its model is.
    product.header.update({"FUSPFIX": 0.04, "FUSPFIY": 0.04, "FUSPFCX": 0.005, "FUSPFCY": -0.01})
    assert "psf_fit" not in keys(product)
    # Where it still had to be made narrower, the images are wider otherwise.
    product.header.update(fitted | {"FUSPFIX": 0.03, "FUSPFIY": 0.02})
    assert "psf_fit" in keys(product, "caution")
    product.header.update(fitted | {"FUSPFSIG": -3.0, "FUSPFIX": 0.03, "FUSPFIY": 0.02})
    assert "psf_fit" not in keys(product)


def test_brightness_after_calibration(product):
    change_cube(product, FILTER, 0.1 * product.arrays["band_models"][FILTER])
    assert "brightness" in keys(product, "caution")
    mismatch = band_agreements(product)[FILTER].mismatch
    assert mismatch.brightness.value == pytest.approx(0.1, abs=0.02)


def place_of(source, product, factor=3):
    """Rows and columns of the spaxels around a source, as distances."""
    rows, columns = np.indices(product.arrays["band_images"].shape[1:])
    return np.hypot(rows - (source.y - 1) / factor, columns - (source.x - 1) / factor)


def test_sources_are_those_of_the_scene(product):
    sources = find_sources(product)
    assert 2 <= len(sources) <= 12
    for one in sources:
        assert abs(one.image.value) < 0.1 or one.image.sigma < 8
        assert abs(one.cube.value) < 0.08 or one.cube.sigma < 6
        assert not one.missing


@pytest.mark.parametrize(
    ("bands", "key"),
    [((0, 1, 2), "source_cube"), ((3,), "source_continuum"), ((4,), "source_lines")],
)
def test_light_of_a_source_in_one_band_alone(product, bands, key):
    source = find_sources(product)[0]
    arrays = product.arrays
    near = place_of(source, product) < 2.5
    continuum = arrays["band_models"][3]
    shape = np.where(near, continuum - np.percentile(continuum[near], 20), 0)
    for band in bands:
        change_cube(product, band, 0.15 * np.maximum(shape, 0))
    found = keys(product)
    assert key in found
    assert not {"source_cube", "source_continuum", "source_lines"} - {key} & found


def test_ring_around_a_source(product):
    source = find_sources(product)[0]
    arrays = product.arrays
    rows, columns = np.indices(arrays["images"].shape[1:])
    distance = np.hypot(rows - source.y, columns - source.x)
    model = arrays["images"][FILTER] - arrays["residuals"][FILTER]
    added = np.where((distance > 2) & (distance <= 4), -0.05 * model[source.y, source.x], 0)
    for name in ("images", "residuals"):
        arrays[name][FILTER] += added
    assert "source_ring" in keys(product)
    found = next(one for one in find_sources(product) if (one.y, one.x) == (source.y, source.x))
    assert found.rings[product.labels[FILTER]].value < -0.03


def test_peak_without_data(product):
    source = find_sources(product)[0]
    for name in ("images", "residuals", "image_errors"):
        product.arrays[name][FILTER, source.y, source.x] = np.nan
    found = [one for one in find_findings(product) if one.key == "source_missing"]
    assert found
    assert product.labels[FILTER] in found[0].text


def test_single_spaxel(product):
    error = product.arrays["band_errors"][3]
    change = np.zeros_like(error)
    change[7, 8] = max(20 * error[7, 8], 0.3 * product.arrays["band_images"][3, 7, 8])
    change_cube(product, 3, change)
    found = [one for one in find_findings(product) if one.key == "spaxels"]
    assert [one.level for one in found] == ["caution"]
    assert "x 8, y 7" in found[0].text


@pytest.mark.parametrize(("count", "level"), [(3, None), (6, "caution"), (30, "fault")])
def test_channels_that_no_component_has(product, count, level):
    table = product.channels
    live = np.flatnonzero(table["voxels"] > 0)[100 : 100 + count]
    stated = product.stated_error[live] / table["noise"][live]
    table["chi2"][live] = 2 + (2 * stated) ** 2 + 6
    found = {one.level for one in find_findings(product) if one.key == "channels"}
    assert found == ({level} if level else set())


def test_left_out_images_may_be_noisy(product):
    row = np.array(
        [("F187N", "F187N", 0.5, 1.02)],
        [("filter", "U8"), ("left_out", "U8"), ("relative_error", float), ("chi2", float)],
    )
    product.tables["left_out"] = row
    assert "left_out" not in keys(product)
    row["chi2"] = 9.0
    assert "left_out" in keys(product, "fault")


@pytest.mark.parametrize(
    ("stated", "level"), [(0.05, "fault"), (0.2, "caution"), (0.3, None), (np.nan, "fault")]
)
def test_left_out_images_may_be_hard_to_predict(product, stated, level):
    row = [("F187N", "F187N", 0.5, 9.0, stated)]
    names = ("relative_error", "chi2", "stated_error")
    product.tables["left_out"] = np.array(
        row, [("filter", "U8"), ("left_out", "U8"), *((name, float) for name in names)]
    )
    found = {one.level for one in find_findings(product) if one.key == "left_out"}
    assert found == ({level} if level else set())


def test_what_counts_must_reach_both_limits():
    assert both("fault", "caution") == "caution"
    assert both("fault", "fault") == "fault"
    assert both("fault", None) is None


def test_bands():
    wavelength = np.linspace(2.0, 2.2, 200)
    spectrum = 5 + 40 * np.exp(-0.5 * ((wavelength - 2.1) / 0.002) ** 2)
    response = np.zeros((2, 200))
    response[0, 20:60], response[1, 80:120] = 1 / 40, 1 / 40
    weights = band_weights(response, wavelength, spectrum)
    assert weights.shape == (4, 200)
    np.testing.assert_array_equal(weights[:2], response)
    assert weights.sum(1) == pytest.approx([1, 1, 1, 0], abs=1e-12)
    # The continuum has no line in it, and the last band has nothing else.
    assert weights[2] @ spectrum == pytest.approx(5, abs=0.05)
    assert weights[3] @ np.full(200, 7.0) == pytest.approx(0, abs=1e-9)
    assert weights[3] @ spectrum > 15
    flat = band_weights(response, wavelength, np.full(200, 5.0))
    assert not flat[3].any()


def test_band_maps_leave_out_what_is_not_there():
    class Problem:
        cube = np.ones((4, 2, 3))
        cube_sigma = np.array([0.1, 0.1, np.inf, 0.1])
        spaxel_weight = np.array([[1.0, 4.0, 0.0], [1.0, 1.0, 1.0]])

    Problem.cube[1, 1, 1] = np.nan
    model = np.full((4, 2, 3), 0.5)
    cube, expected, error = band_maps(Problem, model, np.array([[0.25, 0.25, 0.25, 0.25]]))
    assert cube[0, 0, 0] == pytest.approx(0.75)
    assert expected[0, 0, 0] == pytest.approx(0.375)
    assert error[0, 0, 0] == pytest.approx(0.25 * 0.1 * np.sqrt(3))
    assert error[0, 0, 1] == pytest.approx(error[0, 0, 0] / 2)
    assert np.isnan([cube[0, 0, 2], expected[0, 0, 2], error[0, 0, 2]]).all()
    assert cube[0, 1, 1] == pytest.approx(0.5)
    assert expected[0, 1, 1] == pytest.approx(0.25)
