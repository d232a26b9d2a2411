"""Measure what differences between two observations cost that the fusion is not told of."""

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

from benchmark_data import data_folder
from fusion_benchmark.lines import HEADER
from mismatch_benchmark.rows import SECTIONS
from trace_benchmark.table import as_rst, as_text

log = logging.getLogger("benchmark")


def parse(arguments=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="sections to run"
    )
    parser.add_argument("--output", type=Path, help="file for the tables, reStructuredText")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Run the sections and print their tables."""
    options = parse(arguments)
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    log.setLevel(logging.INFO)
    # The cases are faulty and warn of it, as they should.
    logging.getLogger("jwst_fusion").setLevel(logging.ERROR)
    os.environ.setdefault("STPSF_PATH", str(data_folder() / "stpsf-data"))
    results = {}
    for name in options.only:
        title, section = SECTIONS[name]
        start = time.perf_counter()
        results[title] = [line.cells() for line in section()]
        log.info("\n%s (%.0f s)\n", title, time.perf_counter() - start)
        log.info("%s", as_text(results[title], header=HEADER))
        if options.output:  # what there is so far
            options.output.parent.mkdir(parents=True, exist_ok=True)
            text = as_rst(results, header=HEADER)
            options.output.write_text(f"{_preamble(' '.join(['python', *sys.argv]))}\n{text}")
    cells = [one for rows in results.values() for one in rows]
    missed = [one[0] for one in cells if one[3] == "no"]
    aimed = sum(one[3] != "" for one in cells)
    log.info("\n%d of %d targets reached; not: %s", aimed - len(missed), aimed, "; ".join(missed))


def _preamble(command):
    """Command and versions as reStructuredText."""
    software = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy"))
    return f"Made by ``{command}`` with Python {platform.python_version()}, {software}.\n"


if __name__ == "__main__":
    main()
