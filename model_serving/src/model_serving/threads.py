"""Threads for the requests that may wait for something, and how their answers come back to the event loop."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from model_serving.connection import Connection
from model_serving.hosting import Handled
from model_serving.http_protocol import Request


class Threads:
    """Handles requests by `handle`; `wake`, a descriptor, can be read when one is finished.

    Large ones are handled one at a time: what is decoded of them is many times their size.
    """

    def __init__(self, handle: Callable[[Connection, Request], Handled], number: int) -> None:
        self.finished: deque[tuple[Connection, Handled]] = deque()
        self._handle = handle
        self._pool = ThreadPoolExecutor(number, "request")
        self._large = ThreadPoolExecutor(1, "large")
        self.wake, self._write = os.pipe()
        for end in (self.wake, self._write):
            os.set_blocking(end, False)

    def start(self, connection: Connection, request: Request, *, large: bool) -> None:
        """Handle a request as soon as a thread is free."""
        (self._large if large else self._pool).submit(self._run, connection, request)

    def _run(self, connection: Connection, request: Request) -> None:
        self.finished.append((connection, self._handle(connection, request)))
        try:
            os.write(self._write, b"\0")
        except BlockingIOError:
            pass  # the pipe is full, so the loop will wake

    def collect(self) -> Iterator[tuple[Connection, Handled]]:
        """What is finished by now; what comes meanwhile wakes again."""
        try:
            os.read(self.wake, 4096)
        except BlockingIOError:
            pass
        for _ in range(len(self.finished)):
            yield self.finished.popleft()

    def end(self) -> None:
        """Start no more; what still runs is not waited for."""
        for pool in (self._pool, self._large):
            pool.shutdown(wait=False, cancel_futures=True)
