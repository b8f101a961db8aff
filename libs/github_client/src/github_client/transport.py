"""The one place with a socket: a request out, a whole response in, or NetworkFailure."""

from __future__ import annotations

import time
from typing import Protocol

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError

from github_client.errors import NetworkFailure
from github_client.messages import USER_AGENT, Request, Response

_CHUNK = 1 << 16


class Transport(Protocol):
    """Sends one request. Raises NetworkFailure."""

    def __call__(self, request: Request, authorization: str, timeout_seconds: float) -> Response:
        """The whole response, whatever its status."""


class _Authorization(AuthBase):
    """Sets the header last: requests would otherwise prefer a login from ~/.netrc."""

    def __init__(self, value: str) -> None:
        self._value = value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._value:
            request.headers["Authorization"] = self._value
        return request


class HttpTransport:
    """HTTP by requests. `timeout_seconds` bounds the whole exchange, not only each read of it.

    Redirects are not followed here: the client decides, so that a token never goes to another host.
    """

    def __init__(self, *, connect_seconds: float = 10.0, max_bytes: int = 64 << 20) -> None:
        self._session = requests.Session()
        self._session.headers["User-Agent"] = USER_AGENT
        self._session.mount("https://", HTTPAdapter(pool_maxsize=64))
        self._session.mount("http://", HTTPAdapter(pool_maxsize=64))
        self._connect_seconds = connect_seconds
        self._max_bytes = max_bytes

    def __call__(self, request: Request, authorization: str, timeout_seconds: float) -> Response:
        """Send and read all of the reply."""
        end = time.monotonic() + timeout_seconds
        try:
            with self._session.request(
                request.method,
                request.url,
                headers=dict(request.headers),
                data=request.body,
                auth=_Authorization(authorization),
                timeout=(min(self._connect_seconds, timeout_seconds), timeout_seconds),
                allow_redirects=False,
                stream=True,
            ) as reply:
                body = self._read(reply, request, end)
                headers = {name.lower(): value for name, value in reply.headers.items()}
                return Response(reply.status_code, headers, body)
        except (requests.RequestException, HTTPError, OSError) as error:
            # Without the cause: its message and its request may hold headers.
            raise NetworkFailure(f"{request.label}: {type(error).__name__}") from None

    def _read(self, reply: requests.Response, request: Request, end: float) -> bytes:
        body = bytearray()
        # read1 gives what has arrived; a read of a whole chunk would wait for all of it.
        while chunk := reply.raw.read1(_CHUNK, decode_content=True):
            body += chunk
            if len(body) > self._max_bytes:
                raise NetworkFailure(f"{request.label}: more than {self._max_bytes} bytes")
            if time.monotonic() > end:
                raise NetworkFailure(f"{request.label}: the reply took too long")
        return bytes(body)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()
