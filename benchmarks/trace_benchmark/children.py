"""Steps in child processes of their own: products, wall and CPU seconds, peak memory."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from jwst_fusion.simulation.crds import crds_environment

__all__ = ["StepRun", "run_step"]

_CHILD = Path(__file__).with_name("run_step.py")


@dataclass(frozen=True)
class StepRun:
    """
    What one run of a step cost, from the start of the interpreter to its end.

    Parameters
    ----------
    product : str
        Path of the file that the step wrote.
    wall, cpu : float
        Seconds on the clock and of the processor, user and system.
    memory : float
        Peak resident memory, GiB.
    fitted : int or None
        Slices that were fitted, if the step told.
    """

    product: str
    wall: float
    cpu: float
    memory: float
    fitted: int | None


def run_step(kind, path, folder, *, reuse=False, **parameters):
    """
    Run a step on a file in a fresh interpreter, on one core.

    Parameters
    ----------
    kind : {"ours", "jwst"}
        Whose AdaptiveTraceModelStep.
    path : str
        Exposure.
    folder : pathlib.Path
        Where the product goes, in a folder of its own.
    reuse : bool
        Take product and figures of an earlier run with the same parameters if they are there.
    **parameters
        Parameters of the step.

    Returns
    -------
    StepRun

    Raises
    ------
    RuntimeError
        If the child fails or writes no product.
    """
    key = json.dumps([str(path), parameters], sort_keys=True)
    target = Path(folder) / f"{kind}_{hashlib.sha1(key.encode()).hexdigest()[:10]}"
    target.mkdir(parents=True, exist_ok=True)
    record = target / "run.json"
    if reuse and record.exists():
        return StepRun(**json.loads(record.read_text()))
    environment = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="crds-offline-") as cache:
        environment |= crds_environment(cache)
        environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        command = [sys.executable, _CHILD, kind, path, target, json.dumps(parameters)]
        with (target / "log.txt").open("w+") as text:
            start = time.perf_counter()
            child = subprocess.Popen(
                [str(part) for part in command],
                stdout=text,
                stderr=subprocess.STDOUT,
                env=environment,
            )
            _, status, usage = os.wait4(child.pid, 0)
            wall = time.perf_counter() - start
            child.returncode = os.waitstatus_to_exitcode(status)
            text.seek(0)
            said = text.read()
    # "_truth" marks copies that hold the noiseless scene
    found = sorted(target.glob("*_adaptive*model*.fits"))
    products = [path for path in found if not path.stem.endswith("_truth")]
    if child.returncode or not products:
        msg = f"{kind} step on {path} ended with {child.returncode}:\n{said[-2000:]}"
        raise RuntimeError(msg)
    told = json.loads(said.strip().rsplit("\n", 1)[-1])
    run = StepRun(
        product=str(products[-1]),
        wall=wall,
        cpu=usage.ru_utime + usage.ru_stime,
        memory=told["memory"],
        fitted=told["fitted"],
    )
    record.write_text(json.dumps(asdict(run)))
    return run
