"""The stand-in on a loopback port: a thread a connection, kept alive."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from local_setup.errors import ServerFailed
from local_setup.github_standin.clock import RunningClock
from local_setup.github_standin.replies import Reply
from local_setup.github_standin.standin import GitHubStandIn

MOST_BODY = 8 << 20
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class _Server(ThreadingHTTPServer):
    """Knows the stand-in; its threads never keep the process alive."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, standin: GitHubStandIn) -> None:
        self.standin = standin
        self.open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def close_connections(self) -> None:
        """End every connection that is still kept alive."""
        for connection in list(self.open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error of ours."""


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    timeout = 120

    def setup(self) -> None:
        super().setup()
        cast(_Server, self.server).open.add(self.connection)

    def finish(self) -> None:
        cast(_Server, self.server).open.discard(self.connection)
        super().finish()

    def _serve(self) -> None:
        standin = cast(_Server, self.server).standin
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > MOST_BODY:
            self.close_connection = True
            self._send(Reply(413))
            return
        body = self.rfile.read(int(length))
        headers = {name.lower(): value for name, value in self.headers.items()}
        url = f"http://{headers.get('host', '127.0.0.1')}{self.path}"
        request = standin.parse(self.command, url, headers, body)
        with standin.answering(request):
            arrived = time.monotonic()
            reply = standin.handle(request)
            # The time of answering is part of the latency, so a benchmark measures just that.
            waited = time.monotonic() - arrived if isinstance(standin.clock, RunningClock) else 0.0
            if reply.delay > waited:
                standin.clock.sleep(reply.delay - waited)
        self._send(reply)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = do_HEAD = _serve

    def _send(self, reply: Reply) -> None:
        if reply.hang_up:
            self._reset()
            return
        try:
            phrase = HTTPStatus(reply.status).phrase
        except ValueError:
            phrase = ""
        lines = [f"HTTP/1.1 {reply.status} {phrase}"]
        lines += [f"{name}: {value}" for name, value in reply.headers.items()]
        if reply.status != 304:
            lines.append(f"Content-Length: {len(reply.body)}")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
        body = b"" if self.command == "HEAD" or reply.status == 304 else reply.body
        if reply.cut is not None:
            self.wfile.write(head + body[: int(len(body) * reply.cut)])
            self.wfile.flush()
            self._reset()
            return
        self.wfile.write(head + body)
        self.wfile.flush()

    def _reset(self) -> None:
        """End the connection the hard way, in the middle of whatever it was."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: the stand-in keeps a log of its own."""


class RunningStandIn:
    """A stand-in on a port; ``url`` is what `GITHUB_API_URL` has to be."""

    def __init__(self, standin: GitHubStandIn, port: int = 0) -> None:
        """Raises ServerFailed when the port is taken."""
        self.standin = standin
        try:
            self._server = _Server(port, standin)
        except OSError as error:
            raise ServerFailed(
                f"the GitHub stand-in cannot listen on 127.0.0.1:{port}: {error.strerror}. "
                "Choose another --port, or 0 for any free one"
            ) from error
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Close the port and every connection."""
        self._server.shutdown()
        self._server.close_connections()
        self._server.server_close()
        self._thread.join()


@contextmanager
def serve(standin: GitHubStandIn, port: int = 0) -> Iterator[str]:
    """Put ``standin`` on a port for a while; gives its address."""
    running = RunningStandIn(standin, port)
    try:
        yield running.url
    finally:
        running.stop()
