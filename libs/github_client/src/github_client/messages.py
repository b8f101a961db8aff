"""What is sent and what comes back, as plain values: no socket anywhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from github_client.errors import Moved

API_VERSION = "2022-11-28"
USER_AGENT = "pull-request-anomalies"


@dataclass(frozen=True)
class Request:
    """One request. `url` is absolute; `resource` names the rate limit that it counts against."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    resource: str = "core"

    @property
    def label(self) -> str:
        """For messages: the method and the path, without the query."""
        return f"{self.method} {urlsplit(self.url).path}"


@dataclass(frozen=True)
class Response:
    """One reply. The names of the headers are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class RateLimit:
    """What is left of the hour. `wait_seconds` until it is given anew, by GitHub's own clock."""

    resource: str
    limit: int | None
    remaining: int
    wait_seconds: float | None


@dataclass(frozen=True)
class PartialError:
    """One object of a GraphQL reply that could not be given; `path` as GitHub wrote it."""

    kind: str
    path: tuple[str | int, ...]
    message: str


@dataclass(frozen=True)
class Reply:
    """A reply that brought data. `data` is None for 304 and for an empty body."""

    data: Any
    status: int = 200
    rate: RateLimit | None = None
    cost: int = 1
    etag: str | None = None
    next_url: str | None = None
    last_url: str | None = None
    server_time: float | None = None
    errors: tuple[PartialError, ...] = ()

    @property
    def not_modified(self) -> bool:
        """The copy that the ETag names is still right."""
        return self.status == 304


_HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": API_VERSION}


class Api:
    """Builds requests for one GitHub server: github.com, an Enterprise server, or a stand-in."""

    def __init__(self, url: str = "https://api.github.com") -> None:
        self.url = url.rstrip("/")
        # An Enterprise server has REST under /api/v3 and GraphQL beside it.
        self.graphql_url = self.url.removesuffix("/v3") + "/graphql"

    def graphql(self, query: str, variables: Mapping[str, Any]) -> Request:
        """One GraphQL query."""
        body = json.dumps({"query": query, "variables": dict(variables)}).encode()
        headers = {**_HEADERS, "Content-Type": "application/json"}
        return Request("POST", self.graphql_url, headers, body, "graphql")

    def get(self, path: str, etag: str | None = None, **parameters: str | int) -> Request:
        """One REST GET; `path` starts with a slash or is a whole address from a reply.

        Raises Moved for an address on another server, which the token is not for.
        """
        url = self.url + path if path.startswith("/") else path
        server = "/".join(self.url.split("/")[:3]) + "/"
        if not url.lower().startswith(server.lower()):
            raise Moved(f"expected an address at {self.url}, found {path[:200]!r}", location=path)
        if parameters:
            url += "?" + urlencode(parameters)
        headers = {**_HEADERS, "If-None-Match": etag} if etag else _HEADERS
        return Request("GET", url, headers, None, "search" if path.startswith("/search/") else "core")

    def post(self, path: str, content: Mapping[str, Any]) -> Request:
        """One REST POST."""
        return self._written("POST", path, content)

    def patch(self, path: str, content: Mapping[str, Any]) -> Request:
        """One REST PATCH."""
        return self._written("PATCH", path, content)

    def delete(self, path: str) -> Request:
        """One REST DELETE."""
        return Request("DELETE", self.url + path, _HEADERS)

    def _written(self, method: str, path: str, content: Mapping[str, Any]) -> Request:
        headers = {**_HEADERS, "Content-Type": "application/json"}
        return Request(method, self.url + path, headers, json.dumps(dict(content)).encode())
