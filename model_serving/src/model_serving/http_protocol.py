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
from typing import Any, NoReturn

import httptools

NO_BODY = {101, 204, 304}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
RECEIVED = "model_serving.received"  # in a WSGI environment
# What a request takes in memory beside its bytes, and each of its header fields, at most (CPython 3.11, 64 bits).
REQUEST_COST = 350
FIELD_COST = 140


@dataclass(frozen=True)
class Limits:
    """Largest sizes of a request, in bytes; headers counts names and values together.

    ahead: of the heads of the requests that a connection has sent before it had its answers, as they lie in memory.
    """

    target: int = 8 * 1024
    headers: int = 32 * 1024
    header_count: int = 100
    body: int = 16 * 1024 * 1024
    ahead: int = 256 * 1024


class Refused(Exception):
    """A request that is answered without the application; the connection ends with the answer."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        self.status, self.detail = status, detail
        super().__init__(f"{int(status)} {detail}")


class Request:
    """One complete request; head_bytes is about what it takes in memory but for its body, received (a monotonic
    time) when it was complete."""

    __slots__ = ("body", "head_bytes", "headers", "keep_alive", "method", "received", "target", "version")

    def __init__(
        self,
        method: str,
        target: bytes,
        version: str,
        headers: list[tuple[bytes, bytes]],
        body: bytes,
        keep_alive: bool,
        head_bytes: int,
    ) -> None:
        self.method, self.target, self.version = method, target, version
        self.headers, self.body, self.keep_alive = headers, body, keep_alive
        self.head_bytes = head_bytes
        self.received = time.monotonic()

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
            RECEIVED: self.received,
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
    ready_bytes those of the complete ones, ready_heads what these take beside."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.ready: deque[Request] = deque()
        self.ready_bytes = self.ready_heads = 0
        self.wants_continue = False
        self._parser = httptools.HttpRequestParser(self)
        self._refused: Refused | None = None
        self._head_bytes = 0
        self._reset()

    def _reset(self) -> None:
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._header_bytes = 0
        self._hosts = 0
        self._coding = b""
        self._body: bytes | bytearray = b""
        self.body_bytes = 0
        self.in_request = False
        self._in_body = False

    def feed(self, data: bytes | memoryview) -> None:
        """Take received bytes; raises Refused for what is no acceptable request."""
        if not self._in_body:
            # The parser holds an unfinished header back, so what it has taken is counted here.
            self._head_bytes += len(data)
        try:
            while True:
                try:
                    self._parser.feed_data(data)
                    break
                except httptools.HttpParserUpgrade as upgrade:
                    data = memoryview(data)[upgrade.args[0] :]
                    self._read_without_upgrade()
        except httptools.HttpParserError as error:
            if self._refused is None:
                raise Refused(HTTPStatus.BAD_REQUEST, f"this is no HTTP/1.1 request: {error}") from error
        if self._refused is not None:
            raise self._refused
        most = self.limits.target + self.limits.headers
        if self.in_request and not self._in_body and self._head_bytes > most:
            raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"a head of more than {most} bytes")

    def _read_without_upgrade(self) -> None:
        """Read the head just read again, as if it had not asked for another protocol.

        Such a request is to be answered by the one there is (RFC 9110 section 7.8), but httptools takes its body for
        the other protocol. Java's client and curl --http2 ask so with every first request.
        """
        asked = self.ready.pop()
        self._count(asked, -1)
        if asked.method == "CONNECT":
            self._refuse(HTTPStatus.BAD_REQUEST, "CONNECT: this is no proxy")
        lines = [f"{asked.method} ".encode() + asked.target + f" HTTP/{asked.version}".encode()]
        lines += [b"%s: %s" % field for field in asked.headers if field[0].lower() != b"upgrade"]
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(b"\r\n".join(lines) + b"\r\n\r\n")

    def take(self) -> Request:
        """The first of the complete requests."""
        request = self.ready.popleft()
        self._count(request, -1)
        return request

    def _count(self, request: Request, sign: int) -> None:
        self.ready_bytes += sign * len(request.body)
        self.ready_heads += sign * request.head_bytes

    def drop(self) -> None:
        """Forget the request that still comes in."""
        self._body, self.body_bytes, self.in_request = b"", 0, False

    def drop_all(self) -> None:
        """Forget the complete requests, too."""
        self.drop()
        self.ready.clear()
        self.ready_bytes = self.ready_heads = 0

    def _refuse(self, status: HTTPStatus, detail: str) -> NoReturn:
        # Exceptions in callbacks come out of httptools wrapped; keep the first and raise it from feed().
        if self._refused is None:
            self._refused = Refused(status, detail)
        raise self._refused

    # Callbacks of httptools.

    def on_message_begin(self) -> None:
        self._reset()
        if self.ready_heads > self.limits.ahead:
            self._refuse(HTTPStatus.TOO_MANY_REQUESTS, "too many requests sent ahead of their answers")
        self.in_request = True

    def on_url(self, part: bytes) -> None:
        self._target += part
        if len(self._target) > self.limits.target:
            self._refuse(
                HTTPStatus.REQUEST_URI_TOO_LONG, f"the target is longer than {self.limits.target} bytes"
            )

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > self.limits.headers or len(self._headers) >= self.limits.header_count:
            self._refuse(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"more than {self.limits.headers} bytes or {self.limits.header_count} fields of headers",
            )
        if self._in_body:
            return  # a trailer: none means anything here, and none may pass for a header
        self._headers.append((name, value))
        lower = name.lower()
        if lower == b"host":
            self._hosts += 1
        elif lower == b"content-length":
            if value.isdigit() and int(value[:20]) > self.limits.body:
                self._refuse_body()
        elif lower == b"transfer-encoding":
            self._coding += b"," + value.strip().lower()
        elif lower == b"expect":
            if value.strip().lower() != b"100-continue":
                self._refuse(HTTPStatus.EXPECTATION_FAILED, "the only expectation met is 100-continue")
            self.wants_continue = True

    def on_headers_complete(self) -> None:
        self._in_body = True
        if self._hosts != 1 and (self._hosts or self._parser.get_http_version() == "1.1"):
            self._refuse(HTTPStatus.BAD_REQUEST, f"expected one Host header, found {self._hosts or 'none'}")
        if self._coding.endswith(b"chunked") and self._coding != b",chunked":  # the parser refuses other ends
            # Not 501, which RFC 9112 proposes: what a caller does wrong must not count as an error of the service.
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the only transfer coding read is chunked")
        if not self._target.startswith(b"/") and self._target != b"*":
            self._target = self._origin_form(self._target)

    def _origin_form(self, target: bytes) -> bytes:
        """The path and query of a target with scheme and host in it (RFC 9112 section 3.2.2)."""
        try:
            parsed = httptools.parse_url(target)
        except httptools.HttpParserInvalidURLError:  # what CONNECT asks for, too: this is no proxy
            self._refuse(HTTPStatus.BAD_REQUEST, "the target is neither a path nor an address with a path")
        return (parsed.path or b"/") + (b"?" + parsed.query if parsed.query else b"")

    def on_body(self, part: bytes) -> None:
        if not self._body:
            self._body = part  # most come in one part, which is then handed on as it is
        else:
            # Small parts, kept as objects, would take many times their length.
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += part
        self.body_bytes += len(part)
        if self.body_bytes > self.limits.body:
            self._refuse_body()

    def on_message_complete(self) -> None:
        request = Request(
            self._parser.get_method().decode("latin-1"),
            self._target,
            self._parser.get_http_version(),
            self._headers,
            bytes(self._body),
            self._parser.should_keep_alive(),
            REQUEST_COST + len(self._target) + self._header_bytes + FIELD_COST * len(self._headers),
        )
        self.ready.append(request)
        self._count(request, 1)
        self.wants_continue = False
        self._body, self.body_bytes, self.in_request = b"", 0, False
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
