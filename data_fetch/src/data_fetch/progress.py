"""How far a run is: a bar on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType

from stage_runtime.logs import get_logger
from tqdm import tqdm

HEARTBEAT_SECONDS = 10.0
_REDRAW_SECONDS = 2.0  # so that a shorter run shows no bar at all


class FetchProgress:
    """Repositories, pull requests, points left and the expected end. Safe to use from threads.

    A thread of its own says it, so that a wait of an hour for GitHub's limit is no silence.
    `points_left` gives what is left of GitHub's rate limit, None while nothing is known.
    """

    def __init__(self, repositories: int, points_left: Callable[[], int | None]) -> None:
        self._repositories = repositories
        self._points_left = points_left
        self._lock = threading.Lock()
        self._start = time.monotonic()
        self._expected = 0
        self.finished = 0
        self.read = 0
        self._bar: tqdm[None] | None = None
        if sys.stderr.isatty():
            self._bar = tqdm(total=0, unit=" pull requests", delay=2.0, leave=False, desc=self._text())
        self._over = threading.Event()
        self._voice = threading.Thread(target=self._speak, daemon=True)

    def __enter__(self) -> FetchProgress:
        self._voice.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._voice.join()
        if self._bar is not None:
            self._bar.close()

    def expect(self, count: int) -> None:
        """So many more pull requests are likely to be read."""
        with self._lock:
            self._expected += count

    def seen(self, count: int) -> None:
        """So many more pull requests were read."""
        with self._lock:
            self.read += count

    def repository_done(self) -> None:
        """One more repository is through."""
        with self._lock:
            self.finished += 1

    def again(self, count: int) -> None:
        """So many repositories that were through are walked once more."""
        with self._lock:
            self.finished -= count

    def _speak(self) -> None:
        while not self._over.wait(HEARTBEAT_SECONDS if self._bar is None else _REDRAW_SECONDS):
            self.beat()

    def beat(self) -> None:
        """Say how far it is, now."""
        with self._lock:
            if self._bar is not None:
                self._bar.total = max(self._expected, self.read)
                self._bar.set_description(self._text(), refresh=False)
                self._bar.update(self.read - self._bar.n)
                self._bar.refresh()
                return
            rate = self.read / (time.monotonic() - self._start)
            waiting = self._expected - self.read
            get_logger().info(
                "progress",
                repositories=f"{self.finished}/{self._repositories}",
                pull_requests=self.read,
                per_second=round(rate, 1),
                points_left=self._points_left(),
                seconds_left=round(waiting / rate) if rate and waiting > 0 else None,
            )

    def _text(self) -> str:
        points = self._points_left()
        left = "" if points is None else f", {points} points left"
        return f"{self.finished}/{self._repositories} repositories{left}"
