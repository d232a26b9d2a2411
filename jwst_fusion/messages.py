"""Warnings that go into the log and, while a product is made, into the product, too."""

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

__all__ = ["Message", "collected_warnings", "warn", "warn_once"]

_collected = ContextVar("jwst_fusion_messages", default=())
# What has been said while no product was made: as with Python's warnings, once a process.
_said = set()


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
    places = [messages for messages in _collected.get() if message not in messages]
    if not _collected.get() and message not in _said:
        _said.add(message)
    elif not places:
        return
    for messages in places:
        messages.append(message)
    log.warning(text, *values)


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
