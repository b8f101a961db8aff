"""One client's connection: what it reads and sends, and where it stands. Whose turn it is, the event loop knows."""

from __future__ import annotations

import socket
import struct
import time
from contextlib import suppress

from model_serving.http_protocol import Limits, Refused, RequestReader

TCP_INFO_BYTES, LAST_DATA_RECEIVED = 56, 52  # of Linux's struct tcp_info
# From this on, the time that a request lay in the kernel counts into its time to answer: it may have been a turn that
# was as long, or the queue of connections not yet taken. Asking is a system call, so it is not done for each.
LATE_SECONDS = 0.02


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
        self.busy = False  # its request is being answered, by a thread or together with others
        self.working = 0  # bytes of the body of that request
        self.held = 0  # bytes of all its bodies, as counted by the event loop
        self.refused: Refused | None = None  # answered when the requests before it are
        self.closing = False  # close once `out` is sent
        self.heard = False  # whether a byte has come
        self.read = 0.0  # when it was last read
        self.delayed = 0.0  # seconds for which parts of the request that comes in have waited to be read
        self.since = time.monotonic()  # start of the request, of the answer or of the pause now going on
        self.events = 0  # of selectors, that are watched

    @property
    def gone(self) -> bool:
        """Whether it is closed."""
        return self.sock.fileno() < 0

    @property
    def idle(self) -> bool:
        """Between two requests."""
        return not (self.busy or self.out or self.reader.in_request or self.behind)

    @property
    def behind(self) -> bool:
        """Whether something complete waits for its turn."""
        return bool(self.reader.ready) or self.refused is not None

    def receive(self, buffer: memoryview, now: float, *, late: bool) -> int | None:
        """Read into the buffer, and take what it is; bytes read, 0 at the end, None where nothing has come.

        now: a monotonic time. late: what comes may have lain in the kernel for long.
        """
        if (late or not self.heard) and (waited := self._waited()) > LATE_SECONDS:
            # What has lain there since before the last read has been counted then.
            self.delayed += min(waited, now - self.read)
        self.read = now
        try:
            length = self.sock.recv_into(buffer)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return 0
        if length:
            self.heard = True
            if not self.closing:  # else its last answer is sent; what still comes is thrown away
                self._take(buffer[:length])
        return length

    def _take(self, data: memoryview) -> None:
        reader = self.reader
        was_in_request = reader.in_request
        try:
            reader.feed(data)
        except Refused as refused:
            reader.drop()
            self.refused = refused
        if self.delayed and reader.ready:
            for request in reader.ready:
                request.received -= self.delayed
            self.delayed = 0.0
        if reader.in_request and not was_in_request:
            self.since = time.monotonic()

    def _waited(self) -> float:
        """Seconds for which what came last has lain in the kernel, to a few milliseconds."""
        with suppress(OSError, AttributeError):  # not TCP, not Linux
            info = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
            milliseconds: int = struct.unpack_from("I", info, LAST_DATA_RECEIVED)[0]
            return milliseconds / 1000
        return 0.0

    def send(self) -> bool:
        """Send of `out` what the kernel takes; False where the client is gone."""
        try:
            sent = self.sock.send(self.out)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            return False
        if sent < len(self.out):
            self.out = memoryview(self.out)[sent:]
            return True
        self.out = b""
        if self.closing:
            # Closing at once would reset the connection under an answer that the client has not read yet when
            # bytes of it are still under way to us; so say that we are done and read on until it is, too.
            try:
                self.sock.shutdown(socket.SHUT_WR)
            except OSError:
                return False
        return True
