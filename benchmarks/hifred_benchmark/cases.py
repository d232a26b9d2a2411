"""Sections of the benchmark of HIFReD: cost and quality, the published toy, symmetry, set-ups."""

import json
import os
import subprocess
import sys
from pathlib import Path

from fusion_benchmark.lines import Line

__all__ = ["accuracy", "setups", "toy", "transposition"]

_CHILD = Path(__file__).with_name("run_fuse.py")
_NAMES = {"low_rank_sobolev": "LRS", "low_rank_wavelet": "LRW2D", "wavelet_2d1d": "W2D1D"}
# Most CPU seconds, and least NMSE in dB, at the size of the paper.
_LIMITS = {"low_rank_sobolev": 15, "low_rank_wavelet": 30, "wavelet_2d1d": 120}
_LEAST = {"low_rank_sobolev": 17, "wavelet_2d1d": 18}
_SETUPS = ("gaussian_1kev", "gaussian_6kev", "gaussian_rebinned", "realistic")


def _run(**case):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    root = Path(__file__).resolve().parents[2]
    environment["PYTHONPATH"] = f"{root}{os.pathsep}{environment.get('PYTHONPATH', '')}"
    done = subprocess.run(
        [sys.executable, str(_CHILD), json.dumps(case)],
        capture_output=True,
        text=True,
        env=environment,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().rsplit("\n", 1)[-1])
    return json.loads(done.stdout.strip().rsplit("\n", 1)[-1])


def _kinds(quick):
    return list(_NAMES)[: 2 if quick else 3]


def accuracy(*, quick=False):
    """
    Seconds, memory and distance from the truth at the size of the paper.

    Parameters
    ----------
    quick : bool
        Without the 2-D-1-D wavelets.

    Returns
    -------
    list of Line
    """
    lines, most = [], 0.0
    for kind in _kinds(quick):
        found = _run(setup="paper_size", options={"regularisation": kind})
        name = "kappa" if kind == "wavelet_2d1d" else "mu"
        options = {"regularisation": kind, name: found["mu"], "errors": False}
        if found["line_changes"] and kind != "wavelet_2d1d":
            options["line_changes"] = "always"
        given = _run(setup="paper_size", options=options)
        tuned = _run(setup="paper_size", options={"regularisation": kind, "errors": False})
        stop = f"accuracy {given['accuracy']:.1g}, {given['iterations']} iterations"
        label = _NAMES[kind]
        lines.append(
            Line.at_most(
                f"{label}: CPU to convergence, {name} given",
                given["cpu"],
                _LIMITS[kind],
                "s",
                beside=f"{stop}; with errors and automatic {name} {found['cpu']:.1f} s",
            )
        )
        ratio = (tuned["cpu"] - given["cpu"]) / given["cpu"]
        lines.append(
            Line.at_most(
                f"{label}: automatic {name} on top, in units of that",
                max(ratio, 0.0),
                5,
                beside=f"{name} = {found['mu']:.3g}, rank {found['rank']}",
            )
        )
        least = _LEAST.get(kind)
        beside = f"median error {found['chi']:.2f} of what it should be"
        what = f"{label}: NMSE, all settings automatic"
        if least is None:
            lines.append(Line(what, f"{found['nmse']:.1f} dB", beside=beside))
        else:
            lines.append(Line.at_least(what, found["nmse"], least, "dB", beside=beside))
        most = max(most, found["memory"])
    lines.append(Line.at_most("Peak memory of all of these", most, 3, "GB"))
    return lines


def toy(*, quick=False):
    """
    Models of the published toy against its expected counts.

    Parameters
    ----------
    quick : bool
        Without the 2-D-1-D wavelets.

    Returns
    -------
    list of Line
    """
    default = Path(__file__).resolve().parents[3] / "shared" / "data"
    folder = Path(os.environ.get("JWST_FUSION_TEST_DATA", default))
    path = folder / "hifred_toy" / "gaussian_1keV_rebin.npz"
    if not path.is_file():
        return [Line("published toy", "not measured", beside=f"no file {path}")]
    lines = []
    for kind in _kinds(quick):
        found = _run(toy=str(path), options={"regularisation": kind, "errors": False})
        lines += [
            Line.at_least(
                f"{_NAMES[kind]}: error of the data over that of the model, {name.upper()}",
                found[name],
                3,
                digits=2,
                beside=f"{found['cpu']:.1f} s CPU",
            )
            for name in "xy"
        ]
    return lines


def transposition(*, quick=False):
    """
    Fusion of transposed cubes against the transposed fusion.

    Parameters
    ----------
    quick : bool
        Without the 2-D-1-D wavelets.

    Returns
    -------
    list of Line
    """
    lines = []
    for kind in _kinds(quick):
        options = {"regularisation": kind, "errors": False, "prior": "absolute"}
        options |= {"mu": 2e-3, "kappa": 2.0, "rank": 12}
        if kind != "wavelet_2d1d":
            options |= {"prior": "relative", "tolerance": 1e-8}
        found = _run(setup="small", options=options, transpose=True)
        limit = 1e-2 if kind == "wavelet_2d1d" else 1e-3
        what = f"{_NAMES[kind]}: relative difference"
        lines.append(Line.at_most(what, found["transposed"], limit))
    return lines


def setups(*, quick=False):
    """
    Distance from the truth at the set-ups of the paper's Table 1, all settings automatic.

    Parameters
    ----------
    quick : bool
        Without the two set-ups that are not rebinned.

    Returns
    -------
    list of Line
    """
    lines = []
    for setup in _SETUPS[2:] if quick else _SETUPS:
        for kind in _kinds(quick):
            found = _run(setup=setup, options={"regularisation": kind, "errors": False})
            lines.append(
                Line(
                    f"{setup}: {_NAMES[kind]}",
                    f"{found['nmse']:.1f} dB",
                    beside=f"{found['cpu']:.0f} s CPU, {found['memory']:.1f} GB, "
                    f"{'converged' if found['converged'] else 'not converged'}",
                )
            )
    return lines
