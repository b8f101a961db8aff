"""The stand-in's clock: real, faster, shifted, or moved by hand. Limits reset by it."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Protocol


class Clock(Protocol):
    """What the stand-in asks of a clock. ``now`` is in epoch seconds."""

    def now(self) -> float:
        """The present moment."""

    def sleep(self, seconds: float) -> None:
        """Let ``seconds`` of real latency pass (a clock moved by hand moves itself)."""


class RunningClock:
    """Real time, ``offset`` seconds off and ``speed`` times as fast; latency stays real."""

    def __init__(self, speed: float = 1.0, offset: float = 0.0) -> None:
        self._speed = speed
        self._start = time.time()
        self._offset = offset

    def now(self) -> float:
        """The present moment by this clock."""
        return self._start + self._offset + (time.time() - self._start) * self._speed

    def sleep(self, seconds: float) -> None:
        """Sleep for real."""
        time.sleep(max(0.0, seconds))


class ManualClock:
    """Stands still until moved; sleeping moves it, so that no test waits."""

    def __init__(self, start: float = 1_790_000_000.0) -> None:
        self._now = start
        self._lock = threading.Lock()

    def now(self) -> float:
        """The present moment by this clock."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move forward (or back: clocks of servers do that too)."""
        with self._lock:
            self._now += seconds

    def sleep(self, seconds: float) -> None:
        """Move forward by ``seconds``."""
        self.advance(seconds)


def iso(seconds: float) -> str:
    """GitHub's time format: UTC, whole seconds, Z."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def epoch(text: str) -> int:
    """Epoch seconds of a time as GitHub writes it. Raises ValueError."""
    return int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp())


def http_date(seconds: float) -> str:
    """The form of the header ``Date``."""
    return formatdate(seconds, usegmt=True)
