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
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http import HTTPStatus
from typing import Any, NamedTuple

from gunicorn.workers.base import Worker  # type: ignore[import-untyped]

from model_serving.http_protocol import (
    CONTINUE,
    NO_BODY,
    Limits,
    Refused,
    Request,
    RequestReader,
    ResponseHead,
    problem_response,
    response_head,
)

READ_BYTES = 256 * 1024
TCP_INFO_BYTES, LAST_DATA_RECEIVED = 56, 52  # of Linux's struct tcp_info
LARGE_BODY_BYTES = 64 * 1024
# Most bytes of bodies that are answered in the loop before it looks for events again, and of a body that is answered
# there alone: text costs most, 0.2 s a megabyte. A list of 100 real pull requests has 1.6 MB.
TOGETHER_BYTES = 2 * 1024 * 1024
ALONE_BYTES = 256 * 1024
# Most requests that are gathered before they are answered: more of them together would be no cheaper.
MOST_GATHERED = 64
TICK_SECONDS = 1.0
# How long requests that were sent ahead of an answer are worked on in one turn, all connections together: a client that
# sends thousands at once must not hold up others, nor a probe.
AHEAD_SECONDS = 0.005
# How long a worker that has just taken a connection leaves the next one to the others. Without it, the first to wake
# takes all that a client opens at once, and keeps them: eight connections with lists of 100 had one of two workers
# idle to the end.
SHARE_SECONDS = 0.002
# From this on, the time that a request lay in the kernel counts into its time to answer: it may have been a turn that
# was as long, or the queue of connections not yet taken. Asking costs 4 microseconds, so it is not done for each.
LATE_SECONDS = 0.02
# How long a closing connection may take to read its answer, and idle ones to send one more request.
LINGER_SECONDS = 2.0


class Connection:
    """A client's connection and where it stands."""

    __slots__ = (
        "busy", "client", "closing", "delayed", "events", "heard", "held", "out", "read", "reader", "refused", "since",
        "sock", "working",
    )  # fmt: skip

    def __init__(self, sock: socket.socket, client: tuple[str, int], limits: Limits) -> None:
        self.sock, self.client = sock, client
        self.reader = RequestReader(limits)
        self.out: bytes | memoryview = b""
        self.busy = False  # a thread works on its request
        self.working = 0  # bytes of the body of that request
        self.held = 0  # bytes of all its bodies, as counted by the worker
        self.refused: Refused | None = None  # answered when the requests before it are
        self.closing = False  # close once `out` is sent
        self.heard = False  # whether a byte has come
        self.read = 0.0  # when it was last read
        self.delayed = 0.0  # seconds for which parts of the request that comes in have waited to be read
        self.since = time.monotonic()  # start of the request, of the answer or of the pause now going on
        self.events = 0

    def waited(self) -> float:
        """Seconds for which what came last has lain in the kernel, to a few milliseconds."""
        with suppress(OSError, AttributeError):  # not TCP, not Linux
            info = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
            milliseconds: int = struct.unpack_from("I", info, LAST_DATA_RECEIVED)[0]
            return milliseconds / 1000
        return 0.0

    @property
    def idle(self) -> bool:
        """Between two requests."""
        return not (self.busy or self.out or self.reader.in_request or self.behind)

    @property
    def behind(self) -> bool:
        """Whether something complete waits for its turn."""
        return bool(self.reader.ready) or self.refused is not None


class Handled(NamedTuple):
    """What the application made of a request."""

    data: bytes  # the whole response
    close: bool  # the connection ends with it
    done: Callable[[], None] | None = None  # WSGI's close(): called when it is handed to the socket


class EventWorker(Worker):  # type: ignore[misc]
    """A gunicorn worker class. The application may offer, all optional:

    limits (Limits), refused(status), begin_drain(), close(), runs_inline(method, path) -> bool, drain_wait_seconds,
    drain_seconds, keepalive_seconds, request_seconds, connections, buffer_bytes, threads; and for requests that are
    cheaper when those that wait at the same moment are answered at once: joins(request) -> bool with
    together(requests) -> [(status, headers, body)].
    """

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

    def init_process(self) -> None:
        self.selector = selectors.DefaultSelector()
        super().init_process()

    def load_wsgi(self) -> None:
        super().load_wsgi()
        app = self.wsgi
        self.limits: Limits = getattr(app, "limits", Limits())
        self.joins = getattr(app, "joins", lambda request: False)
        self.runs_inline = getattr(app, "runs_inline", lambda method, path: True)
        self.drain_wait = float(getattr(app, "drain_wait_seconds", 0.0))
        self.drain_limit = float(getattr(app, "drain_seconds", 20.0))
        self.keepalive = float(getattr(app, "keepalive_seconds", 75.0))
        self.request_limit = float(getattr(app, "request_seconds", 30.0))
        self.most_connections = int(getattr(app, "connections", 1000))
        self.most_buffered = int(getattr(app, "buffer_bytes", 128 * 1024 * 1024))

    def run(self) -> None:
        self._begin()
        self._accept_more()
        next_tick = 0.0
        try:
            while self.alive:
                now = time.monotonic()
                if now >= next_tick:
                    self._tick(now)
                    next_tick = now + (0.1 if self.draining_since is not None else TICK_SECONDS)
                if self.newest is not None and now >= self.shares_until:
                    self._accept_more(self.newest)
                until = next_tick if self.newest is None else min(next_tick, self.shares_until)
                self._turn(0.0 if self.joined or self.queued else max(0.0, until - now))
        finally:
            for pool in (self.pool, self.large):
                pool.shutdown(wait=False, cancel_futures=True)
            for connection in list(self.connections.values()):
                self._close(connection)
            getattr(self.wsgi, "close", lambda: None)()

    def _turn(self, timeout: float) -> None:
        """Wait so long for events, handle each, then a part of the work that stands."""
        before = len(self.joined)
        self._look(timeout)
        # Together they cost less, and who has several connections is often sending on the next one while this one is
        # read. Nothing is waited for: a look that brings no further request is the last.
        while before < len(self.joined) < min(len(self.connections), MOST_GATHERED):
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

    def _begin(self) -> None:
        """What the loop works with."""
        self.woken = 0.0  # from the last wait for events
        self.late = False  # it was long ago when this look for events began
        self.connections: dict[int, Connection] = {}
        self.finished: deque[tuple[Connection, Handled]] = deque()
        self.joined: deque[tuple[Connection, Request]] = deque()
        # Those that have sent the next request ahead of the answer before.
        self.queued: deque[Connection] = deque()
        # One buffer for all: a new one of this size for each read would come from the kernel and go back to it.
        self.buffer = memoryview(bytearray(READ_BYTES))
        self.accepting = False
        self.newest: Connection | None = None  # taken just now: the next one is left to the other workers
        self.shares_until = 0.0
        self.listeners_closed = False
        self.buffered = 0
        self.pool = ThreadPoolExecutor(int(getattr(self.wsgi, "threads", 4)), "request")
        self.large = ThreadPoolExecutor(1, "large")
        self.wake_read, self.wake_write = os.pipe()
        os.set_blocking(self.wake_read, False)
        os.set_blocking(self.wake_write, False)
        self.selector.register(self.wake_read, selectors.EVENT_READ, self._woken)
        self.selector.register(self.PIPE[0], selectors.EVENT_READ, self._signalled)

    # Accepting.

    def _accept(self, wanted: bool) -> None:
        if wanted == self.accepting or self.listeners_closed:
            return
        for listener in self.sockets:
            if wanted:
                listener.setblocking(False)
                self.selector.register(listener, selectors.EVENT_READ, self._new_connection)
            else:
                self.selector.unregister(listener)
        self.accepting = wanted

    def _accept_more(self, settled: Connection | None = None) -> None:
        """Accept if there is no newest connection but this one, which is answered, gone or waited for."""
        if settled is self.newest:
            self.newest = None
        self._accept(self.alive and self.newest is None)

    def _longest_idle(self) -> Connection | None:
        """The connection that has been idle for longest, if any is."""
        idle = [connection for connection in self.connections.values() if connection.idle]
        if not idle:
            self._accept(False)  # until one has ended, or the next tick
            return None
        longest = min(idle, key=lambda connection: connection.since)
        with suppress(OSError):
            if longest.sock.recv(1, socket.MSG_PEEK):
                return None  # not idle any more: its request is read in this turn, and this is asked again in the next
        return longest

    def _new_connection(self, listener: Any) -> bool:
        # One at a time: the workers share the socket, and a greedy one would leave another without work.
        replaced = None
        if len(self.connections) >= self.most_connections and (replaced := self._longest_idle()) is None:
            return False
        try:
            sock, client = listener.accept()
        except (BlockingIOError, ConnectionAbortedError, InterruptedError):
            return False
        except OSError:  # out of descriptors: the client waits in the queue until some are free
            return False
        if replaced is not None:
            self._close(replaced)
        sock.setblocking(False)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = client[:2] if isinstance(client, tuple) else ("", 0)
        connection = Connection(sock, peer, self.limits)
        self.connections[sock.fileno()] = connection
        self._watch(connection)
        if self.cfg.workers > 1:
            self.newest = connection
            self.shares_until = time.monotonic() + SHARE_SECONDS
            self._accept(False)
        return True

    # One connection.

    def _watch(self, connection: Connection) -> None:
        """Ask for just the events that this connection can use now."""
        events = 0
        if connection.out:
            events = selectors.EVENT_WRITE
        elif connection.closing or not (connection.busy or connection.behind or self._must_pause(connection)):
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

    def _must_pause(self, connection: Connection) -> bool:
        return self.buffered > self.most_buffered and connection.reader.body_bytes > LARGE_BODY_BYTES

    def _ready(self, connection: Connection, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            self._send(connection)
        elif connection.busy:
            # It has joined, so it is still watched. What comes now, be it the end, is read when it is answered: a
            # client may say that it sends no more and still wait for its answer.
            self._watch(connection)
        else:
            self._receive(connection)

    def _receive(self, connection: Connection) -> None:
        if (self.late or not connection.heard) and (waited := connection.waited()) > LATE_SECONDS:
            # What has lain there since before the last read has been counted then.
            connection.delayed += min(waited, self.woken - connection.read)
        connection.read = self.woken
        try:
            length = connection.sock.recv_into(self.buffer)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            length = 0
        if not length:
            self._close(connection)
            return
        connection.heard = True
        if connection.closing:  # its last answer is sent; what still comes is thrown away
            return
        reader = connection.reader
        was_in_request = reader.in_request
        try:
            reader.feed(self.buffer[:length])
        except Refused as refused:
            reader.drop()
            connection.refused = refused
        if connection.delayed and reader.ready:
            for request in reader.ready:
                request.received -= connection.delayed
            connection.delayed = 0.0
        self._count(connection)
        if reader.in_request and not was_in_request:
            connection.since = time.monotonic()
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
            self.nr += 1
            joins = self.joins(request)
            if joins and size <= TOGETHER_BYTES:
                connection.busy = True
                self.joined.append((connection, request))
                return  # answered soon, so what is watched need not change
            if not joins and size <= ALONE_BYTES and self.runs_inline(request.method, request.path):
                self._answered(connection, self._handle(connection, request))
            else:
                connection.busy = True
                pool = self.large if size > ALONE_BYTES else self.pool
                pool.submit(self._handle_in_thread, connection, request)
        if connection.sock.fileno() < 0:
            return
        if not (connection.busy or connection.out or connection.closing):
            if reader.ready:
                self.queued.append(connection)
            elif connection.refused is not None:
                self._refuse(connection, connection.refused)
                return
            elif reader.wants_continue and reader.in_request:
                reader.wants_continue = False
                self._answer(connection, CONTINUE, close=False)
                return
        self._watch(connection)

    def _serve_queued(self) -> None:
        """Serve those that have queued, in turn, for a moment."""
        until = time.monotonic() + AHEAD_SECONDS
        while self.queued and time.monotonic() < until:
            self._serve(self.queued.popleft())

    def _answer_together(self) -> None:
        """Answer the requests that have joined since the last look for events, or as many as may be held up for."""
        joined = [self.joined.popleft()]
        size = joined[0][0].working
        while self.joined and (size := size + self.joined[0][0].working) <= TOGETHER_BYTES:
            joined.append(self.joined.popleft())
        closing = self.draining_since is not None
        try:
            answers = self.wsgi.together([request for _, request in joined])
        except Exception:
            self.log.exception("The application failed on %d requests", len(joined))
            failed = problem_response(HTTPStatus.INTERNAL_SERVER_ERROR, "see the log of the service")
            for connection, _ in joined:
                self._answered(connection, Handled(failed, True))
            return
        for (connection, request), (status, headers, body) in zip(joined, answers, strict=True):
            close = not request.keep_alive or (closing and not connection.behind)
            head = response_head(status, headers, close=close, http10=request.version == "1.0")
            self._answered(connection, Handled(head + body, close))
            if connection.behind and connection.sock.fileno() >= 0:
                self._serve(connection)

    def _handle_in_thread(self, connection: Connection, request: Request) -> None:
        self.finished.append((connection, self._handle(connection, request)))
        try:
            os.write(self.wake_write, b"\0")
        except BlockingIOError:
            pass  # the pipe is full, so the loop will wake

    def _handle(self, connection: Connection, request: Request) -> Handled:
        """Run the application."""
        done = None
        close = not request.keep_alive or (self.draining_since is not None and not connection.behind)
        try:
            server = connection.sock.getsockname()
            server = (server[0], server[1]) if isinstance(server, tuple) else ("", 0)
            head = ResponseHead()
            chunks = self.wsgi(request.environ(server, connection.client, sys.stderr), head.start)
            done = getattr(chunks, "close", None)
            body = b"".join(chunks)
            data = head.encoded(len(body), close=close, http10=request.version == "1.0")
            if request.method != "HEAD" and int(head.status[:3]) not in NO_BODY:
                data += body
            return Handled(data, close, done)
        except Exception:
            self.log.exception("The application failed on %s %s", request.method, request.path)
            failed = problem_response(HTTPStatus.INTERNAL_SERVER_ERROR, "see the log of the service")
            return Handled(failed, True, done)

    def _answered(self, connection: Connection, handled: Handled) -> None:
        connection.busy, connection.working = False, 0
        self._count(connection)
        if connection is self.newest:
            self._accept_more(connection)
        if connection.sock.fileno() >= 0:
            self._answer(connection, handled.data, close=handled.close)
        if handled.done is not None:
            try:
                handled.done()
            except Exception:
                self.log.exception("The application failed after its answer")

    def _answer(self, connection: Connection, data: bytes, *, close: bool) -> None:
        connection.closing = connection.closing or close
        connection.since = time.monotonic()
        connection.out = data
        self._send(connection, then_serve=False)

    def _refuse(self, connection: Connection, refused: Refused) -> None:
        connection.refused = None
        getattr(self.wsgi, "refused", lambda status: None)(int(refused.status))
        self._answer(connection, problem_response(refused.status, refused.detail), close=True)

    def _send(self, connection: Connection, *, then_serve: bool = True) -> None:
        try:
            sent = connection.sock.send(connection.out)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self._close(connection)
            return
        if sent < len(connection.out):
            connection.out = memoryview(connection.out)[sent:]
            self._watch(connection)
            return
        connection.out = b""
        if connection.closing:
            # Closing at once would reset the connection under an answer that the client has not read yet when
            # bytes of it are still under way to us; so say that we are done and read on until it is, too.
            try:
                connection.sock.shutdown(socket.SHUT_WR)
            except OSError:
                self._close(connection)
                return
            self._watch(connection)
        elif then_serve and connection.behind:
            self._serve(connection)
        else:
            self._watch(connection)

    def _close(self, connection: Connection) -> None:
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
        self._accept_more(connection)

    # The loop's own events.

    def _woken(self, _fileobj: Any) -> None:
        try:
            os.read(self.wake_read, 4096)
        except BlockingIOError:
            pass
        for _ in range(len(self.finished)):  # what comes meanwhile wakes again
            connection, handled = self.finished.popleft()
            self._answered(connection, handled)
            if connection.sock.fileno() >= 0 and connection.behind:
                self._serve(connection)

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
        for connection in list(self.connections.values()):
            self._expire(connection, now)
        if not self.accepting:
            self._accept_more()
        if self.draining_since is not None:
            self._drain(now, now - self.draining_since)

    def _expire(self, connection: Connection, now: float) -> None:
        waited = now - connection.since
        if connection.closing:
            if waited > (self.request_limit if connection.out else LINGER_SECONDS):
                self._close(connection)
        elif connection.out:
            if waited > self.request_limit:
                self._close(connection)
        elif connection.busy or connection.behind:
            return
        elif connection.reader.in_request:
            if waited > self.request_limit:
                self._refuse(connection, self._too_late(connection))
            else:
                self._watch(connection)  # goes on reading if it was paused and there is room again
        elif waited > (self.keepalive if connection.heard else self.request_limit):
            self._close(connection)

    def _too_late(self, connection: Connection) -> Refused:
        if self._must_pause(connection):
            return Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"no room for a large body within {self.request_limit:g} s: other requests fill the memory for them",
            )
        return Refused(HTTPStatus.REQUEST_TIMEOUT, f"the request took longer than {self.request_limit:g} s")

    def _drain(self, now: float, waited: float) -> None:
        getattr(self.wsgi, "begin_drain", lambda: None)()
        if waited < self.drain_wait:
            return
        if not self.listeners_closed:
            # What has connected before now gets its answer; only then is the door shut.
            for listener in self.sockets:
                while self._new_connection(listener):
                    pass
            self._accept(False)
            self.listeners_closed = True
            for listener in self.sockets:
                listener.close()
        for connection in list(self.connections.values()):
            # A client may be sending its next request just now, so idle connections get a moment.
            if connection.idle and now - connection.since > LINGER_SECONDS:
                self._close(connection)
        if not self.connections or waited > self.drain_wait + self.drain_limit:
            self.alive = False
