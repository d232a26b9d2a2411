"""The step on NIRSpec IFU exposures of the built-in geometry."""

import copy

import numpy as np
import pytest
from jwst.assign_wcs.nirspec import nrs_wcs_set_input
from jwst.datamodels import ModelContainer, ModelLibrary
from jwst.pixel_replace import PixelReplaceStep
from stdatamodels.jwst import datamodels
from stdatamodels.jwst.datamodels import dqflags

from jwst_fusion.adaptive_trace_model.geometry import NirspecIfuGeometry
from jwst_fusion.adaptive_trace_model.settings import TraceSettings
from jwst_fusion.adaptive_trace_model.slices import oversampled_position
from jwst_fusion.adaptive_trace_model.sums import error_of
from jwst_fusion.simulation.exposures import builtin_exposure
from jwst_fusion.steps.adaptive_trace_model import AdaptiveTraceModelStep

DO_NOT_USE = dqflags.pixel["DO_NOT_USE"]
ESTIMATED = dqflags.pixel["FLUX_ESTIMATED"]
PITCH = 4e-4


def star(across, along):
    """Undersampled star in the slicer plane, integrated over a pixel; peak near one."""
    from scipy.special import erf

    width = np.sqrt(2) * 0.45 * PITCH
    distance = along - 0.13e-2
    profile = erf((distance + PITCH / 2) / width) - erf((distance - PITCH / 2) / width)
    return 0.5 * profile * np.exp(-0.5 * (across / 6e-4) ** 2)


def paint(model, seed=0):
    """Paint a star on a background of 2 MJy/sr; returns the noiseless truth."""
    geometry = NirspecIfuGeometry(model)
    truth = np.full(model.data.shape, np.nan)
    for layout in geometry.layouts:
        rows, columns = np.broadcast_arrays(*layout.index())
        rows, columns = rows[layout.inside], columns[layout.inside]
        across, along, _ = geometry._selector[layout.label](columns * 1.0, rows * 1.0)
        truth[rows, columns] = 2 + 400 * (1.2 - 0.4 * columns / 2048) * star(across, -along)
    rng = np.random.default_rng(seed)
    good = np.isfinite(truth)
    variance = {"var_rnoise": 0.16 + 0 * truth, "var_poisson": 0.02 * truth}
    error = np.sqrt(variance["var_rnoise"] + variance["var_poisson"])
    bad = rng.random(truth.shape) < 0.005
    for _ in range(200):
        row, column = rng.integers(0, 2045, 2)
        bad[row : row + 3, column : column + 3] = True
    missing = bad | ~good
    model.data = np.where(missing, np.nan, truth + error * rng.standard_normal(truth.shape))
    model.err = np.where(missing, np.nan, error)
    for name, value in variance.items():
        setattr(model, name, np.where(missing, np.nan, value))
    model.dq = np.where(missing, DO_NOT_USE, 0).astype(np.uint32)
    return truth


@pytest.fixture(scope="module")
def painted():
    model = builtin_exposure(ra=83.8, dec=-5.4, roll=30.0)
    truth = paint(model)
    model.area = np.ones(model.data.shape, dtype=np.float32)
    return model, truth


@pytest.fixture
def exposure(painted):
    return painted[0].copy()


def run(model, **parameters):
    return AdaptiveTraceModelStep(**parameters).run(model)


@pytest.fixture(scope="module")
def doubled(painted):
    model, _ = painted
    arrays = ("data", "err", "dq", "regions")
    before = {name: np.array(getattr(model, name)) for name in arrays}
    row, column = np.argwhere(model.regions == 12)[500]
    wcs_before = model.meta.wcs(column, row)
    result = run(model, oversample=2.0)
    for name, array in before.items():
        np.testing.assert_array_equal(getattr(model, name), array)
    np.testing.assert_array_equal(model.meta.wcs(column, row), wcs_before)
    assert model.meta.cal_step.adaptive_trace_model is None
    return result


def test_products(painted, doubled):
    model, _ = painted
    assert doubled.meta.cal_step.adaptive_trace_model == "COMPLETE"
    names = ("data", "err", "dq", "var_rnoise", "var_poisson", "wavelength", "regions")
    for name in (*names, "trace_model"):
        assert getattr(doubled, name).shape == (4096, 2048), name
    assert not doubled.hasattr("area")
    native = model.meta.photometry
    assert doubled.meta.photometry.pixelarea_arcsecsq == native.pixelarea_arcsecsq / 2
    assert doubled.meta.photometry.pixelarea_steradians == native.pixelarea_steradians / 2
    np.testing.assert_array_equal(doubled.regions[::2], model.regions)
    np.testing.assert_array_equal(doubled.regions[1::2], model.regions)
    invalid = np.isnan(doubled.data)
    np.testing.assert_array_equal(invalid, (doubled.dq & DO_NOT_USE) > 0)
    np.testing.assert_array_equal(invalid, np.isnan(doubled.err))
    estimated = (doubled.dq & ESTIMATED) > 0
    assert estimated.sum() > 100
    assert np.isfinite(doubled.data[estimated]).all()
    assert np.isfinite(doubled.trace_model[estimated]).all()
    assert (np.repeat(model.dq, 2, axis=0)[estimated] & DO_NOT_USE).all()


def test_errors_of_sums_are_known(painted, doubled, tmp_path):
    model, _ = painted
    label = 12
    mask = doubled.regions == label
    found = error_of(doubled, mask)
    assert doubled.meta.trace.sums.startswith("jwst_fusion.adaptive_trace_model.error_of")
    # all rows of a slice: twice the error of the native pixels, where no pixel is missing
    whole = np.isfinite(model.data) | (model.regions != label)
    whole = whole.all(axis=0) & (model.regions == label).any(axis=0)
    native = np.sqrt(np.nansum(np.where(model.regions == label, model.err, 0.0) ** 2, axis=0))
    assert whole.sum() > 200
    ratio = found[whole] / (2.0 * native[whole])
    assert np.nanquantile(ratio, [0.05, 0.95]) == pytest.approx(1.0, abs=1e-3)
    # the same from a file, and after jwst has opened it
    path = tmp_path / "doubled.fits"
    doubled.save(str(path))
    assert error_of(path, mask) == pytest.approx(found, nan_ok=True)
    with datamodels.open(path) as opened:
        assert error_of(opened, mask) == pytest.approx(found, nan_ok=True)
    line = (np.arange(2048) >= 900) & (np.arange(2048) < 906)
    assert error_of(path, mask, line * 1.0) == pytest.approx(np.sqrt((found[line] ** 2).sum()))


def test_flux_and_model_are_right_between_the_pixels(painted, doubled):
    model, _ = painted
    geometry = NirspecIfuGeometry(model)
    errors, linear = [], []
    for layout in geometry.layouts:
        rows, valid, position = layout.oversampled_rows(2.0)
        columns = np.broadcast_to(layout.index()[1], rows.shape)
        native = position + layout.first_row[:, None]
        across, along, _ = geometry._selector[layout.label](
            columns[valid] * 1.0, np.broadcast_to(native, rows.shape)[valid]
        )
        at = (rows[valid], columns[valid])
        near = np.isfinite(doubled.trace_model[at])
        if not near.any():
            continue
        spectrum = 400 * (1.2 - 0.4 * columns[valid] / 2048)
        truth = 2 + spectrum * star(across, -along)
        share = np.exp(-0.5 * (across / 6e-4) ** 2)
        if np.median(share) < 0.3:
            continue
        errors.append(((doubled.data[at] - truth) / (spectrum * share))[near])
        lower = np.clip(np.floor(native), 0, 2046).astype(int)
        t = (native - lower)[valid]
        lower = np.broadcast_to(lower, rows.shape)[valid]
        low = model.data[lower, columns[valid]]
        high = model.data[lower + 1, columns[valid]]
        linear.append((((1 - t) * low + t * high - truth) / (spectrum * share))[near])
    assert errors
    rms = np.sqrt(np.nanmean(np.concatenate(errors) ** 2))
    assert rms < 0.015
    assert np.sqrt(np.nanmean(np.concatenate(linear) ** 2)) > 3 * rms


def test_wcs_round_trips_and_is_that_of_the_native_exposure(painted, doubled, tmp_path):
    model, _ = painted
    doubled.save(tmp_path / "doubled.fits")
    with datamodels.open(tmp_path / "doubled.fits") as read:
        for number in (0, 13, 29):
            new, old = nrs_wcs_set_input(read, number), nrs_wcs_set_input(model, number)
            rows, columns = (index[::501] for index in np.nonzero(read.regions == number + 1))
            native = oversampled_position(rows, 2.0)
            found = np.array(new(columns, rows))
            np.testing.assert_allclose(found, np.array(old(columns, native)), rtol=1e-12)
            inside = np.isfinite(found[2])
            assert inside.mean() > 0.95
            np.testing.assert_allclose(
                read.wavelength[rows, columns][inside], found[2][inside], rtol=1e-6
            )
            (x_low, x_high), (y_low, y_high) = old.bounding_box.bounding_box()
            assert new.bounding_box.bounding_box() == (
                (x_low, x_high),
                (2 * y_low + 0.5, 2 * y_high + 0.5),
            )


def test_factor_one_only_attaches_the_trace(exposure):
    before = {name: np.array(getattr(exposure, name)) for name in ("data", "err", "dq")}
    result = run(exposure)
    for name, array in before.items():
        np.testing.assert_array_equal(getattr(result, name), array)
    assert result.trace_model.shape == result.data.shape
    near = np.isfinite(result.trace_model)
    assert 0 < near.mean() < 0.2
    pull = ((result.data - result.trace_model) / result.err)[near]
    assert 0.7 < 1.4826 * np.nanmedian(np.abs(pull)) < 1.3
    assert result.hasattr("area")


def test_flux_density_is_shared_among_the_parts(exposure, doubled):
    exposure.meta.bunit_data = "MJy"
    result = run(exposure, oversample=2.0)
    np.testing.assert_allclose(result.data, doubled.data / 2, rtol=1e-6)
    np.testing.assert_allclose(result.err, doubled.err / 2, rtol=1e-6)
    np.testing.assert_allclose(result.var_poisson, doubled.var_poisson / 4, rtol=1e-6)
    np.testing.assert_allclose(result.trace_model, doubled.trace_model / 2, rtol=1e-6)


@pytest.mark.slow
def test_threads_and_fractional_factor(exposure):
    one = run(exposure, oversample=1.5)
    two = run(exposure, oversample=1.5, maximum_cores="all")
    assert one.data.shape == (3072, 2048)
    np.testing.assert_array_equal(one.data, two.data)
    assert np.isfinite(one.data).sum() > 1.45 * np.isfinite(exposure.data).sum()


@pytest.mark.slow
def test_intermediate_products(exposure, tmp_path):
    exposure.meta.filename = "star_cal.fits"
    run(exposure, oversample=2.0, save_intermediate_results=True, output_dir=str(tmp_path))
    images = {}
    for suffix in ("spline_full", "spline_used", "linear_interp", "spline_residual"):
        with datamodels.open(tmp_path / f"star_{suffix}.fits") as product:
            assert isinstance(product, datamodels.IFUImageModel)
            assert product.data.shape == (4096, 2048)
            images[suffix] = np.array(product.data)
    used = np.isfinite(images["spline_used"])
    np.testing.assert_array_equal(images["spline_used"][used], images["spline_full"][used])
    assert np.isfinite(images["spline_full"]).sum() > used.sum()


def test_psf_optimal_is_the_model(exposure):
    result = run(exposure, oversample=2.0, psf_optimal=True)
    used = np.isfinite(result.trace_model)
    assert used.sum() > 0.8 * np.isfinite(result.data).sum()
    np.testing.assert_array_equal(result.data[used], result.trace_model[used])


def without(model, what):
    if what == "wcs":
        model.meta.wcs = None
    elif what == "nan":
        model.data[:] = np.nan
    elif what == "flagged":
        model.dq[:] = DO_NOT_USE
    elif what == "zero":
        model.data[:] = 0
    else:
        setattr(model.meta.instrument, what, None)


@pytest.mark.parametrize("what", ["wcs", "nan", "flagged", "zero", "detector", "grating"])
def test_skipped(exposure, what):
    without(exposure, what)
    before = np.array(exposure.data)
    result = run(exposure, oversample=2.0)
    assert result.meta.cal_step.adaptive_trace_model == "SKIPPED"
    np.testing.assert_array_equal(result.data, before)


def test_oversampled_exposure_is_left_as_it_is(doubled, caplog):
    result = run(doubled, oversample=2.0)
    assert "step skipped" in caplog.text
    # pixel_replace would fit another trace model to an exposure that seems to have none.
    assert result.meta.cal_step.adaptive_trace_model == "COMPLETE"
    np.testing.assert_array_equal(result.data, doubled.data)
    np.testing.assert_array_equal(result.trace_model, doubled.trace_model)


def test_unsupported_type_fails():
    model = datamodels.ImageModel((8, 8))
    result = run(model)
    assert result.meta.cal_step.adaptive_trace_model == "FAILED"


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("oversample", 0.0),
        ("oversample", 0.99),
        ("oversample", -2.0),
        ("oversample", 1e6),
        ("oversample", float("nan")),
        ("fit_threshold", float("nan")),
        ("slope_limit", float("inf")),
        ("maximum_cores", "many"),
        ("maximum_cores", "0"),
    ],
)
def test_parameters_out_of_range(parameter, value):
    step = AdaptiveTraceModelStep(**{parameter: value})
    with pytest.raises(ValueError, match=parameter):
        step.process("no such file")


@pytest.mark.parametrize("name", ["oversample", "fit_threshold", "slope_limit"])
def test_options_that_are_no_numbers(name):
    with pytest.raises(ValueError, match=f"{name} is None"):
        TraceSettings(**{name: None})


def test_read_only_arrays(exposure, doubled):
    names = ("data", "err", "dq", "regions", "var_rnoise", "var_poisson")
    for name in names:
        getattr(exposure, name).setflags(write=False)
    before = {name: np.array(getattr(exposure, name)) for name in names}
    result = run(exposure, oversample=2.0)
    np.testing.assert_array_equal(result.data, doubled.data)
    for name, array in before.items():
        np.testing.assert_array_equal(getattr(exposure, name), array)


def test_output_folder_that_is_none(exposure, tmp_path):
    exposure.meta.wcs = None
    exposure.meta.filename = "star_cal.fits"
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        run(exposure, save_results=True, output_dir=str(tmp_path / "file"))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_library_is_changed_in_place(exposure):
    library = ModelLibrary([exposure])
    result = run(library, oversample=2.0)
    assert result is library
    with result:
        model = result.borrow(0)
        assert model.meta.cal_step.adaptive_trace_model == "COMPLETE"
        assert model.data.shape == (4096, 2048)
        result.shelve(model, 0, modify=False)


def test_pixel_replace_takes_the_trace(exposure, offline_crds):
    result = run(exposure)
    replaced = PixelReplaceStep(algorithm="trace_model", skip=False).run(result)
    assert replaced.meta.cal_step.pixel_replace == "COMPLETE"
    bad = np.isnan(result.data) & np.isfinite(result.trace_model)
    assert bad.sum() > 50
    np.testing.assert_array_equal(replaced.data[bad], result.trace_model[bad])
    assert (replaced.dq[bad] & ESTIMATED).all()


def test_shapes_that_differ(exposure):
    exposure.err = np.ones((10, 10), dtype=np.float32)
    with pytest.raises(ValueError, match="err has the shape"):
        run(exposure, oversample=2.0)


@pytest.mark.parametrize("content", [0.0, np.nan])
def test_missing_errors(exposure, content, caplog):
    exposure.err[:] = content
    data = np.array(exposure.data)
    result = run(exposure)
    assert result.meta.cal_step.adaptive_trace_model == "COMPLETE"
    assert "no positive error" in caplog.text
    assert np.isfinite(result.trace_model).any()
    np.testing.assert_array_equal(result.data, data)


def test_one_empty_slice_and_infinite_pixels(exposure):
    empty = exposure.regions == 17
    exposure.data[empty] = np.nan
    rows, columns = (index[::997] for index in np.nonzero(exposure.regions == 2))
    exposure.data[rows, columns] = np.inf
    exposure.data[rows[0], columns[0] + 1] = 1e30
    result = run(exposure, oversample=2.0)
    assert result.meta.cal_step.adaptive_trace_model == "COMPLETE"
    assert np.isnan(result.data[np.repeat(empty, 2, axis=0)]).all()
    assert not np.isinf(result.data).any()


def test_exposures_of_the_same_name_are_refused(exposure, tmp_path):
    with pytest.raises(ValueError, match="2 exposures have the name"):
        run([exposure, exposure], save_results=True, output_dir=str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_name_that_the_user_gives(exposure, tmp_path):
    options = {"save_results": True, "save_report": True, "output_dir": str(tmp_path)}
    exposure.regions = np.where(np.isin(exposure.regions, (1, 2)), exposure.regions, 0)
    run(exposure, output_file="star", **options)
    names = ["star_adaptive_trace_model.fits", "star_adaptive_trace_model_report.html"]
    assert sorted(path.name for path in tmp_path.glob("*.*")) == names


def test_most_columns_flagged(exposure):
    # Flagged pixels have errors still, and slice 12 no more than one good column.
    exposure.regions = np.where(np.isin(exposure.regions, (1, 2, 12)), exposure.regions, 0)
    exposure.err = np.where(np.isnan(exposure.err), 1.0, exposure.err)
    exposure.dq[:, 300:1700] |= DO_NOT_USE
    lonely = exposure.regions == 12
    exposure.dq[lonely & (np.arange(2048) != 101)] |= DO_NOT_USE
    result = run(exposure, oversample=2.0)
    assert result.meta.cal_step.adaptive_trace_model == "COMPLETE"
    seen = np.isfinite(result.trace_model).any(axis=0)
    assert seen[210:300].mean() > 0.9
    assert seen[1700:1900].mean() > 0.9


def test_several_exposures(exposure):
    other = copy.deepcopy(exposure)
    other.meta.filename = "other_cal.fits"
    other.meta.wcs = None
    result = run(ModelContainer([exposure, other]))
    states = [model.meta.cal_step.adaptive_trace_model for model in result]
    assert states == ["COMPLETE", "SKIPPED"]
