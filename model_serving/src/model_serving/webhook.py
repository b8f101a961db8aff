"""POST /webhooks/github: a signed `pull_request` event is scored, kept and, if set, written back.

The answer waits for the score alone. What the score leaves behind comes after it, once a delivery (see `deliveries`).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from http import HTTPStatus
from typing import Any, TypedDict, cast

import msgspec
from flask import Flask, Request, Response, request

from model_serving.answers import DeliveryResult
from model_serving.bodies import decode, read_json
from model_serving.deliveries import Deliveries
from model_serving.payloads import AnyPullRequest, Score
from model_serving.predicting import JSON, LOAD_TEST, Recorder
from model_serving.problems import Problem
from model_serving.service import Batch, Service
from model_serving.writeback import WriteBack, target_of

ACTIONS = frozenset({"opened", "reopened", "synchronize", "edited"})
FORM = "application/x-www-form-urlencoded"
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


class Webhook:
    """The route."""

    def __init__(
        self, service: Service, recorder: Recorder, deliveries: Deliveries, writeback: WriteBack | None
    ) -> None:
        self.service, self.recorder = service, recorder
        self.deliveries, self.writeback = deliveries, writeback
        self._secret = service.settings.github_webhook_secret.get_secret_value()

    def answer(self) -> DeliveryResult:
        """Check and score the event of Flask's current request; raises Problem."""
        if not self._secret:
            raise Problem(HTTPStatus.FORBIDDEN, "switched-off", "GITHUB_WEBHOOK_SECRET is not set")
        if request.mimetype == FORM:
            raise Problem(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "not-json",
                f"Content-Type: expected application/json, found {FORM!r}, which is GitHub's default: choose "
                "application/json in the webhook's settings",
                field="Content-Type",
            )
        body = read_json(request.environ)
        check_signature(body, request.headers.get("X-Hub-Signature-256"), self._secret)
        delivery, pull, why = read_event(request, body)
        if pull is None:
            self._count("ignored")
            return DeliveryResult(delivery, "ignored", why)
        if request.headers.get("X-Request-Purpose") == LOAD_TEST:
            batch = self.service.score([pull], delivery, listed=False)
            self.recorder.record(batch, load_test=True)
        else:
            if not self.deliveries.claim(delivery):
                self._count("duplicate")
                return DeliveryResult(delivery, "duplicate")
            try:
                batch = self.service.score([pull], delivery, listed=False)
                if not self.deliveries.once(delivery, lambda new: self._effects(new, delivery, batch, pull)):
                    # GitHub lists it as failed then, and it can be sent again.
                    raise Problem(
                        HTTPStatus.SERVICE_UNAVAILABLE,
                        "busy",
                        "too many deliveries wait to be recorded: send this one again later",
                        headers={"Retry-After": "60"},
                    )
            except Exception:
                self.deliveries.release(delivery)
                raise
        # As the scorer made it: its code travels with the model.
        return DeliveryResult(delivery, "scored", score=cast(Score, batch.scores[0]))

    def _effects(self, new: bool, delivery: str, batch: Batch, pull: Any) -> None:
        """What a score leaves behind; new: whether no other replica has had the delivery."""
        if not new:
            self._count("duplicate")
            return
        self._count("scored")
        self.recorder.record(batch, load_test=False)
        self.recorder.keep(batch, [pull], "webhook")
        score = batch.scores[0]
        target = target_of(pull, score["repo_name"], score["number"])
        if self.writeback is None or target is None:
            self.deliveries.done(delivery)
        else:
            updated_at = batch.documents[0].get("updated_at")
            self.writeback.put(target, score, updated_at, lambda: self.deliveries.done(delivery))

    def _count(self, result: str) -> None:
        self.recorder.metrics.webhooks.labels(result).inc()


def add_webhook(flask: Flask, webhook: Webhook) -> None:
    """POST /webhooks/github."""

    @flask.post("/webhooks/github")
    def github() -> Response:
        try:
            answer = webhook.answer()
        except Exception:
            webhook.recorder.metrics.webhooks.labels("refused").inc()
            raise
        return Response(msgspec.json.encode(answer), content_type=JSON)
