"""Integrations of a time series keep their own light where pixels had no data."""

import numpy as np
import pytest
from jwst.pixel_replace import PixelReplaceStep
from stdatamodels.jwst.datamodels import SlitModel, dqflags

from jwst_fusion.adaptive_trace_model.series import ENOUGH, SeriesTemplate
from jwst_fusion.simulation.observation import write_spec3_association
from jwst_fusion.simulation.slit_observation import slit_noise
from jwst_fusion.simulation.slits import bright_object_exposure, lrs_exposure
from jwst_fusion.step import AdaptiveTraceModelStep, FusionTso3Pipeline

DO_NOT_USE, ESTIMATED = dqflags.pixel["DO_NOT_USE"], dqflags.pixel["FLUX_ESTIMATED"]
BEFORE, DURING, DEPTH = 24, 12, 0.01
CURVE = np.r_[np.ones(BEFORE), np.full(DURING, 1 - DEPTH), np.ones(BEFORE)]
IMAGES = ("data", "err", "var_poisson", "var_rnoise", "var_flat")


def series_of(make, options, *, seed=3):
    """A time series without bad pixels, and one that lacks 1 % of them, a half always."""
    whole = make(
        light_curve=CURVE, noise=slit_noise(bad_fraction=0.0, bad_clusters=0), seed=seed, **options
    )
    rng = np.random.default_rng(seed)
    bad = rng.random(whole.data.shape) < 0.005
    bad |= rng.random(whole.data.shape[1:]) < 0.005
    bad &= np.isfinite(whole.data)
    holed = whole.copy()
    for name in IMAGES:
        if getattr(holed, name) is not None and getattr(holed, name).shape == bad.shape:
            getattr(holed, name)[bad] = np.nan
    holed.dq[bad] |= DO_NOT_USE
    return whole, holed, bad


def depth_of(data, counted):
    """Depth of the transit in the sum over the pixels that count."""
    light = np.sum(np.where(counted, data, 0.0), axis=(1, 2), dtype=float)
    inside = CURVE < 1
    return 1 - light[inside].mean() / light[~inside].mean()


@pytest.mark.parametrize(
    ("make", "options"),
    [(bright_object_exposure, {"columns": 200}), (lrs_exposure, {"kind": "slitless"})],
    ids=["NIRSpec", "MIRI"],
)
def test_a_transit_keeps_its_depth(make, options, offline_crds):
    shifts, others, pulls = [], [], []
    for seed in (3, 4, 5):
        whole, holed, bad = series_of(make, options, seed=seed)
        untouched = holed.data.copy()
        traced = AdaptiveTraceModelStep.call(holed)
        np.testing.assert_array_equal(holed.data, untouched)
        result = PixelReplaceStep.call(traced, algorithm="trace_model", skip=False)
        np.testing.assert_array_equal(result.data[~bad], whole.data[~bad])
        assert np.isfinite(result.data[bad]).mean() > 0.97
        filled = bad & ((traced.dq & ESTIMATED) > 0)
        assert not np.any(traced.dq[filled] & DO_NOT_USE)
        bright = filled & (whole.data > 0.05 * np.nanmax(whole.data))
        assert bright.sum() > 0.95 * (bad & (whole.data > 0.05 * np.nanmax(whole.data))).sum()
        counted = np.isfinite(result.data) & np.isfinite(whole.data)
        shifts.append(depth_of(result.data, counted) - depth_of(whole.data, counted))
        median = AdaptiveTraceModelStep.call(holed, fill_integrations=False)
        median = PixelReplaceStep.call(median, algorithm="trace_model", skip=False)
        both = counted & np.isfinite(median.data)
        others.append(depth_of(median.data, both) - depth_of(whole.data, both))
        noise = np.hypot(traced.err, whole.err)
        pulls.append(((traced.data - whole.data) / noise)[bright])
    # Lost pixels add noise to the depth; with that of the three series, 20 ppm of the star.
    print(f"depth off by {1e6 * np.mean(shifts):.0f} ppm, {1e6 * np.mean(others):.0f} by medians")
    assert abs(np.mean(shifts)) < 20e-6
    assert np.mean(others) < -30e-6
    assert np.percentile(np.abs(np.concatenate(pulls)), 68) < 1.15


def test_the_median_is_not_put_into_integrations(offline_crds):
    """Where the trace is hidden in one integration, the model of the median must not fill it."""
    _, holed, _ = series_of(bright_object_exposure, {"columns": 80})
    holed.data[5, :, 30:36] = np.nan
    holed.dq[5, :, 30:36] |= DO_NOT_USE
    traced = AdaptiveTraceModelStep.call(holed)
    assert not np.isfinite(traced.data[5, :, 30:36]).any()
    assert not np.isfinite(traced.trace_model[:, 30:36]).any()
    assert np.isfinite(traced.trace_model[:, 40:]).any()


def test_integrations_are_left_alone_on_request(offline_crds):
    _, holed, bad = series_of(bright_object_exposure, {"columns": 80})
    traced = AdaptiveTraceModelStep.call(holed, fill_integrations=False)
    np.testing.assert_array_equal(traced.data, holed.data)
    np.testing.assert_array_equal(traced.dq, holed.dq)
    assert np.isfinite(traced.trace_model).any()
    assert bad.any()


def test_pipeline_of_time_series(tmp_path, monkeypatch, offline_crds):
    """Only bad pixels differ from the input, and those of the trace follow the light curve."""
    _, holed, bad = series_of(bright_object_exposure, {"columns": 80})
    holed.save(tmp_path / "jw01_calints.fits")
    association = tmp_path / "tso3_asn.json"
    write_spec3_association(association, ["jw01_calints.fits"], product="jw01_series")
    monkeypatch.setattr(FusionTso3Pipeline, "reference_file_types", ())
    run = ("adaptive_trace_model", "pixel_replace")
    steps = {name: {"skip": name not in run} for name in FusionTso3Pipeline.step_defs}
    steps["pixel_replace"] |= {"algorithm": "trace_model", "save_results": True}
    FusionTso3Pipeline.call(str(association), steps=steps, output_dir=str(tmp_path))
    (path,) = tmp_path.glob("*pixel_replace.fits")
    with SlitModel(path) as result:
        assert result.meta.cal_step.adaptive_trace_model == "COMPLETE"
        np.testing.assert_array_equal(result.data[~bad], holed.data[~bad])
        assert np.isfinite(result.data[bad]).mean() > 0.97


def column(rows=14, columns=400, *, count, noise=0.0, rng=None):
    """Template of a star of 100 with a profile, and its model."""
    profile = np.exp(-0.5 * ((np.arange(rows) - 6.3) / 1.2) ** 2) * 100
    model = np.broadcast_to(profile, (columns, rows)).copy()
    rough = np.random.default_rng(2).normal(1, 0.02, model.shape)
    median = model * rough
    if rng is not None:
        median = median + rng.normal(0, noise, model.shape)
    error = np.full(model.shape, max(noise, 1e-3))
    template = SeriesTemplate(median, error, np.full(model.shape, count), model=model, used=model)
    return template, model * rough


def test_scale_level_and_pixels_are_recovered():
    template, truth = column(count=ENOUGH)
    flux = 0.93 * truth + 4.0
    holed = flux.copy()
    holed[:, 6] = np.nan
    holed[::3, 9] = np.nan
    one = template.fill(holed)
    assert one.filled[:, 6].all()
    np.testing.assert_allclose(one.scale, 0.93, rtol=1e-9)
    np.testing.assert_allclose(one.level, 4.0, rtol=1e-7)
    np.testing.assert_allclose(one.flux[one.filled], flux[one.filled], rtol=1e-8)


def test_noise_of_the_template_does_not_lower_the_scale():
    rng = np.random.default_rng(5)
    # that of the median of ten integrations
    template, truth = column(columns=4000, count=ENOUGH, noise=6.0, rng=rng)
    one = template.fill(truth + rng.normal(0, 15.0, truth.shape))
    error = np.std(one.scale) / np.sqrt(len(one.scale))
    assert abs(np.mean(one.scale) - 1) < 4 * error < 0.02


def test_cosmic_rays_do_not_set_the_scale():
    template, truth = column(count=ENOUGH)
    flux = 0.97 * truth
    flux[np.arange(len(flux)), np.arange(len(flux)) % 14] += 3e3
    flux[:, 6] = np.nan
    one = template.fill(flux)
    np.testing.assert_allclose(one.scale, 0.97, rtol=2e-3)


def test_variance_of_sums_and_of_pixels():
    rng = np.random.default_rng(7)
    template, truth = column(columns=3000, count=ENOUGH, noise=2.0)
    holes = np.zeros(truth.shape, bool)
    holes[:, 6], holes[:, 11] = True, True
    variance = np.full(truth.shape, 4.0)
    flux = np.where(holes, np.nan, truth + rng.normal(0, 2.0, truth.shape))
    one = template.fill(flux)
    whole = np.where(holes, one.flux, flux)
    stated = np.where(holes, one.variance(variance), variance).sum(axis=1)
    pull = (whole - truth).sum(axis=1) / np.sqrt(stated)
    assert np.std(pull) == pytest.approx(1, abs=0.05)
    errors = (one.flux - truth)[:, 6] / np.sqrt(one.variance(variance)[:, 6])
    assert np.std(errors) < 1.05


def test_columns_that_tell_too_little_stay_empty():
    template, truth = column(count=ENOUGH, noise=1.0)
    flux = truth.copy()
    flux[:10, 3:10] = np.nan
    flux[10:20] = np.nan
    one = template.fill(flux)
    assert not one.filled[:20].any()
    assert np.isnan(one.scale[:20]).all()
    assert np.isfinite(one.scale[20:]).all()
