"""Damaged input of every step: a sound product, a verdict, or an error that names the file."""

import gc
import os
import shutil
import time

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from mutations import apply, changes, judge
from small_inputs import CASES, quiet

from jwst_fusion.simulation import crds_offline

# Runs of each step; `make fuzz` tries new ones for as long as FUZZ_SECONDS says.
_RUNS = 6
_SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
_SLOWER = 10  # times the clean run
_LEAST = 20.0  # s of processor time, below which slowness is no matter
_MEMORY = 4e9  # bytes that a run on small files may add to the largest so far


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    with crds_offline(tmp_path_factory.mktemp("crds")):
        yield


@pytest.fixture(scope="module", params=sorted(CASES))
def case(request, tmp_path_factory, offline):
    folder = tmp_path_factory.mktemp(request.param)
    made = quiet(CASES[request.param], folder)
    output = tmp_path_factory.mktemp(f"{request.param}_clean")
    start = time.process_time()
    assert quiet(judge, made, folder, output, names=made.files) == "COMPLETE"
    return made, time.process_time() - start


def attempt(case, seconds, folder, change):
    """One damaged copy of the files, run and judged."""
    shutil.rmtree(folder, ignore_errors=True)
    data, output = folder / "in" / "data", folder / "out" / "product"
    data.mkdir(parents=True)
    output.mkdir(parents=True)
    for name in case.files:
        shutil.copy(case.folder / name, data / name)
    apply(data / case.files[change[0]], change)
    start = time.process_time()
    outcome = quiet(judge, case, data, output, names=case.files)
    gc.collect()  # of files left open, warnings are errors
    took = time.process_time() - start
    assert took < max(_SLOWER * seconds, _LEAST), f"took {took:.0f} s instead of {seconds:.1f} s"
    assert list((folder / "out").iterdir()) == [output], "written beside the output folder"
    return outcome


def test_damaged_files(case, tmp_path_factory):
    made, seconds = case
    folder = tmp_path_factory.mktemp("work")

    @settings(
        max_examples=10**9 if _SECONDS else _RUNS,
        derandomize=not _SECONDS,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def search(data):
        attempt(made, seconds, folder, data.draw(changes(made)))

    search()
