"""Measure errors of sums: over cubes of HIFReD, oversampled exposures, cubes built of these."""

import argparse
import logging
import os
import sys
import time
from pathlib import Path

# One thread in BLAS: seconds of the processor would not be comparable otherwise.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"

from fusion_benchmark.lines import HEADER
from sums_benchmark.counts import counts_sums
from sums_benchmark.exposures import cube_sums, exposure_sums
from trace_benchmark.table import as_rst, as_text

log = logging.getLogger("benchmark")

SECTIONS = {
    "hifred": ("HIFReD: 68 % of the error of sums over the stated one", counts_sums),
    "exposures": (
        "Oversampled exposures: stated over true errors of sums over rows",
        exposure_sums,
    ),
    "cubes": ("Cubes: true errors of sums over those of ERR added in square", cube_sums),
}


def main(arguments=None):
    """Run the sections and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--output", type=Path, help="file for the table, reStructuredText")
    parser.add_argument("--quick", action="store_true", help="fewer cases")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    log.setLevel(logging.INFO)
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
            text = as_rst(results, header=HEADER)
            options.output.write_text(f"Made by ``{command}``.\n\n{text}")


if __name__ == "__main__":
    main()
