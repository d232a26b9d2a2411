"""Spectra of the sources in slits: against noiseless truth, and against extract_1d of jwst."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import specutils
from jwst.exp_to_source import multislit_to_container
from jwst.extract_1d import Extract1dStep
from scipy import ndimage
from stdatamodels.jwst import datamodels

from jwst_fusion.adaptive_trace_model import fit_trace
from jwst_fusion.adaptive_trace_model.extraction import extract_spectrum
from jwst_fusion.adaptive_trace_model.extraction_ifu import SliceLight, combine_slices
from jwst_fusion.products.exposure import spectra
from jwst_fusion.products.extracted_spectra import psf_of_slit
from jwst_fusion.simulation import slit_observation
from jwst_fusion.simulation.exposures import Noise, builtin_exposure, paint, pixel_pitch
from jwst_fusion.simulation.psfs import pixel_psf
from jwst_fusion.simulation.scenes import single_star
from jwst_fusion.simulation.slit_observation import slit_truth
from jwst_fusion.simulation.slit_scene import SlitScene, SlitSource
from jwst_fusion.simulation.slits import (
    bright_object_exposure,
    fixed_slit_exposure,
    lrs_exposure,
    mos_exposure,
)
from jwst_fusion.steps.adaptive_trace_model import AdaptiveTraceModelStep

pytestmark = pytest.mark.usefixtures("quiet_logs")

GRATING_LINES = ((1.75, 0.0025, -0.6), (1.86, 0.003, 1.5), (1.92, 0.0025, -0.7))
PRISM = {"grating": "PRISM", "filter_name": "CLEAR", "columns": 420}
STAR = SlitScene((SlitSource(0.03, 1000.0, lines=GRATING_LINES),))
LRS_STAR = SlitScene((SlitSource(-0.6, 2000.0, lines=((9.7, 0.6, -0.5),)),))


@dataclass(frozen=True)
class Case:
    """An exposure of one slit and what is seen in it."""

    make: callable
    options: dict
    scene: SlitScene
    one: bool = False

    def simulate(self, scene, seed=0):
        given = {"scene": scene} if self.one else {"scenes": [scene]}
        return self.make(**self.options, **given, seed=seed)


CASES = {
    "fixed slit": Case(fixed_slit_exposure, {"names": ("S200A1",)}, STAR),
    "shutters": Case(mos_exposure, {"shutters": (3,)}, STAR),
    "prism": Case(fixed_slit_exposure, {"names": ("S200A1",), **PRISM}, STAR),
    "LRS": Case(lrs_exposure, {}, LRS_STAR, one=True),
}


@dataclass
class Extracted:
    """Spectrum from the file that the step writes, with the truth, in Jy."""

    path: str
    flux: np.ndarray
    error: np.ndarray
    background: np.ndarray
    truth: np.ndarray
    best: np.ndarray

    @property
    def used(self):
        return np.isfinite(self.flux) & (self.truth > 0.05 * self.truth.max())

    @property
    def relative(self):
        return (self.flux / self.truth - 1)[self.used]

    def check(self, name):
        """Targets of the extraction: bias, pulls, noise of an optimal extraction, no wiggles."""
        used = self.used
        assert used.mean() > 0.97
        bias = np.median(self.relative)
        pull = ((self.flux - self.truth) / self.error)[used]
        spread = np.percentile(np.abs(pull - np.median(pull)), 68.3)
        noise = np.median((self.error / self.best)[used])
        error = np.median((self.error / self.truth)[used])
        print(f"{name}: bias {bias:.2%}, pulls {spread:.2f}, noise {noise:.2f}, error {error:.2%}")
        assert abs(bias) < 0.003
        assert 0.9 < spread < 1.1
        assert noise < 1.03
        # The running median of 31 independent columns has 0.22 of the noise of one.
        lasting = np.std(ndimage.median_filter(self.relative, 31))
        assert lasting < 0.4 * error


def true_flux(model, slit, scene):
    """Light of the sources on the rows of a slit, and the error of a perfect extraction, in Jy."""
    along = 1 if model.meta.instrument.name == "MIRI" else 0
    alone = replace(scene, background=0.0, nods=())
    light = slit_truth(slit, alone)
    total = np.nansum(light, axis=along)
    shape = light / np.where(total > 0, total, 1.0)[(slice(None), None) if along else (None,)]
    weight = np.where(np.isfinite(slit.err), (shape / slit.err) ** 2, 0.0)
    information = np.nansum(weight, axis=along)
    area = slit.meta.photometry.pixelarea_steradians
    to_jansky = 1e6 * (1.0 if slit.meta.bunit_data == "MJy" else area)
    seen = information > 0
    return total[seen] * to_jansky, to_jansky / np.sqrt(information[seen])


def extract(model, scene, folder, *, how="auto", subtracted=True, **options):
    truth = [true_flux(model, slit, scene) for slit in spectra(model)]
    model.meta.cal_step.bkg_subtract = "COMPLETE" if subtracted else None
    AdaptiveTraceModelStep.call(model, extract=how, output_dir=str(folder), **options)
    path = folder / model.meta.filename.replace("_cal", "_trace_x1d")
    with datamodels.open(path) as product:
        tables = [np.array(spec.spec_table) for spec in product.spec]
    return [
        Extracted(str(path), table["FLUX"], table["FLUX_ERROR"], table["BACKGROUND"], *true)
        for table, true in zip(tables, truth, strict=True)
    ]


class ProfileOfPsf:
    """The PSF in place of the simulator's profile."""

    def __init__(self, psf):
        self.psf = psf
        self.pitch = psf.pitch

    def __call__(self, distance, wavelength):
        distance, wavelength = np.broadcast_arrays(distance / self.pitch, wavelength)
        return self.psf(distance, wavelength)


@pytest.mark.parametrize("name", CASES)
def test_spectrum_is_the_light_in_the_slit(name, tmp_path):
    case = CASES[name]
    (found,) = extract(case.simulate(case.scene), case.scene, tmp_path)
    found.check(f"{name}, subtracted")
    assert np.nanmax(np.abs(found.background)) == 0


def with_psf(monkeypatch, model):
    """Let the simulator's stars be those of the PSF."""
    profile = ProfileOfPsf(psf_of_slit(spectra(model)[0], model))
    for name in ("NIRSPEC_PROFILE", "LRS_PROFILE"):
        monkeypatch.setattr(slit_observation, name, profile)


@pytest.mark.parametrize("name", ["fixed slit", "shutters", "LRS"])
def test_background_does_not_take_the_wings(name, tmp_path, monkeypatch):
    case = CASES[name]
    scene = replace(case.scene, background=3.0)
    with_psf(monkeypatch, case.simulate(scene))
    (found,) = extract(case.simulate(scene), scene, tmp_path, subtracted=False)
    found.check(f"{name}, fitted")
    assert np.median(found.background[found.used]) == pytest.approx(3.0, rel=0.05)


def test_negative_images_of_nods_take_nothing(tmp_path, monkeypatch):
    """Three shutters, the source in each for a third of the time."""
    case = CASES["shutters"]
    star = SlitSource(0.03, 1000.0)
    scene = SlitScene((star,), background=3.0, nods=((-5.0, 0.5), (5.0, 0.5)))
    with_psf(monkeypatch, case.simulate(scene))
    (found,) = extract(case.simulate(scene), scene, tmp_path)
    assert abs(np.median(found.relative)) < 0.002
    pull = ((found.flux - found.truth) / found.error)[found.used]
    bias, spread = np.median(found.relative), np.percentile(np.abs(pull), 68.3)
    print(f"shutters, nods: bias {bias:.2%}, pulls {spread:.2f}")
    # At a noise of 0.3 %, that of three exposures, the profile's own error begins to show.
    assert spread < 1.5
    assert np.std(ndimage.median_filter(found.relative, 31)) < 0.003


def test_faint_source_has_the_noise_of_an_optimal_extraction(tmp_path, monkeypatch):
    case = CASES["fixed slit"]
    scene = replace(STAR, sources=(SlitSource(0.03, 15.0),), background=3.0)
    with_psf(monkeypatch, case.simulate(scene))
    (found,) = extract(case.simulate(scene), scene, tmp_path, subtracted=False)
    pull = ((found.flux - found.truth) / found.error)[found.used]
    assert abs(np.mean(pull)) < 0.15
    assert np.std(pull) < 1.15
    assert np.median((found.error / found.best)[found.used]) < 1.03


def test_outliers_and_lost_pixels_change_nothing(tmp_path):
    """Cosmic rays that no flag marks, and the brightest pixel of every tenth column lost."""
    case = CASES["fixed slit"]
    model = case.simulate(STAR)
    slit = model.slits[0]
    rng = np.random.default_rng(1)
    data = slit.data.copy()
    peak = np.nanargmax(data, axis=0)
    data[peak[::10], np.arange(0, data.shape[1], 10)] = np.nan
    hit = rng.choice(data.size, 60, replace=False)
    data.reshape(-1)[hit] += 0.2 * np.nanmax(data)
    slit.data = data
    (found,) = extract(model, STAR, tmp_path)
    assert abs(np.median(found.relative)) < 0.002
    pull = ((found.flux - found.truth) / found.error)[found.used]
    assert np.percentile(np.abs(pull), 68.3) < 1.15
    assert np.mean(np.abs(pull) > 5) < 0.02


def test_file_is_that_of_extract_1d(tmp_path, offline_crds):
    """Same metadata, columns and units; the flux of a box over the slit with less noise."""
    model = CASES["fixed slit"].simulate(STAR)
    model.meta.cal_step.photom = "COMPLETE"
    stock = Extract1dStep(extraction_type="box", apply_apcorr=False, use_source_posn=False)
    stock.override_extract1d = stock.override_psf = "N/A"
    path = str(tmp_path / "stock_x1d.fits")
    stock.run(model.copy()).save(path)
    (found,) = extract(model, STAR, tmp_path)
    with datamodels.open(found.path) as product, datamodels.open(path) as reference:
        assert type(product) is type(reference)
        (spec,), (other,) = product.spec, reference.spec
        assert spec.spec_table.columns.names == other.spec_table.columns.names
        assert spec.spec_table.columns.units == other.spec_table.columns.units
        assert set(spec.instance) >= set(other.instance)
        for name in ("name", "source_id", "source_type", "spectral_order", "dispersion_direction"):
            assert getattr(spec, name) == getattr(other, name)
        assert spec.slit_ra == pytest.approx(other.slit_ra, abs=1 / 3600)
        assert spec.slit_dec == pytest.approx(other.slit_dec, abs=1 / 3600)
        np.testing.assert_allclose(
            spec.spec_table["WAVELENGTH"], other.spec_table["WAVELENGTH"], atol=3e-4
        )
        summed = np.array(other.spec_table["FLUX"])
        noise = np.array(other.spec_table["FLUX_ERROR"])
        # Sums lack what bad pixels held.
        whole = np.isfinite(model.slits[0].data).sum(axis=0)
        ratio = (found.flux / summed)[whole == whole.max()]
        assert np.median(ratio) == pytest.approx(1.0, abs=0.003)
        assert np.median(found.error / noise) < 0.95
    spectrum = specutils.SpectrumList.read(found.path, format="JWST x1d multi")[0]
    np.testing.assert_array_equal(spectrum.flux.value, found.flux)
    assert spectrum.spectral_axis.unit == "um"


def test_every_slit_has_a_spectrum(tmp_path):
    scenes = [SlitScene((SlitSource(0.1, level),)) for level in (500.0, 2000.0)]
    model = mos_exposure(shutters=(3, 5), scenes=scenes, unit="MJy/sr", columns=300)
    pairs = zip(model.slits, scenes, strict=True)
    truth = [np.nansum(slit_truth(slit, one), axis=0) for slit, one in pairs]
    area = [slit.meta.photometry.pixelarea_steradians for slit in model.slits]
    model.meta.cal_step.bkg_subtract = "COMPLETE"
    AdaptiveTraceModelStep.call(model, extract="auto", oversample=2.0, output_dir=str(tmp_path))
    # As in Spec3: sorted by source, the slits of an exposure share its name.
    numbers = []
    for number, one in enumerate(multislit_to_container([model]).values()):
        AdaptiveTraceModelStep.call(one, extract="auto", output_dir=str(tmp_path))
        (path,) = set(tmp_path.glob("*_slit*_trace_x1d.fits")) - set(numbers)
        numbers.append(path)
        with datamodels.open(path) as product:
            assert product.spec[0].source_id == model.slits[number].source_id
    path = tmp_path / model.meta.filename.replace("_cal", "_trace_x1d")
    with datamodels.open(path) as product:
        assert [spec.source_id for spec in product.spec] == [slit.source_id for slit in model.slits]
        for spec, light, one in zip(product.spec, truth, area, strict=True):
            ratio = np.array(spec.spec_table["FLUX"]) / (light * one * 1e6)
            assert np.nanmedian(ratio) == pytest.approx(1.0, abs=0.003)


@pytest.fixture
def star_in_field():
    """Exposure of a star with the NIRSpec IFU, and the star's spectrum, Jy."""
    scene = single_star()
    model = builtin_exposure(ra=scene.ra, dec=scene.dec, roll=30.0)
    psf = pixel_psf(scene, roll=30.0, pitch=pixel_pitch(model), source="aperture", width=8.0)
    paint(model, scene.observe(psf), noise=Noise(bad_clusters=100, residues=100), seed=1)
    (star,) = scene.sources

    def spectrum(wavelength):
        light = scene.spectrum(wavelength)[star.component] * star.flux  # MJy/sr arcsec^2
        return light * 1e6 / (np.degrees(1) * 3600) ** 2

    yield model, spectrum
    model.close()


def test_star_in_the_field_of_the_ifu(star_in_field, tmp_path):
    """All light of the star, that between and beyond the slices with a trace included."""
    model, spectrum = star_in_field
    how = "with_background"
    name = model.meta.filename.replace("_cal", "_trace_x1d")
    AdaptiveTraceModelStep.call(model, extract=how, output_dir=str(tmp_path))
    with datamodels.open(tmp_path / name) as product:
        (spec,) = product.spec
        table = np.array(spec.spec_table)
        assert spec.source_type == "POINT"
        place = spec.slit_ra - model.meta.wcsinfo.ra_ref, spec.slit_dec - model.meta.wcsinfo.dec_ref
        assert np.hypot(*place) < 0.1 / 3600
    truth = spectrum(table["WAVELENGTH"])
    used = np.isfinite(table["FLUX"])
    assert used.mean() > 0.99
    relative = (table["FLUX"] / truth - 1)[used]
    noise = (table["FLUX_ERROR"] / truth)[used]
    bias, pull = np.median(relative), relative / noise
    spread = np.percentile(np.abs(pull - np.median(pull)), 68.3)
    print(f"IFU, {how}: bias {bias:.2%}, pulls {spread:.2f}, error {np.median(noise):.2%}")
    assert abs(bias) < 0.003
    assert 0.9 < spread < 1.1
    assert np.abs(pull).max() < 8
    # No wiggles, whose period is that with which the trace crosses the pixels.
    assert np.std(ndimage.median_filter(relative, 31)) < 0.33 * np.median(noise)


def test_slices_that_lack_a_column_do_not_pull_the_others():
    wavelength = np.linspace(1.0, 2.0, 200)
    share = np.array([0.5, 0.3, 0.1])
    flux = share[:, None] * np.full(200, 7.0)
    flux[1, 50:60] = np.nan
    slices = [
        SliceLight(
            wavelength=wavelength + 0.001 * number,
            flux=light,
            background=np.zeros(200),
            variances={"err": np.full(200, 0.01)},
            background_variances={"err": np.zeros(200)},
            share=np.full(200, part),
            n_pixel=np.full(200, 30),
            peak=(0, 0),
        )
        for number, (light, part) in enumerate(zip(flux, share, strict=True))
    ]
    whole = combine_slices(slices)
    inner = slice(2, -2)
    np.testing.assert_allclose(whole.flux[inner], 7.0, rtol=1e-3)
    np.testing.assert_allclose(whole.share, 0.9)
    assert whole.variances["err"][55] > whole.variances["err"][30]
    with pytest.raises(ValueError, match="no slice is given"):
        combine_slices([])


def change(model, **what):
    for name, value in what.items():
        setattr(model.slits[0], name, value)
    return model


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: change(mos_exposure(shutters=(3,)), source_type="EXTENDED"), "is EXTENDED"),
        (lambda: mos_exposure(shutters=(3,), scenes=[SlitScene(())]), "below fit_threshold"),
        (lambda: bright_object_exposure(columns=60), "time series"),
    ],
    ids=["extended", "faint", "series"],
)
def test_what_is_not_extracted_is_said(make, reason, tmp_path, caplog):
    model = make()
    result = AdaptiveTraceModelStep.call(model, extract="auto", output_dir=str(tmp_path))
    assert result.meta.cal_step.adaptive_trace_model == "COMPLETE"
    assert f"{reason}" in caplog.text
    assert "No spectrum of" in caplog.text
    assert not list(tmp_path.iterdir())


def test_unknown_units_and_areas_are_said(tmp_path, caplog):
    model = fixed_slit_exposure(names=("S200A1", "S400A1"))
    model.slits[0].meta.bunit_data = "DN/s"
    model.slits[1].meta.photometry.pixelarea_steradians = None
    AdaptiveTraceModelStep.call(model, extract="auto", output_dir=str(tmp_path))
    assert "No spectrum of S200A1 is extracted: its unit is DN/s" in caplog.text
    assert "No spectrum of S400A1 is extracted: the area of its pixels (PIXAR_SR)" in caplog.text


def test_wrong_shapes_are_refused(synthetic):
    one = synthetic(n_column=120)
    flux, error = one.observe()
    fit = fit_trace(flux, error, one.coordinate())
    with pytest.raises(ValueError, match="differ in shape"):
        extract_spectrum(
            fit,
            flux[:-1],
            error,
            one.coordinate(),
            node_spacing=50.0,
            psf=np.zeros_like,
            background=False,
        )


def test_psf_along_a_slit_is_a_share_of_light():
    model = fixed_slit_exposure(names=("S200A1",), columns=20)
    psf = psf_of_slit(model.slits[0], model)
    distance = np.arange(-45.0, 46.0)[:, None]
    wavelength = np.array([[0.5, 1.1, 2.3, 4.9, 6.0]])
    distance, wavelength = np.broadcast_arrays(distance, wavelength)
    share = psf(distance, wavelength)
    # The slit holds less of a wider PSF.
    through = share.sum(axis=0)
    assert np.all((through > 0.5) & (through < 1))
    assert through[1] > through[3]
    assert (share >= 0).all()
    # It widens with the wavelength, and the chief ray is in its middle.
    assert np.all(np.diff(share[45, 1:4]) < 0)
    assert np.all(np.argmax(share, axis=0) == 45)
    assert psf(np.array([np.nan]), np.array([2.0])) == 0
