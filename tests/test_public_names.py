"""What a Python user finds in each engine: its names, their documentation, a running example."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import numpy as np
import pytest

import jwst_fusion
from jwst_fusion import adaptive_trace_model, fusion, hifred

API = (Path(__file__).resolve().parents[1] / "docs" / "api.rst").read_text()
ENGINES = [adaptive_trace_model, fusion, hifred]
NAMES = [(engine, name) for engine in ENGINES for name in engine.__all__]
each_engine = pytest.mark.parametrize("engine", ENGINES, ids=lambda one: one.__name__)


@each_engine
def test_engine_is_found_and_says_what_is_stable(engine):
    name = engine.__name__.rpartition(".")[2]
    assert name in dir(jwst_fusion)
    assert getattr(jwst_fusion, name) is engine
    assert "stable" in engine.__doc__


@pytest.mark.parametrize(("engine", "name"), NAMES, ids=[f"{e.__name__}.{n}" for e, n in NAMES])
def test_public_names_are_there_and_documented(engine, name):
    assert name in dir(engine)
    assert getattr(engine, name).__doc__


@each_engine
def test_the_api_page_has_the_public_names(engine):
    part = API.split(f"currentmodule:: {engine.__name__}\n")[1].partition("currentmodule")[0]
    assert sorted(re.findall(r"^   (\w+)$", part, re.M)) == sorted(engine.__all__)


@each_engine
def test_other_names_are_refused(engine):
    with pytest.raises(AttributeError, match="solve_everything"):
        _ = engine.solve_everything


@each_engine
def test_no_name_is_hidden_by_a_module(engine):
    """An imported module becomes an attribute of its package."""
    modules = {one.name for one in pkgutil.iter_modules(engine.__path__)}
    for module in modules:
        importlib.import_module(f"{engine.__name__}.{module}")
    assert not modules & set(engine.__all__)


@each_engine
def test_example_runs(engine):
    found = doctest.testmod(engine)
    assert found.attempted > 5
    assert not found.failed


def test_options_of_another_type_are_refused():
    """A dictionary of options, or data of another kind, is named at once."""
    image = np.ones((5, 5))
    with pytest.raises(TypeError, match=r"options must be TraceSettings\(...\), got dict"):
        adaptive_trace_model.oversample(image, image, image, options={"oversample": 2.0})
    with pytest.raises(TypeError, match=r"data must be FusionData\(...\), got ndarray"):
        fusion.fuse(image)
    with pytest.raises(TypeError, match=r"options must be HifredSettings\(...\), got dict"):
        hifred.fuse(image, image, None, None, {"rank": 3})
