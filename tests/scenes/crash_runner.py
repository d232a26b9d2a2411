"""
Disturb a step, run it again, and compare with a run that nobody disturbed.

python crash_runner.py CASE FOLDER NUMBER SEED KIND ...: CASE of `small_inputs`, FOLDER to work in.
KIND is a signal, KILL or TERM, sent at random moments; FULL, a disk that takes no more; or PAIR,
two runs in one folder that begin at moments of their own. Prints one line of JSON for each time:
kind, moment, exit status, and what is wrong after that.
"""

import json
import os
import random
import resource
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
from astropy.io import fits
from small_inputs import CASES, LARGE_CASES, quiet

from jwst_fusion.simulation import crds_offline

# Bytes of a file after which the disk is full, some before and some within the arrays.
_LIMITS = (0, 2000, 30000)


def start(case, output, *, limit=None, said=None):
    """Run a case in a process of its own; its number."""
    output.mkdir(parents=True, exist_ok=True)
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if limit is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        quiet(case.run, case.folder, output)
        status = 0
    except SystemExit as reason:
        status = int(reason.code)
    except BaseException as error:
        if said is not None:
            os.write(said, f"{type(error).__name__}: {error}".encode())
    finally:
        os._exit(status)


def ended(process):
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def files(folder):
    return sorted(path.name for path in folder.rglob("*"))


def same(first, second):
    """Whether all arrays of two files are the same; records of the run itself are not looked at."""
    with fits.open(first) as one, fits.open(second) as other:
        return [hdu.name for hdu in one] == [hdu.name for hdu in other] and all(
            np.array_equal(a.data, b.data, equal_nan=True)
            for a, b in zip(one, other, strict=True)
            if a.is_image and a.data is not None
        )


def compare(clean, output):
    """Say what distinguishes an output folder from that of an undisturbed run."""
    wrong = []
    if files(clean) != files(output):
        wrong.append(f"files {files(output)} instead of {files(clean)}")
    wrong += [
        f"{path.name} differs"
        for path in clean.glob("*.fits")
        if (output / path.name).is_file() and not same(path, output / path.name)
    ]
    return wrong


def fill(case, folder):
    """Runs that find the disk full."""
    for limit in _LIMITS:
        output = folder / f"full{limit}"
        reader, writer = os.pipe()
        status = ended(start(case, output, limit=limit, said=writer))
        os.close(writer)
        text, left = os.read(reader, 10000).decode(), files(output)
        os.close(reader)
        again = ended(start(case, output))
        wrong = compare(folder / "clean", output) if again == 0 else [f"second run: {again}"]
        yield {"limit": limit, "status": status, "text": text, "left": left, "wrong": wrong}
        shutil.rmtree(output)


def interrupt(case, folder, moments, kind):
    """Runs that a signal ends."""
    for index, moment in enumerate(moments):
        output = folder / f"killed{index}"
        process = start(case, output)
        time.sleep(moment)
        os.kill(process, getattr(signal, f"SIG{kind}"))
        status, left = ended(process), files(output)
        again = ended(start(case, output))
        wrong = compare(folder / "clean", output) if again == 0 else [f"second run: {again}"]
        yield {"moment": round(moment, 3), "status": status, "left": left, "wrong": wrong}
        shutil.rmtree(output)


def pair(case, folder, moments):
    """Two runs in one folder, the second of which begins a while after the first."""
    for index, moment in enumerate(moments):
        output = folder / f"pair{index}"
        first = start(case, output)
        time.sleep(moment)
        second = start(case, output)
        status = ended(first), ended(second)
        wrong = compare(folder / "clean", output)
        yield {"moment": round(moment, 3), "status": status, "wrong": wrong}
        shutil.rmtree(output)


def main(name, folder, number, seed, *kinds):
    """Print what happens to a case."""
    rng, folder = random.Random(seed), Path(folder)
    (folder / "data").mkdir(parents=True)
    with crds_offline(folder):
        case = quiet({**CASES, **LARGE_CASES}[name], folder / "data")
        quiet(case.run, case.folder, folder / "warm")
        begin = time.perf_counter()
        assert ended(start(case, folder / "clean")) == 0
        seconds = time.perf_counter() - begin
        for kind in kinds:
            moments = [rng.uniform(0.02, 1.0) * seconds for _ in range(number)]
            if kind == "FULL":
                found = fill(case, folder)
            elif kind == "PAIR":
                # from the same moment on, too
                found = pair(case, folder, [0.0, *moments[1:]])
            else:
                found = interrupt(case, folder, moments, kind)
            for one in found:
                print(json.dumps({"kind": kind, **one}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), *sys.argv[5:])
