"""Errors of input and parameters under ``strun``: one message in place of a traceback."""

import logging
import sys
from contextlib import contextmanager

from stpipe.exceptions import StpipeExitException

__all__ = ["refused_in_one_line", "under_strun"]

log = logging.getLogger(__name__)

# What bad input raises; anything else is a fault of the package and keeps its traceback.
_EXPECTED = (ValueError, TypeError, OSError)
_STRUN = "stpipe._cli.strun"


class _Refused(StpipeExitException):
    """Ends ``strun`` with status 1 and the message of another error."""

    def __str__(self):
        return str(self.args[1])


def under_strun():
    """
    Say whether the command ``strun`` is running, which has nobody to catch an error.

    Returns
    -------
    bool
        Not so with its option ``--debug``, which examines the error itself.
    """
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__") == _STRUN:
            return "--debug" not in sys.argv
        frame = frame.f_back
    return False


@contextmanager
def refused_in_one_line(*also, say=False):
    """
    Turn an error of the input into one that ``strun`` ends with, without a traceback.

    Parameters
    ----------
    *also : type
        More kinds of errors.
    say : bool
        Whether to log the message here, where strun does not say it.

    Raises
    ------
    Exception
        Under ``strun`` one with the same message that ends it; elsewhere the error itself.
    """
    try:
        yield
    except (*_EXPECTED, *also) as error:
        if not under_strun():
            raise
        text = " ".join(str(error).split())
        if say:
            log.error(text)
        raise _Refused(1, text) from error
