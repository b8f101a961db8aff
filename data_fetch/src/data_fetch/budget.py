"""What a run may spend, asked before every request and every wait."""

from __future__ import annotations

import threading

from github_client.clock import Clock
from stage_runtime.exits import StoppedEarly
from stage_runtime.signals import StopRequest

_GRACE_SECONDS = 2.0


class BudgetSpent(StoppedEarly):
    """Points or time are used up; the state is saved."""


class StoppableClock:
    """The machine's clock; a sleep ends when a stop is asked for."""

    def __init__(self, stop: StopRequest, clock: Clock) -> None:
        self._stop = stop
        self._clock = clock

    def now(self) -> float:
        """Epoch seconds."""
        return self._clock.now()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self._clock.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait, but no longer than until a stop is asked for."""
        self._stop.wait(max(0.0, seconds))


class Budget:
    """The guard of the client: a signal, points and time. Safe to share between threads.

    `before_request` gives the seconds a request may take; both raise BudgetSpent or StoppedEarly.
    """

    def __init__(
        self,
        clock: Clock,
        stop: StopRequest,
        *,
        max_points: int | None = None,
        max_seconds: float | None = None,
        request_seconds: float = 40.0,
    ) -> None:
        self._clock = clock
        self._stop = stop
        self._max_points = max_points
        self._max_seconds = max_seconds
        self._request_seconds = request_seconds
        self._start = clock.monotonic()
        self._lock = threading.Lock()
        self.points = 0
        self.calls = 0

    def _left(self) -> float:
        if self._max_seconds is None:
            return float("inf")
        return self._start + self._max_seconds - self._clock.monotonic()

    def check(self) -> None:
        """Raise when it is time to stop; call it where the state is saved."""
        self._stop.check()
        if self._left() <= 0:
            raise BudgetSpent(
                f"The {self._max_seconds:.0f} s of --max-duration are over; run again to go on."
            )
        if self._max_points is not None and self.points >= self._max_points:
            raise BudgetSpent(f"The {self._max_points} points of --max-points are spent; run again to go on.")

    def abort(self, reason: str) -> None:
        """Let every thread stop where its state is saved, and end every wait."""
        self._stop.request(reason)

    def before_request(self) -> float:
        """Seconds that the request may take."""
        self.check()
        return min(self._request_seconds, self._left() + _GRACE_SECONDS)

    def before_wait(self, seconds: float) -> None:
        """Stop now rather than sleep through the end of the time."""
        self.check()
        if seconds > self._left():
            raise BudgetSpent(
                f"GitHub asks to wait {seconds:.0f} s, longer than what is left of --max-duration; "
                "run again to go on."
            )

    def spent(self, points: int) -> None:
        """Count a request and its points."""
        with self._lock:
            self.calls += 1
            self.points += points
