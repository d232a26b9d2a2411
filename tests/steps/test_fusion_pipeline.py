"""The pipeline from exposures and images to the fused cube, interrupted and continued."""

import copy
import logging
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from stdatamodels.jwst import datamodels

from jwst_fusion.datamodels import FusedCubeModel, SourceSpectraModel
from jwst_fusion.simulation.scenes import nebula
from jwst_fusion.step import FusionPipeline, FusionStep

pytestmark = pytest.mark.slow


def run(observed, folder, source=None, **parameters):
    steps = copy.deepcopy(observed.steps)
    for name, values in parameters.pop("steps", {}).items():
        steps[name] = {**steps.get(name, {}), **values}
    parameters = {"save_results": True, "output_dir": str(folder), **parameters}
    return FusionPipeline.call(source or observed.association, steps=steps, **parameters)


def made(caplog):
    """Names of the stages that were run, and of those whose products were used again."""
    text = [record.getMessage() for record in caplog.records]
    caplog.clear()
    done = [line.split(": done")[0] for line in text if ": done in" in line]
    again = [line.split(": used again")[0] for line in text if ": used again: " in line]
    return done, again


def test_interrupted_and_continued(observed, tmp_path, offline_crds, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "jwst_fusion")
    inputs = {path: path.read_bytes() for path in map(Path, observed.exposures)}
    with monkeypatch.context() as patch:
        patch.setattr(FusionStep, "process", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(observed, tmp_path)
    done, again = made(caplog)
    assert [name.split()[0] for name in done] == ["Trace", "Trace", "Cubes"]
    assert not again
    assert not (tmp_path / f"{observed.product}_fused_s3d.fits").exists()

    fused = run(observed, tmp_path)
    done, again = made(caplog)
    assert done == [f"Fusion of {observed.product}"]
    assert len(again) == 3
    assert isinstance(fused, FusedCubeModel)
    assert fused.meta.cal_step.fusion == "COMPLETE"
    assert fused.meta.cal_step.adaptive_trace_model == "COMPLETE"
    # the cube has not all wavelengths of F210M
    assert fused.meta.fusion.images == 1
    assert fused.meta.asn.table_name == "pipeline_asn.json"
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{observed.product}_fused_s3d.fits",
        f"{observed.product}_fusion_pipeline.json",
        f"{observed.product}_g235m-f170lp_s3d.fits",
        "jw09999001001_02101_00001_nrs1_pixel_replace.fits",
        "jw09999001001_02101_00002_nrs1_pixel_replace.fits",
    }
    header = fits.getheader(tmp_path / f"{observed.product}_fused_s3d.fits")
    assert header["S_FUSION"] == header["S_TRCMOD"] == header["S_PXREPL"] == "COMPLETE"
    with fits.open(tmp_path / f"{observed.product}_fused_s3d.fits") as hdus:
        table = np.array(hdus["FUSFILTERS"].data)
        parameters = dict(
            zip(
                hdus["FUSPARAMETERS"].data["name"], hdus["FUSPARAMETERS"].data["value"], strict=True
            )
        )
    assert header["FUSCALMN"] == header["FUSCALMX"] == pytest.approx(table["calibration"][0])
    assert header["FUSOFFAP"] == 0
    assert header["FUSOFFMS"] == pytest.approx(np.hypot(*table[["offset_x", "offset_y"]][0]))
    assert float(parameters["trace_oversample"]) == 2
    # the log of the whole pipeline is in the product
    with FusedCubeModel(tmp_path / f"{observed.product}_fused_s3d.fits") as model:
        assert any("Cubes: used again" in line for line in model.cal_logs.fusion_pipeline)

    again = run(observed, tmp_path)
    assert np.array_equal(again.data, fused.data, equal_nan=True)
    done, reused = made(caplog)
    assert not done
    assert len(reused) == 4

    # another parameter of the last step, and nothing else is made
    other = run(observed, tmp_path, steps={"fusion": {"rank": 2}})
    assert other.meta.fusion.components == 2
    done, reused = made(caplog)
    assert [name.split()[0] for name in done] == ["Fusion"]

    # asked not to, it uses nothing; a cube instead of exposures needs none of the first steps
    cube = str(tmp_path / f"{observed.product}_g235m-f170lp_s3d.fits")
    out = tmp_path / "out"
    result = run(
        observed, out, [cube, *observed.images], resume=False, steps={"fusion": {"rank": 2}}
    )
    done, reused = made(caplog)
    assert [name.split()[0] for name in done] == ["Fusion"]
    assert not reused
    # trace_oversample is known from exposures only: the PSF of a cube is told
    assert result.data.shape == other.data.shape
    assert all(path.read_bytes() == content for path, content in inputs.items())


def test_nothing_is_written_unless_asked_for(observed, tmp_path, offline_crds, monkeypatch):
    monkeypatch.chdir(tmp_path)
    models = [datamodels.open(path) for path in observed.exposures[:1]]
    before = models[0].data.copy()
    fused = run(
        observed,
        tmp_path,
        [*models, *observed.images],
        save_results=False,
        output_dir=None,
        steps={"adaptive_trace_model": {"oversample": 1.0}, "pixel_replace": {"skip": True}},
    )
    assert fused.meta.cal_step.fusion == "COMPLETE"
    assert not list(tmp_path.iterdir())
    assert np.array_equal(models[0].data, before, equal_nan=True)
    assert models[0].meta.cal_step.adaptive_trace_model is None
    models[0].close()


NATIVE = {
    "input": "auto",
    "wave_min": 2.10,
    "wave_max": 2.145,
    "field_width": 0.6,
    "field_height": 0.6,
    "rank": "2",
    "crosscal": "off",
}


def test_exposures_are_fused_at_their_native_pixels(observed, tmp_path, offline_crds, caplog):
    """No trace model, no outlier detection, no cube; and nothing twice."""
    caplog.set_level(logging.INFO, "jwst_fusion")
    scene = nebula()
    star = max(scene.sources, key=lambda one: -np.hypot(one.east, one.north))
    native = NATIVE | {
        "field_ra": scene.ra + star.east / 3600 / np.cos(np.radians(scene.dec)),
        "field_dec": scene.dec + star.north / 3600,
    }
    fused = run(observed, tmp_path, steps={"fusion": native, "outlier_detection": {"skip": False}})
    # Parameters of steps that are left out.
    assert "what is given as cube_build.wavemin, cube_build.wavemax means nothing" in caplog.text
    assert fused.meta.cal_step.fusion == "COMPLETE"
    assert fused.meta.cal_step.adaptive_trace_model is None
    assert fused.meta.fusion.exposures == 2
    assert fused.meta.asn.table_name == "pipeline_asn.json"
    assert made(caplog) == (["Fusion of 2 exposures"], [])
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{observed.product}_fused_s3d.fits",
        f"{observed.product}_fusion_pipeline.json",
        f"{observed.product}_sources_x1d.fits",
    }
    # The star in the field and no other; its errors are mostly common to all channels.
    assert len(fused.source_table) == 1
    with SourceSpectraModel(tmp_path / f"{observed.product}_sources_x1d.fits") as spectra:
        shared = np.sqrt(np.sum(spectra.covariance_factor[0] ** 2, axis=1))
        error = spectra.spec[0].spec_table["FLUX_ERROR"]
        assert np.all((shared > 0) & (shared < 1.001 * error))
    again = run(observed, tmp_path, steps={"fusion": native})
    assert made(caplog) == ([], ["Fusion of 2 exposures"])
    assert np.array_equal(again.data, fused.data, equal_nan=True)
    # Without images, too; they are needed beside cubes only.
    alone = {**NATIVE, "wave_max": 2.12}
    result = run(
        observed, tmp_path, observed.exposures[0], save_results=False, steps={"fusion": alone}
    )
    assert result.meta.fusion.images == 0


def test_roads_that_do_not_suit_the_members_are_refused(observed, tmp_path, offline_crds):
    cube = tmp_path / "x_s3d.fits"
    datamodels.IFUCubeModel(np.ones((3, 4, 5), "f4")).save(str(cube))
    with pytest.raises(ValueError, match=r"x_s3d.fits is a cube, but steps.fusion.input"):
        run(
            observed,
            tmp_path / "out",
            [str(cube), *observed.exposures],
            steps={"fusion": {"input": "exposures"}},
        )
    with pytest.raises(ValueError, match="regularisation is 'wavelet'"):
        run(
            observed,
            tmp_path / "out",
            steps={"fusion": {**NATIVE, "regularisation": "wavelet"}},
        )
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ("exposures", "no image"),
        ("images", "no exposure or cube"),
    ],
)
def test_both_kinds_are_needed(observed, tmp_path, offline_crds, members, message):
    with pytest.raises(ValueError, match=message):
        run(observed, tmp_path, list(getattr(observed, members)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "steps",
    [
        {"adaptive_trace_model": {"oversample": 0.5}},
        {"adaptive_trace_model": {"maximum_cores": "many"}},
        {"fusion": {"exponent": 99.0}},
    ],
)
def test_wrong_parameters_are_told_at_once(observed, tmp_path, offline_crds, steps):
    (name,) = next(iter(steps.values()))
    with pytest.raises(ValueError, match=name):
        run(observed, tmp_path, steps=steps)
    assert not list(tmp_path.iterdir())


def test_exposures_of_other_modes_are_refused(observed, tmp_path, offline_crds):
    path = tmp_path / "a_cal.fits"
    with datamodels.open(observed.exposures[0]) as model:
        model.meta.exposure.type = "NRS_FIXEDSLIT"
        model.save(str(path))
    with pytest.raises(ValueError, match=r"a_cal.fits is an exposure of type NRS_FIXEDSLIT"):
        run(observed, tmp_path / "out", [str(path), *observed.images])
