"""Fixtures that all tests share: data folder, CRDS stub, a private PSF cache, small scenes."""

import functools
import gc
import logging
import os
import signal
from pathlib import Path

import asdf.schema
import pytest
from hypothesis import settings

# The same examples in every run; HYPOTHESIS_PROFILE=search looks for new ones, many of them.
settings.register_profile("fixed", derandomize=True, max_examples=40, deadline=None)
settings.register_profile("search", max_examples=3000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))

# the numerics under test are small: more BLAS threads than one per process only slow them down
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("MPLBACKEND", "Agg")

ROOT = Path(__file__).resolve().parents[1]


def _test_data():
    return Path(os.environ.get("JWST_FUSION_TEST_DATA", ROOT.parent / "shared" / "data"))


def pytest_collection_modifyitems(items):
    """Start the longest tests first, so that no worker is left with one at the end."""
    first = ("test_main_job", "test_wiggles_in_cubes")
    items.sort(key=lambda item: (item.path.stem not in first, not item.get_closest_marker("slow")))


@pytest.fixture(autouse=True, scope="session")
def schemas_read_once():
    """Keep the schemas that asdf reads again from YAML for each value that is set in a model."""
    name = "_make_schema_loader"
    with pytest.MonkeyPatch.context() as patch:
        if hasattr(asdf.schema, name):  # it is not public
            load = functools.cache(getattr(asdf.schema, name)())
            patch.setattr(asdf.schema, name, lambda: load)
        yield


@pytest.fixture(autouse=True, scope="module")
def garbage_of_this_module_only():
    """Each step of stpipe looks for garbage: not among all that was imported and made before."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def data_dir():
    """Folder of instrument data and scenes, or a skip that says what is missing."""
    folder = _test_data()
    if not folder.is_dir():
        pytest.skip(f"no test data in {folder}; set JWST_FUSION_TEST_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def stpsf_path(data_dir):
    """Data folder of STPSF within the test data."""
    folder = data_dir / "stpsf-data"
    if not (folder / "version.txt").is_file():
        pytest.skip(f"no data of STPSF in {folder}")
    return folder


@pytest.fixture(scope="module")
def quiet_logs():
    """
    Drop log records below warnings while the tests of a module run.

    Captured records keep what they mention, here exposures of several 100 MB, until the test ends.
    """
    logging.disable(logging.INFO)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def interruptible():
    """SIGINT as Python has it, which a shell that runs things in the background turns off."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def offline_crds(tmp_path_factory):
    """CRDS settings under which jwst asks no server; gives the variables."""
    from jwst_fusion.simulation import crds_offline

    with crds_offline(tmp_path_factory.mktemp("crds")) as variables:
        yield variables


@pytest.fixture(autouse=True, scope="session")
def private_cache(tmp_path_factory):
    """Keep the tests out of the user's PSF cache, and let the workers of a run share one."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder = base / "psf_cache_of_tests"
    folder.mkdir(exist_ok=True)
    before = os.environ.get("JWST_FUSION_CACHE")
    os.environ["JWST_FUSION_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["JWST_FUSION_CACHE"]
    else:
        os.environ["JWST_FUSION_CACHE"] = before
