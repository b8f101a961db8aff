"""What the service answers; each handler is thin and calls a part that can be tested alone."""

from __future__ import annotations

import hmac
import os
from http import HTTPStatus
from importlib.metadata import version as installed
from typing import Any

import msgspec
from flask import Flask, Response, request
from stage_runtime.exits import ServiceUnreachable, StageError, UnusableInput

from model_serving import answers, bodies, inference_protocol, openapi
from model_serving.drift import DriftReports, StoreFailed
from model_serving.metrics import Metrics
from model_serving.model import BrokenModel, ServedModel
from model_serving.predicting import JSON, LOAD_TEST, PATH, Predict, Recorder, request_id
from model_serving.problems import Problem
from model_serving.reloading import Reloader
from model_serving.service import Service
from model_serving.shared_state import SharedState
from model_serving.simulation import KINDS, NONE, Simulation

METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE"})
# The page is a whole application of Evidently's in one file: it gets an origin of its own, where it reaches no cookie,
# no form and no address, and may not be framed.
REPORT_HEADERS = {
    "Content-Security-Policy": "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    # A page is megabytes: a browser keeps it and asks whether it is still the newest.
    "Cache-Control": "private, no-cache",
}
_encode = msgspec.json.Encoder().encode
_any_json = msgspec.json.Decoder().decode


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(_encode(value), status=status, headers=headers, content_type=JSON)


def served(service: Service) -> ServedModel:
    """The model that is served; raises Problem 503 where there is none."""
    if service.model is None:
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE, "not-ready", service.why_not_ready(), headers={"Retry-After": "1"}
        )
    return service.model


def add_scoring(flask: Flask, predict: Predict) -> None:
    """POST /predict."""

    @flask.post(PATH)
    def scoring() -> Response:
        status, headers, body = predict(request.environ)
        return Response(body, status=status, headers=headers)


def add_state(
    flask: Flask,
    service: Service,
    metrics: Metrics,
    state: SharedState | None,
    reloader: Reloader | None,
    drift: DriftReports | None = None,
) -> None:
    """/health, /ready, /model, /metrics, /reload, /openapi.json."""
    settings = service.settings

    @flask.get("/health")
    def health() -> Response:
        return json_response(answers.Alive("alive", os.getpid()))

    @flask.get("/ready")
    def ready() -> Response:
        if not service.ready:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "not-ready", service.why_not_ready())
        return json_response(answers.Ready("ready", served(service).version))

    @flask.get("/model")
    def model() -> Response:
        current = served(service)
        return json_response(
            answers.ServedModelCard(
                name=current.name,
                version=current.version,
                alias=settings.model_alias if settings.model_dir is None else None,
                threshold=current.scorer.threshold,
                features=list(current.features),
                columns=len(current.columns),
                loaded_at=current.loaded_at,
                workers=state.workers() if state else [],
                service=installed("model-serving"),
                commit=os.environ.get("BUILD_COMMIT"),
                card=dict(current.card),
            )
        )

    @flask.get("/metrics")
    def exposition() -> Response:
        text, kind = metrics.exposition()
        return Response(text + (drift.exposition() if drift is not None else b""), content_type=kind)

    @flask.get("/openapi.json")
    def description() -> Response:
        return json_response(
            openapi.document(settings.model_name, installed("model-serving"), settings.max_items)
        )

    @flask.post("/reload")
    def reload() -> Response:
        _check_token(settings.reload_token.get_secret_value())
        if reloader is None:
            raise Problem(HTTPStatus.FORBIDDEN, "switched-off", "this service does not reload")
        try:
            outcome = reloader.reload()
        except BrokenModel as error:
            raise Problem(HTTPStatus.CONFLICT, "model-refused", f"the served model stays: {error}") from error
        except UnusableInput as error:
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY, "no-model", f"the served model stays: {error}"
            ) from error
        except StageError as error:
            retry = {"Retry-After": "10"} if isinstance(error, ServiceUnreachable) else None
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE, "registry", f"the served model stays: {error}", headers=retry
            ) from error
        return json_response(outcome, 200 if outcome.converged else 202)


def add_drift(flask: Flask, drift: DriftReports | None, simulation: Simulation | None) -> None:
    """/drift, /drift/report and, where it is switched on, /simulate-drift."""

    def reports() -> DriftReports:
        if drift is None:
            raise Problem(
                HTTPStatus.NOT_FOUND, "no-report", "DATA_ROOT is not set: there are no drift reports"
            )
        return drift

    @flask.get("/drift")
    def verdict() -> Response:
        try:
            report = reports().latest()
            retraining = reports().retraining()
        except StoreFailed as error:
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE, "store", "the object store did not answer"
            ) from error
        if report is None:
            raise Problem(HTTPStatus.NOT_FOUND, "no-report", "no drift report yet: the drift job makes them")
        return json_response({**report, "retraining": retraining})

    @flask.get("/drift/report")
    def page() -> Response:
        try:
            run_id = reports().page_run()
            known = run_id is not None and request.if_none_match.contains(run_id)
            found = None if known else reports().page()
        except StoreFailed as error:
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE, "store", "the object store did not answer"
            ) from error
        if known:
            answer = Response(status=HTTPStatus.NOT_MODIFIED)
        elif found is not None:
            answer, run_id = Response(found.content, content_type="text/html; charset=utf-8"), found.run_id
        else:
            raise Problem(HTTPStatus.NOT_FOUND, "no-report", "the newest drift report has no page")
        answer.headers.update(REPORT_HEADERS)
        answer.set_etag(str(run_id))
        return answer

    @flask.post("/simulate-drift")
    def simulate() -> Response:
        if simulation is None:
            raise Problem(HTTPStatus.FORBIDDEN, "switched-off", "SIMULATE_DRIFT is not set")
        asked = bodies.decode(_any_json, bodies.read_json(request.environ))
        kind = asked.get("drift_type") if isinstance(asked, dict) else None
        if kind not in (*KINDS, NONE):
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "wrong-value",
                f"drift_type: expected one of {', '.join((*KINDS, NONE))}",
                field="drift_type",
            )
        simulation.set(kind)
        return json_response(answers.SimulatedDrift(kind))


def _check_token(expected: str) -> None:
    if not expected:
        raise Problem(HTTPStatus.FORBIDDEN, "switched-off", "RELOAD_TOKEN is not set, so nobody may reload")
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    same = hmac.compare_digest(given.strip().encode("utf-8", "replace"), expected.encode())
    if scheme.lower() != "bearer" or not same:
        raise Problem(
            HTTPStatus.UNAUTHORIZED,
            "token",
            "Authorization: expected the service's bearer token",
            headers={"WWW-Authenticate": "Bearer"},
            field="Authorization",
        )


def add_protocol(flask: Flask, service: Service, recorder: Recorder) -> None:
    """The Open Inference Protocol under /v2."""
    settings = service.settings

    def named(name: str, version: str | None = None) -> ServedModel:
        model = served(service)
        if name != settings.model_name or (version is not None and version != model.version):
            raise Problem(
                HTTPStatus.NOT_FOUND,
                "",
                f"expected the model {settings.model_name!r}, version {model.version}; found another name or version",
            )
        return model

    @flask.get("/v2")
    def server() -> Response:
        return json_response(answers.ServerMetadata("model-serving", installed("model-serving"), []))

    @flask.get("/v2/health/live")
    def live() -> Response:
        return json_response(answers.Live(True))

    @flask.get("/v2/health/ready")
    def all_ready() -> Response:
        return json_response(answers.AllReady(service.ready), 200 if service.ready else 503)

    @flask.get("/v2/models/<name>")
    @flask.get("/v2/models/<name>/versions/<version>")
    def metadata(name: str, version: str | None = None) -> Response:
        model = named(name, version)
        return json_response(inference_protocol.metadata(model.name, model.version))

    @flask.get("/v2/models/<name>/ready")
    @flask.get("/v2/models/<name>/versions/<version>/ready")
    def model_ready(name: str, version: str | None = None) -> Response:
        model = named(name, version)
        return json_response(answers.ModelReady(model.name, service.ready), 200 if service.ready else 503)

    @flask.post("/v2/models/<name>/infer")
    @flask.post("/v2/models/<name>/versions/<version>/infer")
    def infer(name: str, version: str | None = None) -> Response:
        model = named(name, version)
        asked, rows = inference_protocol.read_request(bodies.read_json(request.environ), settings.max_items)
        batch = service.score(rows, asked.id or request_id(request.headers.get("X-Request-ID")), model=model)
        recorder.record(batch, request.headers.get("X-Request-Purpose") == LOAD_TEST)
        return json_response(
            inference_protocol.answer(asked, batch.scores, batch.model.name, batch.model.version)
        )
