"""Seconds and memory from arrays to the fused cube, each field in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

from fusion_benchmark.lines import Line

__all__ = ["cost"]

_CHILD = Path(__file__).with_name("run_fuse.py")
_BARE = {"margin": 0, "bare": True, "bad": 0.0, "repeat": 5, "rank": 3, "channels": 1616}
_FULL = {"margin": 5, "bare": False, "bad": 0.01, "repeat": 1, "gains": "fitted"}
_THREE = {**_FULL, "spaxels": 30, "channels": 3600, "rank": 10}
_NINE = {**_FULL, "spaxels": 90, "channels": 1616, "rank": 6}


def _child(case):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(_CHILD), json.dumps(case)],
        capture_output=True,
        text=True,
        env=environment,
    )
    if done.returncode:
        return None, done.stderr.strip().rsplit("\n", 1)[-1] or f"signal {-done.returncode}"
    return json.loads(done.stdout.strip().rsplit("\n", 1)[-1]), ""


def cost(*, quick=False):
    """
    Seconds and memory of `fuse` on fields of four sizes.

    Parameters
    ----------
    quick : bool
        Without the two large fields.

    Returns
    -------
    list of Line
    """
    lines = []
    for spaxels, limit, published in ((10, 0.1, 14), (14, 0.15, 28)):
        found, error = _child({**_BARE, "spaxels": spaxels})
        default, _ = _child({**_BARE, **_FULL, "spaxels": spaxels, "bad": 0.0, "rank": "auto"})
        what = f'{spaxels / 10}" field, 1616 channels, k = 3: CPU from arrays to cube'
        beside = f"published code {published} s; masks, margin, automatic tuning and ERR "
        beside += f"{default['cpu']:.2f} s"
        lines.append(_line(what, found, error, "cpu", limit, "s", beside))
    if quick:
        return lines
    found, error = _child(_THREE)
    what = '3" field, 3600 channels, k = 10, gaps, weights, automatic tuning, ERR'
    lines.append(_line(f"{what}: wall", found, error, "wall", 30, "s", _how(found)))
    lines.append(_line(f"{what}: peak memory", found, error, "memory", 4, "GB", _input(found)))
    found, error = _child(_NINE)
    what = '9" field, 1616 channels, k = 6, gaps, weights, automatic tuning, ERR: peak memory'
    lines.append(_line(what, found, error, "memory", 8, "GB", f"{_input(found)}; {_how(found)}"))
    return lines


def _line(what, found, error, key, limit, unit, beside):
    if found is None:
        return Line(what, "failed", f"<= {limit:g}", False, error)
    return Line.at_most(what, found[key], limit, unit, beside=beside)


def _how(found):
    if found is None:
        return ""
    state = "converged" if found["converged"] else "not converged"
    return (
        f"{found['wall']:.1f} s wall, {found['cpu']:.1f} s CPU, {found['iterations']} iterations, "
        f"{state}"
    )


def _input(found):
    return "" if found is None else f"before it {found['before']:.1f} GB"
