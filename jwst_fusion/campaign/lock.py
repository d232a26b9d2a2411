"""One campaign at a time on each target: a lock that the end of a process lifts."""

import errno
import logging
import os
import time
from contextlib import contextmanager
from pathlib import Path

from jwst_fusion.campaign.targets import LOCK
from jwst_fusion.messages import warn_once

try:
    import fcntl
except ImportError:  # not a system with such locks
    fcntl = None

__all__ = ["BusyError", "locked"]

log = logging.getLogger(__name__)

_INTERVAL = 0.5  # s between two looks at a lock that another campaign holds
# What file systems say that know no locks.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}


class BusyError(Exception):
    """Another campaign works on this target."""


@contextmanager
def locked(folder, *, wait):
    """
    Keep other campaigns off a target.

    Parameters
    ----------
    folder : str or path
        Folder of the target.
    wait : bool
        Whether to wait until another campaign is done with it.

    Yields
    ------
    None
        While no other process has the lock. The system lifts it when a process ends, however that
        happens, so that none is left behind.

    Raises
    ------
    BusyError
        If another campaign works on it and `wait` is false.
    """
    handle = os.open(Path(folder) / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        while not _taken(handle):
            if not wait:
                raise BusyError
            time.sleep(_INTERVAL)
        yield
    finally:
        os.close(handle)


def _taken(handle):
    if fcntl is None:
        _warn()
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        _warn()
    return True


def _warn():
    warn_once(
        log,
        "The file system has no locks: do not run two campaigns on the same targets at one time",
    )
