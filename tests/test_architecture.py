"""The rooms of the package keep to their import rules."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import jwst_fusion

PACKAGE = Path(jwst_fusion.__file__).parent

#: Rooms from the bottom to the top: each imports only rooms of lines above its own.
FLOORS = (
    {"errors", "messages", "parameters", "process"},
    {"numerics"},
    {"bandpass"},
    {"psf"},
    {"metrics"},
    {"adaptive_trace_model", "fusion", "hifred"},
    {"datamodels"},
    {"products"},
    {"associations"},
    {"simulation"},
    {"report"},
    {"steps"},
    {"step", "entry_points"},
    {"command"},
)
#: The same within the rooms that have rooms of their own; "" are the modules beside these.
INNER = {
    "fusion": ("solver", "observed", "psf", ""),
    "hifred": ("response", "solver", "xray", ""),
    "report": ("", "fused", "joined", "hifred", "trace"),
}
#: Rooms that know of the pipeline; all others work on arrays, headers and files.
KNOW_THE_PIPELINE = {"datamodels", "products", "associations", "simulation", "steps", "command"}
#: Where the steps were defined once; they stand for parameter files that name them, until 1.0.
OLD_PLACES = {
    "adaptive_trace_model.step",
    "fusion.step",
    "hifred.step",
    "pipeline",
    "pipeline.defaults",
    "pipeline.fusion",
    "pipeline.spec2",
    "pipeline.spec3",
}
PIPELINE = {"jwst", "stdatamodels", "stpipe"}
LONG = 500


def name_of(path):
    """Name of a module within the package; empty for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
ROOMS = {name: path for name, path in MODULES.items() if name and name not in OLD_PLACES}


def imports(path):
    """Full names of what a module imports anywhere, within functions and strings of lazy ones."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in {path}"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def own_imports(name):
    """Modules of the package that a module imports."""
    found = set()
    for one in imports(MODULES[name]):
        if one.startswith("jwst_fusion."):
            inside = one.removeprefix("jwst_fusion.")
            found.add(inside if inside in MODULES else inside.rpartition(".")[0])
    return found - {""}


def floor(name):
    room = name.partition(".")[0]
    level = [i for i, rooms in enumerate(FLOORS) if room in rooms]
    assert level, f"{name} is in no room of the plan"
    return level[0]


def inner_floor(name):
    room, _, rest = name.partition(".")
    order = INNER[room]
    part = rest.partition(".")[0]
    return order.index(part if part in order else "")


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_imports_only_rooms_below_it(name):
    for other in own_imports(name):
        assert other not in OLD_PLACES
        if name.partition(".")[0] != other.partition(".")[0]:
            assert floor(other) < floor(name), f"{name} imports {other}"
        elif name.partition(".")[0] in INNER and "." in other:
            assert inner_floor(other) <= inner_floor(name), f"{name} imports {other}"


@pytest.mark.parametrize("name", ROOMS)
def test_only_some_rooms_know_the_pipeline(name):
    if name.partition(".")[0] not in KNOW_THE_PIPELINE:
        packages = {one.partition(".")[0] for one in imports(ROOMS[name])}
        assert not packages & PIPELINE


@pytest.mark.parametrize("name", MODULES)
def test_modules_say_what_they_do(name):
    text = MODULES[name].read_text()
    first = ast.get_docstring(ast.parse(text))
    assert first, f"{name} has no first line that says what it does"
    assert name.rpartition(".")[2] not in {"utils", "helpers", "misc"}
    if len(text.splitlines()) > LONG:
        assert "long because" in first.splitlines()[0], f"{name} does not say why it is so long"


def test_import_is_light():
    code = "import sys, jwst_fusion, jwst_fusion.entry_points; print(*sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    loaded = {name.split(".")[0] for name in output.split()}
    assert not loaded & {"jwst", "stpsf", "webbpsf", "stdatamodels", "poppy", "matplotlib"}


def test_no_engine_but_our_own_is_imported():
    for name in MODULES:
        packages = {one.partition(".")[0] for one in imports(MODULES[name])}
        assert not packages & {"numba", "torch", "jax", "webbpsf"}
