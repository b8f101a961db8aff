"""A few words of the NATS protocol, to see and to repeat what passes the event bus."""

import json
import re
import socket
import ssl
import time
from collections.abc import Callable
from types import TracebackType

# https://docs.nats.io/reference/reference-protocols/nats-protocol
_MESSAGE = re.compile(rb"(H?)MSG (\S+) 1 (?:\S+ )?(?:(\d+) )?(\d+)\r\n")


class Wire:
    """A connection that hears the messages of a subject and may send one again."""

    def __init__(self, port: int, subject: str) -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout=20)
        assert plain.recv(100_000).startswith(b"INFO ")  # before the connection is encrypted
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self._socket = context.wrap_socket(plain)
        self._heard = b""
        options = json.dumps({"verbose": False, "pedantic": False, "headers": True, "tls_required": True})
        self._socket.sendall(f"CONNECT {options}\r\nSUB {subject} 1\r\nPING\r\n".encode())
        self._until(lambda: b"PONG\r\n" in self._heard)

    def __enter__(self) -> "Wire":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def message(self) -> tuple[str, bytes]:
        """The next message: subject and body, without its headers."""
        self._until(lambda: self._whole() is not None)
        found = self._whole()
        assert found is not None
        head, body = found
        self._heard = self._heard[head.end() + int(head[4]) :]
        return head[2].decode(), body

    def send(self, subject: str, body: bytes) -> None:
        """As it is, without the header by which the bus tells repetitions."""
        self._socket.sendall(f"PUB {subject} {len(body)}\r\n".encode() + body + b"\r\nPING\r\n")
        self._heard = b""
        self._until(lambda: b"PONG\r\n" in self._heard)

    def _whole(self) -> tuple[re.Match[bytes], bytes] | None:
        head = _MESSAGE.search(self._heard)
        if head is None or len(self._heard) < head.end() + int(head[4]):
            return None
        return head, self._heard[head.end() + int(head[3] or 0) : head.end() + int(head[4])]

    def _until(self, done: Callable[[], bool]) -> None:
        end = time.monotonic() + 30
        while not done():
            assert time.monotonic() < end, f"the bus said only {self._heard[:500]!r}"
            self._heard += self._socket.recv(100_000)
