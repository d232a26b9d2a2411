"""The step on NIRSpec slits, slitlets and time series and on the LRS, against noiseless truth.

Errors are in per cent of the peak of their column. The step of jwst 3.0 gets, on the same data,
1.2-1.6 with the gratings, 10 with the PRISM, 1.1 with the LRS; linear interpolation 14, 11, 2.7.
"""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from astropy.modeling.models import Identity, Shift
from gwcs import coordinate_frames
from jwst.extract_1d import Extract1dStep
from jwst.resample import ResampleSpecStep
from stdatamodels.jwst import datamodels
from stdatamodels.jwst.datamodels import dqflags

from jwst_fusion.adaptive_trace_model.slices import oversampled_position
from jwst_fusion.adaptive_trace_model.sums import error_of
from jwst_fusion.simulation.noise import Noise
from jwst_fusion.simulation.slit_observation import slit_coordinate, slit_truth
from jwst_fusion.simulation.slit_scene import SlitScene, SlitSource
from jwst_fusion.simulation.slits import (
    bright_object_exposure,
    fixed_slit_exposure,
    lrs_exposure,
    mos_exposure,
)
from jwst_fusion.steps.adaptive_trace_model import AdaptiveTraceModelStep

pytestmark = pytest.mark.usefixtures("quiet_logs")

ESTIMATED = dqflags.pixel["FLUX_ESTIMATED"]
DO_NOT_USE = dqflags.pixel["DO_NOT_USE"]

# wavelength, FWHM [micrometre] and height of lines two or three columns wide
GRATING_LINES = ((1.75, 0.0025, -0.6), (1.86, 0.003, 1.5), (1.92, 0.0025, -0.7))
PRISM_LINES = ((1.28, 0.03, 0.5), (1.875, 0.035, 1.0), (3.3, 0.05, -0.4))
LRS_LINES = ((7.7, 0.12, 0.6), (9.7, 0.6, -0.5))

STAR = SlitScene((SlitSource(0.03, 1000.0, lines=GRATING_LINES),))
PRISM_STAR = SlitScene((SlitSource(0.03, 1000.0, lines=PRISM_LINES),), background=1.0)
LRS_STAR = SlitScene((SlitSource(-0.6, 2000.0, lines=LRS_LINES),), background=5.0)
PRISM = {"grating": "PRISM", "filter_name": "CLEAR", "columns": 420}


@dataclass(frozen=True)
class Case:
    """An exposure to simulate and how much better than linear interpolation the step has to be."""

    make: callable
    options: dict
    scene: SlitScene
    gain: float
    factor: float = 2.0

    @property
    def vertical(self):
        return self.make is lrs_exposure

    def simulate(self, **changed):
        options = self.options | changed
        if self.make in (fixed_slit_exposure, mos_exposure):
            count = len(options.get("names", options.get("shutters", "1")))
            options["scenes"] = [self.scene] * count
        else:
            options["scene"] = self.scene
        return self.make(**options)


FIXED = {"names": ("S200A1", "S1600A1"), "columns": 260}
ONE = {"single": True, "names": ("S200A1",), "columns": 260}
PAIR = SlitScene((replace(STAR.sources[0], position=-0.1), SlitSource(0.125, 600.0, slope=2.0)))
CASES = {
    "fixed slits": Case(fixed_slit_exposure, FIXED, STAR, gain=15),
    "slitlets": Case(mos_exposure, {"shutters": (3, 5), "columns": 260}, STAR, gain=15),
    "NRS2": Case(fixed_slit_exposure, ONE | {"detector": "NRS2"}, STAR, gain=15, factor=3.0),
    "prism": Case(fixed_slit_exposure, ONE | PRISM, PRISM_STAR, gain=5),
    "two sources": Case(fixed_slit_exposure, ONE | {"unit": "MJy/sr"}, PAIR, gain=6),
    "end of the slit": Case(
        fixed_slit_exposure,
        ONE,
        SlitScene((replace(STAR.sources[0], position=1.35),), background=1.0),
        gain=12,
        factor=1.5,
    ),
    "bright background": Case(
        fixed_slit_exposure,
        ONE,
        SlitScene((SlitSource(0.03, 60.0, lines=GRATING_LINES),), background=50.0, gradient=0.01),
        gain=3,
    ),
    "LRS": Case(lrs_exposure, {}, LRS_STAR, gain=2),
}


def slits_of(model):
    return list(model.slits) if isinstance(model, datamodels.MultiSlitModel) else [model]


def sources(slit, scene, factor=1.0):
    """Light of the sources alone and its peak in each column or row of the dispersion."""
    light = slit_truth(slit, replace(scene, background=0.0), oversample=factor)
    axis = int("alpha_beta" in slit.meta.wcs.available_frames)
    known = np.isfinite(light)
    peak = np.max(light, axis=axis, where=known, initial=0.0, keepdims=True)
    return light, np.where(peak > 0, peak, np.nan)


def run(model, **parameters):
    return AdaptiveTraceModelStep(**parameters).run(model)


def state(model):
    return model.meta.cal_step.adaptive_trace_model


def linear(image, factor, axis):
    """Image interpolated linearly to the oversampled pixels, NaN beside missing pixels."""
    image = np.moveaxis(image, axis, 0)
    position = oversampled_position(np.arange(int(np.ceil(len(image) * factor))), factor)
    lower = np.clip(np.floor(position).astype(int), 0, len(image) - 2)
    share = np.clip(position - lower, 0, 1)[:, None]
    return np.moveaxis((1 - share) * image[lower] + share * image[lower + 1], 0, axis)


@dataclass(frozen=True)
class Outcome:
    """A slit before and after the step, in the unit of native pixels, with the dispersion in x."""

    native: object
    after: object
    truth: np.ndarray
    native_truth: np.ndarray
    source: np.ndarray
    peak: np.ndarray
    flux: np.ndarray
    trace: np.ndarray
    linear: np.ndarray

    def error(self, image, where):
        return np.sqrt(np.mean(((image - self.truth) / self.peak)[where] ** 2))

    @property
    def near(self):
        return self.source > 0.1 * self.peak


def examine(case, native, result):
    """Yield the slits of an exposure with their truth."""
    axis, turn = (1, np.transpose) if case.vertical else (0, np.asarray)
    for before, after in zip(slits_of(native), slits_of(result), strict=True):
        unit = case.factor if before.meta.bunit_data == "MJy" else 1.0
        source, peak = sources(before, case.scene, case.factor)
        yield Outcome(
            native=before,
            after=after,
            truth=turn(slit_truth(before, case.scene, oversample=case.factor)),
            native_truth=turn(slit_truth(before, case.scene)),
            source=turn(source),
            peak=turn(peak),
            flux=turn(after.data * unit),
            trace=turn(after.trace_model * unit),
            linear=turn(linear(before.data, case.factor, axis)),
        )


@pytest.fixture(scope="module")
def exposures():
    """Native and oversampled exposures of the cases, made when first asked for."""
    made = {}

    def get(name):
        if name not in made:
            native = CASES[name].simulate()
            result = run(native, oversample=CASES[name].factor)
            made[name] = CASES[name], native, result
        return made[name]

    return get


@pytest.mark.parametrize("name", CASES)
def test_oversampled_flux_against_truth(exposures, name):
    case, native, result = exposures(name)
    assert state(result) == "COMPLETE"
    for slit in examine(case, native, result):
        used = np.isfinite(slit.trace + slit.flux + slit.linear + slit.truth)
        near = slit.near
        # the model holds wherever the trace is, but for gaps and the ends of the slit
        assert used[near].mean() > 0.9
        error = slit.error(slit.flux, used & near)
        assert error < slit.error(slit.linear, used & near) / case.gain
        if name != "two sources":  # one spectrum per slit: the residual makes good for the other
            assert slit.error(slit.trace, used & near) < 1.3 * error


@pytest.mark.parametrize("name", ["fixed slits", "slitlets", "prism", "LRS"])
def test_light_of_each_column_is_kept_lines_too(exposures, name):
    case, native, result = exposures(name)
    for slit in examine(case, native, result):
        # gaps beside the trace stay; what is missing there is not the step's business
        filled = np.where(np.isfinite(slit.flux), slit.flux, slit.truth)
        total = np.sum(filled, axis=0, where=np.isfinite(slit.truth)) / case.factor
        expected = np.nansum(slit.native_truth, axis=0)
        lit = expected > 0
        variance = slit.native.var_rnoise + slit.native.var_poisson + slit.native.var_flat
        sigma = np.sqrt(np.nansum(variance.astype(float), axis=int(case.vertical)))
        total, expected, sigma = total[lit], expected[lit], sigma[lit]
        assert np.median(total / expected) == pytest.approx(1, abs=2e-3)
        pull = (total - expected) / sigma
        assert 1.4826 * np.median(np.abs(pull)) < 1.25
        # but for columns without the core of the trace there is no more than noise
        assert np.mean(np.abs(pull) < 4) > 0.95
        wavelength = slit.native.wavelength.T if case.vertical else slit.native.wavelength
        wavelength = np.nanmedian(wavelength[:, lit], axis=0)
        for centre, fwhm, _ in case.scene.sources[0].lines:
            inside = np.abs(wavelength - centre) < fwhm
            assert inside.sum() > 2
            allowed = 4 * np.sqrt(np.sum(sigma[inside] ** 2))
            assert np.sum(total[inside]) == pytest.approx(np.sum(expected[inside]), abs=allowed)


@pytest.mark.parametrize("name", ["fixed slits", "slitlets", "LRS"])
def test_products(exposures, name, tmp_path):
    case, native, result = exposures(name)
    result.save(tmp_path / "slit_atm.fits")
    with datamodels.open(tmp_path / "slit_atm.fits") as read:
        assert type(read) is type(native)
        assert state(run(read, oversample=2.0)) == "COMPLETE"
        for before, after in zip(slits_of(native), slits_of(read), strict=True):
            shape = np.array(before.data.shape)
            shape[int(case.vertical)] *= 2
            for image in ("data", "err", "dq", "wavelength", "trace_model"):
                assert getattr(after, image).shape == tuple(shape), image
            for variance in ("var_rnoise", "var_poisson", "var_flat"):
                assert getattr(after, variance).shape == tuple(shape)
            assert not after.hasattr("barshadow")
            for area in ("pixelarea_steradians", "pixelarea_arcsecsq"):
                pair = (getattr(slit.meta.photometry, area) for slit in (after, before))
                assert next(pair) == pytest.approx(next(pair) / 2)
            invalid = np.isnan(after.data)
            np.testing.assert_array_equal(invalid, (after.dq & DO_NOT_USE) > 0)
            estimated = (after.dq & ESTIMATED) > 0
            assert estimated.any()
            assert not invalid[estimated].any()
            check_wcs(case, before, after)


@pytest.mark.parametrize("name", ["fixed slits", "LRS"])
def test_errors_of_sums_are_known(exposures, name, tmp_path):
    case, native, result = exposures(name)
    result.save(tmp_path / "slit_atm.fits")
    axis = 1 if case.vertical else 0
    several = len(slits_of(result)) > 1
    for before, after in zip(slits_of(native), slits_of(result), strict=True):
        slit = {"slit": after.name} if several else {}
        found = error_of(result, **slit)
        assert error_of(tmp_path / "slit_atm.fits", **slit) == pytest.approx(found, nan_ok=True)
        count = [np.isfinite(one.data).sum(axis=axis) for one in (before, after)]
        # columns without gaps or filled pixels
        gaps = np.diff(np.isfinite(before.data), axis=axis).sum(axis=axis)
        whole = (count[0] > 4) & (count[1] == case.factor * count[0]) & (gaps <= 2)
        assert whole.sum() > 20
        # flux densities are shared among the parts of a pixel: the sum is that of native pixels
        expected = np.sqrt(np.nansum(before.err**2, axis=axis))[whole]
        scale = 1.0 if case.make is fixed_slit_exposure else case.factor
        assert np.median(found[whole] / expected) == pytest.approx(scale, rel=0.08)
    if several:
        with pytest.raises(ValueError, match=r"has several slits: give slit, one of S200A1"):
            error_of(result)
        with pytest.raises(ValueError, match=r"slit_atm.fits has no slit S3"):
            error_of(tmp_path / "slit_atm.fits", slit="S3")


def check_wcs(case, before, after):
    """The new WCS is the old one at the native positions, inverts, and gives the wavelengths."""
    y, x = (index[::211] for index in np.nonzero(np.isfinite(after.data)))
    native = [x.astype(float), y.astype(float)]
    along = 0 if case.vertical else 1
    native[along] = oversampled_position(native[along], case.factor)
    world = np.array(after.meta.wcs(x, y))
    np.testing.assert_allclose(world, before.meta.wcs(*native), rtol=1e-12)
    seen = np.isfinite(world).all(axis=0)
    # but for parts of pixels that stick out of the slit
    assert seen.mean() > 0.9
    np.testing.assert_allclose(after.wavelength[y, x][seen], world[2][seen], rtol=2e-6)
    back = np.array(after.meta.wcs.backward_transform(*world[:, seen]))
    np.testing.assert_allclose(back, (x[seen], y[seen]), atol=1e-5)
    old, new = (slit.meta.wcs.bounding_box.bounding_box() for slit in (before, after))
    assert new[1 - along] == old[1 - along]
    np.testing.assert_allclose(new[along], (np.array(old[along]) + 0.5) * case.factor - 0.5)


def test_unit_does_not_matter(exposures):
    case, _, result = exposures("fixed slits")
    other = run(case.simulate(unit="MJy/sr"), oversample=2.0)
    for one, two in zip(slits_of(result), slits_of(other), strict=True):
        area = one.meta.photometry.pixelarea_steradians  # of an oversampled pixel
        peak = np.nanmax(two.data)
        np.testing.assert_allclose(one.data / area, two.data, rtol=1e-3, atol=1e-5 * peak)
        np.testing.assert_allclose(one.err / area, two.err, rtol=1e-3)
        np.testing.assert_allclose(one.trace_model / area, two.trace_model, atol=1e-5 * peak)


def test_factor_one_attaches_the_trace(exposures):
    case, native, _ = exposures("slitlets")
    result = run(native)
    for before, after in zip(slits_of(native), slits_of(result), strict=True):
        for image in ("data", "err", "dq", "wavelength", "barshadow"):
            np.testing.assert_array_equal(getattr(after, image), getattr(before, image))
        truth = slit_truth(before, case.scene)
        used = np.isfinite(after.trace_model + truth)
        source, peak = sources(before, case.scene)
        near = source > 0.1 * peak
        assert used[near].mean() > 0.9
        error = ((after.trace_model - truth) / peak)[used & near]
        assert np.sqrt(np.mean(error**2)) < 0.01


@pytest.mark.parametrize(
    ("make", "options", "scene"),
    [
        (bright_object_exposure, PRISM, PRISM_STAR),
        (lrs_exposure, {"kind": "slitless"}, LRS_STAR),
    ],
)
def test_time_series(make, options, scene):
    curve = (1.0, 1.0, 0.97, 0.94, 0.97, 1.0, 1.0)
    native = make(scene=scene, light_curve=curve, **options)
    result = run(native)
    assert state(result) == "COMPLETE"
    held = np.isfinite(native.data)
    for image in ("data", "err", "dq"):
        np.testing.assert_array_equal(getattr(result, image)[held], getattr(native, image)[held])
    np.testing.assert_array_equal(result.wavelength, native.wavelength)
    truth, trace = slit_truth(native, scene), np.asarray(result.trace_model)
    assert trace.shape == truth.shape
    source, peak = sources(native, scene)
    near = source > 0.1 * peak
    used = np.isfinite(trace) & near
    assert used.sum() > 0.9 * near.sum()
    # one profile per column times the brightness of the median integration
    along = int(make is lrs_exposure)
    scale = np.sum(trace * truth, axis=along, where=used, keepdims=True)
    norm = np.sum(truth**2, axis=along, where=used, keepdims=True)
    scale = np.divide(scale, norm, out=np.ones_like(scale), where=norm > 0)
    assert np.quantile(scale, [0.1, 0.9]) == pytest.approx([0.985, 0.985], abs=0.02)
    error = ((trace - scale * truth) / peak)[used]
    assert np.sqrt(np.mean(error**2)) < 0.006

    refused = run(native, oversample=2.0)
    assert state(refused) == "SKIPPED"
    np.testing.assert_array_equal(refused.data, native.data)
    assert not refused.hasattr("trace_model")


def test_negative_nods():
    scene = replace(STAR, background=3.0, nods=((-8, 0.5), (8, 0.5)))
    case = Case(fixed_slit_exposure, ONE, scene, gain=8)
    native = case.simulate()
    (slit,) = examine(case, native, run(native, oversample=2.0))
    # the star and both its negatives are modelled
    position, _, _ = slit_coordinate(native, oversample=2.0)
    for middle in (0.03, 0.83, -0.77):
        near = np.abs(position - middle) < 0.15
        used = near & np.isfinite(slit.trace + slit.flux + slit.linear)
        assert used.sum() > 0.9 * near.sum()
        assert slit.error(slit.flux, used) < slit.error(slit.linear, used) / case.gain


def test_clusters_of_bad_pixels_are_filled():
    noise = Noise(bad_fraction=0.03, bad_clusters=25, residues=0)
    case = replace(CASES["fixed slits"], options=ONE | {"noise": noise})
    native = case.simulate()
    (slit,) = examine(case, native, run(native, oversample=2.0))
    filled = ((slit.after.dq & ESTIMATED) > 0) & np.isfinite(slit.truth)
    bright = filled & slit.near
    assert bright.sum() > 30
    assert slit.error(slit.flux, bright) < 0.03
    pull = (slit.flux - slit.truth)[filled] / (2 * slit.after.err[filled])
    assert np.median(np.abs(pull)) < 2


def test_slit_without_data_beside_good_ones(exposures):
    _, native, whole = exposures("fixed slits")
    broken = native.copy()
    broken.slits[1].data[:] = np.nan
    result = run(broken, oversample=2.0)
    assert state(result) == "COMPLETE"
    np.testing.assert_array_equal(result.slits[0].data, whole.slits[0].data)
    assert np.isnan(result.slits[1].data).all()
    broken.slits[0].data[:] = np.nan
    assert state(run(broken, oversample=2.0)) == "SKIPPED"


def test_corrected_wavelengths(exposures):
    """The zero-point correction of the wavelengths is kept."""
    native = replace(CASES["fixed slits"], options=ONE | {"columns": 80}).simulate()
    frame = native.meta.wcs.slit_frame
    corrected = coordinate_frames.CompositeFrame(frame.frames, name="wavecorr_frame")
    native.meta.wcs.insert_frame("slit_frame", Identity(2) & Shift(3e-10), corrected)
    y, x = (index[::37] for index in np.nonzero(np.isfinite(native.data)))
    result = run(native, oversample=3.0)
    _, _, expected = native.meta.wcs(x.astype(float), y.astype(float))
    np.testing.assert_allclose(result.wavelength[3 * y + 1, x], expected, rtol=1e-6)


def test_extraction_of_oversampled_slits(exposures, offline_crds):
    case, native, result = exposures("fixed slits")
    rectified = ResampleSpecStep().run(result)
    for slit, fine in zip(rectified.slits, result.slits, strict=True):
        assert slit.data.shape[0] == pytest.approx(fine.data.shape[0], abs=10)
        assert np.isfinite(slit.data).mean() > 0.9
    spectra = [extract(model) for model in (native, result, rectified)]
    for index, slit in enumerate(native.slits):
        truth = slit_truth(slit, case.scene)
        light = 1e6 * np.nansum(truth, axis=0)
        wavelength = np.nanmean(np.where(np.isfinite(truth), slit.wavelength, np.nan), axis=0)
        claimed = []
        for spectrum in spectra:
            table = spectrum.spec[index].spec_table
            expected = np.interp(table["WAVELENGTH"], wavelength, light)
            # no line here: the lines of constant wavelength are tilted
            part = (table["WAVELENGTH"] > 1.76) & (table["WAVELENGTH"] < 1.85)
            ratio = (table["FLUX"] / expected)[part]
            claimed.append(np.median((table["FLUX_ERROR"] / expected)[part]))
            assert np.median(ratio) == pytest.approx(1, abs=0.01)
        # the signal-to-noise ratio of a spectrum does not depend on the oversampling
        assert claimed[1] == pytest.approx(claimed[0], rel=0.05)


@pytest.mark.filterwarnings("ignore")
def extract(model):
    step = Extract1dStep(extraction_type="box", apply_apcorr=False)
    step.override_extract1d = step.override_psf = "N/A"
    return step.run(model)
