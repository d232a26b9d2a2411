"""Runs that are killed, or that find the disk full, leave nothing that the next one trips over."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

RUNNER = Path(__file__).resolve().parents[1] / "scenes" / "crash_runner.py"
#: Moments at which each step is killed.
RUNS = int(os.environ.get("CRASH_RUNS", "1"))
CASES = ["pipeline"] if RUNS == 1 else ["pipeline", "fusion", "trace", "hifred", "counts"]


def outcomes(folder, case, kind):
    command = [sys.executable, str(RUNNER), case, str(folder / kind), str(RUNS), "1", kind]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", ["KILL", "TERM"] if RUNS > 1 else ["KILL"])
def test_a_second_run_gives_what_an_undisturbed_one_does(case, kind, tmp_path):
    found = outcomes(tmp_path, case, kind)
    assert len(found) == RUNS
    for one in found:
        assert one["wrong"] == [], one
        # one that had ended before
        assert one["status"] in (-signal.SIGKILL, 143, 0)
        if kind == "TERM":
            assert not [name for name in one["left"] if name.startswith(".")]


@pytest.mark.parametrize("case", CASES if RUNS > 1 else [])
def test_a_full_disk_is_told(case, tmp_path):
    for one in outcomes(tmp_path, case, "FULL"):
        assert one["status"] == 1
        assert "could not be written" in one["text"]
        assert not [name for name in one["left"] if name.startswith(".") or ".fits" in name]
        assert one["wrong"] == []
