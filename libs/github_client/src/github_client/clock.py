"""Time as an object, so that a test can wait an hour in no time."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """Epoch seconds and a sleep that ends early when the process is asked to stop."""

    def now(self) -> float:
        """Epoch seconds."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    def sleep(self, seconds: float) -> None:
        """Wait; may return early."""


class SystemClock:
    """The machine's clock. `stop` set ends a sleep at once."""

    def __init__(self, stop: threading.Event | None = None) -> None:
        self._stop = stop or threading.Event()

    def now(self) -> float:
        """Epoch seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait, but no longer than until a stop is asked for."""
        self._stop.wait(max(0.0, seconds))
