"""Slits, time series and outdated types: what is read, written, skipped and refused."""

import warnings

import numpy as np
import pytest
from jwst.datamodels import ModelContainer, SourceModelContainer
from jwst.exp_to_source import multislit_to_container
from stdatamodels.jwst import datamodels
from stdatamodels.jwst.datamodels import dqflags

from jwst_fusion.adaptive_trace_model.geometry import GeometryError, make_geometry
from jwst_fusion.adaptive_trace_model.integrations import median_image
from jwst_fusion.adaptive_trace_model.modes import MODES, find_mode
from jwst_fusion.simulation.slits import (
    bright_object_exposure,
    fixed_slit_exposure,
    lrs_exposure,
    mos_exposure,
)
from jwst_fusion.steps.adaptive_trace_model import AdaptiveTraceModelStep

DO_NOT_USE = dqflags.pixel["DO_NOT_USE"]
SKIPPED, FAILED, COMPLETE = "SKIPPED", "FAILED", "COMPLETE"


def run(model, **parameters):
    return AdaptiveTraceModelStep(**parameters).run(model)


def state(model):
    return model.meta.cal_step.adaptive_trace_model


@pytest.fixture(scope="module")
def slitlets():
    return mos_exposure(shutters=(3, 3, 3), columns=120)


@pytest.fixture(scope="module")
def series():
    return bright_object_exposure(columns=120)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_every_mode_is_found(mode):
    for detector in mode.detectors:
        for disperser in mode.dispersers or (None,):
            found, reason = find_mode(mode.exposure_type, detector, disperser)
            assert found is mode
            assert reason == ""


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (("MIR_WFSS", "MIRIMAGE", None), "exposure type is MIR_WFSS: supported are NRS_IFU"),
        (("NIS_SOSS", "NIS", None), "exposure type is NIS_SOSS"),
        ((None, None, None), "exposure type is missing"),
        (("MIR_MRS", "NRS1", None), "detector is NRS1: supported are MIRIFUSHORT, MIRIFULONG"),
        (("NRS_MSASPEC", "NRS1", "MIRROR"), "grating is MIRROR: supported are G140M"),
    ],
)
def test_unsupported_modes(values, reason):
    mode, found = find_mode(*values)
    assert mode is None
    assert found.startswith(reason)


def test_spaxels_of_the_channels():
    mrs, _ = find_mode("MIR_MRS", "MIRIFULONG", None)
    assert [mrs.spaxel_size(label) for label in (121, 201, 316, 401)] == list(mrs.spaxels)
    ifu, _ = find_mode("NRS_IFU", "NRS1", "G235H")
    assert ifu.spaxel_size(30) == 1.0


@pytest.mark.parametrize(
    ("kind", "exposure_type", "expected", "message"),
    [
        ("ImageModel", "MIR_LRS-FIXEDSLIT", FAILED, "reprocess it with jwst 2.0 or later"),
        ("CubeModel", "MIR_LRS-SLITLESS", FAILED, "reprocess it with jwst 2.0 or later"),
        ("ImageModel", "NIS_SOSS", FAILED, "is of type ImageModel, not IFUImageModel or"),
        ("SlitModel", "MIR_MRS", FAILED, "is of type SlitModel, not IFUImageModel"),
        ("MultiSlitModel", "NRS_BRIGHTOBJ", FAILED, "is of type MultiSlitModel, not SlitModel"),
        ("SlitModel", "MIR_WFSS", SKIPPED, "exposure type is MIR_WFSS"),
    ],
)
def test_types_and_modes_that_do_not_fit(kind, exposure_type, expected, message, caplog):
    model = getattr(datamodels, kind)()
    model.meta.exposure.type = exposure_type
    lrs = "LRS" in exposure_type
    model.meta.instrument.detector = {"M": "MIRIFUSHORT", "N": "NRS1"}[exposure_type[0]]
    model.meta.instrument.detector = "MIRIMAGE" if lrs else model.meta.instrument.detector
    model.meta.instrument.grating = None if exposure_type[0] == "M" else "G140H"
    assert state(run(model, oversample=2.0)) == expected
    assert message in caplog.text


def test_slits_that_cannot_be_used_are_left_and_counted(slitlets, caplog, tmp_path):
    broken = slitlets.copy()
    broken.slits[0].meta.wcs = None
    broken.slits[1].dq[:] = DO_NOT_USE
    native = [np.array(slit.data) for slit in broken.slits]
    broken.meta.filename = "slits_cal.fits"
    result = run(broken, oversample=2.0, save_intermediate_results=True, output_dir=str(tmp_path))
    assert state(result) == COMPLETE
    assert "2 of 3 slits" in caplog.text
    assert "no WCS" in caplog.text
    assert "flagged DO_NOT_USE" in caplog.text
    for slit, before in zip(result.slits[:2], native, strict=False):
        np.testing.assert_array_equal(slit.data, before)
        assert not slit.hasattr("trace_model")
    assert result.slits[2].data.shape == (2 * len(native[2]), native[2].shape[1])
    result.save(tmp_path / "result.fits")
    with datamodels.open(tmp_path / "result.fits") as read:
        assert [slit.trace_model is None for slit in read.slits] == [True, True, False]
    for suffix in ("spline_full", "spline_used", "linear_interp", "spline_residual"):
        with datamodels.open(tmp_path / f"slits_{suffix}.fits") as product:
            assert isinstance(product, datamodels.MultiSlitModel)
            assert [slit.name for slit in product.slits] == [slit.name for slit in broken.slits]
            shapes = [slit.data.shape for slit in product.slits]
            assert shapes == [slit.data.shape for slit in result.slits]
            assert np.isnan(product.slits[0].data).all()
            assert np.isfinite(product.slits[2].data).any()


def test_exposure_without_usable_slit(slitlets, caplog):
    broken = slitlets.copy()
    del broken.slits[0].meta.wcs
    broken.slits[1].data[:] = 0
    broken.slits[2].data[:] = np.nan
    result = run(broken, oversample=2.0)
    assert state(result) == SKIPPED
    assert "all pixels are zero" in caplog.text
    np.testing.assert_array_equal(result.slits[1].data, broken.slits[1].data)


def test_slit_whose_data_lie_outside_of_it(slitlets):
    """Cutouts are larger than the slits."""
    slit = fixed_slit_exposure(single=True, columns=80)
    inside = np.isfinite(slit.meta.wcs(*np.meshgrid(*map(np.arange, slit.data.shape[::-1])))[0])
    slit.data[:] = np.where(inside, np.nan, 1.0)
    slit.dq[:] = 0
    slit.err[:] = 1.0
    assert state(run(slit, oversample=2.0)) == SKIPPED


def test_threads_over_slits(slitlets):
    one = run(slitlets, oversample=1.5)
    two = run(slitlets, oversample=1.5, maximum_cores="all")
    for first, second in zip(one.slits, two.slits, strict=True):
        np.testing.assert_array_equal(first.data, second.data)
        np.testing.assert_array_equal(first.trace_model, second.trace_model)


def test_shapes_that_differ_name_the_slit(slitlets):
    broken = slitlets.copy()
    broken.slits[1].err = np.ones((3, 3), dtype=np.float32)
    with pytest.raises(ValueError, match=f"slit {broken.slits[1].name}: err has the shape"):
        run(broken)


def test_read_only_slits(slitlets):
    frozen = slitlets.copy()
    names = ("data", "err", "dq", "var_rnoise", "var_poisson", "var_flat")
    for slit in frozen.slits:
        for name in names:
            getattr(slit, name).setflags(write=False)
    result = run(frozen, oversample=2.0)
    assert state(result) == COMPLETE
    for slit, before in zip(frozen.slits, slitlets.slits, strict=True):
        for name in names:
            np.testing.assert_array_equal(getattr(slit, name), getattr(before, name))


def test_sources_of_spec3(slitlets):
    """Source by source, as calwebb_spec3 hands slits over."""
    sources = multislit_to_container(ModelContainer([slitlets.copy(), slitlets.copy()]))
    source = next(iter(sources.values()))
    assert isinstance(source, SourceModelContainer)
    rows = source[0].data.shape[0]
    result = run(source, oversample=2.0)
    assert [state(model) for model in result] == [COMPLETE, COMPLETE]
    assert all(model.data.shape[0] == 2 * rows for model in result)


def test_arrays_that_no_longer_fit_are_removed(slitlets):
    full = slitlets.copy()
    names = ("barshadow", "pathloss_point", "pathloss_uniform", "flatfield_point", "photom_uniform")
    for slit in full.slits:
        for name in names:
            setattr(slit, name, np.ones(slit.data.shape, dtype=np.float32))
    for slit in run(full, oversample=2.0).slits:
        assert not any(slit.hasattr(name) for name in names)
    for slit in run(full).slits:
        assert all(slit.hasattr(name) for name in names)


def test_missing_arrays_of_a_slit():
    slit = fixed_slit_exposure(single=True, columns=80)
    for name in ("err", "dq", "var_rnoise", "var_poisson", "var_flat"):
        delattr(slit, name)
    result = run(slit, oversample=2.0)
    assert state(result) == COMPLETE
    assert result.dq.shape == result.data.shape
    assert not result.hasattr("err")


def test_bare_slits(slitlets):
    """Data and WCS are enough."""
    bare = datamodels.MultiSlitModel()
    bare.meta.exposure.type = "NRS_MSASPEC"
    bare.meta.instrument.detector, bare.meta.instrument.grating = "NRS1", "G235M"
    assert state(run(bare)) == SKIPPED
    slit = datamodels.SlitModel(data=slitlets.slits[0].data)
    slit.meta.wcs = slitlets.slits[0].meta.wcs
    bare.slits.append(slit)
    for factor in (1.0, 2.0):
        result = run(bare, oversample=factor)
        assert state(result) == COMPLETE
        assert result.slits[0].trace_model.shape == result.slits[0].data.shape


def test_infinite_and_huge_pixels_of_a_slit():
    slit = fixed_slit_exposure(single=True, columns=120)
    clean = run(slit, oversample=2.0)
    y, x = (index[::97] for index in np.nonzero(np.isfinite(slit.data)))
    slit.data[y[1::2], x[1::2]] = np.inf
    slit.data[y[::2], x[::2]] = -1e30
    slit.dq[y[::2], x[::2]] = DO_NOT_USE
    result = run(slit, oversample=2.0)
    assert state(result) == COMPLETE
    assert not np.isinf(result.data).any()
    both = np.isfinite(result.data) & np.isfinite(clean.data)
    assert np.abs(result.data - clean.data)[both].max() < 0.2 * np.nanmax(clean.data)


def test_single_integration(series):
    one = series.copy()
    for name in ("data", "err", "dq", "var_rnoise", "var_poisson", "var_flat"):
        setattr(one, name, getattr(one, name)[:1])
    flat = one.copy()
    for name in ("data", "err", "dq", "var_rnoise", "var_poisson", "var_flat"):
        setattr(flat, name, getattr(flat, name)[0])
    for factor in (1.0, 2.0):
        deep, plain = run(one, oversample=factor), run(flat, oversample=factor)
        assert state(deep) == COMPLETE
        for name in ("data", "err", "dq", "var_rnoise"):
            assert getattr(deep, name).shape == (1, *getattr(plain, name).shape)
            np.testing.assert_array_equal(getattr(deep, name)[0], getattr(plain, name))
        np.testing.assert_array_equal(deep.trace_model, plain.trace_model)
        np.testing.assert_array_equal(deep.wavelength, plain.wavelength)


def test_time_series_cannot_be_oversampled(series, caplog):
    result = run(series, oversample=2.0)
    assert state(result) == SKIPPED
    assert "a time series cannot be oversampled, it needs oversample=1" in caplog.text
    np.testing.assert_array_equal(result.data, series.data)


def test_outliers_of_single_integrations_do_not_matter(series):
    spoilt = series.copy()
    rng = np.random.default_rng(1)
    hit = rng.random(spoilt.data.shape) < 0.02
    spoilt.data[hit] = rng.choice([np.nan, 1e3], hit.sum()) * np.nanmax(series.data)
    models = []
    for model in (series, spoilt):
        result = run(model)
        assert state(result) == COMPLETE
        models.append(result.trace_model)
    both = np.isfinite(models[0]) & np.isfinite(models[1])
    assert both.sum() > 0.98 * np.isfinite(models[0]).sum()
    assert np.abs(models[1] - models[0])[both].max() < 0.05 * np.nanmax(models[0])


@pytest.mark.parametrize("count", [1, 2, 15])
def test_error_of_the_median(count):
    rng = np.random.default_rng(3)
    flux = rng.standard_normal((count, 60, 200)).astype(np.float32)
    flux[:, :5] = np.nan
    flux[rng.random(flux.shape) < 0.01] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        median, error = median_image(flux, np.ones_like(flux))
    assert np.isnan(median[:5]).all()
    known = np.isfinite(median)
    assert known[5:].mean() > 0.98
    pull = (median / error)[known]
    # for few integrations the asymptotic error is a little too large
    assert np.std(pull) == pytest.approx(1, abs=0.05)
    np.testing.assert_allclose(median[known], np.nanmedian(flux[:, known], axis=0), rtol=1e-6)


def test_lrs_is_seen_from_its_own_frame():
    model = lrs_exposure()
    geometry = make_geometry("miri_lrs", model)
    (layout,) = geometry.layouts
    coordinate, wavelength = geometry.coordinates(layout)
    assert layout.shape[0] > 300 > 60 > layout.shape[1] > 30
    x, y = (index[layout.inside][::503] for index in np.broadcast_arrays(*layout.index()))
    transform = model.meta.wcs.get_transform("detector", "alpha_beta")
    alpha, _, lam = transform(x.astype(float), y.astype(float))
    np.testing.assert_allclose(coordinate[layout.inside][::503], alpha, rtol=1e-12)
    np.testing.assert_allclose(wavelength[layout.inside][::503], lam, rtol=1e-12)
    with pytest.raises(GeometryError, match="not those of a slit"):
        make_geometry("nirspec_slit", model)
