"""What is packaged: all modules, parameter files, the tests of the source archive, the version."""

import configparser
import tomllib
from pathlib import Path

import pytest
import yaml

from jwst_fusion.command.configs import installed_configs

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def setup():
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "setup.cfg")
    return parser


def test_every_folder_with_modules_is_a_package(setup):
    found = {path.parent.relative_to(ROOT) for path in (ROOT / "jwst_fusion").rglob("*.py")}
    packages = {str(path).replace("/", ".") for path in found} | {"jwst_fusion.step_configs"}
    assert setup["options"]["packages"].split() == sorted(packages)


def test_parameter_files_have_one_place(setup):
    assert not any(path.is_symlink() for path in (ROOT / "jwst_fusion").iterdir())
    (mapping,) = setup["options"]["package_dir"].strip().splitlines()
    assert mapping.split(" = ") == ["jwst_fusion.step_configs", "step_configs"]
    assert set(installed_configs()) == {path.stem for path in (ROOT / "step_configs").iterdir()}


def test_the_version_comes_from_tags(setup):
    assert "version" not in setup["metadata"]
    with (ROOT / "pyproject.toml").open("rb") as file:
        settings = tomllib.load(file)
    assert any(one.startswith("setuptools-scm") for one in settings["build-system"]["requires"])
    fallback = settings["tool"]["setuptools_scm"]["fallback_version"]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"]
    assert fallback.removesuffix(".dev0") == cited


def test_stpsf_is_an_extra_and_the_tests_have_it(setup):
    extras = setup["options.extras_require"]
    assert not any(
        line.startswith("stpsf") for line in setup["options"]["install_requires"].splitlines()
    )
    assert extras["psf"].split() == ["stpsf>=2.1"]
    assert "stpsf>=2.1" in extras["test"].splitlines()


def test_the_source_archive_can_be_tested():
    lines = (ROOT / "MANIFEST.in").read_text().splitlines()
    for folder in ("tests", "docs", "step_configs", "benchmarks", ".github", "changes"):
        assert f"graft {folder}" in lines
    named = " ".join(line for line in lines if line.startswith("include")).split()
    for name in ("Makefile", "CITATION.cff", "CHANGES.rst", "README.md", "LICENSE", ".ci/run"):
        assert name in named
        assert (ROOT / name).is_file()


def test_the_recipe_has_the_dependencies_of_setup_cfg(setup):
    recipe = yaml.safe_load((ROOT / ".github" / "conda-forge" / "recipe.yaml").read_text())
    wanted = recipe["requirements"]["run"]
    lines = setup["options"]["install_requires"].splitlines()
    for line in (line for line in lines if line and not line.startswith("#")):
        name, bound = line.split(">=")
        name = {"matplotlib": "matplotlib-base"}.get(name, name)
        assert f"{name} >={bound}" in wanted
    assert len(wanted) == 1 + sum(">=" in line for line in lines)  # and python
