"""POST /webhooks/github: a signed `pull_request` event is scored, kept and, if set, written back."""

from __future__ import annotations

import hashlib
import hmac
import re
from http import HTTPStatus
from typing import Any, TypedDict

import msgspec
from flask import Request

from model_serving.bodies import decode
from model_serving.payloads import AnyPullRequest
from model_serving.problems import Problem

ACTIONS = frozenset({"opened", "reopened", "synchronize", "edited"})
_DELIVERY = re.compile(r"[A-Za-z0-9-]{1,100}").fullmatch


class Event(TypedDict, total=False):
    """What is read of GitHub's webhook payload."""

    action: str | None
    pull_request: AnyPullRequest | None


_decode_event = msgspec.json.Decoder(Event).decode


def check_signature(body: bytes, header: str | None, secret: str) -> None:
    """Raise Problem 401 unless the header is GitHub's HMAC-SHA-256 of the body; takes the same time either way."""
    expected = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    given = (header or "").encode("utf-8", "replace")
    if not hmac.compare_digest(expected.encode(), given):
        raise Problem(
            HTTPStatus.UNAUTHORIZED,
            "signature",
            "X-Hub-Signature-256: expected the HMAC-SHA-256 of the body with the webhook's secret, found "
            + ("another value" if header else "none"),
            field="X-Hub-Signature-256",
        )


def read_event(request: Request, body: bytes) -> tuple[str, Any | None, str]:
    """(delivery id, the pull request to score or None, what was ignored and why)."""
    event = request.headers.get("X-GitHub-Event", "")
    delivery = request.headers.get("X-GitHub-Delivery", "")
    if not _DELIVERY(delivery):
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "delivery",
            "X-GitHub-Delivery: expected the delivery's id, found "
            + ("another value" if delivery else "none"),
            field="X-GitHub-Delivery",
        )
    if event != "pull_request":
        return delivery, None, f"event {event[:40]!r} is not scored"
    content = decode(_decode_event, body)
    action, pull = content.get("action"), content.get("pull_request")
    if action not in ACTIONS:
        return delivery, None, f"action {str(action)[:40]!r} is not scored"
    if pull is None:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "wrong-value",
            "pull_request: expected an object, found nothing",
            field="pull_request",
        )
    return delivery, pull, ""
