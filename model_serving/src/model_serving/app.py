"""The application factory: settings and a model in, a WSGI application out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import msgspec
from flask import Flask, Response, request
from stage_runtime.exits import ExitCode
from stage_runtime.logs import get_logger

from model_serving import bodies
from model_serving.http_protocol import Limits
from model_serving.model import BrokenModel, ServedModel
from model_serving.problems import Problem, handle_problems
from model_serving.service import Service
from model_serving.settings import Settings

JSON = "application/json"
INLINE = {("POST", "/predict"), ("GET", "/health"), ("GET", "/ready")}
_encode = msgspec.json.Encoder().encode
_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}").fullmatch


class Application:
    """The Flask application with what the worker asks of it (see worker.EventWorker)."""

    def __init__(self, flask: Flask, service: Service) -> None:
        settings = service.settings
        self.flask, self.service = flask, service
        self.limits = Limits(body=settings.max_body_bytes)
        self.threads = settings.threads
        self.drain_wait_seconds = settings.drain_wait_seconds
        self.drain_seconds = settings.drain_seconds
        self.keepalive_seconds = settings.keepalive_seconds
        self.request_seconds = settings.request_seconds

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        return self.flask(environ, start_response)

    def runs_inline(self, method: str, path: str) -> bool:
        """Pure computation runs in the event loop; what may wait for something goes to a thread."""
        return (method, path) in INLINE

    def begin_drain(self) -> None:
        """SIGTERM has come: unready from now on."""
        self.service.draining = True


def create_app(settings: Settings, model: ServedModel | None = None, service: Service | None = None) -> Application:
    """An application around a model that is open (see ServedModel.open) or, without one, not ready."""
    service = service or Service(settings, model)
    flask = Flask("model_serving", static_folder=None)
    flask.url_map.strict_slashes = False
    handle_problems(flask)
    _routes(flask, service)
    return Application(flask, service)


def request_id() -> str:
    """The caller's X-Request-ID if it is a plain one, else a new one."""
    given = request.headers.get("X-Request-ID")
    return given if given is not None and _SANE_ID(given) else os.urandom(8).hex()


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(_encode(value), status=status, headers=headers, content_type=JSON)


def _routes(flask: Flask, service: Service) -> None:
    settings = service.settings
    refuse_unknown = settings.unknown_fields == "refuse"

    @flask.post("/predict")
    def predict() -> Response:
        items, listed = bodies.pull_requests(
            bodies.read_json(request), refuse_unknown=refuse_unknown, most=settings.max_items
        )
        batch = service.score(items, request_id(), listed=listed)
        return json_response({"scores": batch.scores} if listed else batch.scores[0])

    @flask.get("/health")
    def health() -> Response:
        return json_response({"status": "alive", "pid": os.getpid()})

    @flask.get("/ready")
    def ready() -> Response:
        model = service.model
        if not service.ready or model is None:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "not-ready", service.why_not_ready())
        return json_response({"status": "ready", "model_version": model.version})

    @flask.get("/model")
    def model() -> Response:
        served = service.model
        if served is None:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "not-ready", service.why_not_ready())
        return json_response(
            {
                "name": served.name,
                "version": served.version,
                "threshold": served.scorer.threshold,
                "columns": len(served.columns),
                "loaded_at": served.loaded_at,
                "card": served.card,
            }
        )


def worker_application(settings: Settings, model: ServedModel) -> Application:
    """Called in a worker after the fork: prove the model, then serve; a broken model ends the whole service with 3."""
    try:
        model.open()
    except BrokenModel as error:
        get_logger().error(str(error), error=type(error).__name__)
        raise SystemExit(int(ExitCode.UNUSABLE_INPUT)) from None
    get_logger().info("ready", model=model.name, model_version=model.version, pid=os.getpid())
    return create_app(settings, model)
