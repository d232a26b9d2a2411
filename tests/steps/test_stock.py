"""Spec2 and Spec3 with our trace model give what the stock pipelines give where it is skipped."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from jwst.assign_wcs import AssignWcsStep
from jwst.extract_1d import Extract1dStep
from jwst.pipeline import Spec2Pipeline, Spec3Pipeline, Tso3Pipeline
from small_inputs import leave_slices_out
from stpipe import config_parser, crds_client

from jwst_fusion.simulation.extraction import write_extraction_parameters
from jwst_fusion.simulation.observation import write_spec3_association
from jwst_fusion.step import (
    AdaptiveTraceModelStep,
    FusionSpec2Pipeline,
    FusionSpec3Pipeline,
    FusionTso3Pipeline,
)

# The moment and the name of the class that ran are the only differences allowed.
ANEW = ("DATE", "CHECKSUM", "DATASUM")


PAIRS = [
    (FusionSpec2Pipeline, Spec2Pipeline),
    (FusionSpec3Pipeline, Spec3Pipeline),
    (FusionTso3Pipeline, Tso3Pipeline),
]


class KeepWcs(AssignWcsStep):
    """Keep the WCS that the simulated exposure has: it belongs to no instrument model in CRDS."""

    reference_file_types = ()

    def process(self, model):
        model.meta.cal_step.assign_wcs = "COMPLETE"
        return model


@pytest.mark.parametrize(("ours", "stock"), PAIRS)
def test_only_one_step_differs(ours, stock):
    assert list(ours.step_defs) == list(stock.step_defs)
    differing = [
        name for name in stock.step_defs if ours.step_defs[name] is not stock.step_defs[name]
    ]
    assert differing == ["adaptive_trace_model"]
    assert ours.step_defs["adaptive_trace_model"] is AdaptiveTraceModelStep
    assert stock.step_defs["adaptive_trace_model"] is not AdaptiveTraceModelStep
    assert not ours().adaptive_trace_model.skip
    assert ours.class_alias == stock.class_alias


@pytest.mark.parametrize(("ours", "stock"), PAIRS)
def test_parameters_come_from_crds_but_not_for_our_step(ours, stock, monkeypatch, tmp_path):
    asked = []

    def reference(parameters, reftype, observatory):
        asked.append(reftype)
        step = stock(steps={"adaptive_trace_model": {"skip": True, "fit_threshold": 3.0}})
        step.pixel_replace.skip = False
        path = tmp_path / "pars.asdf"
        step.export_config(str(path))
        if reftype != f"pars-{stock.__name__.lower()}":
            raise crds_client.CrdsError
        return str(path)

    monkeypatch.setattr(crds_client, "get_reference_file", reference)
    monkeypatch.delenv("STPIPE_DISABLE_CRDS_STEPPARS", raising=False)
    config = ours.get_config_from_reference({"a": 1}, crds_observatory="jwst")
    assert ours.get_config_reftype() in asked
    assert not any("jwst_fusion" in name for name in asked)
    config.pop("class")
    config.pop("name")
    pipeline = ours.from_config_section(config)
    assert pipeline.pixel_replace.skip is False
    assert pipeline.adaptive_trace_model.skip is False
    assert pipeline.adaptive_trace_model.fit_threshold == 10.0
    assert isinstance(config, config_parser.ConfigObj)


def only(pipeline, *names, **steps):
    """Parameters that skip all steps but some."""
    skipped = {name: {"skip": True} for name in pipeline.step_defs if name not in names}
    return {**skipped, **steps}


@pytest.fixture(scope="module")
def exposure(observed, tmp_path_factory):
    """One exposure with half of its slices: what is compared is the same with any."""
    path = Path(shutil.copy(observed.exposures[0], tmp_path_factory.mktemp("half")))
    leave_slices_out(path)
    return path


def extraction(folder):
    """Reference files of extract_1d: what it needs for cubes, and no others."""
    given = {f"override_{kind}": "N/A" for kind in Extract1dStep.reference_file_types}
    path = folder / "extract1d.asdf"
    return {**given, "override_extract1d": write_extraction_parameters(path)}


def compare(first, second):
    """Assert that two folders hold the same products."""
    names = sorted(path.name for path in first.iterdir())
    assert names == sorted(path.name for path in second.iterdir())
    assert names
    for name in names:
        with fits.open(first / name) as one, fits.open(second / name) as other:
            assert [hdu.name for hdu in one] == [hdu.name for hdu in other]
            for a, b in zip(one, other, strict=True):
                if a.name == "ASDF":
                    continue
                for key in set(a.header) | set(b.header):
                    if key not in ANEW and key not in ("COMMENT", "HISTORY", ""):
                        assert a.header.get(key) == b.header.get(key), (name, a.name, key)
                if a.data is not None:
                    assert a.data.tobytes() == b.data.tobytes(), (name, a.name)
    return names


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_spec2_products_are_those_of_jwst(observed, exposure, tmp_path, offline_crds):
    cubes = {"override_cubepar": observed.cubepar, "wavemin": 2.1, "wavemax": 2.13}
    spectra = extraction(exposure.parent)
    for base in (Spec2Pipeline, FusionSpec2Pipeline):

        class Pipeline(base):
            step_defs = {**base.step_defs, "assign_wcs": KeepWcs}  # noqa: RUF012

        steps = only(base, "assign_wcs", "cube_build", "extract_1d")
        steps["cube_build"], steps["extract_1d"] = cubes, spectra
        folder = tmp_path / base.__name__
        Pipeline.call(str(exposure), steps=steps, output_dir=str(folder), save_results=True)
    names = compare(tmp_path / "Spec2Pipeline", tmp_path / "FusionSpec2Pipeline")
    assert [name.rsplit("_", 1)[1] for name in names] == ["cal.fits", "s3d.fits", "x1d.fits"]
    assert fits.getval(tmp_path / "Spec2Pipeline" / names[1], "S_TRCMOD") == "SKIPPED"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_spec3_products_are_those_of_jwst(observed, exposure, tmp_path, offline_crds):
    association = exposure.parent / "spec3_asn.json"
    write_spec3_association(association, [exposure], product="jw09999-o001_t001_nirspec")
    cubes = {"override_cubepar": observed.cubepar, "wavemin": 2.1, "wavemax": 2.13}
    spectra = extraction(exposure.parent)
    for base in (Spec3Pipeline, FusionSpec3Pipeline):
        steps = only(base, "cube_build", "extract_1d", "pixel_replace")
        steps["cube_build"], steps["extract_1d"] = cubes, spectra
        steps["pixel_replace"] = {"skip": False}
        base.call(
            str(association),
            steps=steps,
            output_dir=str(tmp_path / base.__name__),
            save_results=True,
        )
    names = compare(tmp_path / "Spec3Pipeline", tmp_path / "FusionSpec3Pipeline")
    assert [Path(name).stem.rsplit("_", 1)[1] for name in names] == ["s3d", "x1d"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_spec3_uses_our_step(observed, exposure, tmp_path, offline_crds):
    association = exposure.parent / "spec3_used_asn.json"
    write_spec3_association(association, [exposure], product="jw09999-o001_t001_ours")
    steps = only(FusionSpec3Pipeline, "cube_build", "adaptive_trace_model")
    steps["cube_build"] = {"override_cubepar": observed.cubepar, "wavemin": 2.1, "wavemax": 2.13}
    steps["adaptive_trace_model"] = {"oversample": 2.0}
    FusionSpec3Pipeline.call(
        str(association), steps=steps, output_dir=str(tmp_path), save_results=True
    )
    (path,) = tmp_path.glob("*_s3d.fits")
    assert fits.getval(path, "S_TRCMOD") == "COMPLETE"
    assert np.isfinite(fits.getdata(path, "SCI")).any()
