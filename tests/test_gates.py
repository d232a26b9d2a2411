"""The gates agree with each other: versions of linters."""

import configparser
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def setup():
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "setup.cfg")
    return parser


@pytest.fixture(scope="module")
def linters(setup):
    """Versions of the extra `lint` by name, all of them exact."""
    lines = setup["options.extras_require"]["lint"].split()
    return dict(line.split("==") for line in lines)


def test_pre_commit_runs_the_linters_of_setup_cfg(linters):
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    found = {}
    for one in hooks:
        name = one["repo"].rsplit("/", 1)[-1].removesuffix("-pre-commit")
        found[name] = one["rev"].removeprefix("v")
    found.pop("pre-commit-hooks")
    assert found == linters


def test_make_lint_reads_the_linters_of_setup_cfg(setup, linters):
    text = (ROOT / "Makefile").read_text()
    assert "['options.extras_require']['lint']" in text
    for name in linters:
        # a version of its own, as in "ruff>=0.8"
        assert not re.search(rf"{name}\s*[=<>~]", text)
        assert f"/{name}" in text
    assert "jwst_fusion[lint]" in setup["options.extras_require"]["dev"].split()


def test_ci_runs_the_linters_before_the_tests():
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert lines.index("make lint") < lines.index("exec make test")
    # the last words are the test runner's
    assert lines[-1] == "exec make test"
