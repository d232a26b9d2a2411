"""Seconds that the PSF set of one fusion takes, cold and warm."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from psf_benchmark.figures import Figure

__all__ = ["cost"]

HERE = Path(__file__).resolve().parents[1]


def _seconds(source, mode, folder):
    environment = {**os.environ, "JWST_FUSION_CACHE": folder}
    environment["PYTHONPATH"] = os.pathsep.join([str(HERE), *sys.path])
    command = [sys.executable, str(HERE / "psf_benchmark" / "run_set.py"), source, mode]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    imported, made, nodes = done.stdout.split()[-3:]
    return float(imported), float(made), int(nodes)


def cost(quick=False):
    """Run the set in fresh interpreters, with an empty cache and again."""
    rows = []
    for source, limit in (("webbpsf", 240.0), ("aperture", None)):
        for mode, what in (("step", "set of the step"), ("filters", "each filter on its own")):
            if quick and mode == "filters":
                continue
            with tempfile.TemporaryDirectory(prefix="bench-psf-") as folder:
                imported, cold, nodes = _seconds(source, mode, folder)
                warm = min(_seconds(source, mode, folder)[1] for _ in range(1 if quick else 3))
            label = f"{source}, {what}, {nodes} nodes"
            rows.append(Figure(f"{label}: cold", cold, "s", limit))
            rows.append(Figure(f"{label}: warm", warm, "s", 2.0 if source == "webbpsf" else None))
    rows.append(Figure("import of the package, besides", imported, "s"))
    return rows
