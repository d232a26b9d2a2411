"""Pairs of observations as files and models: X-ray counts, and JWST cubes of two resolutions."""

import pytest
from s3d_pairs import make_s3d_pair


@pytest.fixture
def s3d_pair():
    """The function that makes pairs of JWST cubes."""
    return make_s3d_pair


@pytest.fixture(scope="session")
def xray_files(tmp_path_factory):
    """A small pair of X-ray observations, and the association of its files."""
    from jwst_fusion.simulation.xray import xray_pair
    from jwst_fusion.simulation.xray_files import write_xray_pair

    pair = xray_pair("small", shape=(27, 21), fine=300, counts=(1e6, 1e6))
    return pair, write_xray_pair(pair, tmp_path_factory.mktemp("xray"))
