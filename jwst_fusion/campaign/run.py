"""Run a campaign: every target once, those that are finished not again, failures at the end."""

import logging
import time
import uuid
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from jwst_fusion.campaign.machine import choose_workers, machine_memory
from jwst_fusion.campaign.need import estimate_memory
from jwst_fusion.campaign.page import write_campaign_page
from jwst_fusion.campaign.progress import Progress
from jwst_fusion.campaign.task import Task, own_version, run_task

__all__ = ["RETRIES", "estimate_all", "run_campaign"]

log = logging.getLogger(__name__)

#: Times that the task of a worker that died is done again.
RETRIES = 2
# s between two states of the page, and at least so many times what writing it takes.
_PAGES, _SHARE = 10.0, 20.0


def estimate_all(targets, step):
    """
    Estimate the memory of each target.

    Parameters
    ----------
    targets : sequence of `~jwst_fusion.campaign.targets.Target`
        The targets.
    step : `~stpipe.Step`
        Step with its parameters.

    Returns
    -------
    dict of str to float
        GB by the name of the target.
    """
    return {target.name: estimate_memory(target, step) for target in targets}


def run_campaign(
    targets,
    work,
    needs,
    output,
    *,
    scheduler=None,
    workers=None,
    retries=RETRIES,
    repeat=False,
    bar=None,
):
    """
    Do the same work for every target.

    Parameters
    ----------
    targets : sequence of `~jwst_fusion.campaign.targets.Target`
        The targets; no two of one name.
    work : `~jwst_fusion.campaign.work.Work`
        Step and parameters.
    needs : dict of str to float
        Memory of each, as `estimate_all` gives it.
    output : str or path
        Folder in which each target gets one of its own.
    scheduler : str, optional
        Address of a Dask scheduler; by default workers are started on this machine.
    workers : int, optional
        Number of them, by default as many as cores and memory allow.
    retries : int, optional
        Times that the task of a worker that died is done again.
    repeat : bool, optional
        Whether finished targets are done again.
    bar : bool, optional
        Whether to draw a bar, by default at a terminal.

    Returns
    -------
    list of `~jwst_fusion.campaign.outcome.Outcome`
        In the order of the targets.

    Raises
    ------
    ConnectionError
        If no scheduler answers, or it is gone.
    ImportError
        If a scheduler or workers are given without the packages that they need.
    OSError
        If the folder cannot be written.
    ValueError
        If a target does not fit into the memory of any worker, or workers are not usable.
    """
    output = Path(output).resolve()
    if scheduler is not None and workers is not None:
        msg = "--workers is for this machine: a --scheduler has its own workers"
        raise ValueError(msg)
    # What is missing or does not fit is found before the folder is made.
    context = _crew(scheduler, workers, needs, retries, len(targets))
    with _marked(output) as marker, context as crew:
        number = crew.prepare(str(marker), str(output), needs)
        if crew.dashboard:
            log.info("Dashboard: %s", crew.dashboard)
        log.info("%d targets, %d at a time; page: %s", len(targets), number, output)
        tasks = [
            Task(
                target,
                work,
                str(output),
                str(marker),
                own_version(),
                estimate=needs[target.name],
                repeat=repeat,
            )
            for target in targets
        ]
        return _do_all(tasks, crew, Progress(len(tasks), number, bar=bar))


def _do_all(tasks, crew, progress):
    """Do the tasks; those that another campaign is at are waited for at the end."""
    names = [task.target.name for task in tasks]
    output, outcomes = tasks[0].output, {}
    due = cost = 0.0

    def show(*, at_once=False):
        nonlocal due, cost
        now = time.monotonic()
        if at_once or now >= due:
            write_campaign_page(output, names, outcomes=outcomes, running=progress.running)
            cost = time.monotonic() - now
            due = now + max(_PAGES, _SHARE * cost)

    try:
        show()
        for waited in (False, True):
            left = [
                replace(task, wait=waited) for task in tasks if task.target.name not in outcomes
            ]
            for outcome in crew.outcomes(left, progress) if left else ():
                if outcome is None:
                    progress.tick()
                elif outcome.status == "busy":
                    progress.running.discard(outcome.name)
                    log.info(
                        "%s: another campaign works on it; it is looked at later", outcome.name
                    )
                else:
                    outcomes[outcome.name] = outcome
                    progress.end(outcome)
                show()
    finally:
        progress.running.clear()
        show(at_once=True)
        progress.close()
    return [outcomes[name] for name in names]


class _Alone:
    """The process itself, which does one task after another."""

    dashboard = ""

    def prepare(self, marker, output, needs):
        memory = machine_memory()
        for name, need in sorted(needs.items(), key=lambda item: -item[1]):
            if need > memory:
                msg = (
                    f"{name} needs about {need:.1f} GB of memory, this machine has {memory:.1f} "
                    "GB: choose a smaller field, or a larger machine"
                )
                raise ValueError(msg)
        return 1

    def outcomes(self, tasks, progress):
        for task in tasks:
            yield run_task(task, started=lambda name=task.target.name: progress.begin(name))


def _crew(scheduler, workers, needs, retries, total):
    """Context of who does the tasks."""
    missing = [name for name in ("dask", "distributed") if find_spec(name) is None]
    if missing:
        if scheduler is not None or (workers or 1) > 1:
            option = "--scheduler" if scheduler is not None else "--workers"
            msg = (
                f"{option} needs {' and '.join(missing)}: pip install 'jwst_fusion[distributed]'; "
                "without it targets are done one after another"
            )
            raise ImportError(msg)
        log.warning(
            "One target after another, because dask is not installed: "
            "pip install 'jwst_fusion[distributed]'"
        )
        return nullcontext(_Alone())
    from jwst_fusion.campaign.crew import local_crew, remote_crew

    if scheduler is not None:
        return remote_crew(scheduler, retries=retries)
    number, memory = choose_workers(list(needs.values()), workers)
    _check_room(needs, number, memory)
    return local_crew(min(number, max(total, 1)), memory, retries=retries)


def _check_room(needs, workers, memory):
    """Refuse what cannot fit before workers are started."""
    for name, need in sorted(needs.items(), key=lambda item: -item[1]):
        if need > memory:
            fewer = ": take fewer --workers, or" if workers > 1 else ": take a larger machine, or"
            msg = (
                f"{name} needs about {need:.1f} GB of memory, each of {workers} workers has "
                f"{memory:.1f} GB{fewer} a smaller field"
            )
            raise ValueError(msg)


@contextmanager
def _marked(output):
    """Folder of the campaign with a file by which workers know that they see the same folder."""
    marker = output / f".campaign-{uuid.uuid4().hex}"
    try:
        output.mkdir(parents=True, exist_ok=True)
        marker.touch()
    except OSError as error:
        msg = f"--output {output} cannot be written ({error.strerror}): choose another folder"
        raise type(error)(msg) from error
    try:
        yield marker
    finally:
        marker.unlink(missing_ok=True)
