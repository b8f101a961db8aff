"""What goes over the wire, and GitHub's own error bodies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DOCS = "https://docs.github.com"
RATE_DOCS = f"{DOCS}/rest/using-the-rest-api/rate-limits-for-the-rest-api"
SECONDARY_DOCS = f"{RATE_DOCS}#about-secondary-rate-limits"
SECONDARY = (
    "You have exceeded a secondary rate limit. Please wait a few minutes before you try again. If you "
    "reach out to GitHub Support for help, please include the request ID 0400:STANDIN."
)
ABUSE = "You have triggered an abuse detection mechanism. Please wait a few minutes before you try again."
CUT_OFF = (
    "Something went wrong while executing your query. This may be the result of a timeout, or it could "
    "be a GitHub bug. Please include `0400:STANDIN` when reporting this issue."
)
RESOURCES = "Resource limits for this query exceeded."
UNICORN = "<html><body><h1>503 Service Unavailable</h1>No server is available.</body></html>"


@dataclass(frozen=True)
class Request:
    """One request as the stand-in sees it; header names in small letters, ``query`` decoded."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    base_url: str = "http://127.0.0.1"

    @property
    def is_graphql(self) -> bool:
        """Whether it is a GraphQL query, on github.com's path or an Enterprise server's."""
        return self.path in {"/graphql", "/api/graphql"}


@dataclass
class Reply:
    """One answer. ``cut`` sends that share of the body and hangs up; ``hang_up`` sends nothing.

    ``pulls`` is how many pull requests it holds, ``delay`` the seconds it takes.
    """

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    pulls: int = 0
    delay: float = 0.0
    cut: float | None = None
    hang_up: bool = False


def json_reply(status: int, content: Any, **headers: str) -> Reply:
    """A JSON answer; ``headers`` with underscores for hyphens."""
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    found = {"Content-Type": "application/json; charset=utf-8"}
    found.update({name.replace("_", "-"): value for name, value in headers.items()})
    return Reply(status, found, body)


def error(status: int, message: str, docs: str = f"{DOCS}/rest", **more: Any) -> Reply:
    """GitHub's plain error body."""
    content = {"message": message, **more, "documentation_url": docs, "status": str(status)}
    return json_reply(status, content)


def not_found() -> Reply:
    """404, also for what this token may not see."""
    return error(404, "Not Found")


def validation_failed(resource: str, name: str, code: str = "invalid", message: str = "") -> Reply:
    """422 naming the field."""
    one = {"resource": resource, "field": name, "code": code}
    if message:
        one["message"] = message
    return error(422, "Validation Failed", errors=[one])


def graphql_error(kind: str | None, message: str, **more: Any) -> Reply:
    """An error inside HTTP 200, without data."""
    one: dict[str, Any] = {"type": kind} if kind else {}
    return json_reply(200, {"errors": [{**one, **more, "message": message}]})
