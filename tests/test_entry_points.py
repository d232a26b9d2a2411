import importlib
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from jwst_fusion.entry_points import get_steps


def step_class(path):
    module, name = path.rsplit(".", 1)
    return getattr(importlib.import_module(module), name)


def test_every_step_exists_and_is_what_the_list_says():
    from jwst.stpipe import Pipeline, Step

    for path, alias, is_pipeline in get_steps():
        step = step_class(path)
        assert issubclass(step, Step), path
        assert issubclass(step, Pipeline) == is_pipeline, path
        assert alias.startswith("fusion") or alias == "hifred"


def test_no_alias_belongs_to_another_package():
    ours = {alias for _, alias, _ in get_steps() if alias}
    for entry in entry_points(group="stpipe.steps"):
        if entry.name == "jwst_fusion":
            continue
        others = {alias for _, alias, _ in entry.load()() if alias}
        assert not ours & others, f"{entry.name} registers {ours & others}"


@pytest.mark.parametrize("alias", [alias for _, alias, _ in get_steps()])
def test_aliases_resolve_to_one_step(alias):
    from stpipe.utilities import resolve_step_class_alias

    assert resolve_step_class_alias(alias) == {a: p for p, a, _ in get_steps()}[alias]


def test_listing_the_steps_imports_neither_jwst_nor_stpsf():
    code = (
        "import sys; from jwst_fusion.entry_points import get_steps; get_steps(); "
        "assert not {'jwst', 'stpsf', 'stdatamodels'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
