"""The door of a worker: when it takes new connections, which it shares with the other workers, and from whom."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from model_serving.connection import Connection

if TYPE_CHECKING:
    from model_serving.event_loop import EventLoop

# How long a worker that has just taken a connection leaves the next one to the others. Without it, the first to wake
# takes all that a client opens at once, and keeps them: eight connections with lists of 100 had one of two workers
# idle to the end.
SHARE_SECONDS = 0.002


class Door:
    """The listening sockets; most: connections held at once, shared: whether other workers listen on them, too."""

    def __init__(self, loop: EventLoop, listeners: Sequence[Any], *, most: int, shared: bool) -> None:
        self.loop, self.listeners, self.most, self.shared = loop, listeners, most, shared
        self.accepting = False
        self.newest: Connection | None = None  # taken just now: the next one is left to the other workers
        self.shares_until = 0.0
        self.shut = False

    def settled(self, connection: Connection | None) -> None:
        """Accept if there is no newest connection but this one, which is answered, gone or waited for."""
        if connection is self.newest:
            self.newest = None
        self._accept(self.newest is None)

    def share(self, now: float, until: float) -> float:
        """When to look again, at the latest at `until`; the others have had their time where it is over."""
        if self.newest is not None and now >= self.shares_until:
            self.settled(self.newest)
        return until if self.newest is None else min(until, self.shares_until)

    def take(self, listener: Any) -> bool:
        """Take a connection that waits; False where none does or there is no room."""
        # One at a time: the workers share the socket, and a greedy one would leave another without work.
        replaced = None
        if len(self.loop.connections) >= self.most and (replaced := self._longest_idle()) is None:
            return False
        try:
            sock, client = listener.accept()
        except (BlockingIOError, ConnectionAbortedError, InterruptedError):
            return False
        except OSError:  # out of descriptors: the client waits in the queue until some are free
            return False
        if replaced is not None:
            self.loop.close(replaced)
        sock.setblocking(False)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = self.loop.add(sock, client[:2] if isinstance(client, tuple) else ("", 0))
        if self.shared:
            self.newest = connection
            self.shares_until = time.monotonic() + SHARE_SECONDS
            self._accept(False)
        return True

    def take_waiting(self) -> None:
        """Take all that have connected until now, then no more."""
        for listener in self.listeners:
            while self.take(listener):
                pass
        self.leave()
        for listener in self.listeners:
            listener.close()

    def leave(self) -> None:
        """Take no more."""
        self._accept(False)
        self.shut = True

    def _accept(self, wanted: bool) -> None:
        if wanted == self.accepting or self.shut:
            return
        for listener in self.listeners:
            if wanted:
                listener.setblocking(False)
                self.loop.selector.register(listener, selectors.EVENT_READ, self.take)
            else:
                self.loop.selector.unregister(listener)
        self.accepting = wanted

    def _longest_idle(self) -> Connection | None:
        """The connection that has been idle for longest, if any is."""
        idle = [connection for connection in self.loop.connections.values() if connection.idle]
        if not idle:
            self._accept(False)  # until one has ended, or the next tick
            return None
        longest = min(idle, key=lambda connection: connection.since)
        with suppress(OSError):
            if longest.sock.recv(1, socket.MSG_PEEK):
                return None  # not idle any more: its request is read in this turn, and this is asked again in the next
        return longest
