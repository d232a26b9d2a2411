"""Parameter files of earlier versions give the same steps; new ones name classes for good."""

import importlib
from pathlib import Path

import asdf
import pytest
from jwst.stpipe import Pipeline, Step

from jwst_fusion.command.configs import installed_configs
from jwst_fusion.entry_points import get_steps

#: Files as --save-parameters wrote them when each step was defined beside its engine.
OLD = {path.stem: path for path in sorted((Path(__file__).parent / "old_parameters").glob("*"))}
#: Modules in which the classes were defined then.
PLACES = {
    "FusionStep": "jwst_fusion.fusion.step",
    "HifredStep": "jwst_fusion.hifred.step",
    "AdaptiveTraceModelStep": "jwst_fusion.adaptive_trace_model.step",
    "FusionPipeline": "jwst_fusion.pipeline.fusion",
    "FusionSpec2Pipeline": "jwst_fusion.pipeline.spec2",
    "FusionSpec3Pipeline": "jwst_fusion.pipeline.spec3",
    "FrugalOutlierStep": "jwst_fusion.pipeline.outliers",
    "OversamplingStep": "jwst_fusion.pipeline.defaults",
    "ReplacingStep": "jwst_fusion.pipeline.defaults",
}
#: Parameters that have another name now.
RENAMED = {"maximum_iterations": "max_iterations"}


def load(path):
    with asdf.open(path) as content:
        return content.tree


def class_of(path):
    module, name = path.rsplit(".", 1)
    return getattr(importlib.import_module(module), name)


def agrees(step, parameters):
    found = step.get_pars()
    for name, value in parameters.items():
        name = name if name in found else RENAMED[name]
        # Numbers are text where a word is allowed.
        assert found[name] == (str(value) if isinstance(found[name], str) else value), name


def test_there_is_a_file_of_each_step():
    # younger than that
    assert {path.rsplit(".", 1)[1] for path, _, _ in get_steps()} - {"FusionTso3Pipeline"} == set(
        OLD
    )


@pytest.mark.parametrize("name", OLD)
def test_old_files_give_the_same_steps(name):
    given = load(OLD[name])
    assert given["class"] == f"{PLACES[name]}.{name}"
    step = Step.from_config_file(str(OLD[name]))
    assert type(step) is class_of(f"jwst_fusion.step.{name}")
    agrees(step, given["parameters"])
    for one in given.get("steps", []):
        own = getattr(step, one["name"])
        assert type(own).__name__ == one["class"].rsplit(".", 1)[1]
        agrees(own, one["parameters"])


@pytest.mark.parametrize("name", PLACES)
def test_the_old_places_of_classes(name):
    assert class_of(f"{PLACES[name]}.{name}") is class_of(f"jwst_fusion.step.{name}")


@pytest.mark.parametrize("name", OLD)
def test_new_files_name_what_stays(name, tmp_path):
    path = tmp_path / "new.asdf"
    step = class_of(f"jwst_fusion.step.{name}")()
    step.export_config(str(path))
    content = load(path)
    assert content["class"] == f"jwst_fusion.step.{name}"
    for one in content.get("steps", []):
        own = getattr(step, one["name"])
        assert class_of(one["class"]) is type(own)
        if one["class"].startswith("jwst_fusion"):
            assert one["class"] == f"jwst_fusion.step.{type(own).__name__}"
    again = Step.from_config_file(str(path))
    assert type(again) is type(step)
    assert again.get_pars() == step.get_pars()


@pytest.mark.parametrize("path", installed_configs().values(), ids=installed_configs())
def test_shipped_files_name_what_stays(path):
    content = load(path)
    step = class_of(content["class"])
    assert content["class"].startswith("jwst_fusion.step.")
    if issubclass(step, Pipeline):
        for one in content["steps"]:
            assert class_of(one["class"]) is step.step_defs[one["name"]]
