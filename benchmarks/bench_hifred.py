"""Measure the fusion of counts against its targets: cost, accuracy, symmetry, set-ups."""

import argparse
import logging
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

# One thread in BLAS: seconds of the processor would not be comparable otherwise.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"

from fusion_benchmark.lines import HEADER
from hifred_benchmark.cases import accuracy, setups, toy, transposition
from hifred_benchmark.cluster import cluster
from hifred_benchmark.displaced import displaced
from hifred_benchmark.several import several
from trace_benchmark.table import as_rst, as_text

log = logging.getLogger("benchmark")

SECTIONS = {
    "accuracy": ("Cost and accuracy at the size of the paper", accuracy),
    "toy": ("The published toy", toy),
    "transposed": ("Transposed cubes", transposition),
    "cluster": ("Velocities in a cluster of galaxies", cluster),
    "displaced": ("Offsets and energies of a displaced cluster", displaced),
    "several": ("Four observations of a cluster", several),
    "setups": ("Set-ups of the paper", setups),
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
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    results = {}
    for name in options.only:
        title, section = SECTIONS[name]
        start = time.perf_counter()
        results[title] = [line.cells() for line in section(quick=options.quick)]
        log.info("\n%s (%.0f s)\n", title, time.perf_counter() - start)
        log.info("%s", as_text(results[title], header=HEADER))
        if options.output:
            # written after every section: the set-ups take long
            options.output.parent.mkdir(parents=True, exist_ok=True)
            text = as_rst(results, header=HEADER)
            options.output.write_text(f"{_preamble(' '.join(['python', *sys.argv]))}\n{text}")
    missed = [cells[0] for rows in results.values() for cells in rows if cells[3] == "no"]
    if missed:
        log.info("\ntargets not reached: %s", "; ".join(missed))


def _preamble(command):
    """Command, machine and versions as reStructuredText."""
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((s.split(":")[1].strip() for s in lines if s.startswith("model name")), cpu)
    software = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy"))
    return (
        f"Made by ``{command}`` with Python {platform.python_version()}, {software} on one core "
        f"of {cpu}.\n"
    )


if __name__ == "__main__":
    main()
