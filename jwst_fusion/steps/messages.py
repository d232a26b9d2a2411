"""Warnings of a fusion, kept as they are logged, so that the product can say them, too."""

import logging
import threading
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["Message", "collected_warnings"]

_ROOT = "stpipe.jwst_fusion"


@dataclass(frozen=True)
class Message:
    """
    One warning.

    Parameters
    ----------
    source : str
        Module that gave it, such as ``fusion.run``.
    kind : str
        What it is about, if it was logged with ``extra={"kind": ...}``; else empty.
    text : str
        What it says.
    """

    source: str
    kind: str
    text: str


class _Collector(logging.Handler):
    """Keeps the warnings of one thread."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.messages = []
        self._thread = threading.get_ident()

    def emit(self, record):
        if record.thread == self._thread:
            source = record.name.removeprefix(_ROOT + ".")
            kind = getattr(record, "kind", "")
            self.messages.append(Message(source, kind, record.getMessage()))


@contextmanager
def collected_warnings():
    """
    Collect the warnings that this package logs in the current thread.

    Yields
    ------
    list of Message
        Grows as warnings are logged; those that the configuration of logging drops are not in it.
    """
    collector, logger = _Collector(), logging.getLogger(_ROOT)
    logger.addHandler(collector)
    try:
        yield collector.messages
    finally:
        logger.removeHandler(collector)
