"""The gates agree with each other: versions of linters, oldest dependencies, workflows."""

import configparser
import re
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TESTS = ROOT / ".github" / "workflows" / "tests.yml"


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


def test_pre_commit_and_make_lint_run_ruff_with_the_same_arguments():
    recipe = (ROOT / "Makefile").read_text()
    made = set(re.findall(r"/ruff check (?:(--.*) )?(\S+)$", recipe, re.MULTILINE))
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    hooks = [one for repository in hooks for one in repository["hooks"]]
    found = {
        (" ".join(one.get("args", [])), one.get("files", ".").strip("^/"))
        for one in hooks
        if one["id"] == "ruff-check"
    }
    assert found == made


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


def test_the_oldest_versions_are_the_lower_bounds(setup):
    wanted = setup["options"]["install_requires"] + setup["options.extras_require"]["test"]
    wanted = [Requirement(line) for line in wanted.split("\n") if line]
    lines = (ROOT / ".github" / "oldest.txt").read_text().splitlines()
    given = [Requirement(line) for line in lines if line and not line.startswith("#")]
    bounds = {one.name: str(one.specifier).replace(">=", "==") for one in wanted}
    assert {one.name: str(one.specifier) for one in given} == bounds
    assert len(given) == len(wanted)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_use_pinned_actions_and_few_rights(path):
    text = path.read_text()
    used = re.findall(r"uses: *(.*)", text)
    assert used
    for one in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one), one
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        # PyPI trusts the identity of this one job, which reads no sources.
        publishes = (path.stem, name) == ("release", "publish")
        rights = {"id-token": "write"} if publishes else {"contents": "read"}
        assert job["permissions"] == rights
        assert job["timeout-minutes"]


def test_one_version_of_each_action():
    used = set(re.findall(r"uses: *(.*)", "".join(path.read_text() for path in WORKFLOWS)))
    assert len(used) == len({one.split("@")[0] for one in used})


def test_workflows_call_targets_of_make():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = set()
    for path in WORKFLOWS:
        for job in yaml.safe_load(path.read_text())["jobs"].values():
            rows = job.get("strategy", {"matrix": {"include": []}})["matrix"]["include"]
            called |= {row["target"] for row in rows}
            commands = [step["run"] for step in job["steps"] if "run" in step]
            assert all(command.startswith("make ") for command in commands)
            called |= {command.split()[1] for command in commands}
    called.discard('"$TARGET"')
    assert called <= targets
    assert called >= {"test", "lint", "docs", "coverage", "test-oldest", "test-wheel", "audit"}
    assert called >= {"test-newest", "test-jwst-main"}


def test_workflows_run_every_python_of_setup_cfg(setup):
    named = re.findall(r":: (3\.\d+)", setup["metadata"]["classifiers"])
    rows = yaml.safe_load(TESTS.read_text())["jobs"]["tests"]["strategy"]["matrix"]
    assert {row["python"] for row in rows["include"]} == set(named)
