"""When a connection has waited for too long, and what becomes of it."""

from __future__ import annotations

from http import HTTPStatus

from model_serving.connection import Connection
from model_serving.event_loop import EventLoop
from model_serving.http_protocol import Refused

# How long a closing connection may take to read its answer, and idle ones to send one more request.
LINGER_SECONDS = 2.0


class Deadlines:
    """Ends the connections of an event loop in time.

    request: seconds to send a request, or to take an answer. keepalive: seconds between two requests.
    """

    def __init__(self, loop: EventLoop, *, request: float, keepalive: float) -> None:
        self.loop, self.request, self.keepalive = loop, request, keepalive

    def expire(self, connection: Connection, now: float) -> None:
        """End what has taken too long by now, a monotonic time."""
        waited = now - connection.since
        if connection.closing:
            if waited > (self.request if connection.out else LINGER_SECONDS):
                self.loop.close(connection)
        elif connection.out:
            if waited > self.request:
                self.loop.close(connection)
        elif connection.busy or connection.behind:
            return
        elif connection.reader.in_request:
            if waited > self.request:
                self.loop.refuse(connection, self.too_late(connection))
            else:
                self.loop.watch(connection)  # goes on reading if it was paused and there is room again
        elif waited > (self.keepalive if connection.heard else self.request):
            self.loop.close(connection)

    def too_late(self, connection: Connection) -> Refused:
        """What a request is told that has not come in time."""
        if self.loop.must_pause(connection):
            return Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"no room for a large body within {self.request:g} s: other requests fill the memory for them",
            )
        return Refused(HTTPStatus.REQUEST_TIMEOUT, f"the request took longer than {self.request:g} s")

    def leave(self, now: float) -> None:
        """The worker is to end: close what is idle, after a moment, as a client may be sending its next request now."""
        for connection in list(self.loop.connections.values()):
            if connection.idle and now - connection.since > LINGER_SECONDS:
                self.loop.close(connection)
