"""Measure what an observer takes out of fused cubes: sums, spectra, lines, and their errors."""

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
from fusion_benchmark.observer.case import FILTERS
from fusion_benchmark.observer.sections import SECTIONS
from fusion_benchmark.observer.summary import as_summary
from trace_benchmark.table import as_rst, as_text

log = logging.getLogger("benchmark")


def parse(arguments=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="scenes to fuse"
    )
    parser.add_argument("--filters", nargs="+", choices=FILTERS, help="choices of filters")
    parser.add_argument("--no-twins", action="store_true", help="only data as the model assumes")
    parser.add_argument("--seeds", type=int, default=2, help="scenes and noises of each case")
    parser.add_argument("--output", type=Path, help="file for the table, reStructuredText")
    parser.add_argument("--summary", type=Path, help="file for the small table")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller cases")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Run the sections and print their tables."""
    options = parse(arguments)
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    log.setLevel(logging.INFO)
    results = {}
    for name in options.only:
        title, section = SECTIONS[name]
        start = time.perf_counter()
        twins = (False,) if options.no_twins else (False, True)
        lines = section(
            quick=options.quick, filters=options.filters, twins=twins, seeds=options.seeds
        )
        results[title] = [line.cells() for line in lines]
        log.info("\n%s (%.0f s)\n", title, time.perf_counter() - start)
        log.info("%s", as_text(results[title], header=HEADER))
    command = " ".join(["python", *sys.argv])
    for path, table in (
        (options.output, as_rst(results, header=HEADER)),
        (options.summary, as_summary(results)),
    ):
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{_preamble(command)}\n{table}")
    cells = [one for rows in results.values() for one in rows]
    missed = [one[0] for one in cells if one[3] == "no"]
    aimed = sum(one[3] != "" for one in cells)
    log.info("\n%d of %d targets reached; not: %s", aimed - len(missed), aimed, "; ".join(missed))


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
