"""What is done for one target, in whatever process: run the step, judge its products, record it."""

import logging
import os
import platform
import time
import traceback
import warnings
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path

from threadpoolctl import threadpool_limits

from jwst_fusion.campaign.lock import BusyError, locked
from jwst_fusion.campaign.outcome import Outcome, read_outcome, write_outcome
from jwst_fusion.campaign.targets import Target
from jwst_fusion.campaign.work import Work
from jwst_fusion.messages import collected_warnings
from jwst_fusion.steps.by_name import run_by_name
from jwst_fusion.steps.resume import Record, fingerprint

__all__ = ["Task", "own_version", "run_task"]

log = logging.getLogger(__name__)

_RECORD = "{}_campaign.json"
_LOG = "{}_log.txt"
_STAGE = "campaign"
# What else products depend on, as `fusion_pipeline` counts it.
_ENVIRONMENT = ("STPSF_PATH", "CRDS_CONTEXT")
# Words before the reason in what steps log when they give up.
_GIVEN_UP = ("step failed: ", "step skipped: ")
_LONGEST = 500  # characters of a reason


@dataclass(frozen=True)
class Task:
    """
    One target and what is to be done with it; nothing else is needed where it runs.

    Attributes
    ----------
    target : `~jwst_fusion.campaign.targets.Target`
        The target.
    work : `~jwst_fusion.campaign.work.Work`
        Step and parameters.
    output : str
        Folder of the campaign, absolute.
    marker : str
        File in that folder that every process of the campaign must see.
    version : str
        Version of this package where the campaign was started.
    estimate : float
        Memory that it needs, GB.
    repeat : bool
        Whether it is done again if it is finished.
    wait : bool
        Whether to wait while another campaign works on the target.
    """

    target: Target
    work: Work
    output: str
    marker: str
    version: str
    estimate: float = 0.0
    repeat: bool = False
    wait: bool = False

    @property
    def folder(self):
        """Folder of the target."""
        return Path(self.output) / self.target.name


@cache
def own_version():
    """
    Return the version of this package.

    Returns
    -------
    str
        As it is installed.
    """
    return version("jwst_fusion")


def run_task(task, started=None):
    """
    Do what is to be done for one target, unless it is finished.

    Parameters
    ----------
    task : Task
        Target and work.
    started : callable, optional
        Called without arguments when the step is about to run.

    Returns
    -------
    `~jwst_fusion.campaign.outcome.Outcome`
        What became of it; errors are its reason.
    """
    begun = time.perf_counter()
    outcome = Outcome(
        task.target.name,
        "failed",
        step=task.work.step,
        estimate=task.estimate,
        host=platform.node(),
    )
    trouble = _unfit(task)
    if trouble:
        return replace(outcome, reason=trouble)
    try:
        task.folder.mkdir(parents=True, exist_ok=True)
        with locked(task.folder, wait=task.wait):
            key = _key(task)
            outcome = _finished(task, key) or _run(task, key, outcome, started, begun)
    except BusyError:
        return replace(outcome, status="busy", reason="another campaign works on it")
    except OSError as error:  # the folder cannot be written, or the disk is full
        return replace(outcome, status="failed", reason=_line(error))
    return outcome


def _unfit(task):
    """Say why this process cannot do the task; empty if it can."""
    here = own_version()
    if here != task.version:
        return (
            f"the worker on {platform.node()} has jwst_fusion {here}, not {task.version}: install "
            "the same version there"
        )
    if not Path(task.marker).exists():
        return (
            f"the worker on {platform.node()} does not see {task.output}: choose an --output that "
            "all workers share"
        )
    return ""


def _record(task):
    return Record(task.folder / _RECORD.format(task.target.name), use=not task.repeat)


def _key(task):
    """What identifies the products; None if a member cannot be read, as running will say."""
    target = task.target
    if any(not Path(path).is_file() for path, _ in target.members):
        return None
    extra = {
        "target": target.name,
        "roles": [role for _, role in target.members],
        "work": task.work.content(),
        "environment": {name: os.environ.get(name) for name in _ENVIRONMENT},
    }
    return fingerprint([], [path for path, _ in target.members], extra=extra)


def _finished(task, key):
    """Outcome of an earlier campaign, if it is still valid."""
    found = None if key is None else _record(task).find(_STAGE, key)
    outcome = None if found is None else read_outcome(task.folder, task.target.name)
    if outcome is None or outcome.status != "done":
        return None
    return replace(outcome, reused=True)


def _run(task, key, outcome, started, begun):
    if started is not None:
        started()
    name = task.target.name
    before = _files(task.folder)
    try:
        for path, role in task.target.members:
            if role != "background" and not Path(path).is_file():
                msg = f"{path} does not exist"
                raise FileNotFoundError(msg)
        with collected_warnings() as messages:
            _run_step(task)
        after = _files(task.folder)
        made = [path for path, state in after.items() if before.get(path) != state]
        kinds, failed = _judge(made)
        if not kinds and not failed:  # the pipeline has used its products of an earlier run again
            kinds, failed = _judge(list(after))
        made = made or list(after)
        if failed:
            outcome.reason = _given_up(messages) or f"status {failed} of the step"
        else:
            outcome.status = "done"
            outcome.products = sorted(path.name for path in kinds or made)
            _report(task, outcome, kinds)
    # Whatever a step raises is the reason why this target failed; the others go on.
    except Exception as error:
        outcome.reason = _line(error)
        _append(task, traceback.format_exc())
    outcome.seconds = time.perf_counter() - begun
    outcome.peak = _peak()
    outcome.ended = datetime.now(UTC).isoformat(timespec="seconds")
    if outcome.status == "done":
        # In this order: what is recorded as finished has an outcome.
        write_outcome(task.folder, outcome)
        products = [str(task.folder / product) for product in outcome.products]
        if key is not None:
            _record(task).add(_STAGE, key, products)
    else:
        write_outcome(task.folder, outcome)
    log.debug("%s: %s", name, outcome.status)
    return outcome


def _run_step(task):
    """Run the step; all that is said goes to the log of the target."""
    words = [task.target.file, f"--output_dir={task.folder}", *task.work.words]
    log_file = task.folder / _LOG.format(task.target.name)
    with threadpool_limits(1), warnings.catch_warnings():
        # Products have to be the same whatever is imported first in this process.
        warnings.simplefilter("default")
        run_by_name(task.work.step, words, log_file)


def _append(task, text):
    with (task.folder / _LOG.format(task.target.name)).open("a", encoding="utf-8") as stream:
        stream.write(text)


def _files(folder):
    """Products in a folder, with what changes if they are written again."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            if not path.name.endswith((".html", ".txt", "_campaign.json", "_outcome.json")):
                state = path.stat()
                found[path] = (state.st_size, state.st_mtime_ns, state.st_ino)
    return found


def _judge(paths):
    """Files that the steps of this package have made, by kind, and the status of failed ones."""
    from jwst_fusion.campaign.reporting import product_kind

    found = {path: product_kind(path) for path in paths if path.suffix == ".fits"}
    kinds = {path: kind for path, kind in found.items() if kind[0] not in ("", "trace")}
    kinds = kinds or {path: kind for path, kind in found.items() if kind[0]}
    complete = {path: kind for path, (kind, status) in kinds.items() if status == "COMPLETE"}
    states = sorted({status for _, status in kinds.values()})
    return complete, "" if complete or not states else states[0]


def _given_up(messages):
    """Reason that a step has logged when it gave up."""
    for message in reversed(messages):
        for words in _GIVEN_UP:
            if words in message.text:
                return _line(message.text.partition(words)[2])
    return ""


def _report(task, outcome, kinds):
    """Write reports on the products; a product without one is still a product."""
    from jwst_fusion.campaign.reporting import LEVELS, report_on

    inputs = [Path(path) for path, _ in task.target.members]
    for path, kind in sorted(kinds.items()):
        try:
            outcome.reports.append(report_on(path, kind, inputs))
        except ValueError as error:
            outcome.note = _line(error)
    outcome.reports.sort(key=lambda one: LEVELS.index(one["level"]))


def _line(error):
    """One line of what an error says."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"


def _peak():
    """Memory [GB] that this process has taken at most; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e9 if platform.system() == "Darwin" else 1e6)
