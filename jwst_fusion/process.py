"""Settings of the whole process that are changed for a while, by several threads at a time."""

import gc
import threading
import warnings
from contextlib import contextmanager

__all__ = ["without_garbage_collection", "without_warnings"]


def _shared(change):
    """
    Make a context that the first thread enters and the last one leaves.

    Each thread by itself would restore what it has found, which may be the setting of another.
    """
    lock = threading.Lock()
    entered = 0
    changed = None

    @contextmanager
    def context():
        nonlocal entered, changed
        with lock:
            if not entered:
                changed = change()
                changed.__enter__()
            entered += 1
        try:
            yield
        finally:
            with lock:
                entered -= 1
                if not entered:
                    changed.__exit__(None, None, None)
                    changed = None

    return context


@contextmanager
def _no_collection():
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@contextmanager
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


_without_garbage_collection = _shared(_no_collection)
_without_warnings = _shared(_no_warnings)


def without_garbage_collection():
    """
    Look for no garbage while objects are made that are many and stay.

    Returns
    -------
    context manager
        Python has one garbage collector for all threads: it rests until the last of those that
        are within this context has left it, and works again then if it did before.
    """
    return _without_garbage_collection()


def without_warnings():
    """
    Show no warnings of Python, such as those of a library about its own workings.

    Returns
    -------
    context manager
        Python has one list of filters for all threads: that of the time before is back when the
        last of the threads that are within this context has left it.
    """
    return _without_warnings()
