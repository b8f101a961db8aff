"""Errors as problem JSON (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec
from flask import Flask, Response, request
from stage_runtime.logs import get_logger
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

MEDIA_TYPE = "application/problem+json"
# Names of the kinds; the page /docs explains each under the same heading.
DOCUMENTATION = "/docs#problem-"


class Problem(Exception):
    """A request that cannot be answered as wanted.

    kind names it in `type`; more holds further members: field, index, expected, found.
    """

    def __init__(
        self,
        status: HTTPStatus,
        kind: str,
        detail: str,
        *,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail = status, kind, detail
        self.headers, self.more = headers or {}, more

    def body(self) -> dict[str, Any]:
        """The members of the problem object."""
        return {
            "type": DOCUMENTATION + self.kind if self.kind else "about:blank",
            "title": self.status.phrase,
            "status": int(self.status),
            "detail": self.detail,
            **{name: value for name, value in self.more.items() if value is not None},
        }

    def response(self) -> Response:
        """The answer."""
        return Response(
            msgspec.json.encode(self.body()),
            status=int(self.status),
            headers=self.headers,
            content_type=MEDIA_TYPE,
        )


def handle_problems(app: Flask) -> None:
    """Answer every error of the application as a problem."""

    @app.errorhandler(Problem)
    def _problem(problem: Problem) -> Response:
        return _response(problem)

    @app.errorhandler(HTTPException)
    def _http(error: HTTPException) -> Response:
        status = HTTPStatus(error.code or 500)
        headers = {
            name: value
            for name, value in error.get_headers()
            if name.lower() in {"allow", "retry-after", "location"}
        }
        if error.response is not None or status < HTTPStatus.BAD_REQUEST:
            return error.get_response()  # type: ignore[return-value]
        detail = error.description or status.phrase
        if isinstance(error, NotFound):
            detail = "no such route; /docs lists those there are"
        elif isinstance(error, MethodNotAllowed):
            allowed = ", ".join(sorted(error.valid_methods or ()))
            detail = f"this route does not take {request.method[:20]}, it takes {allowed}"
        return _response(Problem(status, "", detail, headers=headers))

    @app.errorhandler(Exception)
    def _unexpected(error: Exception) -> Response:
        get_logger().exception("A request failed", error=type(error).__name__)
        return _response(unexpected())


def _response(problem: Problem) -> Response:
    if request.path.startswith("/v2"):
        # Clients of the Open Inference Protocol look for the reason under this name.
        problem.more.setdefault("error", problem.detail)
    return problem.response()


def unexpected() -> Problem:
    """A fault of the service, without its cause."""
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "unexpected", "The cause is in the service's log.")
