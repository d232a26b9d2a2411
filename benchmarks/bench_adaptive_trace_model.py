"""Compare our AdaptiveTraceModelStep with jwst's on the same exposures: cost and accuracy."""

import argparse
import logging
import os
import platform
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

# One core: threads of BLAS would make the seconds of the two incomparable.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"

from trace_benchmark.cost import fit_cost, step_cost
from trace_benchmark.cubes import mrs_wiggles, pulls, wiggles
from trace_benchmark.inputs import DIFFUSION, star
from trace_benchmark.mrs import mrs_star
from trace_benchmark.scenes import accuracy
from trace_benchmark.spectra import extracted
from trace_benchmark.table import as_rst, as_text

log = logging.getLogger("benchmark")


def _step8(folder, **options):
    return step_cost(
        "NIRSpec G235H exposure, oversample 2",
        star(folder),
        folder,
        limit=1 / 15,
        oversample=2.0,
        **options,
    )


def _step30(folder, **options):
    return step_cost(
        "NIRSpec G235H exposure, all slices forced",
        star(folder),
        folder,
        limit=1 / 40,
        oversample=2.0,
        fit_threshold=0.0,
        **options,
    )


def _mrs(folder, **options):
    return step_cost(
        "MRS 12A exposure, oversample 2",
        mrs_star(folder, dithers=((0.0, 0.0),))[0],
        folder,
        limit=1 / 20,
        oversample=2.0,
        **options,
    )


#: Sections of each file that `--output` writes.
FILES = {
    "cost": ("fit", "step8", "step30", "mrs"),
    "cubes": ("cubes", "mrs_cubes", "pulls"),
    "scenes": ("scenes",),
    "spectra": ("spectra",),
}
SECTIONS = {
    "fit": ("Cost of the fit", fit_cost),
    "step8": ("Cost of the step, eight slices fitted", _step8),
    "step30": ("Cost of the step, thirty slices fitted", _step30),
    "mrs": ("Cost of the step on a MIRI MRS exposure", _mrs),
    "scenes": ("Error near sources, rms in per cent of the column's peak", accuracy),
    "cubes": ("Cubes of a bright star from four dithers", wiggles),
    "mrs_cubes": ("Cubes of a bright star with the MRS", mrs_wiggles),
    "spectra": ("Spectra of point sources in slits against the truth", extracted),
    "pulls": ("Scatter of single spaxels in units of their errors", pulls),
}


def parse(arguments=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="sections to run"
    )
    parser.add_argument(
        "--output", type=Path, help="folder for the tables, reStructuredText, one file per topic"
    )
    parser.add_argument("--quick", action="store_true", help="fewer repetitions and exposures")
    parser.add_argument(
        "--work", type=Path, help="folder that keeps the exposures and products (several GB)"
    )
    parser.add_argument(
        "--reuse",
        action="store_true",
        help="take products and seconds of jwst's step from the work folder if they are there",
    )
    return parser.parse_args(arguments)


def main(arguments=None):
    """Run the sections and print their tables."""
    options = parse(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    for name in ("benchmark", "trace_benchmark"):
        logging.getLogger(name).setLevel(logging.INFO)
    with tempfile.TemporaryDirectory(prefix="bench-trace-") as temporary:
        folder = options.work or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        results = {}
        for name in options.only:
            title, section = SECTIONS[name]
            start = time.perf_counter()
            results[title] = section(folder, quick=options.quick, reuse=options.reuse)
            log.info("\n%s (%.0f s)\n", title, time.perf_counter() - start)
            log.info("%s", as_text(results[title]))
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        command = " ".join(["python", *sys.argv])
        for name, sections in FILES.items():
            titles = [SECTIONS[section][0] for section in sections]
            tables = {title: results[title] for title in titles if title in results}
            if tables:
                text = f"{_preamble(command)}\n{as_rst(tables)}"
                (options.output / f"trace_{name}.rst").write_text(text)
    missed = [row.what for rows in results.values() for row in rows if row.reached is False]
    if missed:
        log.info("\ntargets not reached: %s", "; ".join(missed))


def _preamble(command):
    """Command, machine and versions as reStructuredText."""
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((s.split(":")[1].strip() for s in lines if s.startswith("model name")), cpu)
    software = ", ".join(f"{name} {version(name)}" for name in ("jwst", "numpy", "scipy"))
    return (
        f"Made by ``{command}`` with Python {platform.python_version()}, {software} on one core "
        f"of {cpu}. NIRSpec exposures for cubes and pulls are seen with the charge diffusion of "
        f"the detector, sigma {DIFFUSION} arcsec.\n"
    )


if __name__ == "__main__":
    main()
