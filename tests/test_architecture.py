"""The rooms of the package keep to their import rules."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import jwst_fusion

PACKAGE = Path(jwst_fusion.__file__).parent
PIPELINE = {"jwst", "stdatamodels", "stpipe"}
# files and rooms that may know of pipelines
ALLOWED_FILES = {
    "step.py",
    "base.py",
    "geometry.py",
    "observation.py",
    "integration.py",
    "entry_points.py",
    "io.py",
    "ogip.py",
}
ALLOWED_ROOMS = {"datamodels", "associations", "pipeline", "simulation"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def imported_packages(path):
    """Top-level packages that a module imports anywhere, within functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in {path}"
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_numerics_know_nothing_of_pipelines(path):
    inside = path.relative_to(PACKAGE)
    if inside.name in ALLOWED_FILES or inside.parts[0] in ALLOWED_ROOMS:
        return
    assert not imported_packages(path) & PIPELINE


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_modules_say_what_they_do_and_stay_small(path):
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text)), f"{path} has no first line that says what it does"
    assert len(text.splitlines()) <= 350
    assert path.stem not in {"utils", "helpers", "misc"}


def test_import_is_light():
    code = "import sys, jwst_fusion, jwst_fusion.entry_points; print(*sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    loaded = {name.split(".")[0] for name in output.split()}
    assert not loaded & {"jwst", "stpsf", "webbpsf", "stdatamodels", "poppy", "matplotlib"}


def test_no_engine_but_our_own_is_imported():
    for path in MODULES:
        assert not imported_packages(path) & {"numba", "torch", "jax", "webbpsf"}
