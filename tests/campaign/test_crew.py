"""Campaigns on the workers of a Dask cluster: deaths, resumption, refusals, interrupts."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from campaign_stub import NUMBER, products

pytest.importorskip("distributed")

from jwst_fusion.campaign import crew, need
from jwst_fusion.campaign import run as campaign_run


def test_killed_workers_and_a_failure_leave_the_others_alone(run, scheduler, tmp_path, monkeypatch):
    monkeypatch.setattr(campaign_run, "find_spec", lambda name: None)
    assert run(output="reference")[0] == 0
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    words = ("--scheduler", scheduler, "--retries", "1", "--fail=t3", "--die=t1:1+t2:2")
    status, out, err = run(*words)
    assert status == 1
    assert f"{NUMBER} targets, 2 at a time" in err
    assert "failed: t3: t3 is <b>not</b> good" in out
    assert "failed: t2: its worker died 2 times" in out
    assert f"{NUMBER - 2} of {NUMBER} targets done" in out
    assert [(tmp_path / f"out/t{n}.deaths").read_text() for n in (1, 2)] == ["1", "2"]
    reference = products(tmp_path / "reference")
    del reference["t3/t3_stub.dat"]
    status, out, _ = run(*words)
    assert status == 1
    assert f"{NUMBER - 1} of {NUMBER} targets done, {NUMBER - 2} of them before" in out
    assert products(tmp_path / "out") == reference


def test_workers_of_another_version_are_refused(run, scheduler, monkeypatch):
    monkeypatch.setattr(crew, "own_version", lambda: "99.0")
    status, _, err = run("--scheduler", scheduler)
    assert status == 2
    assert re.search(r"the worker \S+ has version \S+ jwst_fusion, this is 99.0", err)


def test_a_target_that_no_worker_has_room_for_is_refused(run, scheduler, monkeypatch, tmp_path):
    monkeypatch.setattr(need, "PROGRAM", 3.0)
    status, _, err = run("--scheduler", scheduler)
    assert (status, "t0 needs about 3.0 GB of memory, the largest worker has 2.0 GB" in err) == (
        2,
        True,
    )
    monkeypatch.setattr(need, "PROGRAM", 1e6)
    status, _, err = run("--workers", "2")
    assert (status, "t0 needs about 1000000.0 GB of memory, each of 2 workers" in err) == (2, True)
    assert not list(tmp_path.glob("out/*"))


def test_no_scheduler_answers(run, monkeypatch):
    monkeypatch.setattr(crew, "_CONNECT", 0.5)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    status, _, err = run("--scheduler", address)
    assert (status, err.splitlines()[-1].count(f"no scheduler answers at {address}")) == (2, 1)


def left_of(group):
    """Whether there are processes of a group after a while."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.1)
    return True


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_campaign_goes_on(run, targets, tmp_path, alone):
    """On workers of its own, as at a terminal: all processes get the interrupt."""
    hold = tmp_path / "hold"
    hold.touch()
    words = [sys.executable, "-m", "jwst_fusion.command.main", "run", *targets]
    words += ["--step", "campaign_stub.StubStep", "--output", "out", "--workers", "2"]
    words += [f"--hold={hold}"]
    scenes = Path(__file__).parents[1] / "scenes"
    paths = [str(scenes), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    first = subprocess.Popen(
        words, cwd=tmp_path, env=environment, start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    deadline = time.monotonic() + 90
    while len(list(tmp_path.glob("out/*/torn"))) < 2 and time.monotonic() < deadline:
        assert first.poll() is None, first.communicate()
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGINT)
    try:
        out, err = first.communicate(timeout=40)
    except subprocess.TimeoutExpired:
        # Python swallows an interrupt within a destructor: who waits presses the keys again
        os.killpg(first.pid, signal.SIGINT)
        out, err = first.communicate(timeout=60)
    assert first.returncode == 130, err
    assert out == "interrupted: the same command goes on; finished targets are not repeated\n"
    assert "Traceback" not in err
    # On a busy machine workers take a while to hear of it.
    deadline = time.monotonic() + 20
    while left_of(first.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left_of(first.pid), "workers, too, are gone"
    hold.unlink()
    status, out, _ = run(f"--hold={hold}")
    assert (status, f"{NUMBER} of {NUMBER} targets done" in out) == (0, True)
    assert len(products(tmp_path / "out")) == NUMBER
