"""Runs that are killed, that meet another one, or that find the disk full, spoil no later one."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

RUNNER = Path(__file__).resolve().parents[1] / "scenes" / "crash_runner.py"
#: Moments at which each step is disturbed.
RUNS = int(os.environ.get("CRASH_RUNS", "1"))
CASES, KINDS = ["pipeline"], ["KILL", "PAIR"]
if RUNS > 1:
    CASES += ["fusion", "trace", "hifred", "counts", "exposures"]
    KINDS += ["TERM", "FULL"]


@pytest.mark.parametrize("case", CASES)
def test_disturbed_runs_give_what_an_undisturbed_one_does(case, tmp_path):
    command = [sys.executable, str(RUNNER), case, str(tmp_path / case), str(RUNS), "1", *KINDS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert {one["kind"] for one in found} == set(KINDS)
    for one in found:
        assert one["wrong"] == [], one
        if one["kind"] == "PAIR":
            assert one["status"] == [0, 0], one
            continue
        if one["kind"] == "FULL":
            assert one["status"] == 1, one
            assert "could not be written" in one["text"]
            assert not [name for name in one["left"] if ".fits" in name], one
        else:
            # one that had ended before
            assert one["status"] in (-signal.SIGKILL, 143, 0), one
        if one["kind"] != "KILL":
            assert not [name for name in one["left"] if name.startswith(".")], one
