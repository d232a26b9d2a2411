"""Simulated slits: transforms that invert, light and noise as declared, fit for jwst's own step."""

import numpy as np
import pytest
from jwst.adaptive_trace_model import AdaptiveTraceModelStep
from stdatamodels.jwst import datamodels
from stdatamodels.jwst.datamodels import dqflags

from jwst_fusion.simulation import crds_offline
from jwst_fusion.simulation.noise import Noise
from jwst_fusion.simulation.slit_observation import slit_coordinate, slit_truth
from jwst_fusion.simulation.slit_scene import NIRSPEC_PROFILE, SlitScene, SlitSource
from jwst_fusion.simulation.slits import (
    bright_object_exposure,
    fixed_slit_exposure,
    lrs_exposure,
    mos_exposure,
)

pytestmark = pytest.mark.usefixtures("quiet_logs")

PRISM = {"grating": "PRISM", "filter_name": "CLEAR", "columns": 420}
KINDS = {
    "fixed slits": (fixed_slit_exposure, {"names": ("S200A1", "S1600A1"), "columns": 60}),
    "one slit": (fixed_slit_exposure, {"single": True, "columns": 100, "detector": "NRS2"}),
    "prism": (fixed_slit_exposure, {"single": True, **PRISM}),
    "slitlets": (mos_exposure, {"shutters": (3,), "columns": 100}),
    "time series": (bright_object_exposure, PRISM),
    "LRS slit": (lrs_exposure, {}),
    "LRS slitless": (lrs_exposure, {"kind": "slitless"}),
}


def make(kind, **options):
    function, defaults = KINDS[kind]
    return function(**(defaults | options))


def slits_of(model):
    return model.slits if isinstance(model, datamodels.MultiSlitModel) else [model]


@pytest.mark.parametrize("kind", KINDS)
def test_transforms_invert_and_scales_are_those_of_the_instrument(kind):
    for slit in slits_of(make(kind)):
        y, x = (index[::53].astype(float) for index in np.nonzero(np.isfinite(slit.wavelength)))
        sky = slit.meta.wcs(x, y)
        np.testing.assert_allclose(slit.meta.wcs.backward_transform(*sky), (x, y), atol=1e-6)
        frame = "alpha_beta" if kind.startswith("LRS") else "slit_frame"
        forward = slit.meta.wcs.get_transform("detector", frame)
        back = slit.meta.wcs.get_transform(frame, "detector")
        np.testing.assert_allclose(back(*forward(x, y)), (x, y), atol=1e-6)
        along = (1, 0) if kind.startswith("LRS") else (0, 1)
        at = (start[9] + step * np.arange(2) for start, step in zip((x, y), along, strict=True))
        ra, dec, _ = slit.meta.wcs(*at)
        pitch = 3600 * np.hypot(np.diff(ra) * np.cos(np.radians(dec[0])), np.diff(dec))
        position, _, profile = slit_coordinate(slit)
        assert pitch == pytest.approx(profile.pitch, rel=1e-3)
        step = np.diff(position, axis=1 - along[1])
        np.testing.assert_allclose(step[np.isfinite(step)], profile.pitch, rtol=1e-6)


def test_all_light_of_a_star_is_in_its_profile():
    pixels = 0.1 * (np.arange(-20000, 20001) + 0.37)
    for wavelength in (0.6, 2.0, 5.0):
        share = NIRSPEC_PROFILE(pixels, wavelength)
        assert share.min() > 0
        assert share.sum() == pytest.approx(1, abs=1e-4)
    assert NIRSPEC_PROFILE.fwhm(0.6) < 0.06
    assert 0.14 < NIRSPEC_PROFILE.fwhm(5.0) < 0.16


def test_noise_is_as_declared_and_nods_subtract():
    scene = SlitScene((SlitSource(),), background=5.0, nods=((-8, 0.5), (8, 0.5)))
    noise = Noise(read=0.4, gain=0.02, flat=0.002, bad_fraction=0.0, bad_clusters=1, residues=0)
    slit = make("one slit", scenes=[scene], noise=noise, columns=400)
    truth = slit_truth(slit, scene)
    good = np.isfinite(slit.data)
    pull = ((slit.data - truth) / slit.err)[good]
    assert np.std(pull) == pytest.approx(1, abs=0.02)
    parts = sum(getattr(slit, name) for name in ("var_rnoise", "var_poisson", "var_flat"))
    np.testing.assert_allclose(np.sqrt(parts[good]), slit.err[good], rtol=1e-5)
    assert 0.4 < -np.nanmin(truth) / np.nanmax(truth) < 0.6
    flagged = (slit.dq & dqflags.pixel["DO_NOT_USE"]) > 0
    np.testing.assert_array_equal(flagged, ~good)


def test_units_differ_by_the_area_of_a_pixel():
    one, other = (make("one slit", unit=unit) for unit in ("MJy", "MJy/sr"))
    area = one.meta.photometry.pixelarea_steradians
    np.testing.assert_allclose(one.data, other.data * area, rtol=1e-6)
    np.testing.assert_allclose(one.err, other.err * area, rtol=1e-6)
    np.testing.assert_allclose(one.var_poisson, other.var_poisson * area**2, rtol=1e-6)


def test_finer_truth_holds_the_native_one():
    for kind in ("one slit", "LRS slit"):
        (slit,), scene = slits_of(make(kind)), SlitScene()
        axis = 1 if kind == "LRS slit" else 0
        fine = slit_truth(slit, scene, oversample=3.0)
        native = slit_truth(slit, scene)
        at = [slice(None)] * 2
        at[axis] = slice(1, None, 3)
        np.testing.assert_allclose(fine[tuple(at)], native, rtol=1e-6)


def test_round_trip_through_a_file(tmp_path):
    for kind in ("slitlets", "prism", "LRS slitless"):
        model = make(kind)
        model.save(tmp_path / "slit_cal.fits")
        with datamodels.open(tmp_path / "slit_cal.fits") as read:
            assert type(read) is type(model)
            for one, other in zip(slits_of(read), slits_of(model), strict=True):
                np.testing.assert_array_equal(one.data, other.data)
                at = (np.array([50.0, 60.0]), np.array([10.0, 12.0]))
                np.testing.assert_allclose(one.meta.wcs(*at), other.meta.wcs(*at), rtol=1e-12)
                assert one.hasattr("barshadow") == (kind == "slitlets")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_the_step_of_jwst_takes_them(kind):
    # without background, its cut at the edges of a slit can leave too little to fit
    scene = SlitScene((SlitSource(0.03, 2000.0),), background=5.0)
    one = kind in ("time series", "LRS slit", "LRS slitless")
    scenes = [scene] * (2 if kind == "fixed slits" else 1)
    model = make(kind, **({"scene": scene} if one else {"scenes": scenes}))
    shape = slits_of(model)[0].data.shape[-2:]
    factor = 1 if slits_of(model)[0].data.ndim == 3 else 2
    with crds_offline():
        result = AdaptiveTraceModelStep.call(model, skip=False, oversample=factor, slope_limit=0.05)
    assert result.meta.cal_step.adaptive_trace_model == "COMPLETE"
    expected = (
        (shape[0], shape[1] * factor) if kind == "LRS slit" else (shape[0] * factor, shape[1])
    )
    for slit in slits_of(result):
        assert slit.trace_model.ndim == 2
        assert np.isfinite(slit.trace_model).any()
    assert slits_of(result)[0].trace_model.shape == expected


def test_unknown_slit_and_grating():
    with pytest.raises(ValueError, match="S200A1"):
        fixed_slit_exposure(names=("S300A1",), scenes=[SlitScene()])
    with pytest.raises(ValueError, match="PRISM"):
        fixed_slit_exposure(single=True, grating="MIRROR")
