"""Run cases one after the other, each in a folder of its own, and note what became of them."""

import contextlib
import importlib
import json
import logging
import os
import shutil
import sys
import time
import traceback
import warnings

import numpy as np

__all__ = ["SkippedError", "run_cases"]

#: Settings that change what is computed; those of the user must not.
_UNSET = ("STPSF_PATH", "JWST_FUSION_CACHE")


class SkippedError(Exception):
    """Something that a case needs is not there."""


#: Imported before a case starts, so that no case waits for it.
_HEAVY = (
    "crds",
    "gwcs",
    "jwst.associations",
    "jwst.pipeline",
    "jwst.stpipe",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "poppy",
    "scipy.ndimage",
    "scipy.optimize",
    "scipy.sparse.linalg",
    "skimage.metrics",
    "stdatamodels.jwst.datamodels",
)
_LOGGERS = ("stpipe", "jwst_fusion")


class _Messages(logging.Handler):
    """Messages of this package, without names of modules and times."""

    def __init__(self, path):
        super().__init__(logging.INFO)
        self._file = path.open("w", encoding="utf-8")

    def emit(self, record):
        # One record may come by way of two loggers.
        if "jwst_fusion" in record.name and not hasattr(record, "in_messages"):
            record.in_messages = True
            self._file.write(f"{record.levelname}: {record.getMessage()}\n")

    def close(self):
        self._file.close()
        super().close()


def _run(case, folder, root):
    """Run a case with a folder, environment, seed and log of its own, in a process of its own."""
    work = root / ".work" / folder.name
    for name in _UNSET:
        os.environ.pop(name, None)
    # Every case has a cache of its own: none depends on those before it.
    os.environ["JWST_FUSION_CACHE"] = str(work / "cache")
    os.environ["HOME"] = str(work)
    os.environ["MPLBACKEND"] = "Agg"
    (work / "cache").mkdir(parents=True, exist_ok=True)
    handler = _Messages(folder / "messages.log")
    for name in _LOGGERS:
        logging.getLogger(name).addHandler(handler)
        logging.getLogger(name).setLevel(logging.INFO)
    np.random.seed(1)  # noqa: NPY002
    os.chdir(folder)
    with (
        (folder / "printed.txt").open("w", encoding="utf-8") as printed,
        (work / "errors.txt").open("w", encoding="utf-8") as errors,
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(errors),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        try:
            case(folder)
            found = ("made", "")
        except SkippedError as error:
            found = ("skipped", str(error))
        except (Exception, SystemExit) as error:
            found = ("failed", f"{type(error).__name__}: {error}")
            (work / "traceback.txt").write_text(traceback.format_exc())
    handler.close()
    (work / "state.json").write_text(json.dumps(found))


def _in_child(case, folder, root):
    """Run a case in a copy of this process, which knows of no case before it; its state."""
    work = root / ".work" / folder.name
    if work.exists():
        shutil.rmtree(work)
    work.mkdir(parents=True)
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            _run(case, folder, root)
        finally:
            os._exit(0)
    status = os.waitpid(child, 0)[1]
    state = work / "state.json"
    if not state.is_file():
        return "failed", f"the process ended with status {status}"
    return json.loads(state.read_text())


def run_cases(root, cases, names):
    """
    Run cases.

    Parameters
    ----------
    root : pathlib.Path
        Folder whose subfolders take their products; it is made if absent.
    cases : dict of str to callable
        Functions of their folder, in order; later ones may use products of earlier ones.
    names : sequence of str
        Those to be run.

    Returns
    -------
    int
        Number of cases that failed.
    """
    from jwst_fusion.simulation import crds_environment

    # What CRDS has read it keeps.
    root.mkdir(parents=True, exist_ok=True)
    os.environ.update(crds_environment(root / ".work" / "crds"))
    _import_all()
    states = root / "cases.json"
    known = json.loads(states.read_text()) if states.is_file() else {}
    failed, total = 0, 0.0
    for name in (name for name in cases if name in names):
        folder = root / name
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir()
        start, cpu = time.perf_counter(), _cpu()
        state, reason = _in_child(cases[name], folder, root)
        failed += state == "failed"
        files = sum(1 for path in folder.rglob("*") if path.is_file())
        seconds, used = time.perf_counter() - start, _cpu() - cpu
        total += used
        line = f"{name:28s}{state:9s}{files:4d} files {seconds:7.1f} s, {used:7.1f} s of CPU"
        print(line, " ".join(reason.split())[:300], flush=True)
        known[name] = {"state": state, "reason": reason, "seconds": seconds, "cpu": used}
        states.write_text(json.dumps(known, indent=1))
    print(f"{len(names)} cases, {failed} failed, {total:.0f} s of CPU")
    return failed


def _import_all():
    """Import what cases need, without doing anything with it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in _HEAVY:
            importlib.import_module(name)
        from jwst_fusion import step

        for name in dir(step):
            getattr(step, name)


def _cpu():
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
