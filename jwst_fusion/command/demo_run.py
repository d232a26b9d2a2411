"""Every step on one simulated observation: exposures, trace model, cube, fused cubes, picture.

Run it with ``make demo`` or ``python -m jwst_fusion.command.demo_run --output FOLDER``.
"""

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jwst_fusion.adaptive_trace_model.settings import OVERSAMPLE
from jwst_fusion.associations import make_association, write_association
from jwst_fusion.command.demo_results import compare, print_table
from jwst_fusion.simulation.crds import crds_environment
from jwst_fusion.simulation.cube_parameters import write_nirspec_cube_parameters
from jwst_fusion.simulation.observation import (
    simulate_exposures,
    simulate_images,
    write_spec3_association,
)
from jwst_fusion.simulation.scenes import nebula

__all__ = ["main", "run_demo"]

ROLL, IMAGE_ROLL = 30.0, 77.0  # degree: spectrograph and imager observed months apart
WAVE_MAX = 2.32  # micrometre: the last of the filters ends there
PRODUCT = "jw09999-o001_t001"  # as jwst names products: program, observation, target


def run_demo(folder, *, oversample=OVERSAMPLE, psf_source="aperture", cores=2):
    """
    Simulate an observation, run the steps on it with strun, compare with the truth.

    Parameters
    ----------
    folder : str or pathlib.Path
        Where everything is written; made if absent.
    oversample : float
        Oversampling of the trace model.
    psf_source : {"aperture", "webbpsf"}
        With which PSF to simulate and to fuse.
    cores : int
        How many steps run at once where they do not wait for each other.

    Returns
    -------
    dict
        Figures of the comparison, times and file names.
    """
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    clock = _Clock()
    runner = _Runner(folder, cores)
    scene = nebula()
    exposures = simulate_exposures(folder, scene, roll=ROLL)
    images = simulate_images(folder, scene, roll=IMAGE_ROLL)
    before = write_spec3_association(
        folder / "native_asn.json", exposures, product=f"{PRODUCT}_native"
    )
    clock.mark("simulate 4 exposures and 5 images")
    direct = str(folder / "exposures_asn.json")
    write_association(
        make_association(
            exposures, list(images), product_name=f"{PRODUCT}_exposures", folder=folder
        ),
        direct,
    )
    psf = f"--psf_source={psf_source}"
    # Coordinates and calibration of what is simulated are right: to fit them doubles the time.
    believed = ["--alignment=wcs", "--crosscal=off", f"--wave_max={WAVE_MAX}"]
    # Beside the road through a cube, which has the other cores meanwhile.
    beside = runner.begin([["fusion", direct, psf, *believed]])
    runner.together(
        [["fusion_adaptive_trace_model", path, f"--oversample={oversample}"] for path in exposures]
    )
    traced = [path.replace("_cal.fits", "_adaptive_trace_model.fits") for path in exposures]
    after = write_spec3_association(
        folder / "traced_asn.json", traced, product=f"{PRODUCT}_nirspec"
    )
    clock.mark("adaptive_trace_model on 4 exposures")
    cubepar = write_nirspec_cube_parameters(folder / "cubepar.fits")
    build = [f"--override_cubepar={cubepar}", f"--wavemax={WAVE_MAX}"]
    runner.together([["cube_build", after, *build], ["cube_build", before, *build]])
    clock.mark("cube_build, with and without the trace model")
    native, cube = (
        str(next(folder.glob(f"{PRODUCT}_{kind}_*_s3d.fits"))) for kind in ("native", "nirspec")
    )
    association = str(folder / "fusion_asn.json")
    write_association(
        make_association(cube, list(images), product_name=PRODUCT, folder=folder), association
    )
    runner.together([["fusion", association, psf, f"--trace_oversample={oversample}"]])
    clock.mark("fusion of the cube and 5 images")
    beside.result()
    clock.mark("wait for the fusion of 4 exposures and 5 images")
    fused, exposed = (
        str(folder / f"{PRODUCT}{kind}_fused_s3d.fits") for kind in ("", "_exposures")
    )
    result = compare(
        scene,
        native=native,
        cube=cube,
        fused=fused,
        exposed=exposed,
        images=images,
        rolls=(ROLL, IMAGE_ROLL),
        oversample=oversample,
        picture=folder / "fusion_overview.png",
    )
    clock.mark("compare with the truth, draw")
    result["times"] = clock.marks
    result["files"] = {
        "native": native,
        "cube": cube,
        "fused": fused,
        "exposures": exposed,
        "association": association,
    }
    return result


class _Clock:
    """Seconds of each stage, said as they pass."""

    def __init__(self):
        self.marks, self._last = {}, time.perf_counter()

    def mark(self, name):
        now = time.perf_counter()
        self.marks[name] = now - self._last
        self._last = now
        print(f"{name}: {self.marks[name]:.1f} s", flush=True)


class _Runner:
    """Runs strun in children, offline, each with a log file of its own."""

    def __init__(self, folder, cores):
        self._folder = folder
        self._pool = ThreadPoolExecutor(cores)
        self._environment = {
            **os.environ,
            **crds_environment(folder / "crds"),
            # each child has its own core
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        self._count = 0

    def begin(self, commands):
        """Run one command after the other, and return meanwhile."""
        jobs = self._jobs(commands)
        return self._pool.submit(lambda: [self._run(*job) for job in jobs])

    def together(self, commands):
        """Run commands on the cores that are free, and return when all have ended."""
        list(self._pool.map(lambda job: self._run(*job), self._jobs(commands)))

    def _jobs(self, commands):
        jobs = []
        for command in commands:
            self._count += 1
            jobs.append((command, self._folder / f"{self._count:02d}_{command[0]}.log"))
        return jobs

    def _run(self, command, log):
        strun = Path(sys.executable).with_name("strun")
        print("  strun " + " ".join(Path(part).name for part in command), flush=True)
        line = [str(strun), *command, f"--output_dir={self._folder}"]
        with log.open("w") as file:
            code = subprocess.run(
                line, cwd=self._folder, env=self._environment, stdout=file, stderr=file
            ).returncode
        if code != 0:
            tail = "\n".join(log.read_text().splitlines()[-20:])
            msg = f"{' '.join(line)} ended with code {code}; the end of {log}:\n{tail}"
            raise RuntimeError(msg)


def main(arguments=None):
    """
    Run the demo and print its result.

    Parameters
    ----------
    arguments : sequence of str, optional
        Words of the command line after the name of the program; by default those of this process.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="demo_output", help="folder for all files")
    parser.add_argument(
        "--oversample", type=float, default=OVERSAMPLE, help="factor of the trace model"
    )
    parser.add_argument(
        "--psf-source",
        choices=("aperture", "webbpsf"),
        default="aperture",
        help="PSFs of the fusion: a model of the aperture, or STPSF with its data files",
    )
    options = parser.parse_args(arguments)
    result = run_demo(options.output, oversample=options.oversample, psf_source=options.psf_source)
    print_table(result)


if __name__ == "__main__":
    main()
