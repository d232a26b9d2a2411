"""A bar in notebooks for what takes long: what is being done, and for how long."""

import logging
import sys
import time
import warnings
from contextlib import contextmanager

__all__ = ["notebook_bar"]

#: Seconds after which a computation gets a bar.
LONG = 10.0
_LETTERS = 90  # of a message that a bar shows


class _Bar(logging.Handler):
    """Shows the last message of the package in a bar, once a run takes long."""

    def __init__(self, name, make):
        super().__init__(logging.INFO)
        self._name, self._make, self._bar = name, make, None
        self._started = time.monotonic()
        # level of what others are to see, and the logger that shows it, if not those of the package
        self._shown, self._parent = logging.NOTSET, None

    def pass_on(self, parent, level):
        self._parent, self._shown = parent, level

    def emit(self, record):
        if self._parent is not None and record.levelno >= self._shown:
            self._parent.callHandlers(record)
        try:
            self._show(record.getMessage())
        except Exception:  # a bar must not end what it shows
            self.handleError(record)

    def _show(self, text):
        seconds = time.monotonic() - self._started
        if self._bar is None and seconds > LONG:
            form = "{desc} [{elapsed}]"
            self._bar = self._make(desc=self._name, bar_format=form, leave=False)
            self._bar.start_t -= seconds
        if self._bar is not None:
            self._bar.set_description_str(f"{self._name}: {text[:_LETTERS]}")

    def close(self):
        if self._bar is not None:
            self._bar.close()
        super().close()


def _in_notebook():
    """Tell whether the cells of a notebook run this process."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


@contextmanager
def notebook_bar(name):
    """
    Show a bar in a notebook if what runs meanwhile takes more than ten seconds.

    Parameters
    ----------
    name : str
        What runs, such as the name of a step. The bar shows what it logs; without tqdm, and
        elsewhere than in a notebook, there is none.
    """
    if not _in_notebook():
        yield
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tqdm, where there are no widgets
            from tqdm.auto import tqdm
    except ImportError:
        yield
        return
    bar = _Bar(name, tqdm)
    logger = logging.getLogger("jwst_fusion")
    logger.addHandler(bar)
    level, propagate = logger.level, logger.propagate
    if level == logging.NOTSET and not logger.isEnabledFor(logging.INFO):
        # for the bar alone: whoever sees warnings only goes on to do so
        bar.pass_on(logger.parent, logger.getEffectiveLevel())
        logger.setLevel(logging.INFO)
        logger.propagate = False
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.propagate = propagate
        logger.removeHandler(bar)
        bar.close()
