"""The page on the fusion says what the step does."""

import re
from pathlib import Path

import pytest

from jwst_fusion.fusion.step import FusionStep

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "fusion.rst").read_text()
SPEC = re.findall(r"^\s*(\w+) = \w+\((.*)\) # ", FusionStep.spec, re.MULTILINE)
ROWS = dict(re.findall(r"^   \* - ``(\w+)``\n     - .*\n     - ``(.*)``\n     - \S", PAGE, re.M))


def test_the_specification_is_read():
    assert len(SPEC) == len(FusionStep.spec.strip().splitlines())


@pytest.mark.parametrize(("name", "arguments"), SPEC, ids=[name for name, _ in SPEC])
def test_every_parameter_is_explained(name, arguments):
    assert f"``{name}``" in PAGE
    if name in ROWS:
        assert ROWS[name] == re.search(r"default=([^,)]+)", arguments)[1]


def test_the_table_has_no_parameter_that_does_not_exist():
    assert len(ROWS) >= 40
    assert set(ROWS) <= {name for name, _ in SPEC}
