"""Damaged input of every step: a sound product, a verdict, or an error that names the file."""

import pytest
from attempts import attempt, prepared
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from mutations import changes
from small_inputs import CASES

from jwst_fusion.simulation import crds_offline

# Runs of each case, the same each time; `search.py` tries new ones.
_RUNS = 6


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    with crds_offline(tmp_path_factory.mktemp("crds")):
        yield


@pytest.fixture(scope="module", params=sorted(CASES))
def case(request, tmp_path_factory, offline):
    return prepared(request.param, tmp_path_factory.mktemp(request.param))


def test_damaged_files(case):
    @settings(
        max_examples=_RUNS,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def search(data):
        attempt(case, data.draw(changes(case.made)))

    search()
