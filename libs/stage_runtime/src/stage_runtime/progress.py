"""Progress of anything longer than two seconds: a bar on a terminal, a log line every ten seconds
elsewhere.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from tqdm import tqdm

from stage_runtime.logs import get_logger

HEARTBEAT_SECONDS = 10.0


class Bar(Protocol):
    """What progress() hands out."""

    def update(self, n: float | None = 1) -> object:
        """So many more units are done."""


class Heartbeat:
    """Logs how far the work is, at most every ten seconds; the first line comes after ten."""

    def __init__(
        self, total: int | None, what: str, unit: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.total = total
        self.what = what
        self.unit = unit
        self.done = 0.0
        self._clock = clock
        self._start = self._last = clock()

    def update(self, n: float | None = 1) -> None:
        """So many more units are done; n may be 0, to say that the work is alive."""
        self.done += n or 0
        now = self._clock()
        if now - self._last < HEARTBEAT_SECONDS:
            return
        self._last = now
        elapsed = now - self._start
        rate = self.done / elapsed if elapsed else 0.0
        left = {}
        if self.total is not None and rate:
            left = {"seconds_left": round(max(self.total - self.done, 0) / rate)}
        get_logger().info(
            "progress",
            what=self.what,
            done=round(self.done),
            total=self.total,
            unit=self.unit,
            per_second=round(rate, 1),
            **left,
        )


@contextmanager
def progress(total: int | None, what: str, unit: str = "items") -> Iterator[Bar]:
    """Show progress while the block runs.

    total is the number of units or None where it is unknown; what says in words what is counted.
    """
    if sys.stderr.isatty():
        # delay: work shorter than two seconds shows no bar.
        with tqdm(total=total, desc=what, unit=f" {unit}", delay=2.0, leave=False) as bar:
            yield bar
    else:
        yield Heartbeat(total, what, unit)
