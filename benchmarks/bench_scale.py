"""
What a campaign costs beside its work, and what a second worker gains.

The work is stubbed: a task sleeps instead of running a step, so that only the campaign and Dask are
measured. Small fusions, one worker against two, are real: cubes and images that are simulated.

    python benchmarks/bench_scale.py --output docs/benchmarks/scale.rst
"""

import argparse
import importlib.metadata
import json
import logging
import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"

from jwst_fusion.campaign import task as campaign_task
from jwst_fusion.campaign.crew import local_crew
from jwst_fusion.campaign.run import run_campaign
from jwst_fusion.campaign.targets import find_targets
from jwst_fusion.campaign.task import Task, own_version
from jwst_fusion.campaign.work import Work, read_work

SLEEP = 0.01  # s that the stub of a step takes
TARGETS = 200
MANY = 10_000
WORKERS = 2
MEMORY = 2.0  # GB of each worker
SMALL = 24  # small fusions
SECTIONS = ("overhead", "graph", "small", "killed")
STUB = "bench_scale.stub"


def parse(arguments=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--targets", type=int, default=SMALL, help="small fusions")
    parser.add_argument("--output", type=Path, help="file for the table, reStructuredText")
    return parser.parse_args(arguments)


def stub(task):
    """Stand for the step: sleep as long as the work is to take, and write a product."""
    words = dict(word.removeprefix("--").split("=") for word in task.work.words)
    time.sleep(float(words["seconds"]))
    (task.folder / f"{task.target.name}.dat").write_text(task.target.name)


def install_stub():
    """Put the stub in the place of the step, in the process of a worker."""
    campaign_task._run_step = stub


def make_targets(folder, number):
    """Associations of one small file each."""
    folder.mkdir(parents=True)
    paths = []
    for index in range(number):
        (folder / f"x{index:05d}_s3d.fits").write_text(str(index))
        member = {"expname": f"x{index:05d}_s3d.fits", "exptype": "science"}
        table = {"products": [{"name": f"t{index:05d}", "members": [member]}]}
        paths.append(folder / f"t{index:05d}_asn.json")
        paths[-1].write_text(json.dumps(table))
    return paths


class Silent:
    """Stands for the progress of a campaign, and counts."""

    def __init__(self):
        self.running = set()

    def begin(self, name):
        self.running.add(name)

    def again(self, name):
        self.running.discard(name)


def stubbed(crew, targets, seconds, output):
    """Seconds of the clock for stubbed targets on workers that are there already."""
    crew._client.run(install_stub_on_worker)
    marker = output / "marker"
    output.mkdir()
    marker.touch()
    crew.prepare(str(marker), str(output), {})
    work = Work(STUB, (f"--seconds={seconds}",))
    tasks = [
        Task(target, work, str(output), str(marker), own_version(), estimate=0.1)
        for target in targets
    ]
    start = time.perf_counter()
    found = list(filter(None, crew.outcomes(tasks, Silent())))
    taken = time.perf_counter() - start
    assert [one.status for one in found] == ["done"] * len(tasks), found[0].reason
    return taken


def install_stub_on_worker():
    """As `install_stub`; workers find this module by the folder of the command."""
    import bench_scale

    bench_scale.install_stub()


def measure_overhead(folder):
    """Targets of 10 ms and of 1 s on two workers."""
    targets = find_targets(make_targets(folder / "data", TARGETS), folder)
    with local_crew(WORKERS, MEMORY, retries=2) as crew:
        warm = targets[: 4 * WORKERS]
        stubbed(crew, warm, SLEEP, folder / "warm")
        plain_start = time.perf_counter()
        futures = crew._client.map(time.sleep, [SLEEP] * TARGETS, pure=False)
        crew._client.gather(futures)
        plain = time.perf_counter() - plain_start
        short = stubbed(crew, targets, SLEEP, folder / "short")
        again = stubbed(crew, targets, SLEEP, folder / "short_again")
        few = targets[:40]
        long = stubbed(crew, few, 1.0, folder / "long")
    ideal = TARGETS * SLEEP / WORKERS
    each = (min(short, again) - ideal) * WORKERS / TARGETS
    share = (long - len(few) / WORKERS) / (len(few) / WORKERS)
    yield (
        f"{TARGETS} tasks of 10 ms, 2 workers: beside the work",
        f"{100 * (min(short, again) / ideal - 1):.0f} %",
        "<= 5 %",
        f"{each * 1e3:.1f} ms a task; Dask alone {100 * (plain / ideal - 1):.0f} %",
    )
    yield "40 tasks of 1 s, 2 workers: beside the work", f"{100 * share:.1f} %", "<= 5 %", ""


def measure_graph(folder):
    """Ten thousand targets: associations read, tasks made."""
    paths = make_targets(folder / "many", MANY)
    start = time.perf_counter()
    targets = find_targets(paths, folder)
    work = Work(STUB, ("--seconds=0",))
    tasks = [Task(one, work, str(folder), str(folder), own_version()) for one in targets]
    taken = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    assert len(tasks) == MANY
    yield f"{MANY} associations read, tasks made", f"{taken:.1f} s", "<= 10 s", f"{peak:.2f} GB"


def small_observations(folder, number):
    """Associations of small cubes with two images each."""
    import numpy as np

    from jwst_fusion.associations import make_association, write_association
    from jwst_fusion.simulation.cubes import simulate_s3d
    from jwst_fusion.simulation.observation import simulate_images
    from jwst_fusion.simulation.scenes import single_star

    folder.mkdir()
    scene = single_star()
    images = simulate_images(folder, scene, filters=("F182M", "F210M"))
    cube = simulate_s3d(scene, np.arange(1.66, 2.32, 0.011), shape=(15, 16))
    cube.save(str(folder / "cube_s3d.fits"))
    cube.close()
    paths = []
    for index in range(number):
        name = f"x{index:02d}"
        shutil.copy(folder / "cube_s3d.fits", folder / f"{name}_s3d.fits")
        association = make_association(
            folder / f"{name}_s3d.fits", images, product_name=name, folder=folder
        )
        paths.append(write_association(association, folder / f"{name}_asn.json"))
    return paths


def measure_small(folder, number):
    """Real fusions with their reports, one worker against two; and nothing to do."""
    paths = small_observations(folder / "small", number)
    words = ["--psf_source=aperture", "--psf_size=1.0", "--rank=3"]
    work, _ = read_work("fusion", words)
    targets = find_targets(paths, folder)
    needs = {one.name: 1.5 for one in targets}
    seconds, memory = {}, []

    def campaign(workers, output):
        start = time.perf_counter()
        found = run_campaign(targets, work, needs, folder / output, workers=workers, bar=False)
        assert all(one.status == "done" for one in found), found
        memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
        return time.perf_counter() - start, found

    campaign(1, "cache")  # PSFs
    for workers in (1, WORKERS):
        seconds[workers], found = campaign(workers, f"with_{workers}")
    again, found = campaign(WORKERS, f"with_{WORKERS}")
    assert all(one.reused for one in found)
    yield (
        f"{number} small fusions with reports: 2 workers against 1",
        f"{seconds[1] / seconds[2]:.2f}",
        ">= 1.8",
        f"{seconds[1]:.0f} s and {seconds[2]:.0f} s, cluster and imports included",
    )
    yield "the same again: nothing to do", f"{again:.1f} s", "", "a cluster is started for it"
    grown = memory[-1] - memory[0]
    yield (
        "memory of the driver over these campaigns",
        f"{memory[-1]:.2f} GB",
        "",
        (f"{1e3 * grown:.0f} MB more than after the first"),
    )


def measure_killed(folder):
    """Two workers killed in a campaign of stubbed tasks, and the driver of another."""
    targets = find_targets(make_targets(folder / "killed", 40), folder)
    with local_crew(WORKERS, MEMORY, retries=2) as crew:
        stubbed(crew, targets, 0.5, folder / "whole")

        def kill():
            for wait in (3.0, 6.0):
                time.sleep(wait)
                victim = next(iter(crew._client.run(os.getpid).values()))
                os.kill(victim, signal.SIGKILL)

        crew._client.register_plugin(stubbed_workers())
        killer = threading.Thread(target=kill)
        killer.start()
        taken = stubbed(crew, targets, 0.5, folder / "disturbed")
        killer.join()
    same = all(
        (folder / "whole" / one.name / f"{one.name}.dat").read_bytes()
        == (folder / "disturbed" / one.name / f"{one.name}.dat").read_bytes()
        for one in targets
    )
    yield (
        "two workers killed (-9): 40 of 40 targets done, products identical",
        "yes" if same else "no",
        "yes",
        f"{taken:.0f} s in place of {40 * 0.5 / WORKERS:.0f} s",
    )
    yield _driver_killed(folder)


def stubbed_workers():
    """Plugin that stubs workers that are started anew."""
    from distributed import WorkerPlugin

    class Stubbed(WorkerPlugin):
        """Puts the stub in place in workers that are started anew."""

        name = "stubbed"

        def setup(self, worker):
            import bench_scale

            bench_scale.install_stub()

    return Stubbed()


def _driver_killed(folder):
    """Kill the process that runs a campaign in its middle, and run the same command again."""
    output = folder / "driver"
    command = [sys.executable, __file__, "--driver", str(folder / "killed"), str(output)]
    first = subprocess.Popen(command)
    while len(list(output.glob("*/*_campaign.json"))) < 20:
        time.sleep(0.05)
        assert first.poll() is None
    first.kill()
    first.wait()
    time.sleep(3.0)  # its workers end
    done = {
        path: path.stat().st_mtime_ns for path in output.glob("*/*.dat")
        if (path.parent / f"{path.stem}_campaign.json").exists()
    }  # fmt: skip
    subprocess.run(command, check=True)
    repeated = sum(path.stat().st_mtime_ns != state for path, state in done.items())
    total = len(list(output.glob("*/*.dat")))
    return (
        f"driver killed (-9) after {len(done)} of {total} targets: finished ones done again",
        str(repeated),
        "0",
        "lost: what was running, one target a worker",
    )


def drive(data, output):
    """Run a campaign of stubbed tasks of half a second."""
    targets = find_targets(sorted(Path(data).glob("*_asn.json")), output)
    output = Path(output)
    with local_crew(WORKERS, MEMORY, retries=2) as crew:
        output.mkdir(exist_ok=True)
        marker = output / "marker"
        marker.touch()
        crew._client.run(install_stub_on_worker)
        crew.prepare(str(marker), str(output), {})
        work = Work(STUB, ("--seconds=0.5",))
        tasks = [
            Task(one, work, str(output), str(marker), own_version(), estimate=0.1)
            for one in targets
        ]
        list(crew.outcomes(tasks, Silent()))


def table(rows, command):
    """The table as reStructuredText."""
    software = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("dask", "distributed", "numpy")
    )
    load = " ".join(f"{one:.1f}" for one in os.getloadavg())
    lines = [
        f"Made by ``{command}`` with Python {platform.python_version()}, {software}, on "
        f"{os.cpu_count()} cores (load of the machine at the end: {load}).",
        "",
        ".. list-table:: Campaigns",
        "   :header-rows: 1",
        "",
    ]
    head = ("what", "figure", "target", "reached", "beside it")
    for cells in (head, *((*row[:3], _reached(*row[1:3]), row[3]) for row in rows)):
        lines += [f"   {'* -' if not i else '  -'} {cell}".rstrip() for i, cell in enumerate(cells)]
    return "\n".join(lines) + "\n"


def _reached(figure, target):
    if not target:
        return ""
    if target[0] not in "<>":
        return "yes" if figure == target else "no"
    sign, limit = target.split()[:2]
    value = float(figure.split()[0])
    return "yes" if (value <= float(limit) if sign == "<=" else value >= float(limit)) else "no"


def main():
    if sys.argv[1:2] == ["--driver"]:
        drive(*sys.argv[2:4])
        return
    options = parse()
    logging.basicConfig(level=logging.WARNING)
    paths = [str(Path(__file__).resolve().parent), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ.setdefault("JWST_FUSION_CACHE", str(folder / "psfs"))
        for section in options.only:
            measures = {
                "overhead": lambda: measure_overhead(folder),
                "graph": lambda: measure_graph(folder),
                "small": lambda: measure_small(folder, options.targets),
                "killed": lambda: measure_killed(folder),
            }
            for row in measures[section]():
                rows.append(row)
                print(*row, sep=" | ", flush=True)
    if options.output:
        command = "python benchmarks/bench_scale.py"
        if set(options.only) != set(SECTIONS):
            command += f" --only {' '.join(options.only)}"
        if options.targets != SMALL:
            command += f" --targets {options.targets}"
        options.output.write_text(table(rows, f"{command} --output {options.output}"))


if __name__ == "__main__":
    main()
