"""Parameter files: one for each step, each read by strun, and all of them in the wheel."""

import importlib
import subprocess
import sys
import zipfile
from pathlib import Path

import asdf
import pytest
from jwst.stpipe import Pipeline, Step

from jwst_fusion.command.configs import installed_configs
from jwst_fusion.entry_points import get_steps

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = installed_configs()
# Where and under which name a product is written is up to each run.
PER_RUN = set(
    "input_dir output_dir output_ext output_file output_use_index output_use_model post_hooks "
    "pre_hooks save_results search_output_file suffix".split()
)
OURS = "jwst_fusion."


def load(path):
    with asdf.open(path) as content:
        return content.tree


def parameters(tree):
    """Parameters of a file, those of the steps of a pipeline by their name."""
    steps = {step["name"]: dict(step["parameters"]) for step in tree.get("steps", [])}
    return {**tree["parameters"], **({"steps": steps} if "steps" in tree else {})}


def step_class(path):
    module, name = path.rsplit(".", 1)
    return getattr(importlib.import_module(module), name)


def agrees(given, found):
    for name, value in given.items():
        if isinstance(value, dict):
            agrees(value, found[name])
        else:
            assert found[name] == value, name


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_strun_reads_each_file_as_it_is_written(name, tmp_path, offline_crds):
    given = load(CONFIGS[name])
    saved = tmp_path / "saved.asdf"
    # Parameters are saved before the step finds that it has no input.
    with pytest.raises(TypeError, match="required positional argument"):
        Step.from_cmdline([str(CONFIGS[name]), f"--save-parameters={saved}"])
    found = load(saved)
    assert found["class"] == given["class"]
    agrees(parameters(given), parameters(found))
    # what a file does not name has its default
    default = step_class(given["class"])().get_pars()
    changed = parameters(found)
    for key, value in default.items():
        if key not in given["parameters"] and key not in PER_RUN and key != "steps":
            assert changed[key] == value, key


@pytest.mark.parametrize(("path", "alias"), [(path, alias) for path, alias, _ in get_steps()])
def test_every_step_has_a_file_with_all_its_defaults(path, alias):
    step = step_class(path)
    given = load(CONFIGS[alias])
    assert given["class"] == f"{step.__module__}.{step.__name__}"
    default = step().get_pars()
    if not issubclass(step, Pipeline):
        assert set(given["parameters"]) == set(default), "export the parameters again"
        assert step.from_config_file(str(CONFIGS[alias])).get_pars() == default
        return
    agrees(parameters(given), default)
    files = {one["name"]: set(one["parameters"]) for one in given["steps"]}
    for name, kind in step.step_defs.items():
        if kind.__module__.startswith(OURS) and issubclass(kind, (*_engines(),)):
            assert files[name] == set(default["steps"][name]) - PER_RUN, "export them again"
        elif name != "pixel_replace":
            # Parameters of jwst's steps come from CRDS, which a file would override.
            assert name not in files


def _engines():
    from jwst_fusion.step import AdaptiveTraceModelStep, FusionStep

    return AdaptiveTraceModelStep, FusionStep


@pytest.mark.parametrize("name", CONFIGS)
def test_each_file_says_what_it_is_for(name):
    lines = CONFIGS[name].read_text().splitlines()
    assert any(line.startswith("# ") for line in lines)


@pytest.mark.slow
def test_the_wheel_holds_all_files_and_its_command_finds_them(tmp_path):
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    source = tmp_path / "source"
    _copy(ROOT, source)
    subprocess.run([*build, str(source)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "installed")
    held = {Path(one).stem for one in names if one.startswith("jwst_fusion/step_configs/")}
    assert held == set(CONFIGS)
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "jwst_fusion").rglob("*.py")}
    assert modules <= set(names)
    assert any(one.endswith("fused_cube.schema.yaml") for one in names)
    done = subprocess.run(
        [sys.executable, "-m", "jwst_fusion.command.main", "configs", "fusion_pipeline"],
        cwd=tmp_path / "installed",
        env={"PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
        check=True,
    )
    inside = tmp_path / "installed" / "jwst_fusion" / "step_configs" / "fusion_pipeline.asdf"
    assert Path(done.stdout.strip()) == inside
    assert load(inside)["class"].endswith("FusionPipeline")


def _copy(root, target):
    """Copy what the wheel is made from: building leaves files beside the source."""
    import shutil

    target.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, target)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(root / "step_configs", target / "step_configs")
    shutil.copytree(root / "jwst_fusion", target / "jwst_fusion", symlinks=True, ignore=ignored)
