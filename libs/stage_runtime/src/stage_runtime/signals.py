"""SIGTERM and SIGINT as a request: finish the unit of work, save the state, exit 4."""

import signal
import threading
from types import FrameType

from stage_runtime.exits import StoppedEarly


class StopRequest:
    """Set once by a signal; asked for between two units of work."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.reason = ""

    @property
    def requested(self) -> bool:
        """Whether somebody asked the stage to stop."""
        return self._event.is_set()

    def request(self, reason: str) -> None:
        """Ask to stop; the first reason stays."""
        if not self._event.is_set():
            self.reason = reason
            self._event.set()

    def wait(self, seconds: float) -> bool:
        """Sleep, but no longer than until a stop is asked for; True when it was."""
        return self._event.wait(seconds)

    def check(self) -> None:
        """Raise StoppedEarly if a stop was asked for; call it where the state is saved."""
        if self.requested:
            raise StoppedEarly(f"Stopped early ({self.reason}); the state is saved. Run again to go on.")


def stop_on_sigterm() -> StopRequest:
    """Install handlers for SIGTERM and SIGINT; call it in the main thread.

    The first signal is a request. A second SIGINT (an impatient Ctrl-C) raises KeyboardInterrupt at
    once, which is safe because a stage killed at any instant may be run again.
    """
    stop = StopRequest()

    def handle(number: int, _frame: FrameType | None) -> None:
        if stop.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.request(signal.Signals(number).name)

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    return stop
