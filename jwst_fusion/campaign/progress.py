"""How far a campaign is: a bar at a terminal, and log lines."""

import logging
import sys
import time

from jwst_fusion.numerics.progress import Progress as Clock

__all__ = ["Progress"]

log = logging.getLogger(__name__)


class Progress:
    """
    Counts what is done, runs and has failed, and says so.

    Parameters
    ----------
    total : int
        Targets.
    workers : int
        How many are done at a time.
    bar : bool, optional
        Whether to draw a bar; by default if standard error is a terminal and tqdm is installed.
    """

    def __init__(self, total, workers, *, bar=None):
        self.total, self.workers = total, workers
        self.done = self.failed = self.reused = 0
        self.running = set()
        self._seconds = []
        self._clock, self._started = Clock(), time.monotonic()
        self._bar = _bar(total) if bar or (bar is None and sys.stderr.isatty()) else None

    def begin(self, name):
        """
        Note that a target is being worked on.

        Parameters
        ----------
        name : str
            The target.
        """
        self.running.add(name)
        self.tick()

    def again(self, name):
        """
        Note that the worker of a target died, and that it is done again.

        Parameters
        ----------
        name : str
            The target.
        """
        self.running.discard(name)
        self._say(f"{name}: its worker died; it is done again")

    def end(self, outcome):
        """
        Note what became of a target.

        Parameters
        ----------
        outcome : `~jwst_fusion.campaign.outcome.Outcome`
            What became of it.
        """
        self.running.discard(outcome.name)
        if outcome.status == "done":
            self.done += 1
            self.reused += outcome.reused
            if not outcome.reused:
                self._seconds.append(outcome.seconds)
        else:
            self.failed += 1
            self._say(f"{outcome.name} failed: {outcome.reason}")
        if self._bar is not None:
            self._bar.update(1)
        self.tick()

    @property
    def seconds_left(self):
        """Seconds that are left, as the targets until now took; None as long as there are none."""
        if not self._seconds:
            return None
        left = self.total - self.done - self.failed
        return left * sum(self._seconds) / len(self._seconds) / max(self.workers, 1)

    def text(self):
        """
        Say how far it is.

        Returns
        -------
        str
            One line.
        """
        line = f"{self.done} of {self.total} done, {len(self.running)} running, "
        line += f"{self.failed} failed"
        left = self.seconds_left
        return line if not left else f"{line}, about {_duration(left)} left"

    def tick(self):
        """Say how far it is, if it is time to."""
        if self._bar is not None:
            self._bar.set_postfix_str(f"{len(self.running)} running, {self.failed} failed")
        elif self._clock.due():
            log.info("%s", self.text())

    def close(self):
        """Say how far it came."""
        if self._bar is not None:
            self._bar.close()
        log.info("%s; %s", self.text(), _duration(time.monotonic() - self._started))

    def _say(self, line):
        if self._bar is None:
            log.warning("%s", line)
        else:
            self._bar.write(line, file=sys.stderr)


def _bar(total):
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return None  # the log lines say the same
    return tqdm(total=total, unit="target", dynamic_ncols=True)


def _duration(seconds):
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
