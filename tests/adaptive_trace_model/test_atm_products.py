"""Oversampled IFU and slit products: through files, pixel_replace, cube_build and extract_1d."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from astropy.io import fits
from jwst.assign_wcs.nirspec import nrs_wcs_set_input
from jwst.cube_build import CubeBuildStep
from jwst.extract_1d import Extract1dStep
from jwst.pixel_replace import PixelReplaceStep
from stdatamodels.jwst import datamodels
from stdatamodels.jwst.datamodels import dqflags

from jwst_fusion.simulation import crds_offline
from jwst_fusion.simulation.cube_parameters import write_nirspec_cube_parameters
from jwst_fusion.simulation.exposures import Noise, builtin_exposure, paint
from jwst_fusion.simulation.reference_geometry import mrs_exposure
from jwst_fusion.simulation.slit_scene import SlitScene, SlitSource
from jwst_fusion.simulation.slits import fixed_slit_exposure, lrs_exposure, mos_exposure
from jwst_fusion.steps.adaptive_trace_model import AdaptiveTraceModelStep

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quiet_logs")]

ESTIMATED = dqflags.pixel["FLUX_ESTIMATED"]
DO_NOT_USE = dqflags.pixel["DO_NOT_USE"]
POINTING = {"ra": 150.0, "dec": 20.0, "roll": 30.0}
FLUXES = ("data", "trace_model")
VARIANCES = ("var_rnoise", "var_poisson", "var_flat")
#: Arrays that belong to native pixels.
OBSOLETE = ("area", "pathloss_point", "pathloss_uniform", "zeroframe")
INTERMEDIATE = ("spline_full", "spline_used", "linear_interp", "spline_residual")


@dataclass(frozen=True)
class Star:
    """A star on a faint sky, as the pixels see it; `width` gives its FWHM in arcsec."""

    ra: float
    dec: float
    width: callable
    sky: float = 2.0
    peak: float = 400.0

    def sample(self, ra, dec, wavelength):
        east = (ra - self.ra) * np.cos(np.radians(self.dec))
        distance = 3600 * np.hypot(east, dec - self.dec) / self.width(wavelength)
        spectrum = self.peak * (2 / wavelength)
        return self.sky + spectrum * np.exp(-4 * np.log(2) * distance**2)


@dataclass
class Chain:
    """An exposure, what the step makes of it, and how jwst makes cubes of that."""

    native: object
    factor: int
    folder: object
    cubes: dict = field(default_factory=dict)
    results: dict = field(default_factory=dict)

    @property
    def vertical(self):
        """Whether the dispersion runs along y."""
        return self.native.meta.instrument.name == "MIRI"

    @property
    def plain(self):
        return self.results[1]

    @property
    def fine(self):
        return self.results[self.factor]

    @property
    def file(self):
        return self.folder / "star_adaptive_trace_model.fits"

    def repeat(self, image):
        """Native image on the oversampled pixels."""
        return np.repeat(image, self.factor, axis=int(self.vertical))

    def to_native(self, x, y):
        """Native positions of oversampled ones."""
        along = ((x if self.vertical else y) + 0.5) / self.factor - 0.5
        return (along, y) if self.vertical else (x, along)

    def wcs(self, model, label):
        """WCS of one slice."""
        return model.meta.wcs if self.vertical else nrs_wcs_set_input(model, label - 1)

    def run(self):
        self.native.meta.filename = "star_cal.fits"
        for name in OBSOLETE:
            setattr(self.native, name, np.ones(self.native.data.shape, dtype=np.float32))
        for factor in (1, self.factor):
            self.results[factor] = AdaptiveTraceModelStep(
                oversample=float(factor),
                save_intermediate_results=self.vertical and factor > 1,
                save_results=factor > 1,
                output_dir=str(self.folder),
            ).run(self.native)


def nirspec(folder, data_dir):
    native = builtin_exposure(**POINTING)
    paint(native, Star(150.0, 20.00001, lambda wavelength: 0.06 * wavelength + 0.02), seed=1)
    parameters = write_nirspec_cube_parameters(folder / "cubepar.fits")
    options = {"wavemin": 2.0, "wavemax": 2.03, "override_cubepar": parameters}
    return Chain(native, 2, folder, cubes=options)


def mrs(folder, data_dir):
    references = data_dir / "miri_mrs_refs"
    if not references.is_dir():
        pytest.skip(f"no reference files in {references}")
    native = mrs_exposure(references, **POINTING)
    ra, dec, _ = native.meta.wcs.get_transform("alpha_beta", "world")(0.13, 0.0, 5.22)
    paint(native, Star(ra, dec, lambda wavelength: 0.033 * wavelength + 0.106), seed=1)
    parameters = write_mrs_cube_parameters(folder / "cubepar.fits")
    return Chain(native, 3, folder, cubes={"channel": "1", "override_cubepar": parameters})


def write_mrs_cube_parameters(path):
    """Nominal cube parameters of channel 1 for drizzling, 50 wavelengths only."""
    model = datamodels.MiriIFUCubeParsModel()
    model.meta.instrument.name, model.meta.exposure.type = "MIRI", "MIR_MRS"
    model.meta.reftype, model.meta.pedigree = "cubepar", "DUMMY"
    model.meta.description = model.meta.author = "test"
    model.meta.useafter = "2022-01-01T00:00:00"
    table = np.zeros(1, dtype=model.get_dtype("ifucubepars_table"))
    table["channel"], table["band"] = "1", "SHORT"
    table["spaxelsize"], table["spectralstep"] = 0.13, 0.0008
    table["wavemin"], table["wavemax"] = 5.2, 5.24
    model.ifucubepars_table = table
    waves = np.zeros(20, dtype=model.get_dtype("ifucubepars_multichannel_driz_wavetable"))
    waves["wavelength"] = np.linspace(5.2, 7.6, 20)
    model.ifucubepars_multichannel_driz_wavetable = waves
    model.save(str(path))
    return str(path)


@pytest.fixture(scope="module", params=[nirspec, mrs], ids=["NIRSpec", "MRS"])
def chain(request, data_dir, tmp_path_factory, quiet_logs):
    made = request.param(tmp_path_factory.mktemp("chain"), data_dir)
    made.run()
    return made


only_mrs = pytest.mark.parametrize("chain", [mrs], ids=["MRS"], indirect=True)


def test_file_holds_what_the_step_made(chain):
    assert fits.getheader(chain.file)["S_TRCMOD"] == "COMPLETE"
    shape = chain.repeat(chain.native.data).shape
    with datamodels.open(chain.file) as read:
        assert isinstance(read, datamodels.IFUImageModel)
        assert read.meta.cal_step.adaptive_trace_model == "COMPLETE"
        for name in (*FLUXES, *VARIANCES, "err", "dq", "wavelength", "regions"):
            array = getattr(read, name)
            assert array.shape == shape, name
            np.testing.assert_array_equal(array, getattr(chain.fine, name), err_msg=name)
        for name in ("pixelarea_steradians", "pixelarea_arcsecsq"):
            native = getattr(chain.native.meta.photometry, name)
            assert getattr(read.meta.photometry, name) == pytest.approx(native / chain.factor)
        assert not any(read.hasattr(name) for name in OBSOLETE)
    assert all(chain.plain.hasattr(name) for name in OBSOLETE)
    assert chain.plain.meta.cal_step.adaptive_trace_model == "COMPLETE"


def test_estimated_pixels_are_those_that_were_missing(chain):
    fine = chain.fine
    missing = np.isnan(chain.repeat(chain.native.data))
    estimated = (fine.dq & ESTIMATED) > 0
    np.testing.assert_array_equal(estimated, missing & np.isfinite(fine.data))
    assert estimated.sum() > 100
    invalid = np.isnan(fine.data)
    np.testing.assert_array_equal(invalid, (fine.dq & DO_NOT_USE) > 0)
    np.testing.assert_array_equal(invalid, np.isnan(fine.err))
    # What was seen is kept, but for columns of a slice with hardly a pixel.
    seen = ~missing & (fine.regions > 0)
    assert np.mean(invalid[seen]) < 1e-3
    other = ~np.uint32(ESTIMATED | DO_NOT_USE)
    np.testing.assert_array_equal(fine.dq & other, chain.repeat(chain.native.dq) & other)


def test_wcs_of_the_file(chain):
    with datamodels.open(chain.file) as read:
        for label in np.unique(read.regions)[1::9]:
            y, x = (index[::397].astype(float) for index in np.nonzero(read.regions == label))
            models = (chain.native, chain.fine, read)
            native, made, saved = (chain.wcs(model, label) for model in models)
            world = np.array(saved(x, y))
            np.testing.assert_allclose(world, made(x, y), rtol=1e-14)
            np.testing.assert_allclose(world, native(*chain.to_native(x, y)), rtol=1e-12)
            seen = np.isfinite(world).all(axis=0)
            assert seen.mean() > 0.95
            back = np.array(saved.backward_transform(*world[:, seen]))
            np.testing.assert_allclose(back, made.backward_transform(*world[:, seen]), atol=1e-6)
            # The inverse of the instrument's own model, to which nothing is added.
            expected = native.backward_transform(*world[:, seen])
            np.testing.assert_allclose(chain.to_native(*back), expected, atol=1e-6)


@only_mrs
def test_intermediate_products(chain):
    images = {}
    for suffix in INTERMEDIATE:
        with datamodels.open(chain.folder / f"star_{suffix}.fits") as product:
            assert isinstance(product, datamodels.IFUImageModel)
            images[suffix] = np.array(product.data)
    full, used, linear, residual = images.values()
    fine = chain.fine
    assert {image.shape for image in images.values()} == {fine.data.shape}
    known = np.isfinite(used)
    np.testing.assert_array_equal(used, fine.trace_model)
    np.testing.assert_array_equal(used[known], full[known])
    # Without a model there is linear interpolation, where the trace is steep the full sum.
    alone = np.isfinite(fine.data) & ~known
    np.testing.assert_array_equal(fine.data[alone], linear[alone])
    whole = full + residual
    assert np.mean((np.abs(fine.data - whole) < 0.1 * fine.err)[known]) > 0.5
    # In between, where one takes over from the other, the flux lies between both.
    both = known & np.isfinite(linear)
    low, high = np.minimum(whole, linear)[both], np.maximum(whole, linear)[both]
    slack = 0.1 * fine.err[both]
    assert np.all((fine.data[both] > low - slack) & (fine.data[both] < high + slack))


@only_mrs
def test_flux_densities_are_shared_among_the_parts(chain):
    native = chain.native.copy()
    native.meta.bunit_data = native.meta.bunit_err = "MJy"
    result = AdaptiveTraceModelStep(oversample=float(chain.factor)).run(native)
    for name in (*FLUXES, "err"):
        shared = getattr(chain.fine, name) / chain.factor
        np.testing.assert_allclose(getattr(result, name), shared, rtol=1e-5, err_msg=name)
    for name in VARIANCES:
        shared = getattr(chain.fine, name) / chain.factor**2
        np.testing.assert_allclose(getattr(result, name), shared, rtol=1e-5, err_msg=name)
    np.testing.assert_array_equal(result.wavelength, chain.fine.wavelength)


@pytest.fixture(scope="module")
def replaced(chain):
    with crds_offline():
        return {
            factor: PixelReplaceStep(algorithm="trace_model", skip=False).run(model)
            for factor, model in chain.results.items()
        }


def test_pixel_replacement(chain, replaced):
    for factor, model in chain.results.items():
        after = replaced[factor]
        assert after.meta.cal_step.pixel_replace == "COMPLETE"
        gaps = np.isnan(model.data) & np.isfinite(model.trace_model)
        # The oversampled exposure has no gaps left that the model could fill.
        assert (gaps.sum() > 100) == (factor == 1)
        np.testing.assert_array_equal(after.data[gaps], model.trace_model[gaps])
        assert (after.dq[gaps] & ESTIMATED).all()
        # Gaps far from the trace are jwst's business.
        seen = np.isfinite(model.data)
        np.testing.assert_array_equal(after.data[seen], model.data[seen])


def spectrum(model, options):
    """Spectrum of the star in a box, and the brightest spaxel."""
    with crds_offline():
        (cube,) = CubeBuildStep.call(model, save_results=False, **options)
    assert cube.meta.cal_step.cube_build == "COMPLETE"
    data = np.where(cube.weightmap > 0, cube.data, np.nan)
    seen = np.isfinite(data).any(axis=0)
    image = np.full(seen.shape, -np.inf)
    image[seen] = np.nanmedian(data[:, seen], axis=0)
    y, x = np.unravel_index(np.argmax(image), image.shape)
    box = data[:, y - 4 : y + 5, x - 4 : x + 5]
    assert np.isfinite(box).mean() > 0.99
    return np.nansum(box, axis=(1, 2)), cube.meta.wcs(x, y, 0)[:2]


def test_cubes_keep_the_flux(chain, replaced):
    before, at = spectrum(replaced[1], chain.cubes)
    after, moved = spectrum(replaced[chain.factor], chain.cubes)
    np.testing.assert_allclose(moved, at, atol=0.2 / 3600)
    ratio = after / before
    # Cosmic rays that no flag marks spoil single channels of both.
    assert np.median(ratio) == pytest.approx(1, abs=0.01)
    assert np.mean(np.abs(ratio - 1) < 0.03) > 0.9


CLEAN = {"noise": Noise(bad_fraction=0.0, bad_clusters=0, residues=0)}


@pytest.mark.filterwarnings("ignore")
def extract(model):
    step = Extract1dStep(extraction_type="box", apply_apcorr=False)
    step.override_extract1d = step.override_psf = "N/A"
    return step.run(model)


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (lrs_exposure, {"scene": SlitScene((SlitSource(-0.6, 2000.0),), background=5.0)}),
        (mos_exposure, {"shutters": (3, 5), "columns": 200}),
        (fixed_slit_exposure, {"names": ("S200A1",), "columns": 200}),
    ],
)
def test_extracted_spectra_keep_the_flux(make, options, offline_crds):
    native = make(**CLEAN, **options)
    fine = AdaptiveTraceModelStep(oversample=2.0).run(native)
    for before, after in zip(extract(native).spec, extract(fine).spec, strict=True):
        old, new = before.spec_table, after.spec_table
        np.testing.assert_allclose(new["WAVELENGTH"], old["WAVELENGTH"], rtol=1e-4)
        lit = old["FLUX"] > 0.1 * np.median(old["FLUX"])
        assert lit.mean() > 0.9
        ratio = (new["FLUX"] / old["FLUX"])[lit]
        assert np.median(ratio) == pytest.approx(1, abs=0.003)
        assert np.mean(np.abs(ratio - 1) < 0.01) > 0.95
        errors = (new["FLUX_ERROR"] / old["FLUX_ERROR"])[lit]
        assert np.median(errors) == pytest.approx(1, abs=0.03)
