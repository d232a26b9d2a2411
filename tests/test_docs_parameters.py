"""Every parameter of every step and pipeline stands in its page, with its default and range."""

import importlib
import inspect
import re
from pathlib import Path

import pytest
from jwst.stpipe import Pipeline, Step
from stpipe import Step as FirstStep

from jwst_fusion.adaptive_trace_model.settings import TraceSettings
from jwst_fusion.entry_points import get_steps
from jwst_fusion.fusion.options import FusionOptions
from jwst_fusion.fusion.solver.settings import FusionSettings
from jwst_fusion.hifred.options import HifredOptions
from jwst_fusion.hifred.solver.settings import HifredSettings
from jwst_fusion.parameters import options_of

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = {
    "fusion_adaptive_trace_model": "adaptive_trace_model",
    "fusion": "fusion",
    "hifred": "hifred_step",
    "fusion_pipeline": "pipelines",
    "fusion_spec2": "pipelines",
    "fusion_spec3": "pipelines",
    "fusion_tso3": "pipelines",
}
_ROW = re.compile(r"^   \* - ``([\w.]+)``\n     - (.*)\n     - ``(.*)``\n     - (\S.*)", re.M)
_LINE = re.compile(r"^\s*(\w+)\s*=\s*(\w+)\((.*?)\)\s*#\s*(.*)$")
_NUMBER = r"(-?\d+(?:\.\d+)?(?:e\d+)?)"
_RANGE = re.compile(rf"(above )?{_NUMBER} to {_NUMBER}|above {_NUMBER}|{_NUMBER} or more")


def step_class(path):
    module, name = path.rsplit(".", 1)
    return getattr(importlib.import_module(module), name)


def rows_of(page):
    """Range, default and advice of each parameter in the tables of a page."""
    found = _ROW.findall((DOCS / f"{page}.rst").read_text())
    assert len({name for name, *_ in found}) == len(found), "a parameter stands there twice"
    return {name: (allowed, default, advice) for name, allowed, default, advice in found}


def spec_of(cls):
    """Kind, arguments and default of each parameter that a class itself specifies."""
    found = {}
    for line in cls.__dict__.get("spec", "").splitlines():
        if line.strip():
            name, kind, arguments, _ = _LINE.match(line).groups()
            default = re.search(r"default=(list\(\)|[^,)]+)", arguments + ")")
            found[name] = (kind, arguments, default and default[1])
    return found


ROWS = {alias: rows_of(page) for alias, page in PAGES.items()}
STEPS = {alias: step_class(path) for path, alias, _ in get_steps()}
SPECS = {alias: spec_of(step) for alias, step in STEPS.items()}


def test_each_step_has_a_page():
    assert set(PAGES) == set(STEPS)
    for alias, step in STEPS.items():
        if not issubclass(step, Pipeline):
            assert len(SPECS[alias]) == len(step.spec.strip().splitlines())


@pytest.mark.parametrize(
    ("alias", "name"), [(alias, name) for alias, spec in SPECS.items() for name in spec]
)
def test_parameter_is_explained_with_its_default_and_its_choices(alias, name):
    kind, arguments, default = SPECS[alias][name]
    allowed, stated, _ = ROWS[alias][name]
    assert stated == default
    if kind == "option":
        choices = re.findall(r"'(\w+)'", arguments.partition("default=")[0])
        assert set(re.findall(r"``(\w+)``", allowed)) == set(choices)
    if kind == "boolean":
        assert allowed == "true, false"


@pytest.mark.parametrize("alias", [alias for alias in STEPS if alias != "fusion_pipeline"])
def test_page_has_no_parameter_that_does_not_exist(alias):
    if issubclass(STEPS[alias], Pipeline):
        # nothing of their own; "They have no parameters of their own" is true
        assert "spec" not in STEPS[alias].__dict__
    else:
        assert set(ROWS[alias]) == set(SPECS[alias])


def test_defaults_that_differ_in_the_pipeline():
    """Those of its steps that it changes are in its table, and nothing else."""
    pipeline = STEPS["fusion_pipeline"]
    changed = {"steps.fusion.trace_oversample": SPECS["fusion"]["trace_oversample"][2]}
    for name, step in pipeline.step_defs.items():
        if step.__name__ in ("OversamplingStep", "ReplacingStep"):
            changed |= {f"steps.{name}.{one}": spec[2] for one, spec in spec_of(step).items()}
    expected = changed | {one: spec[2] for one, spec in SPECS["fusion_pipeline"].items()}
    assert {name: row[1] for name, row in ROWS["fusion_pipeline"].items()} == expected


def test_parameters_of_every_step_are_explained_in_one_place():
    expected = spec_of(FirstStep) | {
        name: one for name, one in spec_of(Step).items() if name == "output_ext"
    }
    found = rows_of("running")
    assert set(found) == set(expected)
    for name, (_, default, _) in found.items():
        assert default == expected[name][2]


#: What has to be given together with a parameter.
COMPANIONS = {
    ("fusion", "mu"): {"tuning": "manual"},
    ("fusion", "gamma"): {"tuning": "manual", "mu": 1.0},
    ("hifred", "kappa"): {"regularisation": "wavelet_2d1d"},
    **{
        ("fusion", name): {"field_ra": 1, "field_dec": 1, "field_width": 1, "field_height": 1}
        for name in ("field_ra", "field_dec", "field_width", "field_height")
    },
}
OPTIONS = {
    "fusion_adaptive_trace_model": TraceSettings,
    "fusion": FusionOptions,
    "hifred": HifredOptions,
}
RANGES = [
    (alias, name, match)
    for alias in OPTIONS
    for name, (allowed, *_) in ROWS[alias].items()
    if (match := _RANGE.search(allowed))
]


def number(text):
    return None if text is None else int(text) if text.lstrip("-").isdecimal() else float(text)


@pytest.mark.parametrize(
    ("alias", "name", "match"), RANGES, ids=[f"{alias}-{name}" for alias, name, _ in RANGES]
)
def test_range_is_the_one_that_is_checked(alias, name, match):
    above, low, high, open_low, closed_low = match.groups()
    low, high = number(low or open_low or closed_low), number(high)
    is_open = bool(above or open_low)

    def refusal(value):
        given = {**COMPANIONS.get((alias, name), {}), name: value}
        try:
            OPTIONS[alias](**given)
        except ValueError as error:
            return str(error)
        return ""

    # a rank below one is a part of the variance
    step = 1 if name == "rank" else 0.001 + abs(low) * 1e-6
    assert name in refusal(low - step)
    if is_open:
        assert name in refusal(low)
        assert not refusal(low + 0.01)
    else:
        assert not refusal(low)
    if high is not None:
        assert not refusal(high)
        assert name in refusal(high + 0.001 + abs(high) * 1e-6)


def stated_range(text):
    """Limits that a text states, and whether the lower one is allowed; None without any."""
    text = re.sub(r"(\d),(\d{3})\b", r"\1\2", text).replace(", at most ", " to ")
    match = _RANGE.search(text)
    if match is None:
        return None
    above, low, high, open_low, closed_low = match.groups()
    return number(low or open_low or closed_low), number(high), not (above or open_low)


def range_of(one):
    """The same of a declaration; limits that only keep nonsense out are not stated."""
    high = None if one.high is not None and one.high >= 1e12 else one.high
    return None if one.low is None else (one.low, high, one.closed)


@pytest.mark.parametrize(
    ("alias", "name"),
    [(alias, name) for alias in OPTIONS for name in options_of(OPTIONS[alias])],
)
def test_declaration_specification_and_table_agree(alias, name):
    one = options_of(OPTIONS[alias])[name]
    default = OPTIONS[alias].__dataclass_fields__[name].default
    kind, arguments, stated = SPECS[alias][name]
    assert kind == one.kind
    assert stated == repr(None if default == () else default)
    assert re.findall(r"'(\w+)'", arguments.partition("default=")[0]) == list(one.choices)
    allowed, *_ = ROWS[alias][name]
    if one.unit:
        assert re.search(rf"\b{one.unit}\b", allowed)
    assert range_of(one) == stated_range(allowed)


def test_ranges_were_found():
    assert len(RANGES) > 45


SETTINGS = (FusionSettings, HifredSettings, TraceSettings)


def documented(owner):
    """What the docstring of a dataclass says of each of its parameters."""
    text = inspect.getdoc(owner).partition("----------\n")[2].partition("\n\n")[0]
    found = re.findall(r"^(\w[\w, ]*) : (.*(?:\n    .*)*)", text, re.M)
    return {name: " ".join(text.split()) for names, text in found for name in names.split(", ")}


def hifred_table():
    """What the table of settings on the page of HIFReD says of each."""
    table = (DOCS / "hifred.rst").read_text().split("\nSettings\n")[1].split("\n\n")[2]
    rows = re.findall(r"^((?:``\w+``(?:, )?)+) +(.*)$", table, re.M)
    return {name: text for names, text in rows for name in re.findall(r"\w+", names)}


STATED = [(owner, name, text) for owner in SETTINGS for name, text in documented(owner).items()]
STATED += [(HifredSettings, name, text) for name, text in hifred_table().items()]


@pytest.mark.parametrize(
    ("owner", "name", "text"), STATED, ids=[f"{owner.__name__}-{name}" for owner, name, _ in STATED]
)
def test_range_that_a_docstring_or_table_states_is_the_declared_one(owner, name, text):
    stated = stated_range(text)
    if stated is not None:
        assert stated == range_of(options_of(owner)[name])


def test_docstrings_and_table_state_ranges():
    assert len([name for _, name, text in STATED if stated_range(text)]) > 15
    for owner in SETTINGS:
        assert list(documented(owner)) == list(options_of(owner))


@pytest.mark.parametrize("text", [hifred_table(), documented(HifredSettings)], ids=["page", "doc"])
def test_where_hifred_stops_by_default_is_as_stated(text):
    """Their defaults depend on the regularisation."""
    low_rank = HifredSettings()
    full = HifredSettings(regularisation="wavelet_2d1d")
    for name in ("tolerance", "max_iterations"):
        values = [float(one) for one in re.findall(r"1e-\d|\b\d{3,4}\b", text[name])]
        expected = [getattr(kind, f"{name}_in_use") for kind in (low_rank, full)]
        assert values == expected


def test_defaults_in_the_table_of_hifred():
    table = hifred_table()
    fields = HifredSettings.__dataclass_fields__
    found = {}
    for name in ("regularisation", "prior", "likelihood"):
        found[name] = re.search(r"``(\w+)`` \(default\)|default ``(\w+)``", table[name])
    for name, match in found.items():
        assert (match[1] or match[2]) == fields[name].default
    both = re.search(r"default (\d) and (\d)", table["scales_space"])
    assert number(both[1]) == fields["scales_space"].default
    assert number(both[2]) == fields["scales_energy"].default
    for name in ("nonnegative", "error_samples", "thinning"):
        stated = re.search(r"default ([\w.]+)", table[name])[1]
        assert stated == str(fields[name].default)
