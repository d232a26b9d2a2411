"""Measure the PSFs: cost of a fusion's set, interpolation, aperture model, centring, grids."""

import argparse
import logging
import os
import platform
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

# BLAS threads would compete with those that compute several wavelengths at once.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("JWST_FUSION_TEST_DATA", ROOT.parent / "shared" / "data"))
os.environ.setdefault("STPSF_PATH", str(DATA / "stpsf-data"))

from psf_benchmark.cost import cost
from psf_benchmark.figures import HEADER, as_text
from psf_benchmark.interpolation import interpolation
from psf_benchmark.sampling import sampling
from psf_benchmark.sources import centring, models
from trace_benchmark.table import as_rst

log = logging.getLogger("benchmark")

SECTIONS = {
    "cost": ("PSF set of one fusion: 5 filters and the IFU, 1.66 to 2.3 um, 3 arcsec", cost),
    "interpolation": ("Interpolation between wavelengths", interpolation),
    "models": ("Aperture model against STPSF, largest difference", models),
    "centring": ("Centring and normalisation", centring),
    "sampling": ("Stars between the pixels of a grid", sampling),
}


def parse(arguments=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="sections to run"
    )
    parser.add_argument("--output", type=Path, help="file for the table, reStructuredText")
    parser.add_argument("--quick", action="store_true", help="fewer sources and wavelengths")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Run the sections and print their tables."""
    options = parse(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    log.setLevel(logging.INFO)
    results = {}
    with tempfile.TemporaryDirectory(prefix="bench-psf-") as folder:
        os.environ["JWST_FUSION_CACHE"] = folder
        for name in options.only:
            title, section = SECTIONS[name]
            start = time.perf_counter()
            results[title] = section(quick=options.quick)
            log.info("\n%s (%.0f s)\n", title, time.perf_counter() - start)
            log.info("%s", as_text(results[title]))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        command = " ".join(["python", *sys.argv])
        tables = {title: [row.cells() for row in rows] for title, rows in results.items()}
        options.output.write_text(f"{_preamble(command)}\n{as_rst(tables, header=HEADER)}")
    missed = [row.what for rows in results.values() for row in rows if row.reached is False]
    if missed:
        log.info("\ntargets not reached: %s", "; ".join(missed))


def _preamble(command):
    """Command, machine and versions as reStructuredText."""
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((s.split(":")[1].strip() for s in lines if s.startswith("model name")), cpu)
    software = ", ".join(f"{name} {version(name)}" for name in ("stpsf", "poppy", "numpy", "scipy"))
    return (
        f"Made by ``{command}`` with Python {platform.python_version()}, {software} on "
        f"{os.cpu_count()} cores of {cpu}. The telescope's wavefront is the example of STPSF's "
        "data.\n"
    )


if __name__ == "__main__":
    main()
