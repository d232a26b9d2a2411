"""
Time and memory of the fusion pipeline, interrupted and run again.

Four dithered exposures of NIRSpec (G235H, NRS1) and images in five filters, as ``jwst-fusion demo``
or ``jwst-fusion simulate`` make them, from file to product with a warm cache of PSFs. Four runs:
one that is killed while it builds the cube, one that continues it and fills the cache, one that
finds nothing to do, and one from scratch.

    python benchmarks/bench_pipeline.py --input demo_output --output bench_pipeline
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from jwst_fusion.associations import make_association, write_association
from jwst_fusion.simulation.crds import crds_environment
from jwst_fusion.simulation.cube_parameters import write_nirspec_cube_parameters

PRODUCT = "jw09999-o001_t001"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--input", default="demo_output", help="folder of simulated files")
    parser.add_argument("--output", default="bench_pipeline")
    options = parser.parse_args()
    source, folder = Path(options.input).resolve(), Path(options.output).resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    association = write_association(
        make_association(
            sorted(source.glob("*_nrs1_cal.fits")),
            sorted(source.glob("*_i2d.fits")),
            product_name=PRODUCT,
            folder=folder,
        ),
        folder / "pipeline_asn.json",
    )
    parameters = write_nirspec_cube_parameters(folder / "cubepar.fits")
    command = [
        str(Path(sys.executable).with_name("strun")),
        "fusion_pipeline",
        association.name,
        f"--steps.cube_build.override_cubepar={parameters}",
        "--steps.cube_build.wavemax=2.32",
        # through a cube, which has the more stages
        "--steps.fusion.input=cube",
        "--steps.fusion.psf_source=aperture",
        "--steps.fusion.maximum_cores=2",
    ]
    rows = [("killed while it builds the cube", *run(command, folder, until="cube_build running"))]
    rows.append(("continues", *run(command, folder)))
    made = json.loads((folder / f"{PRODUCT}_fusion_pipeline.json").read_text())["stages"]
    rows.append(("run again: nothing to do", *run(command, folder)))
    rows.append(("from scratch", *run([*command, "--resume=false"], folder)))
    load = " ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"{len(made)} stages recorded; load of the machine at the end: {load}")
    for name, seconds, cpu, memory, again in rows:
        print(f"{name:34s}{seconds:7.0f} s {cpu:7.0f} s CPU {memory:6.2f} GB  {again} used again")


def run(command, folder, *, until=None):
    """Run a command, kill it once a text stands in its log, and return what it took."""
    environment = {**os.environ, **crds_environment(folder / "crds"), "OMP_NUM_THREADS": "1"}
    log = folder / "log.txt"
    start = time.perf_counter()
    with log.open("w") as stream:
        child = subprocess.Popen(command, cwd=folder, env=environment, stdout=stream, stderr=stream)
        while until and until not in log.read_text():
            time.sleep(0.5)
        if until:
            time.sleep(10)
            child.send_signal(signal.SIGKILL)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - start
    text = log.read_text()
    if child.returncode != 0 and not until:
        msg = f"{' '.join(command)} ended with code {child.returncode}:\n{text[-3000:]}"
        raise RuntimeError(msg)
    used_again = text.count(": used again: ")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e9, used_again


if __name__ == "__main__":
    main()
