"""The rooms of the package keep to their import rules."""

import ast
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import jwst_fusion

PACKAGE = Path(jwst_fusion.__file__).parent

#: Rooms from the bottom to the top: each imports only rooms of lines above its own. "" is the
#: package itself, which loads the engines when they are asked for and knows the version.
FLOORS = (
    {"errors", "messages", "parameters", "partial_files", "process"},
    {"input_files"},
    {"numerics"},
    {"bandpass"},
    {"psf"},
    {"metrics"},
    {"adaptive_trace_model", "fusion", "hifred"},
    {""},
    {"datamodels"},
    {"products"},
    {"associations"},
    {"simulation"},
    {"report"},
    {"steps"},
    {"step"},
    {"entry_points"},
    {"campaign"},
    {"command"},
)
#: The same within the rooms that have inner rooms, each a floor or a tuple of such that do not know
#: each other; "" are the modules beside these.
INNER = {
    "fusion": ("solver", "observed", "psf", "sources", "exposures", ""),
    "hifred": ("response", "solver", "xray", ""),
    "report": ("", ("fused", "hifred", "trace"), ("exposures", "joined")),
}
#: Rooms that know of the pipeline; all others work on arrays, headers and files.
KNOW_THE_PIPELINE = {
    "datamodels",
    "products",
    "associations",
    "simulation",
    "steps",
    "command",
}
#: Where the steps were defined once; they stand for parameter files that name them, until 1.0.
OLD_PLACES = {
    "adaptive_trace_model.step",
    "fusion.step",
    "hifred.step",
    "pipeline",
    "pipeline.defaults",
    "pipeline.fusion",
    "pipeline.outliers",
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
ROOMS = {name: path for name, path in MODULES.items() if name not in OLD_PLACES}
TREES = {name: ast.parse(path.read_text()) for name, path in MODULES.items()}
_OWN_NAME = re.compile(r"jwst_fusion((?:\.\w+)+)")


def lazy_table(name):
    """Full names of what a package loads when it is asked for, by the name in the package."""
    table = {}
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "lazy_loader.attach":
            given = {one.arg: ast.literal_eval(one.value) for one in node.keywords}
            own = ".".join(part for part in ("jwst_fusion", name) if part)
            table |= {one: f"{own}.{one}" for one in given.get("submodules", [])}
            for module, names in given.get("submod_attrs", {}).items():
                table |= {one: f"{own}.{module}.{one}" for one in names}
    return table


LAZY = {name: lazy_table(name) for name in MODULES}


def statements(tree, *, deferred):
    """Nodes of a module; without those of functions, which run later, unless these are wanted."""
    for node in ast.iter_child_nodes(tree):
        yield node
        if deferred or not isinstance(node, (ast.FunctionDef, ast.Lambda)):
            yield from statements(node, deferred=deferred)


def imported(name, *, deferred):
    """Full names in the import statements of a module."""
    names = set()
    for node in statements(TREES[name], deferred=deferred):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in {name}"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def named(name):
    """Full names that a module has as text, as in tables of what is loaded when asked for."""
    nodes = list(ast.walk(TREES[name]))
    # where steps claim to be defined; nothing is loaded
    claims = {
        node.value
        for node in nodes
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__module__"
    }
    texts = (one.value for one in nodes if isinstance(one, ast.Constant) and one not in claims)
    return {one for one in texts if isinstance(one, str) and _OWN_NAME.fullmatch(one)}


def imports(name):
    """Full names of what a module imports at once, within functions, or by a name in a table."""
    return imported(name, deferred=True) | set(LAZY[name].values()) | named(name)


def own_modules(names):
    """Modules of the package that hold what is named, wherever else it can be had from."""
    found = set()
    for one in names:
        if one == "jwst_fusion":
            found.add("")
        if not _OWN_NAME.fullmatch(one):
            continue
        inside = one.removeprefix("jwst_fusion.")
        if inside in MODULES:
            found.add(inside)
            continue
        module, _, attribute = inside.rpartition(".")
        while module not in MODULES:
            module, _, attribute = module.rpartition(".")
        if attribute in LAZY[module]:
            found |= own_modules({LAZY[module][attribute]})
        else:
            found.add(module)
    return found


def floor(name):
    room = name.partition(".")[0]
    level = [i for i, rooms in enumerate(FLOORS) if room in rooms]
    assert level, f"{name} is in no room of the plan"
    return level[0]


def inner_room(name):
    """Floor and name of the inner room of a module."""
    room, _, rest = name.partition(".")
    part = rest.partition(".")[0]
    floors = [one if isinstance(one, tuple) else (one,) for one in INNER[room]]
    part = part if any(part in one for one in floors) else ""
    return next(i for i, one in enumerate(floors) if part in one), part


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_imports_only_rooms_below_it(name):
    for other in own_modules(imports(name)):
        assert other not in OLD_PLACES
        if name.partition(".")[0] != other.partition(".")[0]:
            assert floor(other) < floor(name), f"{name} imports {other}"
        elif name.partition(".")[0] in INNER and "." in other:
            (below, there), (level, here) = inner_room(other), inner_room(name)
            assert below < level or there == here, f"{name} imports {other}"


def test_tables_of_what_is_loaded_later_are_read():
    assert own_modules(imports("")) == {"adaptive_trace_model", "errors", "fusion", "hifred"}
    assert "fusion.solver.data" in own_modules(imports("fusion"))
    assert "steps.outliers" in own_modules(imports("step"))
    assert "step" in own_modules(imports("entry_points"))
    assert "fusion.engine" in own_modules({"jwst_fusion.fusion.fuse"})


def test_imports_of_modules_have_no_cycle():
    """Those that run when a module is loaded, through what packages load when asked for, too."""
    graph = {name: own_modules(imported(name, deferred=False)) - {name} for name in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


@pytest.mark.parametrize("name", ROOMS)
def test_only_some_rooms_know_the_pipeline(name):
    if name.partition(".")[0] not in KNOW_THE_PIPELINE:
        packages = {one.partition(".")[0] for one in imports(name)}
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
        packages = {one.partition(".")[0] for one in imports(name)}
        assert not packages & {"numba", "torch", "jax", "webbpsf"}
