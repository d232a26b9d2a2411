"""Workers of a Dask cluster that do the tasks of a campaign, and what they are told beforehand."""

import importlib.metadata
import logging
import os
import queue
import signal
import threading
import time
import uuid
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from multiprocessing import resource_tracker

import dask
from distributed import Client, KilledWorker, LocalCluster, WorkerPlugin, get_worker
from distributed.system import MEMORY_LIMIT

from jwst_fusion.campaign.outcome import Outcome
from jwst_fusion.campaign.task import own_version, run_task

__all__ = ["Crew", "local_crew", "remote_crew"]

log = logging.getLogger(__name__)

# Resources that workers have and tasks take: one task at a time, and memory in GB.
_PLACE, _MEMORY = "jwst_fusion_task", "jwst_fusion_memory"
_TICK = 1.0  # s between two signs of life
_CONNECT = 10.0  # s that a scheduler has to answer
_LOST = 60.0  # s without a scheduler after which the campaign ends
# s that a task may wait for the worker that it was given to while another one is idle: Dask does
# not look again at tasks for which no worker had room, nor at those given to a busy one.
_STILL = 3.0
_SHORT, _RECENT = 60.0, 20  # s: mean of so many tasks below which each worker gets one in advance
# Times that a task is given out again whose worker died, as Dask says, without having begun it:
# Dask counts the deaths of workers at which a task only waited as well.
_MOVES = 20
_CLOSE = 10.0  # s that workers have to end by themselves
# Of workers on this machine. Dask would stop giving tasks to a worker whose process has not
# returned the memory of its last task to the system; what does not fit is not given out anyway.
_SETTINGS = {
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    # Steps may start processes of their own (maximum_cores).
    "distributed.worker.daemon": False,
    "distributed.worker.multiprocessing-method": "spawn",
    "distributed.nanny.pre-spawn-environ": {
        "OMP_NUM_THREADS": 1,
        "MKL_NUM_THREADS": 1,
        "OPENBLAS_NUM_THREADS": 1,
        "MALLOC_TRIM_THRESHOLD_": 65536,
    },
    # A long step that holds the interpreter is not a reason to give a worker up.
    "distributed.scheduler.worker-ttl": None,
}


class _Equipment(WorkerPlugin):
    """Tells each worker, those that come later too, what it has room for."""

    name = "jwst_fusion"

    async def setup(self, worker):
        if _PLACE not in worker.state.total_resources:
            limit = worker.memory_manager.memory_limit or MEMORY_LIMIT
            await worker.set_resources(**{_PLACE: 1, _MEMORY: limit / 1e9})
        if threading.current_thread() is threading.main_thread():
            # An interrupt at a terminal goes to all processes; the campaign ends the workers.
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def _room(dask_worker):
    return dask_worker.state.total_resources.get(_MEMORY, 0.0)


def _do(task, topic):
    worker = get_worker()
    said = {"name": task.target.name, "worker": worker.address}
    return asdict(run_task(task, started=lambda: worker.log_event(topic, said)))


@contextmanager
def local_crew(workers, memory, *, retries):
    """
    Start workers on this machine, each a process with one thread.

    Parameters
    ----------
    workers : int
        Their number.
    memory : float
        GB for each: one that takes more is ended and its task begun again.
    retries : int
        Times that the task of a worker that died is done again.

    Yields
    ------
    Crew
        The workers, which end with the context.
    """
    _start_quiet_tracker()
    messages = logging.getLogger("distributed.batched")
    settings = {**_SETTINGS, "distributed.scheduler.allowed-failures": retries}
    with dask.config.set(settings), _interrupts_ignored_by_children():
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            memory_limit=int(memory * 1e9),
            resources={_PLACE: 1, _MEMORY: memory},
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        )
    try:
        client = Client(cluster, set_as_default=False)
        try:
            yield Crew(client, retries=retries)
        finally:
            _close(client)
    except BaseException:
        # That messages to workers fail whose end is wanted is no news, with a traceback each.
        messages.disabled = True
        # Products are written whole: there is no need to wait for what is being done.
        for process in filter(None, map(_pid, cluster.workers.values())):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        raise
    finally:
        cluster.close(timeout=_CLOSE)
        messages.disabled = False


@contextmanager
def remote_crew(address, *, retries):
    """
    Use the workers of a scheduler that runs already.

    Parameters
    ----------
    address : str
        Such as ``tcp://host:8786``, or a scheduler file (JSON).
    retries : int
        As for `local_crew`.

    Yields
    ------
    Crew
        The workers.

    Raises
    ------
    ConnectionError
        If no scheduler answers.
    """
    given = {"scheduler_file": address} if address.endswith(".json") else {"address": address}
    try:
        client = Client(**given, timeout=_CONNECT, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        msg = (
            f"no scheduler answers at {address} (--scheduler): start one with dask scheduler, or "
            f"leave --scheduler out to use this machine ({type(error).__name__})"
        )
        raise ConnectionError(msg) from error
    try:
        yield Crew(client, retries=retries)
    finally:
        _close(client)


@dataclass
class _Flight:
    """An attempt at a task: its number, what will come of it, since when, and where it runs."""

    task: object
    number: int
    future: object
    since: float
    worker: str | None = None


class Crew:
    """
    Workers, and the tasks that they do.

    Parameters
    ----------
    client : `~distributed.Client`
        Connection to their scheduler.
    retries : int
        Times that the task of a worker that died is done again.
    """

    def __init__(self, client, *, retries):
        self._client = client
        self._retries = retries
        self._topic = f"jwst_fusion-{uuid.uuid4().hex}"
        self._ended = queue.SimpleQueue()
        self._begun = queue.SimpleQueue()
        self._starts, self._killed = {}, {}
        self._seconds = deque(maxlen=_RECENT)

    @property
    def dashboard(self):
        """Address of the dashboard; empty without one."""
        return (self._client.dashboard_link or "") if _has_dashboard() else ""

    def prepare(self, marker, output, needs):
        """
        Wait for a worker, and look whether those that are there can do the tasks.

        Parameters
        ----------
        marker : str
            File that every worker must see.
        output : str
            Folder of the campaign, for messages.
        needs : dict of str to float
            Memory of each target, GB.

        Returns
        -------
        int
            Number of workers.

        Raises
        ------
        ValueError
            If a worker has another version of this package, does not see the folder, or none has
            room for a target.
        """
        client = self._client
        if not client.run(os.getpid):
            log.info("Waiting for the first worker of %s", client.scheduler.address)
            client.wait_for_workers(1)
        # Functions of the standard library, which workers have in any case.
        found = client.run(importlib.metadata.version, "jwst_fusion", on_error="return")
        for address, version in found.items():
            if version != own_version():
                what = version if isinstance(version, str) else "no"
                msg = (
                    f"the worker {address} has {'' if what == 'no' else 'version '}{what} "
                    f"jwst_fusion, this is {own_version()}: install the same version there"
                )
                raise ValueError(msg)
        for address, sees in client.run(os.path.exists, marker).items():
            if not sees:
                msg = (
                    f"the worker {address} does not see {output}: choose an --output that all "
                    "workers share"
                )
                raise ValueError(msg)
        client.register_plugin(_Equipment())
        rooms = client.run(_room)
        largest = max(rooms.values())
        for name, need in sorted(needs.items(), key=lambda item: -item[1]):
            if need > largest:
                msg = (
                    f"{name} needs about {need:.1f} GB of memory, the largest worker has "
                    f"{largest:.1f} GB: take fewer --workers, larger ones, or a smaller field"
                )
                raise ValueError(msg)
        client.subscribe_topic(self._topic, lambda event: self._begun.put(event[1]))
        return len(rooms)

    def outcomes(self, tasks, progress):
        """
        Do tasks, the largest first.

        Parameters
        ----------
        tasks : sequence of `~jwst_fusion.campaign.task.Task`
            The tasks.
        progress : `~jwst_fusion.campaign.progress.Progress`
            Is told what begins.

        Yields
        ------
        `~jwst_fusion.campaign.outcome.Outcome` or None
            What became of each, in the order in which they end; None now and then in between.

        Raises
        ------
        ConnectionError
            If the scheduler is gone.
        """
        left = sorted(tasks, key=lambda one: -one.estimate)[::-1]
        flights, workers, looked, silent = {}, self._workers(), time.monotonic(), time.monotonic()
        while left or flights:
            # As many as there are workers: Dask binds a task with resources to one worker at once,
            # and workers that come later would find nothing to do.
            room = max(len(workers), 1) * (2 if self._are_short() else 1)
            while left and len(flights) < room:
                task = left.pop()
                flights[task.target.name] = self._submit(task, 0)
            ended = self._next_end()
            self._note_begun(flights, progress)
            if ended in [(name, flight.number) for name, flight in flights.items()]:
                name = ended[0]
                outcome = self._outcome(flights[name])
                if outcome is None:
                    progress.again(name)
                    flights[name] = self._submit(flights[name].task, flights[name].number + 1)
                    self._killed[name] = self._killed.get(name, 0) + 1
                else:
                    del flights[name]
                    self._seconds.append(0.0 if outcome.reused else outcome.seconds)
                    yield outcome
            now = time.monotonic()
            if now - looked < _TICK:
                continue
            looked = now
            if self._client.status == "running":
                silent, workers = now, self._workers()
            elif now - silent > _LOST:
                _lost()
            yield from self._look_after(flights, workers, progress)
            yield None

    def _are_short(self):
        """Whether tasks are so short that the next one should be at hand where one ends."""
        return bool(self._seconds) and sum(self._seconds) / len(self._seconds) < _SHORT

    def _workers(self):
        return set(self._client.nthreads())

    def _next_end(self):
        """Name and number of an attempt that has ended; None if there is none for a while."""
        try:
            return self._ended.get(timeout=_TICK)
        except queue.Empty:
            return None

    def _note_begun(self, flights, progress):
        while not self._begun.empty():
            begun = self._begun.get()
            name = begun["name"]
            if name in flights:
                self._starts[name] = self._starts.get(name, 0) + 1
                flights[name].worker = begun["worker"]
                progress.begin(name)

    def _look_after(self, flights, workers, progress):
        """Find tasks whose worker is gone, and those that wait where they need not."""
        now = time.monotonic()
        for name, flight in list(flights.items()):
            if flight.future.done():
                continue
            if flight.worker is not None and flight.worker not in workers:
                progress.again(name)
                flight.worker, flight.since = None, now
                if self._starts.get(name, 0) > self._retries:
                    del flights[name]
                    flight.future.cancel()
                    yield self._given_up(flight.task)
        idle = len(workers) - sum(one.worker is not None for one in flights.values())
        for name, flight in list(flights.items()):
            still = flight.worker is None and not flight.future.done()
            if still and idle > 0 and now - flight.since > _STILL:
                flights[name] = self._submit(flight.task, flight.number + 1)
                flight.future.cancel()

    def _submit(self, task, number):
        name = task.target.name
        future = self._client.submit(
            _do,
            task,
            self._topic,
            key=f"{name}-{number}-{uuid.uuid4().hex}",
            resources={_PLACE: 1, _MEMORY: task.estimate},
            pure=False,
        )
        future.add_done_callback(lambda _: self._ended.put((name, number)))
        return _Flight(task, number, future, time.monotonic())

    def _outcome(self, flight):
        """What became of a task; None if it has to be done again."""
        task, future = flight.task, flight.future
        if future.status == "finished":
            return Outcome(**future.result())
        if future.status in ("cancelled", "lost"):
            _lost()
        error = future.exception()
        if isinstance(error, KilledWorker):
            name = task.target.name
            if self._starts.get(name, 0) <= self._retries and self._killed.get(name, 0) < _MOVES:
                return None
            return self._given_up(task)
        text = " ".join(str(error).split())
        return _failed(task, f"{type(error).__name__}: {text}")

    def _given_up(self, task):
        starts = max(self._starts.get(task.target.name, 0), 1)
        return _failed(
            task,
            f"its worker died {starts} times: it was ended, or took more memory than the "
            f"{task.estimate:.1f} GB that were expected",
        )


def _failed(task, reason):
    return Outcome(task.target.name, "failed", reason, step=task.work.step, estimate=task.estimate)


def _lost():
    msg = (
        "the scheduler is gone: run the same command again when it is back; finished targets are "
        "not repeated"
    )
    raise ConnectionError(msg)


def _has_dashboard():
    """Whether the package is there that dashboards need."""
    try:
        importlib.metadata.version("bokeh")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _pid(nanny):
    process = getattr(nanny, "process", None)
    return getattr(process, "pid", None)


def _close(client):
    with suppress(TimeoutError, OSError):
        client.close(timeout=_CLOSE)


def _start_quiet_tracker():
    """Start the process that cleans up after killed workers, which else warns that it did."""
    name = "PYTHONWARNINGS"
    before = os.environ.get(name)
    quiet = "ignore::UserWarning:multiprocessing.resource_tracker"
    os.environ[name] = f"{before},{quiet}" if before else quiet
    try:
        resource_tracker.ensure_running()
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


@contextmanager
def _interrupts_ignored_by_children():
    """Processes that are started meanwhile ignore interrupts, which go to a whole terminal."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
