"""Bytes of one connection -> complete HTTP requests, within limits. No sockets in here.

httptools (llhttp, the parser of Node.js) does the parsing; it refuses what request smuggling needs (both lengths,
spaces before a colon, bare line feeds).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from io import BytesIO
from typing import Any

import httptools

NO_BODY = {101, 204, 304}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True)
class Limits:
    """Largest sizes of a request, in bytes; headers counts names and values together."""

    target: int = 8 * 1024
    headers: int = 32 * 1024
    header_count: int = 100
    body: int = 16 * 1024 * 1024


class Refused(Exception):
    """A request that is answered without the application; the connection ends with the answer."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        self.status, self.detail = status, detail
        super().__init__(f"{int(status)} {detail}")


class Request:
    """One complete request."""

    __slots__ = ("body", "headers", "keep_alive", "method", "target", "version")

    def __init__(
        self,
        method: str,
        target: bytes,
        version: str,
        headers: list[tuple[bytes, bytes]],
        body: bytes,
        keep_alive: bool,
    ) -> None:
        self.method, self.target, self.version = method, target, version
        self.headers, self.body, self.keep_alive = headers, body, keep_alive

    @property
    def path(self) -> str:
        """The target without its query, as sent."""
        return self.target.partition(b"?")[0].decode("latin-1")

    def environ(self, server: tuple[str, int], client: tuple[str, int], errors: Any) -> dict[str, Any]:
        """The WSGI environment (PEP 3333)."""
        target = self.target
        raw, _, query = target.partition(b"?")
        path = raw.decode("latin-1")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": self.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": _unquoted(path) if "%" in path else path,
            "RAW_URI": target.decode("latin-1"),
            "QUERY_STRING": query.decode("latin-1"),
            "SERVER_NAME": server[0],
            "SERVER_PORT": str(server[1]),
            "SERVER_PROTOCOL": "HTTP/" + self.version,
            "REMOTE_ADDR": client[0],
            "REMOTE_PORT": str(client[1]),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": BytesIO(self.body),
            "wsgi.input_terminated": True,
            "wsgi.errors": errors,
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
            "CONTENT_LENGTH": str(len(self.body)),
        }
        for name, value in self.headers:
            # A name with an underscore would shadow one with a dash, and no client of ours needs it.
            if b"_" in name:
                continue
            key = name.decode("latin-1").upper().replace("-", "_")
            text = value.decode("latin-1")
            if key == "CONTENT_TYPE":
                environ[key] = text
            elif key not in {"CONTENT_LENGTH", "TRANSFER_ENCODING"}:
                key = "HTTP_" + key
                environ[key] = f"{environ[key]},{text}" if key in environ else text
        return environ


def _unquoted(path: str) -> str:
    from urllib.parse import unquote_to_bytes

    return unquote_to_bytes(path).decode("latin-1")


class RequestReader:
    """Feeds on bytes; complete requests stand in `ready`. body_bytes are those of the request that still comes in,
    ready_bytes those of the complete ones."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.ready: deque[Request] = deque()
        self.ready_bytes = 0
        self.wants_continue = False
        self._parser = httptools.HttpRequestParser(self)
        self._refused: Refused | None = None
        self._upgraded = False
        self._head_bytes = 0
        self._reset()

    def _reset(self) -> None:
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._header_bytes = 0
        self._chunks: list[bytes] = []
        self.body_bytes = 0
        self.in_request = False
        self._in_body = False

    def feed(self, data: bytes | memoryview) -> None:
        """Take received bytes; raises Refused for what is no acceptable request."""
        if self._upgraded:
            return
        if not self._in_body:
            # The parser holds an unfinished header back, so what it has taken is counted here.
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # No protocol but HTTP/1.1 here: the request is answered as if it had not asked, then it is over.
            self._upgraded = True
            if self.ready:
                self.ready[-1].keep_alive = False
        except httptools.HttpParserError as error:
            if self._refused is None:
                raise Refused(HTTPStatus.BAD_REQUEST, f"this is no HTTP/1.1 request: {error}") from error
        if self._refused is not None:
            raise self._refused
        most = self.limits.target + self.limits.headers
        if self.in_request and not self._in_body and self._head_bytes > most:
            raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"a head of more than {most} bytes")

    def take(self) -> Request:
        """The first of the complete requests."""
        request = self.ready.popleft()
        self.ready_bytes -= len(request.body)
        return request

    def drop(self) -> None:
        """Forget the request that still comes in."""
        self._chunks, self.body_bytes, self.in_request = [], 0, False

    def drop_all(self) -> None:
        """Forget the complete requests, too."""
        self.drop()
        self.ready.clear()
        self.ready_bytes = 0

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        # Exceptions in callbacks come out of httptools wrapped; keep the first and raise it from feed().
        if self._refused is None:
            self._refused = Refused(status, detail)
        raise self._refused

    # Callbacks of httptools.

    def on_message_begin(self) -> None:
        self._reset()
        self.in_request = True

    def on_url(self, part: bytes) -> None:
        self._target += part
        if len(self._target) > self.limits.target:
            self._refuse(
                HTTPStatus.REQUEST_URI_TOO_LONG, f"the target is longer than {self.limits.target} bytes"
            )

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > self.limits.headers or len(self._headers) > self.limits.header_count:
            self._refuse(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"more than {self.limits.headers} bytes or {self.limits.header_count} fields of headers",
            )
        lower = name.lower()
        if lower == b"content-length" and value.isdigit() and int(value[:20]) > self.limits.body:
            self._refuse_body()
        elif lower == b"expect" and value.lower() == b"100-continue":
            self.wants_continue = True

    def on_headers_complete(self) -> None:
        self._in_body = True
        if not self._target.startswith(b"/") and self._target != b"*":
            self._target = self._origin_form(self._target)

    def _origin_form(self, target: bytes) -> bytes:
        """The path and query of a target with scheme and host in it (RFC 9112 section 3.2.2)."""
        try:
            parsed = httptools.parse_url(target)
        except httptools.HttpParserInvalidURLError:  # what CONNECT asks for, too: this is no proxy
            self._refuse(HTTPStatus.BAD_REQUEST, "the target is neither a path nor an address with a path")
            raise
        return (parsed.path or b"/") + (b"?" + parsed.query if parsed.query else b"")

    def on_body(self, part: bytes) -> None:
        self._chunks.append(part)
        self.body_bytes += len(part)
        if self.body_bytes > self.limits.body:
            self._refuse_body()

    def on_message_complete(self) -> None:
        self.ready_bytes += self.body_bytes
        self.ready.append(
            Request(
                self._parser.get_method().decode("latin-1"),
                self._target,
                self._parser.get_http_version(),
                self._headers,
                self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks),
                self._parser.should_keep_alive(),
            )
        )
        self.wants_continue = False
        self._chunks, self.body_bytes, self.in_request = [], 0, False
        self._in_body, self._head_bytes = False, 0

    def _refuse_body(self) -> None:
        self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {self.limits.body} bytes")


class ResponseHead:
    """Status line and headers of one response, as a WSGI application gives them."""

    def __init__(self) -> None:
        self.status, self.headers = "", []  # type: tuple[str, list[tuple[str, str]]]

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        """WSGI's start_response."""
        if exc_info is not None:
            exc_info = None
        self.status, self.headers = status, headers
        return _no_write

    def encoded(self, length: int, *, close: bool, http10: bool) -> bytes:
        """The head as bytes, with Content-Length, Date and Connection where they are due."""
        headers = [pair for pair in self.headers if pair[0].lower() != "connection"]
        if int(self.status[:3]) not in NO_BODY and all(
            name.lower() != "content-length" for name, _ in headers
        ):
            headers.append(("Content-Length", str(length)))
        return _head(self.status, headers, close, http10)


def response_head(status: int, headers: Sequence[tuple[str, str]], *, close: bool, http10: bool) -> bytes:
    """The head of an answer whose headers are complete but for Date and Connection."""
    return _head(
        "200 OK" if status == 200 else f"{status} {HTTPStatus(status).phrase}", headers, close, http10
    )


def _head(status: str, headers: Sequence[tuple[str, str]], close: bool, http10: bool) -> bytes:
    lines = [f"HTTP/1.1 {status}", *[f"{name}: {value}" for name, value in headers], f"Date: {_now()}"]
    if close:
        lines.append("Connection: close")
    elif http10:
        lines.append("Connection: keep-alive")
    lines.append("\r\n")
    return "\r\n".join(lines).encode("latin-1")


_date = (0, "")


def _now() -> str:
    global _date
    second = int(time.time())
    if _date[0] != second:
        _date = (second, formatdate(second, usegmt=True))
    return _date[1]


def _no_write(_data: bytes) -> None:
    raise RuntimeError("the write callable of WSGI is not supported")


def problem_response(status: HTTPStatus, detail: str) -> bytes:
    """A whole response with a problem (RFC 9457), for a request that the application never saw."""
    import json

    body = json.dumps(
        {"type": "about:blank", "title": status.phrase, "status": int(status), "detail": detail}
    ).encode()
    head = ResponseHead()
    head.start(f"{int(status)} {status.phrase}", [("Content-Type", "application/problem+json")])
    return head.encoded(len(body), close=True, http10=False) + body
