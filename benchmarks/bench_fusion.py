"""Measure the fusion against its targets: cost, exactness, accuracy, errors, robustness."""

import argparse
import logging
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

from benchmark_data import data_folder

# One thread in BLAS: seconds of the processor would not be comparable otherwise.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"

from fusion_benchmark.cost import cost
from fusion_benchmark.detection import detection
from fusion_benchmark.exactness import exactness
from fusion_benchmark.lines import HEADER
from fusion_benchmark.orion import orion_accuracy
from fusion_benchmark.quality import errors, left_out, nebula_accuracy
from fusion_benchmark.robustness import degradation
from trace_benchmark.table import as_rst, as_text

log = logging.getLogger("benchmark")

SECTIONS = {
    "cost": ("Cost", cost),
    "exact": ("The direct solution", exactness),
    "nebula": ("A scene of known truth", nebula_accuracy),
    "left_out": ("Filters left out", left_out),
    "errors": ("Calibration of the errors", errors),
    "robust": ("Errors of position, wavefront and calibration", degradation),
    "orion": ("Orion Bar", orion_accuracy),
    "sources": ("Point sources found in images", detection),
}


def parse(arguments=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="sections to run"
    )
    parser.add_argument("--output", type=Path, help="file for the table, reStructuredText")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller cases")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Run the sections and print their tables."""
    options = parse(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    log.setLevel(logging.INFO)
    if {"orion", "sources"} & set(options.only):
        os.environ.setdefault("STPSF_PATH", str(data_folder() / "stpsf-data"))
    results = {}
    for name in options.only:
        title, section = SECTIONS[name]
        start = time.perf_counter()
        results[title] = [line.cells() for line in section(quick=options.quick)]
        log.info("\n%s (%.0f s)\n", title, time.perf_counter() - start)
        log.info("%s", as_text(results[title], header=HEADER))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        command = " ".join(["python", *sys.argv])
        options.output.write_text(f"{_preamble(command)}\n{as_rst(results, header=HEADER)}")
    missed = [cells[0] for rows in results.values() for cells in rows if cells[3] == "no"]
    if missed:
        log.info("\ntargets not reached: %s", "; ".join(missed))


def _preamble(command):
    """Command, machine and versions as reStructuredText."""
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((s.split(":")[1].strip() for s in lines if s.startswith("model name")), cpu)
    software = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "stpsf"))
    return (
        f"Made by ``{command}`` with Python {platform.python_version()}, {software} on one core "
        f"of {cpu}.\n"
    )


if __name__ == "__main__":
    main()
