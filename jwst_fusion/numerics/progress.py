"""Tell when a long computation should log how far it has come."""

import time

__all__ = ["Progress"]

_INTERVAL = 10.0  # seconds between progress lines: enough to see that it goes on


class Progress:
    """
    Clock of a computation that logs its progress now and then.

    Attributes
    ----------
    seconds : float
        Time from the start to the last progress line.
    """

    def __init__(self):
        self._started = time.monotonic()
        self.seconds = 0.0

    def due(self):
        """
        Tell whether it is time for a progress line; if so, the next one is due an interval later.

        Returns
        -------
        bool
            Whether more than ten seconds have passed since the start or the last line.
        """
        now = time.monotonic() - self._started
        if now - self.seconds <= _INTERVAL:
            return False
        self.seconds = now
        return True
