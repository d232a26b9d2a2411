"""Warnings that go into the log and, while a product is made, into the product, too."""

import threading
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

__all__ = ["Message", "collected_warnings", "forget_said", "warn", "warn_once"]

_collected = ContextVar("jwst_fusion_messages", default=())
# What `warn_once` has said while no product was made: as with Python's warnings, once a process.
_said = set()
_said_lock = threading.Lock()


@dataclass(frozen=True)
class Message:
    """
    One warning.

    Parameters
    ----------
    source : str
        Module that gave it, such as ``fusion.run``.
    kind : str
        What it is about, or empty.
    text : str
        What it says.
    """

    source: str
    kind: str
    text: str


def warn(log, text, *values, kind=""):
    """
    Log a warning, and keep it for the product that is being made.

    Parameters
    ----------
    log : `~logging.Logger`
        Logger of the module that warns.
    text : str
        The warning, with places for the values as in `logging.Logger.warning`.
    *values
        What is put in these places.
    kind : str, optional
        What it is about, for those who read the product by program.
    """
    source = log.name.removeprefix("jwst_fusion.")
    for messages in _collected.get():
        messages.append(Message(source, kind, text % values if values else text))
    log.warning(text, *values)


def warn_once(log, text, *values):
    """
    Give a warning that is the same for many calls: once for each product, or once without one.

    Without a product, it is given once in the life of the process, whichever thread is the first,
    or once more after `forget_said`.

    Parameters
    ----------
    log : `~logging.Logger`
        Logger of the module that warns.
    text : str
        The warning, with places for the values as in `logging.Logger.warning`.
    *values
        What is put in these places.
    """
    message = Message(log.name.removeprefix("jwst_fusion."), "", text % values if values else text)
    products = _collected.get()
    if products:
        places = [messages for messages in products if message not in messages]
        for messages in places:
            messages.append(message)
        new = bool(places)
    else:
        with _said_lock:
            new = message not in _said
            _said.add(message)
    if new:
        log.warning(text, *values)


def forget_said():
    """Let `warn_once` give again what it has given without a product, as in a new process."""
    with _said_lock:
        _said.clear()


@contextmanager
def collected_warnings():
    """
    Collect what `warn` says in the current thread, whatever the configuration of logging drops.

    Yields
    ------
    list of Message
        Grows as there are warnings.
    """
    messages = []
    token = _collected.set((*_collected.get(), messages))
    try:
        yield messages
    finally:
        _collected.reset(token)
