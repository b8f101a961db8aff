"""The gunicorn worker: one event loop that scores in place, a few threads for what may wait.

Why not one of gunicorn's own (measured 2026-11-23, 2 cores shared with wrk, 2 workers, a bare Flask echo of a real
pull request of 15 kB; requests/s at 1, 8 and 64 connections, all on the same busy machine):

    sync       2,243   1,993   1,748   closes every connection
    gthread 1  1,697   2,654   4,331
    gthread 4  2,962   2,357   4,274   threads of one process take turns at the interpreter lock
    gevent     2,930   4,104   2,330   p99 at 64 connections: 276 ms
    this       7,923   6,152   6,684

Scoring is pure computation, so a thread a request only adds hand-overs; what a worker needs is to read many
connections without one of them being able to hold it up. So: non-blocking reads, a request is handled once it is
complete, slow senders cost a buffer and nothing else, the parser is in C. Requests that may wait for something (a
reload, the database) go to threads, so that they never hold up a score. Large ones go to a thread, too, one at a time:
what is decoded of them is many times their size, and neither a probe nor the arbiter may wait for seconds.
"""

from __future__ import annotations

import os
import selectors
import time
from typing import Any

from gunicorn.workers.base import Worker  # type: ignore[import-untyped]

from model_serving.deadlines import Deadlines
from model_serving.event_loop import EventLoop
from model_serving.hosting import HostedApplication

TICK_SECONDS, TICK_SECONDS_DRAINING = 1.0, 0.1


class EventWorker(Worker):  # type: ignore[misc]
    """A gunicorn worker class; what the application may offer, `HostedApplication` says."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.draining_since: float | None = None

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM: unready now, no new connections after the wait, then out."""
        if self.draining_since is None:
            self.draining_since = time.monotonic()

    def handle_quit(self, sig: int, frame: Any) -> None:
        """SIGINT, SIGQUIT: out at once."""
        if not self.booted:
            # An exception here would come up inside whatever is being imported, which may turn it into an error of
            # its own; the arbiter would then take the interrupt for a worker that cannot boot.
            os._exit(0)
        super().handle_quit(sig, frame)

    def load_wsgi(self) -> None:
        super().load_wsgi()
        self.application = HostedApplication(self.wsgi, self.log)

    def run(self) -> None:
        self._begin()
        self.loop.door.settled(None)
        next_tick = 0.0
        try:
            while self.alive:
                now = time.monotonic()
                if now >= next_tick:
                    self._tick(now)
                    next_tick = now + (TICK_SECONDS if self.draining_since is None else TICK_SECONDS_DRAINING)
                self.loop.turn(self.loop.door.share(now, next_tick) - now)
        finally:
            self.loop.end()
            self.application.close()

    def _begin(self) -> None:
        """What the worker runs."""
        application = self.application
        self.loop = EventLoop(
            application,
            selectors.DefaultSelector(),
            self.sockets,
            shared=self.cfg.workers > 1,
            draining=lambda: self.draining_since is not None,
        )
        self.deadlines = Deadlines(
            self.loop, request=application.request_limit, keepalive=application.keepalive
        )
        self.loop.selector.register(self.PIPE[0], selectors.EVENT_READ, self._signalled)

    def _signalled(self, _fileobj: Any) -> None:
        try:
            os.read(self.PIPE[0], 4096)
        except BlockingIOError:
            pass
        self._tick(time.monotonic())

    def _tick(self, now: float) -> None:
        self.notify()
        if os.getppid() != self.ppid:
            self.log.info("The arbiter is gone, this worker ends")
            self.alive = False
            return
        for connection in list(self.loop.connections.values()):
            self.deadlines.expire(connection, now)
        if not self.loop.door.accepting:
            self.loop.door.settled(None)
        if self.draining_since is not None:
            self._drain(now, now - self.draining_since)

    def _drain(self, now: float, waited: float) -> None:
        self.application.begin_drain()
        if waited < self.application.drain_wait:
            return
        if not self.loop.door.shut:
            # What has connected before now gets its answer; only then is the door shut.
            self.loop.door.take_waiting()
        self.deadlines.leave(now)
        if not self.loop.connections or waited > self.application.drain_wait + self.application.drain_limit:
            self.alive = False
