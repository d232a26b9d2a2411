"""Steps that run in a process change nothing of it for others."""

import builtins
import gc
import logging
import os
import random
import sys
import threading
import warnings
from pathlib import Path

import asdf
import matplotlib as mpl
import numpy as np
import pytest
import requests
import threadpoolctl
from jwst.datamodels import ModelContainer
from jwst.outlier_detection import ifu
from s3d_pairs import make_s3d_pair
from small_inputs import CASES
from stdatamodels.jwst import datamodels

from jwst_fusion.simulation.cubes import simulate_s3d
from jwst_fusion.simulation.exposures import builtin_exposure
from jwst_fusion.simulation.observation import simulate_images
from jwst_fusion.simulation.scenes import single_star
from jwst_fusion.step import AdaptiveTraceModelStep, FusionStep, HifredStep
from jwst_fusion.steps.outliers import FrugalOutlierStep

pytestmark = pytest.mark.usefixtures("offline_crds")


@pytest.fixture(autouse=True)
def no_garbage_sought(monkeypatch):
    """Each step of stpipe looks for garbage before it runs: half a second beside a large WCS."""
    monkeypatch.setattr("stpipe.step.gc.collect", lambda: None)


def _logger(name):
    logger = logging.getLogger(name)
    parent = None if logger.parent is None else logger.parent.name
    kept = (logger.level, logger.propagate, logger.disabled, parent)
    return (*kept, logger.handlers[:], logger.filters[:])


def state():
    """What belongs to all in a process."""
    return {
        **{f"logger {n}": _logger(n) for n in ("", "jwst", "stpipe", "jwst_fusion", "pysiaf")},
        "logging": (logging.root.manager.disable, logging.getLoggerClass()),
        "warnings": (warnings.filters[:], warnings.showwarning, warnings.defaultaction),
        "environment": dict(os.environ),
        "folder": Path.cwd(),
        "numpy": (np.geterr(), np.get_printoptions()),
        "random numbers": (random.getstate(), [str(one) for one in np.random.get_state()]),  # noqa: NPY002
        # looked up in this way it is not chosen, if it has not been yet
        "matplotlib": str(dict.__getitem__(mpl.rcParams, "backend")),
        "streams": (sys.stdout, sys.stderr, sys.stdin),
        "import": (builtins.__import__, sys.path[:]),
        "hooks": (sys.excepthook, threading.excepthook, sys.getswitchinterval()),
        "garbage": (gc.isenabled(), gc.get_threshold()),
        "asdf": asdf.get_config().validate_on_read,
        "functions of others": (requests.get, ifu.medfilt),
        "BLAS": [one["num_threads"] for one in threadpoolctl.threadpool_info()],
    }


def open_files():
    """Files of this process, without pipes and devices."""
    names = []
    for one in Path("/proc/self/fd").iterdir():
        try:
            names.append(os.readlink(one))
        except OSError:  # that of the listing itself
            continue
    # Matplotlib keeps its fonts open, once for all.
    return sorted(n for n in names if n[:1] == "/" and n[:4] != "/dev" and not n.endswith(".ttf"))


def trace_model(folder):
    model = builtin_exposure(ra=83.8, dec=-5.4, roll=30.0)
    model.regions = np.where(model.regions == 12, 12, 0)
    rows, _ = np.nonzero(model.regions)
    y = np.arange(model.data.shape[0])[:, None] - rows.mean()
    data = 2 + 300 * np.exp(-0.5 * (y / 0.7) ** 2) * np.ones(model.data.shape[1])
    model.data = np.where(model.regions == 12, data, np.nan).astype("f4")
    model.err = np.full(data.shape, 0.4, "f4")
    model.dq = np.zeros(data.shape, "u4")
    model.meta.filename = "star_cal.fits"
    step = AdaptiveTraceModelStep(oversample=1.0, maximum_cores="2", **saved(folder, report=False))
    return [step.run(model)], "adaptive_trace_model"


def fusion(folder):
    wave = np.arange(1.69, 1.98, 0.03)
    cube = simulate_s3d(single_star(), wave, shape=(11, 12), grating="G140H", filter_name="F100LP")
    cube.save(str(folder / "a_s3d.fits"))
    images = simulate_images(folder, single_star(), filters=("F182M",))
    parameters = {"psf_source": "aperture", "psf_size": 1.0, "margin": 0.3, "min_coverage": 0.5}
    parameters |= {"tuning": "manual", "mu": [1e-3], "gamma": 1.0, "rank": "2", "crosscal": "off"}
    step = FusionStep(**parameters, **saved(folder, report=False))
    return [step.run([str(folder / "a_s3d.fits"), *map(str, images)])], "fusion"


def hifred(folder):
    _, _, models = make_s3d_pair(seed=1, shape=(12, 9), channels=12)
    for model, name in zip(models, ("sharp", "fine"), strict=True):
        model.meta.filename = f"{name}_s3d.fits"
    step = HifredStep(psf_fwhm=0.18, rank="2", mu="0.02", errors=False, **saved(folder))
    return [step.run(list(models))], "hifred"


def outliers(folder):
    models = []
    for number in (1, 2):
        model = datamodels.IFUImageModel(np.full((20, 30), 3.0 + number, "f4"))
        model.dq = np.zeros(model.data.shape, "u4")
        model.err = np.ones(model.data.shape, "f4")
        model.meta.filename = f"{number}_cal.fits"
        model.meta.instrument.name, model.meta.instrument.detector = "NIRSPEC", "NRS1"
        model.meta.exposure.type = "NRS_IFU"
        models.append(model)
    step = FrugalOutlierStep(output_dir=str(folder))
    return list(step.run(ModelContainer(models))), "outlier_detection"


def saved(folder, *, report=True):
    return {"output_dir": str(folder), "save_results": True, "save_report": report}


RUNS = [pytest.param(trace_model, marks=pytest.mark.slow), fusion, hifred, outliers]


# jwst divides by medians that are no numbers
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("run", RUNS)
def test_the_process_is_what_it_was(run, tmp_path):
    before, threads, files = state(), set(threading.enumerate()), open_files()
    models, alias = run(tmp_path)
    after = state()
    assert {getattr(one.meta.cal_step, alias) for one in models} == {"COMPLETE"}
    for name, value in before.items():
        assert after[name] == value, name
    assert set(threading.enumerate()) <= threads
    for one in models:
        one.close()
    assert open_files() == files


def test_steps_that_fail_leave_it_as_it_was(tmp_path):
    before, files = state(), open_files()
    (tmp_path / "a_s3d.fits").write_bytes(b"SIMPLE  =")
    for step in (FusionStep, HifredStep, AdaptiveTraceModelStep):
        with pytest.raises((ValueError, TypeError)):
            step(**saved(tmp_path)).run(str(tmp_path / "a_s3d.fits"))
    for name, value in state().items():
        assert before[name] == value, name
    assert open_files() == files


def test_twenty_calls_leave_it_as_it_was(tmp_path):
    made = []
    for name in ("counts", "trace"):
        folder = tmp_path / name
        folder.mkdir()
        made.append(CASES[name](folder))
    before = None
    for number in range(20):
        case = made[number % 2]
        output = tmp_path / f"out{number}"
        output.mkdir()
        product, _ = case.run(case.folder, output)
        product.close()
        if number == 1:  # what is imported and cached when it is first needed stays
            before, threads, files = state(), set(threading.enumerate()), open_files()
    for name, value in state().items():
        assert before[name] == value, name
    assert set(threading.enumerate()) <= threads
    assert open_files() == files
