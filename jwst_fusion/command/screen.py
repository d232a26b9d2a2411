"""Log lines of the package on standard error while a command works."""

import logging
import sys
from contextlib import contextmanager

__all__ = ["logged"]


@contextmanager
def logged():
    """Show what the package logs, each message on a line of its own."""
    logger = logging.getLogger("jwst_fusion")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    level, spread = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = spread
