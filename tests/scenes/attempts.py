"""Cases made once with a clean run to compare with, and one run of a step on damaged files."""

import gc
import resource
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from mutations import apply, judge
from small_inputs import CASES, LARGE_CASES, Case, quiet

_SLOWER = 10  # times the clean run
_LEAST = 20.0  # s of processor time, below which slowness is no matter
_MEMORY = 2e9  # bytes that a run on small files may add to the largest so far


@dataclass(frozen=True)
class Prepared:
    """A case with a folder to work in and the processor time of a clean run, s."""

    made: Case
    work: Path
    seconds: float


def prepared(name, folder):
    """Make a case in a folder of its own, and run it once on files that are whole."""
    data, output = folder / name, folder / f"{name}_clean"
    data.mkdir()
    output.mkdir()
    made = quiet({**CASES, **LARGE_CASES}[name], data)
    start = time.process_time()
    outcome = quiet(judge, made, data, output, names=made.files)
    assert outcome == "COMPLETE", outcome
    return Prepared(made, folder / f"{name}_work", time.process_time() - start)


def attempt(case, change):
    """One damaged copy of the files, run and judged: what happened."""
    made, folder = case.made, case.work
    shutil.rmtree(folder, ignore_errors=True)
    data, output = folder / "in" / "data", folder / "out" / "product"
    data.mkdir(parents=True)
    output.mkdir(parents=True)
    for name in made.files:
        shutil.copy(made.folder / name, data / name)
    apply(data / made.files[change[0]], change)
    start, before = time.process_time(), _largest()
    outcome = quiet(judge, made, data, output, names=made.files)
    gc.collect()  # of files left open, warnings are errors
    took, grown = time.process_time() - start, _largest() - before
    clean = case.seconds
    assert took < max(_SLOWER * clean, _LEAST), f"took {took:.0f} s instead of {clean:.1f} s"
    assert grown < _MEMORY, f"took {grown / 1e9:.1f} GB more than any run before"
    assert list((folder / "out").iterdir()) == [output], "written beside the output folder"
    return outcome


def _largest():
    """Largest memory of this process so far, bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
