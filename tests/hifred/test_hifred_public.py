"""What a Python user finds in jwst_fusion.hifred: its names, their documentation, an example."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

from jwst_fusion.hifred.options import HifredOptions
from jwst_fusion.hifred.solver.settings import HifredSettings
from jwst_fusion.parameters import options_of

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_nothing_is_loaded_before_it_is_needed():
    code = "import sys, jwst_fusion.hifred; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_each_setting_is_documented_with_its_name_and_default():
    """The signature, the docstring and the page have the same settings."""
    names = [one.name for one in dataclasses.fields(HifredSettings)]
    assert list(options_of(HifredSettings)) == names
    documented = re.findall(r"^    ([\w, ]+) : ", HifredSettings.__doc__, re.M)
    assert [one for line in documented for one in line.split(", ")] == names
    table = (DOCS / "hifred.rst").read_text().split("\nSettings\n")[1].split("\n\n")[2]
    cells = re.findall(r"^((?:``\w+``(?:, )?)+) ", table, re.M)
    assert [one for cell in cells for one in re.findall(r"``(\w+)``", cell)] == names


def test_step_and_solver_have_one_declaration():
    own, solver = options_of(HifredOptions), options_of(HifredSettings)
    assert set(solver) - set(own) == {"denoiser", "likelihood"}
    for name in set(solver) & set(own):
        if name != "regularisation":
            assert own[name] is solver[name] or own[name] == solver[name]
    defaults = HifredOptions().solver()
    assert defaults == HifredSettings()
    choices = own["regularisation"].choices
    assert set(solver["regularisation"].choices) - set(choices) == {"plug_and_play"}
