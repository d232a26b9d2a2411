"""An instance of a step or pipeline gives what fresh ones give, whatever it has run on before."""

import copy
from pathlib import Path

import numpy as np
import pytest
from jwst.datamodels import ModelContainer
from jwst.stpipe import Step
from s3d_pairs import make_s3d_pair
from stdatamodels.jwst import datamodels

from jwst_fusion.associations import make_association, write_association
from jwst_fusion.simulation.cubes import simulate_s3d
from jwst_fusion.simulation.exposures import builtin_exposure
from jwst_fusion.simulation.observation import simulate_images, write_spec3_association
from jwst_fusion.simulation.scenes import single_star
from jwst_fusion.step import (
    AdaptiveTraceModelStep,
    FusionPipeline,
    FusionSpec2Pipeline,
    FusionSpec3Pipeline,
    FusionStep,
    HifredStep,
)
from jwst_fusion.steps.defaults import OversamplingStep, ReplacingStep
from jwst_fusion.steps.outliers import FrugalOutlierStep
from jwst_fusion.steps.reuse import restored

pytestmark = pytest.mark.usefixtures("offline_crds")


@pytest.fixture(autouse=True)
def no_garbage_sought(monkeypatch):
    """Each step of stpipe looks for garbage before it runs: half a second beside a large WCS."""
    monkeypatch.setattr("stpipe.step.gc.collect", lambda: None)


def results_of(step, given):
    """What a step makes: arrays, file name and status of each model."""
    results = step.run(copy.copy(given))
    results = results if isinstance(results, (list, ModelContainer)) else [results]
    return [
        {
            "data": np.array(one.data),
            "filename": one.meta.filename,
            "status": dict(one.meta.cal_step.instance),
        }
        for one in results
    ]


def written(folder):
    """Names of the files that were written, which are removed."""
    names = sorted(path.name for path in folder.iterdir())
    for path in folder.iterdir():
        path.unlink()
    return names


def check(make, inputs, folder):
    """Compare one instance that runs on all inputs with a fresh instance for each."""
    expected = [(results_of(make(), given), written(folder)) for given in inputs]
    step = make()
    before = step.get_pars()
    for given, (results, files) in zip(inputs, expected, strict=True):
        again = results_of(step, given)
        assert written(folder) == files
        assert step.get_pars() == before
        assert len(again) == len(results)
        for one, other in zip(again, results, strict=True):
            assert np.array_equal(one["data"], other["data"], equal_nan=True)
            assert {**one, "data": None} == {**other, "data": None}
    return [results for results, _ in expected]


def exposure(name, *, rows=2048, columns=4, kind="NRS_IFU"):
    """Exposure without a scene."""
    model = datamodels.IFUImageModel(np.full((rows, columns), 3.0, "f4"))
    model.meta.filename = name
    model.meta.instrument.name, model.meta.instrument.detector = "NIRSPEC", "NRS1"
    model.meta.instrument.grating, model.meta.instrument.filter = "G235H", "F170LP"
    model.meta.exposure.type = kind
    model.meta.target.type = "FIXED"
    return model


@pytest.fixture(scope="module")
def star():
    """Exposure of a star in one slice, with the built-in geometry."""
    model = builtin_exposure(ra=83.8, dec=-5.4, roll=30.0)
    model.regions = np.where(model.regions == 12, 12, 0)
    rows, _ = np.nonzero(model.regions)
    y = np.arange(model.data.shape[0])[:, None] - rows.mean()
    data = 2 + 300 * np.exp(-0.5 * (y / 0.7) ** 2) * np.linspace(1.2, 0.8, model.data.shape[1])
    model.data = np.where(model.regions == 12, data, np.nan).astype("f4")
    model.err = np.full(data.shape, 0.4, "f4")
    model.dq = np.zeros(data.shape, "u4")
    model.meta.filename = "star_cal.fits"
    return model


@pytest.mark.parametrize("kind", [AdaptiveTraceModelStep, OversamplingStep])
def test_trace_model(kind, star, tmp_path):
    faint = star.copy()
    faint.meta.filename = "faint_cal.fits"
    faint.data = faint.data / 1000
    # A name for the output is that of a single exposure only.
    several = ModelContainer([faint, exposure("other_cal.fits", kind="NRS_MSASPEC")])
    parameters = {"output_dir": str(tmp_path), "output_file": "named.fits"}
    check(lambda: kind(**parameters), [star, several], tmp_path)


def test_replacement_of_pixels(star, tmp_path):
    holes = star.copy()
    holes.data[holes.regions == 12] += 1
    holes.data[:, 700] = np.nan
    parameters = {"save_results": True, "output_dir": str(tmp_path), "algorithm": "trace_model"}
    # Where there is no trace model, jwst takes another algorithm.
    traced = AdaptiveTraceModelStep().run(holes)
    missing = star.copy()
    missing.meta.filename = "missing_cal.fits"
    missing.regions[:] = 0
    check(lambda: ReplacingStep(**parameters), [missing, traced], tmp_path)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_outlier_detection(tmp_path):
    sets = [
        [exposure(f"{name}_{number}_cal.fits", rows=rows, columns=30) for number in (1, 2)]
        for name, rows in (("a", 20), ("b", 30))
    ]
    for models in sets:
        models[1].data[7, 2] = 1e4
        for model in models:
            model.dq = np.zeros(model.data.shape, "u4")
            model.err = np.ones(model.data.shape, "f4")
    inputs = [ModelContainer(models) for models in sets]
    check(lambda: FrugalOutlierStep(output_dir=str(tmp_path)), inputs, tmp_path)


def test_fusion(tmp_path):
    scene, wave = single_star(), np.arange(1.69, 1.98, 0.02)
    inputs = []
    for name, shift in (("a", 0.0), ("b", 0.001)):
        folder = tmp_path / name
        folder.mkdir()
        path = folder / f"{name}_s3d.fits"
        simulate_s3d(
            scene, wave + shift, shape=(11, 12), grating="G140H", filter_name="F100LP"
        ).save(str(path))
        images = simulate_images(folder, scene, filters=("F182M",))
        table = make_association([str(path)], images, product_name=name, folder=folder)
        inputs.append(str(write_association(table, folder / "x_asn.json")))
    cube = datamodels.open(str(path))
    inputs += [ModelContainer([cube]), cube]
    (tmp_path / "out").mkdir()
    parameters = {
        "psf_source": "aperture",
        "psf_size": 1.0,
        "margin": 0.3,
        "min_coverage": 0.5,
        "tuning": "manual",
        "mu": [1e-3],
        "gamma": 1.0,
        "rank": "2",
        "crosscal": "off",
        "save_results": True,
        "output_dir": str(tmp_path / "out"),
    }
    found = check(lambda: FusionStep(**parameters), inputs, tmp_path / "out")
    states = [one[0]["status"]["fusion"] for one in found]
    assert states == ["COMPLETE", "COMPLETE", "SKIPPED", "SKIPPED"]
    cube.close()


def test_hifred(tmp_path):
    inputs = []
    for seed, size in ((1, (12, 9)), (2, (9, 12))):
        _, _, models = make_s3d_pair(seed=seed, shape=size, channels=12)
        for model, name in zip(models, ("sharp", "fine"), strict=True):
            model.meta.filename = f"{name}{seed}_s3d.fits"
        inputs.append(list(models))
    parameters = {"psf_fwhm": 0.18, "rank": "2", "mu": "0.02", "errors": False}
    parameters |= {"save_results": True, "output_dir": str(tmp_path)}
    check(lambda: HifredStep(**parameters), [*inputs, inputs[0][0]], tmp_path)


class Keep(Step):
    """Stands for a step that needs reference files; notes what the pipeline has set on it."""

    def process(self, data, *args):
        for model in data if isinstance(data, ModelContainer) else [data]:
            if self.class_alias:
                setattr(model.meta.cal_step, self.class_alias, "COMPLETE")
        self.suffix, self.search_output_file = "kept", False
        return data


def kept(alias, **attributes):
    """A class like `Keep` for a step of a pipeline."""
    return type(f"Keep_{alias}", (Keep,), {"class_alias": alias, **attributes})


class Cubes(Step):
    """Stands for cube_build: a cube with the mean of the exposures, under the name asked for."""

    class_alias = "cube_build"

    def process(self, models):
        first = models[0] if isinstance(models, ModelContainer) else models
        cube = datamodels.IFUCubeModel(np.full((2, 3, 3), first.data.mean(), "f4"))
        cube.meta.filename = self.search_attr("output_file")
        self.output_use_model = not self.output_use_model
        return ModelContainer([cube])


@pytest.mark.parametrize("saved", [False, True])
def test_spec2(tmp_path, saved):
    class Pipeline(FusionSpec2Pipeline):
        step_defs = {  # noqa: RUF012
            **FusionSpec2Pipeline.step_defs,
            "assign_wcs": kept("assign_wcs"),
            "bkg_subtract": kept("bkg_subtract"),
            "imprint_subtract": kept("imprint_subtract"),
            "cube_build": Cubes,
        }

    def make():
        used = ("assign_wcs", "cube_build", "bkg_subtract", "imprint_subtract")
        steps = {name: {"skip": name not in used} for name in Pipeline.step_defs}
        parameters = {"save_results": saved, "output_dir": str(tmp_path)}
        return Pipeline(steps=steps, **parameters)

    # The kind of the first decides what is left out: those steps stay out of that run only.
    inputs = [exposure("a_rate.fits", kind="NRS_FIXEDSLIT"), exposure("b_rate.fits", rows=8)]
    check(make, inputs, tmp_path)


def test_spec3(tmp_path):
    class Pipeline(FusionSpec3Pipeline):
        step_defs = {  # noqa: RUF012
            **FusionSpec3Pipeline.step_defs,
            "outlier_detection": kept("outlier_detection"),
            "pixel_replace": kept("pixel_replace"),
            "cube_build": kept("cube_build"),
        }

    seen = []

    def make():
        used = ("outlier_detection", "pixel_replace", "cube_build")
        steps = {name: {"skip": name not in used} for name in Pipeline.step_defs}
        return Pipeline(steps=steps, save_results=True, output_dir=str(tmp_path / "out"))

    inputs = []
    for name in "ab":
        folder = tmp_path / name
        folder.mkdir()
        path = folder / f"{name}_cal.fits"
        exposure(path.name, rows=8).save(str(path))
        inputs.append(str(folder / "x_asn.json"))
        write_spec3_association(Path(inputs[-1]), [str(path)], product=f"product_{name}")
    pipeline = make()
    before = pipeline.get_pars()
    for given, name in zip(inputs, "ab", strict=True):
        pipeline.run(given)
        assert pipeline.get_pars() == before
        seen.append(written(tmp_path / "out"))
        make().run(given)
        assert written(tmp_path / "out") == seen[-1]
        assert any(name in one for one in seen[-1])
    assert seen[0] != seen[1]


class ToldFactor(FusionStep):
    """Stands for the fusion: a cube that holds the factor by which its PSF is oversampled."""

    def process(self, members):
        cube = members[0].copy()
        cube.data[:] = self.trace_oversample
        cube.meta.filename = self.search_attr("output_file")
        self.suffix = "changed"
        return cube


def test_fusion_pipeline(tmp_path):
    class Pipeline(FusionPipeline):
        step_defs = {  # noqa: RUF012
            **FusionPipeline.step_defs,
            "cube_build": Cubes,
            "fusion": ToldFactor,
        }

    image = datamodels.ImageModel((4, 4))
    image.meta.exposure.type, image.meta.filename = "NRC_IMAGE", "i_i2d.fits"
    skipped = ("outlier_detection", "adaptive_trace_model", "pixel_replace")

    def make():
        steps = {name: {"skip": True} for name in skipped}
        return Pipeline(steps={**steps, "fusion": {"input": "cube"}})

    factors = (2, 3, 1, 2.5)
    inputs = [
        [exposure(f"x{factor}_cal.fits", rows=round(2048 * factor)), image] for factor in factors
    ]
    found = check(make, inputs, tmp_path)
    assert [one[0]["data"][0, 0, 0] for one in found] == list(factors)


def change(pipeline, log):
    step = pipeline.adaptive_trace_model
    step.oversample, step.save_model, pipeline.output_file = 3.0, print, "x"
    pipeline._log_records = log
    raise ZeroDivisionError


def test_what_is_set_within_is_undone_also_after_an_error():
    pipeline = FusionPipeline()
    before, log = pipeline.get_pars(), [object()]
    with pytest.raises(ZeroDivisionError), restored(pipeline):
        change(pipeline, log)
    assert pipeline.get_pars() == before
    assert "save_model" not in vars(pipeline.adaptive_trace_model)
    # what the last run logged can be asked for
    assert pipeline.log_records is log
