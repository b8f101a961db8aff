"""One response -> a `Reply` with data, or one typed error. Pure: no socket, clock or state.

GitHub's order of advice for limits is followed: Retry-After first, then the reset time where nothing
remains, else a minute and longer each time (docs.github.com, best practices for the REST API).
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from github_client import limits
from github_client.errors import (
    BadCredentials,
    Blocked,
    BrokenReply,
    Forbidden,
    GitHubError,
    Gone,
    Moved,
    NotFound,
    PrimaryLimit,
    QueryTooLarge,
    Refused,
    SecondaryLimit,
    ServerFailure,
)
from github_client.messages import PartialError, Reply, Request, Response

_MAX_MESSAGE = 200
# GraphQL's kinds of errors go before words, which older servers and proxies leave us with. Words are
# phrases of GitHub's own with a blank in them, because messages also quote names: acme/anti-abuse.
_TOO_LARGE_KINDS = {"RESOURCE_LIMITS_EXCEEDED", "MAX_NODE_LIMIT_EXCEEDED", "TIMEOUT"}
_TOO_LARGE_WORDS = (
    "something went wrong while executing your query",
    "timeout on ",
    "timed out",
    "resource limits",
)
_LIMIT_KINDS = {"RATE_LIMITED", "RATE_LIMIT", "GRAPHQL_RATE_LIMIT"}
_LIMIT_WORDS = "rate limit"
_SECONDARY_WORDS = (
    "secondary rate limit",
    "abuse detection",
    "temporarily blocked",
    "submitted too quickly",
)
_BLOCKED_WORDS = ("repository access blocked", "dmca takedown", "unavailable due to")
_FORBIDDEN_KINDS = {"FORBIDDEN", "INSUFFICIENT_SCOPES", "SAML_PROTECTED"}
_OBJECT_KINDS = {"NOT_FOUND", *_FORBIDDEN_KINDS}
_UNKNOWN_FIELD_WORDS = ("doesn't exist on type", "cannot query field", "doesn't accept argument")


def read_response(request: Request, response: Response, now: float) -> Reply:
    """Read a reply of REST or GraphQL. `now` is used where the reply has no clock of its own.

    Raises one class of `github_client.errors`.
    """
    if response.status == 304:
        return _reply(request, response, None, now, cost=0)
    if response.status >= 300:
        _raise_for_status(request, response, now)
    if response.status in (204, 205):
        return _reply(request, response, None, now)
    data = _json(request, response)
    if request.resource != "graphql":
        return _reply(request, response, data, now)
    if not isinstance(data, dict) or not ("data" in data or "errors" in data):
        raise _error(BrokenReply, request, "expected a GraphQL reply, found other JSON", response)
    found, content = data.get("errors") or [], data.get("data")
    if not isinstance(found, list):
        raise _error(BrokenReply, request, "expected a list in `errors`, found other JSON", response)
    errors = tuple(_partial(error) for error in found)
    if errors:
        _raise_for_graphql(request, response, errors, content, now)
    if not isinstance(content, dict):
        raise _error(BrokenReply, request, "expected an object in `data`, found none", response)
    rate = content.get("rateLimit")
    cost = rate.get("cost") if isinstance(rate, dict) else None
    return _reply(request, response, content, now, cost=cost if isinstance(cost, int) else 1, errors=errors)


def _reply(
    request: Request,
    response: Response,
    data: Any,
    now: float,
    *,
    cost: int = 1,
    errors: tuple[PartialError, ...] = (),
) -> Reply:
    links = limits.links(response.headers)
    return Reply(
        data=data,
        status=response.status,
        rate=limits.rate_limit(response.headers, request.resource, now),
        cost=cost,
        etag=response.headers.get("etag"),
        next_url=links.get("next"),
        last_url=links.get("last"),
        server_time=limits.server_time(response.headers),
        errors=errors,
    )


def _json(request: Request, response: Response) -> Any:
    try:
        return json.loads(response.body)
    except (ValueError, RecursionError):
        what = f"expected JSON, found {len(response.body)} bytes that are none"
        raise _error(BrokenReply, request, what, response) from None


def _raise_for_status(request: Request, response: Response, now: float) -> NoReturn:
    status, headers = response.status, response.headers
    if status in (301, 302, 303, 307, 308) and headers.get("location"):
        message = f"{request.label}: moved ({status})"
        raise Moved(message, location=headers["location"], status=status)
    said = _said(response)
    if status in (403, 429):
        _raise_for_limit(request, response, said, now)
    if status == 401:
        raise _error(BadCredentials, request, said or "the token was refused", response)
    if status == 403:
        if _holds(said, *_BLOCKED_WORDS):
            raise _error(Blocked, request, said, response)
        # Fine-grained tokens and Apps have permissions, classic tokens have scopes.
        needed = headers.get("x-accepted-github-permissions") or headers.get("x-accepted-oauth-scopes", "")
        scopes = tuple(filter(None, re.split(r"[,;\s]+", needed)))
        if scopes:
            said += f" (it takes a token with {' or '.join(scopes)})"
        if headers.get("x-github-sso"):
            said += " (the token is not authorised for the organisation's single sign-on)"
        raise Forbidden(f"{request.label}: {said or 'forbidden'}", scopes=scopes, status=status)
    if status == 404:
        raise _error(NotFound, request, said or "not found", response)
    if status == 410:
        raise _error(Gone, request, said or "gone", response)
    if status == 451:
        raise _error(Blocked, request, said or "unavailable for legal reasons", response)
    if status >= 500:
        # GraphQL's 502 and 504 are its ten-second limit far more often than a broken server.
        kind = QueryTooLarge if request.resource == "graphql" and status in (502, 504) else ServerFailure
        raise _error(kind, request, said or f"status {status}", response)
    if status == 408:
        raise _error(ServerFailure, request, said or "time-out", response)
    raise _error(Refused, request, said or f"status {status}", response)


def _raise_for_limit(request: Request, response: Response, said: str, now: float) -> None:
    """Raise when a 403 or 429 (or a GraphQL error) is a limit; return when it is none."""
    text = f"{request.label}: {said or f'status {response.status}'}"
    wait = limits.retry_after(response.headers, now)
    if wait is not None:
        raise SecondaryLimit(text, wait_seconds=wait, status=response.status)
    rate = limits.rate_limit(response.headers, request.resource, now)
    secondary = _holds(said, *_SECONDARY_WORDS)
    if rate is not None and rate.remaining == 0 and not secondary:
        raise PrimaryLimit(text, wait_seconds=rate.wait_seconds, status=response.status)
    if secondary or response.status == 429 or "gh-limited-by" in response.headers:
        raise SecondaryLimit(text, wait_seconds=None, status=response.status)
    if _holds(said, _LIMIT_WORDS):
        wait = rate.wait_seconds if rate else None
        raise PrimaryLimit(text, wait_seconds=wait, status=response.status)


def _raise_for_graphql(
    request: Request,
    response: Response,
    errors: tuple[PartialError, ...],
    content: Any,
    now: float,
) -> None:
    """Raise for what concerns the whole reply; errors of single objects stay in the reply."""
    whole = [error for error in errors if error.kind not in _OBJECT_KINDS]
    for error in whole:
        if error.kind in _LIMIT_KINDS or _holds(error.message, _LIMIT_WORDS, *_SECONDARY_WORDS):
            _raise_for_limit(request, response, f"{error.message} (API {_LIMIT_WORDS})", now)
    for error in whole:
        if error.kind in _TOO_LARGE_KINDS or _holds(error.message, *_TOO_LARGE_WORDS):
            raise _error(QueryTooLarge, request, error.message, response)
    if isinstance(content, dict) and all(error.path for error in errors):
        return
    first = errors[0]
    if first.kind in _FORBIDDEN_KINDS:
        raise Forbidden(f"{request.label}: {first.message}", status=response.status)
    if first.kind == "NOT_FOUND":
        raise _error(NotFound, request, first.message, response)
    undefined = _holds(first.message, *_UNKNOWN_FIELD_WORDS)
    if not undefined and first.kind in ("", "INTERNAL", "INTERNAL_ERROR", "SERVICE_UNAVAILABLE"):
        raise _error(ServerFailure, request, first.message or "unnamed error", response)
    raise Refused(f"{request.label}: {first.message}", undefined=undefined, status=response.status)


def _holds(said: str, *words: str) -> bool:
    """Whether one of these phrases, in small letters, is in what GitHub said."""
    return any(word in said.lower() for word in words)


def _partial(error: Any) -> PartialError:
    if not isinstance(error, dict):
        return PartialError("", (), str(error)[:_MAX_MESSAGE])
    extensions = error.get("extensions")
    code = extensions.get("code") if isinstance(extensions, dict) else None
    path = error.get("path")
    return PartialError(
        kind=str(error.get("type") or code or error.get("code") or ""),
        # A query that was refused before it ran has a path of words, one that ran starts at a field.
        path=tuple(path) if isinstance(path, list) and code is None else (),
        message=str(error.get("message") or "")[:_MAX_MESSAGE],
    )


def _said(response: Response) -> str:
    """GitHub's own sentence, for messages."""
    try:
        content = json.loads(response.body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(content, dict):
        return ""
    said = str(content.get("message") or content.get("error") or "")
    details = content.get("errors")
    if isinstance(details, list):
        said += "".join(
            f"; {one['message']}" for one in details if isinstance(one, dict) and one.get("message")
        )
    return said[:_MAX_MESSAGE]


def _error(kind: type[GitHubError], request: Request, message: str, response: Response) -> GitHubError:
    error = kind(f"{request.label}: {message[:_MAX_MESSAGE]}", status=response.status)
    error.server_time = limits.server_time(response.headers)
    return error


def object_error(
    request_label: str, errors: tuple[PartialError, ...], path: tuple[str | int, ...]
) -> GitHubError:
    """The typed error of one missing object of a GraphQL reply: the first whose path leads to it."""
    for error in errors:
        if error.path[: len(path)] == path or path[: len(error.path)] == error.path:
            text = f"{request_label}: {error.message}"
            if error.kind == "NOT_FOUND":
                return NotFound(text, status=200)
            if _holds(error.message, *_BLOCKED_WORDS):
                return Blocked(text, status=200)
            if error.kind in _FORBIDDEN_KINDS:
                return Forbidden(text, status=200)
            if "CURSOR" in error.kind or "valid cursor" in error.message:
                return Refused(text, status=200)
            return ServerFailure(text, status=200)
    return NotFound(f"{request_label}: GitHub gave nothing and no reason", status=200)
