"""In place of Argo Events: POST /drift-detected with a bearer token; an alarm waits until it is asked for."""

from __future__ import annotations

import hmac
import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# The sensor's filter (argo-apps/drift/sensor.yaml).
ALARM_FROM = 0.3
MOST_BYTES = 10_000


class Webhook(ThreadingHTTPServer):
    """A server on a free port of loopback; alarms: what came with the right token and a score from ALARM_FROM on."""

    def __init__(self, token: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.token = token
        self.alarms: queue.Queue[dict[str, Any]] = queue.Queue()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}/drift-detected"


class _Handler(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        body = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), MOST_BYTES))
        if scheme != "Bearer" or not hmac.compare_digest(token.encode(), self.server.token.encode()):
            return self._say(401)
        if self.path != "/drift-detected":
            return self._say(404)
        try:
            event = json.loads(body)
            score = float(event["drift_score"])
        except (ValueError, KeyError, TypeError):
            return self._say(400)
        if score >= ALARM_FROM:
            self.server.alarms.put(event)
        self._say(200)

    def _say(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """The alarm is in the report; nothing is printed here."""


@contextmanager
def listening(token: str) -> Iterator[Webhook]:
    """The webhook for the length of a block."""
    server = Webhook(token)
    thread = threading.Thread(target=server.serve_forever, name="webhook", daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
