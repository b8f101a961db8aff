"""The event loop of a worker: whose bytes are read, whose request is answered, and when.

A request is handled once it is complete: alone in the loop, together with others that joined, or in a thread. What a
client sends ahead of its answers waits until the others have had their turn.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from model_serving.accepting import Door
from model_serving.connection import LATE_SECONDS, Connection
from model_serving.hosting import Handled, HostedApplication
from model_serving.http_protocol import CONTINUE, Refused, Request, problem_response
from model_serving.threads import Threads

READ_BYTES = 256 * 1024
LARGE_BODY_BYTES = 64 * 1024
# Most bytes of bodies that are answered in the loop before it looks for events again, and of a body that is answered
# there alone: text costs most, 0.2 s a megabyte. A list of 100 real pull requests has 1.6 MB.
TOGETHER_BYTES = 2 * 1024 * 1024
ALONE_BYTES = 256 * 1024
# Most requests that are gathered before they are answered, more of them together would be no cheaper, and how long:
# requests that are answered while others are gathered take time, too, and their clients send the next ones.
MOST_GATHERED = 64
GATHER_SECONDS = 0.005
# How long requests that were sent ahead of an answer are worked on in one turn, all connections together: a client that
# sends thousands at once must not hold up others, nor a probe.
AHEAD_SECONDS = 0.005


class EventLoop:
    """The connections of one worker.

    draining: whether the worker is about to end, so that connections end with their answers.
    """

    def __init__(
        self,
        application: HostedApplication,
        selector: selectors.BaseSelector,
        listeners: Sequence[Any],
        *,
        shared: bool,
        draining: Callable[[], bool],
    ) -> None:
        self.application, self.selector, self.draining = application, selector, draining
        self.joins, self.runs_inline = application.joins, application.runs_inline
        self.most_buffered = application.most_buffered
        self.door = Door(self, listeners, most=application.most_connections, shared=shared)
        self.woken = 0.0  # from the last wait for events
        self.late = False  # the look before this one was long ago: what comes may have waited in the kernel
        self.connections: dict[int, Connection] = {}
        self.joined: deque[tuple[Connection, Request]] = deque()
        # Those that have sent the next request ahead of the answer before.
        self.queued: deque[Connection] = deque()
        # One buffer for all: a new one of this size for each read would come from the kernel and go back to it.
        self.buffer = memoryview(bytearray(READ_BYTES))
        self.buffered = 0  # bytes of the bodies of all connections
        self.threads = Threads(self._handle, application.threads)
        selector.register(self.threads.wake, selectors.EVENT_READ, self._finished)

    def turn(self, timeout: float) -> None:
        """Wait so long for events if no work stands, handle each, then a part of the work."""
        before = len(self.joined)
        self._look(0.0 if self.joined or self.queued else max(0.0, timeout))
        # Together they cost less, and who has several connections is often sending on the next one while this one is
        # read. Nothing is waited for: a look that brings no further request is the last.
        until = self.woken + GATHER_SECONDS
        most = min(len(self.connections), MOST_GATHERED)
        while before < len(self.joined) < most and time.monotonic() < until:
            before = len(self.joined)
            self._look(0.0)
        if self.joined:
            self._answer_together()
        if self.queued:
            self._serve_queued()

    def _look(self, timeout: float) -> None:
        """Wait so long for events and handle each."""
        self.late = time.monotonic() - self.woken > LATE_SECONDS
        events = self.selector.select(timeout)
        self.woken = time.monotonic()
        for key, mask in events:
            if isinstance(key.data, Connection):
                self._ready(key.data, mask)
            else:
                key.data(key.fileobj)

    def add(self, sock: socket.socket, client: tuple[str, int]) -> Connection:
        """Serve a connection."""
        connection = self.connections[sock.fileno()] = Connection(sock, client, self.application.limits)
        self.watch(connection)
        return connection

    def watch(self, connection: Connection) -> None:
        """Ask for just the events that this connection can use now."""
        events = 0
        if connection.out:
            events = selectors.EVENT_WRITE
        elif connection.closing or not (connection.busy or connection.behind or self.must_pause(connection)):
            events = selectors.EVENT_READ
        if events == connection.events:
            return
        if not events:
            self.selector.unregister(connection.sock)
        elif not connection.events:
            self.selector.register(connection.sock, events, connection)
        else:
            self.selector.modify(connection.sock, events, connection)
        connection.events = events

    def must_pause(self, connection: Connection) -> bool:
        """Whether there is no room for the rest of its large body."""
        return self.buffered > self.most_buffered and connection.reader.body_bytes > LARGE_BODY_BYTES

    def _ready(self, connection: Connection, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            self._send(connection)
        elif connection.busy:
            # It has joined, so it is still watched. What comes now, be it the end, is read when it is answered: a
            # client may say that it sends no more and still wait for its answer.
            self.watch(connection)
        else:
            self.receive(connection)

    def receive(self, connection: Connection) -> None:
        """Read what has come, and serve it if it is complete."""
        received = connection.receive(self.buffer, self.woken, late=self.late)
        if received == 0:
            self.close(connection)
        elif received and not connection.closing:
            self._count(connection)
            self._serve(connection)

    def _count(self, connection: Connection) -> None:
        """Bring the sum of what all connections hold up to date with this one."""
        reader = connection.reader
        held = reader.body_bytes + reader.ready_bytes + connection.working
        self.buffered += held - connection.held
        connection.held = held

    def _serve(self, connection: Connection) -> None:
        """Handle the first complete request of a connection; what came behind it waits until others had their turn."""
        reader = connection.reader
        if reader.ready and not (connection.busy or connection.out or connection.closing):
            request = reader.take()
            connection.working = size = len(request.body)
            joins = self.joins(request)
            if joins and size <= TOGETHER_BYTES:
                connection.busy = True
                self.joined.append((connection, request))
                return  # answered soon, so what is watched need not change
            if not joins and size <= ALONE_BYTES and self.runs_inline(request.method, request.path):
                self._answered(connection, self._handle(connection, request))
            else:
                connection.busy = True
                self.threads.start(connection, request, large=size > ALONE_BYTES)
        if connection.gone:
            return
        if not (connection.busy or connection.out or connection.closing):
            if reader.ready:
                self.queued.append(connection)
            elif connection.refused is not None:
                self.refuse(connection, connection.refused)
                return
            elif reader.wants_continue and reader.in_request:
                reader.wants_continue = False
                self._answer(connection, CONTINUE, close=False)
                return
        self.watch(connection)

    def _serve_queued(self) -> None:
        """Serve those that have queued, in turn, for a moment."""
        until = time.monotonic() + AHEAD_SECONDS
        while self.queued and time.monotonic() < until:
            self._serve(self.queued.popleft())

    def _answer_together(self) -> None:
        """Answer the requests that have joined, the first ones first, or as many as may be held up for."""
        joined = [self.joined.popleft()]
        size = joined[0][0].working
        while self.joined and (size := size + self.joined[0][0].working) <= TOGETHER_BYTES:
            joined.append(self.joined.popleft())
        closes = [self._ends(connection, request) for connection, request in joined]
        answers = self.application.handle_together([request for _, request in joined], closes)
        for (connection, _), handled in zip(joined, answers, strict=True):
            self._done(connection, handled)

    def _ends(self, connection: Connection, request: Request) -> bool:
        """Whether the connection is to end with the answer to this request."""
        return not request.keep_alive or (self.draining() and not connection.behind)

    def _handle(self, connection: Connection, request: Request) -> Handled:
        close = self._ends(connection, request)
        return self.application.handle(request, connection.sock, connection.client, close=close)

    def _finished(self, _fileobj: Any) -> None:
        for connection, handled in self.threads.collect():
            self._done(connection, handled)

    def _done(self, connection: Connection, handled: Handled) -> None:
        """Answer, and go on with what is behind it."""
        self._answered(connection, handled)
        if connection.behind and not connection.gone:
            self._serve(connection)

    def _answered(self, connection: Connection, handled: Handled) -> None:
        connection.busy, connection.working = False, 0
        self._count(connection)
        if connection is self.door.newest:
            self.door.settled(connection)
        if not connection.gone:
            self._answer(connection, handled.data, close=handled.close)
        if handled.done is not None:
            self.application.finish(handled.done)

    def _answer(self, connection: Connection, data: bytes, *, close: bool) -> None:
        connection.closing = connection.closing or close
        connection.since = time.monotonic()
        connection.out = data
        self._send(connection, then_serve=False)

    def refuse(self, connection: Connection, refused: Refused) -> None:
        """Answer in the application's place, and end the connection."""
        connection.refused = None
        self.application.refused(int(refused.status))
        self._answer(connection, problem_response(refused.status, refused.detail), close=True)

    def _send(self, connection: Connection, *, then_serve: bool = True) -> None:
        if not connection.send():
            self.close(connection)
        elif then_serve and connection.behind and not (connection.out or connection.closing):
            self._serve(connection)
        else:
            self.watch(connection)

    def close(self, connection: Connection) -> None:
        """End a connection, whatever it waits for."""
        number = connection.sock.fileno()
        if number < 0:
            return
        connection.reader.drop_all()
        self._count(connection)  # the request that a thread still works on stays until it is done
        if connection.events:
            self.selector.unregister(connection.sock)
            connection.events = 0
        self.connections.pop(number, None)
        connection.sock.close()
        self.door.settled(connection)

    def end(self) -> None:
        """Close all connections; what threads still do is not waited for."""
        self.threads.end()
        self.door.leave()
        for connection in list(self.connections.values()):
            self.close(connection)
