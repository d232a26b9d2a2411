"""Steps that are interrupted say so in one line and leave nothing half-written."""

import logging
import signal
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

__all__ = ["told_of_interrupts"]

log = logging.getLogger(__name__)

_TERMINATED, _INTERRUPTED = 143, 130  # exit status of shells for SIGTERM and Ctrl-C


@contextmanager
def told_of_interrupts(name, kept):
    """
    Say in one line that a run was interrupted, and what is left of it.

    SIGTERM, which ends a process without any word, ends it as ``sys.exit`` does instead: files
    that are being written are removed. Only the main thread can be asked to do so, and only while
    nobody else has. Ctrl-C stays a `KeyboardInterrupt`; under ``strun``, which would print where in
    the code it came, it ends the process as well.

    Parameters
    ----------
    name : str
        The step.
    kept : str
        What is left and how to go on.
    """
    ours = threading.current_thread() is threading.main_thread()
    ours = ours and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if ours:
        signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    except KeyboardInterrupt:
        log.warning("%s: interrupted. %s", name, kept)
        if Path(sys.argv[0]).stem == "strun":
            sys.exit(_INTERRUPTED)
        raise
    except SystemExit as reason:
        if reason.code == _TERMINATED:
            log.warning("%s: terminated. %s", name, kept)
        raise
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _terminate(number, frame):
    sys.exit(_TERMINATED)
