"""Options are checked by what is declared of them, in every dataclass that declares any."""

import math

import numpy as np
import pytest

from jwst_fusion.adaptive_trace_model.settings import TraceSettings
from jwst_fusion.fusion.options import FusionOptions
from jwst_fusion.fusion.solver.settings import FusionSettings
from jwst_fusion.hifred.options import HifredOptions
from jwst_fusion.hifred.solver.settings import HifredSettings
from jwst_fusion.parameters import allowed_range, numbers_as_text, options_of, spec_of

OWNERS = (FusionSettings, FusionOptions, HifredSettings, HifredOptions, TraceSettings)


def refused_values(owner, name, one):
    """Of another type, not finite and out of range."""
    default = owner.__dataclass_fields__[name].default
    if one.choices:
        return ["no such word", 3, True]
    if one.kind == "boolean":
        return ["yes", 1, None]
    if one.words:
        values = ["no such word", math.nan, True]
    elif one.kind in ("integer", "float"):
        values = ["a", "3", True, math.nan, math.inf, [1.0], 1j]
        values += [2.5] if one.kind == "integer" else []
        values += [] if default is None or None in one.beside else [None]
    else:
        return []
    if one.low is not None:
        values += [one.low - 1] if one.closed else [one.low - 1, one.low]
    if one.high is not None:
        values.append(one.high * 2)
    return values


CASES = [
    pytest.param(owner, name, value, id=f"{owner.__name__}-{name}-{value}")
    for owner in OWNERS
    for name, one in options_of(owner).items()
    for value in refused_values(owner, name, one)
]


@pytest.mark.parametrize(("owner", "name", "value"), CASES)
def test_what_is_not_allowed_is_refused(owner, name, value):
    one = options_of(owner)[name]
    with pytest.raises(ValueError, match=rf"^{name} ") as refusal:
        owner(**{name: value})
    message = str(refusal.value)
    assert (str(value) if isinstance(value, float) else repr(value)) in message
    expected = message.partition(": expected ")[2] or message.partition("must be ")[2]
    assert expected
    for word in (*one.choices, *one.words):
        assert word in expected
    for limit in (one.low, one.high):
        assert limit is None or str(limit) in expected or f"{limit:g}" in expected


def test_all_kinds_of_options_are_tried():
    assert len(CASES) > 500
    assert {case.values[0] for case in CASES} == set(OWNERS)


@pytest.mark.parametrize("owner", OWNERS)
def test_defaults_and_numbers_of_numpy_are_allowed(owner):
    owner()
    for name, one in options_of(owner).items():
        default = owner.__dataclass_fields__[name].default
        if one.kind == "float" and default is not None:
            owner(**{name: np.float32(default)})
        if one.kind == "integer" and default is not None:
            owner(**{name: np.int16(default)})
        if one.kind == "boolean":
            owner(**{name: np.bool_(default)})


def test_limits_are_allowed_where_they_are_closed():
    assert FusionOptions(search=0.1).search == 0.1
    assert FusionOptions(search=60).search == 60
    assert FusionOptions(rank="explained:0.99").rank == 0.99
    assert FusionOptions(rank="200").rank == 200
    assert HifredOptions(rank=200.0, mu="3").solver().mu == 3.0


def test_value_beside_the_range():
    with pytest.raises(ValueError, match=r"is 1\.0: expected a number from 3 to 1e\+06, or 0$"):
        FusionOptions(outlier_sigma=1.0)
    with pytest.raises(ValueError, match=r"is 0\.0: expected a number from 3, or None$"):
        FusionSettings(outlier_sigma=0.0)
    assert FusionSettings(outlier_sigma=None).outlier_sigma is None


def test_weights_that_are_no_numbers():
    for value in ("a", [1.0, None, 2.0], {}):
        with pytest.raises(ValueError, match=r"^mu is .*: expected a number above 0"):
            FusionSettings(tuning="manual", mu=value)


@pytest.mark.parametrize("owner", [FusionOptions, HifredOptions, TraceSettings])
def test_help_has_the_range(owner):
    lines = dict(line.strip().split(" = ", 1) for line in spec_of(owner).strip().splitlines())
    for name, one in options_of(owner).items():
        if one.low is not None:
            assert lines[name].endswith(f" ({allowed_range(one)})")
        assert f"[{one.unit}]" in lines[name] or not one.unit


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("search", "0.1 to 60"),
        ("gamma", "above 0"),
        ("min_coverage", "above 0 to 1"),
        ("outlier_sigma", "3 to 1e+06; 0: believe all data"),
        ("filters", ""),
    ],
)
def test_range_in_words(name, text):
    assert allowed_range(options_of(FusionOptions)[name]) == text


def test_numbers_become_text_where_words_are_allowed():
    given = {"rank": 3, "factor": 4, "maximum_cores": 2, "psf_broadening": 0.1, "psf_nodes": 7}
    assert numbers_as_text(FusionOptions, {**given, "margin": 1.0, "unknown": 1}) == {
        **{name: str(value) for name, value in given.items()},
        "margin": 1.0,
        "unknown": 1,
    }
    given = {"rank": 3, "mu": 0.1, "kappa": 2}
    assert numbers_as_text(HifredOptions, given) == {"rank": "3", "mu": "0.1", "kappa": "2"}
