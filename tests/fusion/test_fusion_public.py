"""The public names of the fusion, their example, and what the documentation says of both."""

import inspect
import re
import subprocess
import sys
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from jwst_fusion.fusion import FusionOptions, FusionSettings
from jwst_fusion.parameters import options_of

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_arrays_need_no_sky():
    """Listing the names, or importing the solver, loads nothing that only observations need."""
    text = "import sys, jwst_fusion.fusion as f; dir(f); f.fuse; f.FusionData; f.FusionSettings\n"
    text += "assert not {'astropy.wcs', 'jwst', 'stpipe'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", text], check=True)


def test_every_setting_is_declared_and_documented():
    declared = options_of(FusionSettings)
    assert [one.name for one in fields(FusionSettings)] == list(declared)
    text = inspect.getdoc(FusionSettings).partition("Raises\n")[0]
    documented = dict(re.findall(r"^(\w+) : (.+)$", text, re.M))
    assert list(documented) == list(declared)
    for name, one in declared.items():
        if one.choices:
            assert documented[name] == "{" + ", ".join(f'"{word}"' for word in one.choices) + "}"


def test_step_and_solver_share_their_options():
    solver, step = options_of(FusionSettings), options_of(FusionOptions)
    assert [one.name for one in fields(FusionOptions)] == list(step)
    shared = solver.keys() & step.keys()
    assert solver.keys() - shared == {
        "boundary",
        "refine",
        "errors",
        "predict",
        "gains",
        "gain_prior",
        "tolerance",
        "max_iterations",
    }
    defaults = FusionSettings(gains="fitted", predict=True)
    assert FusionOptions().solver() == defaults
    for name in shared:
        assert getattr(FusionOptions(), name) == getattr(defaults, name)
        # The step takes a file in place of "given"; "ifu" is for exposures alone.
        if name not in ("sources", "resolution"):
            assert step[name].choices == solver[name].choices
    assert set(step["resolution"].choices) - {"ifu"} == set(solver["resolution"].choices)
    assert all(one.default is not MISSING for one in fields(FusionOptions))


def test_zero_believes_all_data():
    assert FusionOptions(outlier_sigma=0.0).solver().outlier_sigma is None
    with pytest.raises(ValueError, match="outlier_sigma"):
        FusionOptions(outlier_sigma=1.0)
