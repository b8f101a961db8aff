"""The application that a worker hosts: what it asks for, and its answers as bytes."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

from model_serving.http_protocol import (
    NO_BODY,
    Limits,
    Request,
    ResponseHead,
    problem_response,
    response_head,
)


class Handled(NamedTuple):
    """What the application made of a request."""

    data: bytes  # the whole response
    close: bool  # the connection ends with it
    done: Callable[[], None] | None = None  # WSGI's close(): called when it is handed to the socket


class HostedApplication:
    """A WSGI application. It may offer, all optional:

    limits (Limits), refused(status), begin_drain(), close(), runs_inline(method, path) -> bool, drain_wait_seconds,
    drain_seconds, keepalive_seconds, request_seconds, connections, buffer_bytes, threads; and for requests that are
    cheaper when those that wait at the same moment are answered at once: joins(request) -> bool with
    together(requests) -> [(status, headers, body)].
    """

    def __init__(self, wsgi: Any, log: logging.Logger) -> None:
        self.wsgi, self.log = wsgi, log
        self.limits: Limits = getattr(wsgi, "limits", Limits())
        self.joins: Callable[[Request], bool] = getattr(wsgi, "joins", lambda request: False)
        self.runs_inline: Callable[[str, str], bool] = getattr(wsgi, "runs_inline", lambda method, path: True)
        self.refused: Callable[[int], None] = getattr(wsgi, "refused", lambda status: None)
        self.begin_drain: Callable[[], None] = getattr(wsgi, "begin_drain", lambda: None)
        self.close: Callable[[], None] = getattr(wsgi, "close", lambda: None)
        self.drain_wait = float(getattr(wsgi, "drain_wait_seconds", 0.0))
        self.drain_limit = float(getattr(wsgi, "drain_seconds", 20.0))
        self.keepalive = float(getattr(wsgi, "keepalive_seconds", 75.0))
        self.request_limit = float(getattr(wsgi, "request_seconds", 30.0))
        self.most_connections = int(getattr(wsgi, "connections", 1000))
        self.most_buffered = int(getattr(wsgi, "buffer_bytes", 128 * 1024 * 1024))
        self.threads = int(getattr(wsgi, "threads", 4))

    def handle(
        self, request: Request, sock: socket.socket, client: tuple[str, int], *, close: bool
    ) -> Handled:
        """Its answer to a request; close: the connection is to end with it. Never raises."""
        done = None
        try:
            server = sock.getsockname()
            server = (server[0], server[1]) if isinstance(server, tuple) else ("", 0)
            head = ResponseHead()
            chunks = self.wsgi(request.environ(server, client, sys.stderr), head.start)
            done = getattr(chunks, "close", None)
            body = b"".join(chunks)
            data = head.encoded(len(body), close=close, http10=request.version == "1.0")
            if request.method != "HEAD" and int(head.status[:3]) not in NO_BODY:
                data += body
            return Handled(data, close, done)
        except Exception:
            self.log.exception("The application failed on %s %s", request.method, request.path)
            return Handled(_failed(), True, done)

    def handle_together(self, requests: Sequence[Request], closes: Sequence[bool]) -> list[Handled]:
        """The same for requests that have joined."""
        try:
            answers = self.wsgi.together(requests)
        except Exception:
            self.log.exception("The application failed on %d requests", len(requests))
            return [Handled(_failed(), True)] * len(requests)
        return [
            Handled(
                response_head(status, headers, close=close, http10=request.version == "1.0") + body, close
            )
            for request, close, (status, headers, body) in zip(requests, closes, answers, strict=True)
        ]

    def finish(self, done: Callable[[], None]) -> None:
        """Say that an answer is handed over."""
        try:
            done()
        except Exception:
            self.log.exception("The application failed after its answer")


def _failed() -> bytes:
    return problem_response(HTTPStatus.INTERNAL_SERVER_ERROR, "see the log of the service")
