"""The application factory: settings and a model in, a WSGI application out."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from flask import Flask, Response, request

from model_serving import routes
from model_serving.dashboard import add_pages
from model_serving.deliveries import Deliveries
from model_serving.drift import DriftReports
from model_serving.http_protocol import RECEIVED, Limits, Request
from model_serving.metrics import Metrics
from model_serving.model import ServedModel
from model_serving.mongo import Mongo, open_mongo
from model_serving.predicting import PATH, Answer, Predict, Recorder
from model_serving.problems import handle_problems
from model_serving.reloading import Reloader
from model_serving.results import Results
from model_serving.service import Service
from model_serving.settings import Settings
from model_serving.shared_state import SharedState
from model_serving.simulation import Simulation
from model_serving.traffic import TrafficRecorder, open_store
from model_serving.turns import Turns
from model_serving.webhook import Webhook, add_webhook
from model_serving.writeback import WriteBack

PATH_BYTES = PATH.encode()
INLINE_POST = ("/predict", "/v2/models/")
INLINE_GET = frozenset({"/health", "/ready", "/v2/health/live", "/v2/health/ready"})
LAST_WRITES_SECONDS = 5.0


@dataclass
class Parts:
    """What an application is made of; the optional parts are those that settings switch on."""

    service: Service
    metrics: Metrics
    results: Results
    state: SharedState | None = None
    reloader: Reloader | None = None
    traffic: TrafficRecorder | None = None
    writeback: WriteBack | None = None
    drift: DriftReports | None = None
    simulation: Simulation | None = None
    deliveries: Deliveries = field(default_factory=Deliveries)
    mongo: Mongo | None = None


class Application:
    """The Flask application with what the worker asks of it (see hosting.HostedApplication)."""

    def __init__(self, flask: Flask, parts: Parts, predict: Predict) -> None:
        settings = parts.service.settings
        self.flask, self.parts, self.predict = flask, parts, predict
        self.limits = Limits(body=settings.max_body_bytes)
        self.threads = settings.threads
        self.drain_wait_seconds = settings.drain_wait_seconds
        self.drain_seconds = settings.drain_seconds
        self.keepalive_seconds = settings.keepalive_seconds
        self.request_seconds = settings.request_seconds

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ.setdefault(RECEIVED, time.monotonic())  # for other servers than our worker
        if environ["PATH_INFO"] == PATH and environ["REQUEST_METHOD"] == "POST":
            return self.predict.wsgi(environ, start_response)
        return self.flask(environ, start_response)

    def joins(self, request: Request) -> bool:
        """Whether a request may be answered together with others of its kind that wait at the same moment."""
        return request.target == PATH_BYTES and request.method == "POST"

    def together(self, requests: Sequence[Request]) -> Sequence[Answer]:
        """Status, headers and body for each of them."""
        return self.predict.together(requests)

    def runs_inline(self, method: str, path: str) -> bool:
        """Pure computation runs in the event loop; what may wait for something goes to a thread."""
        return path in INLINE_GET if method != "POST" else path.startswith(INLINE_POST)

    def refused(self, status: int) -> None:
        """A request ended before it was complete or was no HTTP; the worker answered it."""
        self.parts.metrics.answered("refused", "", status, 0.0)

    def begin_drain(self) -> None:
        """SIGTERM has come: unready from now on, and no part of a reload any more."""
        if not self.parts.service.draining:
            self.parts.service.draining = True
            if self.parts.reloader is not None:
                self.parts.reloader.stop()

    def close(self) -> None:
        """The worker ends: write what still waits, within a limit."""
        deadline = time.monotonic() + LAST_WRITES_SECONDS
        parts = self.parts
        # Deliveries first: what they still have to do ends up in the others.
        for part in (parts.deliveries, parts.traffic, parts.results, parts.writeback, parts.metrics):
            if part is not None:
                part.stop(max(0.1, deadline - time.monotonic()))
        if parts.mongo is not None:
            parts.mongo.close()


def create_app(
    settings: Settings, model: ServedModel | None = None, parts: Parts | None = None
) -> Application:
    """An application around a model that is open (see ServedModel.open) or, without one, not ready."""
    if parts is None:
        parts = Parts(Service(settings, model), metrics := Metrics(), Results(metrics))
    flask = Flask("model_serving", static_folder=None)
    flask.url_map.strict_slashes = False
    flask.config["MAX_FORM_MEMORY_SIZE"] = settings.max_body_bytes
    handle_problems(flask)
    recorder = Recorder(parts.metrics, parts.results, parts.traffic, parts.simulation)
    predict = Predict(parts.service, recorder)
    routes.add_scoring(flask, predict)
    routes.add_state(flask, parts.service, parts.metrics, parts.state, parts.reloader, parts.drift)
    routes.add_protocol(flask, parts.service, recorder)
    add_webhook(flask, Webhook(parts.service, recorder, parts.deliveries, parts.writeback))
    routes.add_drift(flask, parts.drift, parts.simulation)
    add_pages(flask, parts.service, parts.results, parts.drift)
    _count_requests(flask, parts.metrics)
    return Application(flask, parts, predict)


def _count_requests(flask: Flask, metrics: Metrics) -> None:
    @flask.after_request
    def _count(response: Response) -> Response:
        rule = request.url_rule
        response.call_on_close(
            metrics.counted(
                rule.rule if rule is not None else "unknown",
                request.method if request.method in routes.METHODS else "other",
                response.status_code,
                request.environ[RECEIVED],
            )
        )
        return response


def worker_application(settings: Settings, model: ServedModel, state: SharedState) -> Application:
    """Everything of one worker, called after the fork; raises BrokenModel when no model can be served."""
    metrics = Metrics()
    service = Service(settings)
    reloader = Reloader(service, state, metrics, model)
    mongo = open_mongo(settings)
    results = Results(metrics, mongo, state.scores_folder)
    results.start()
    deliveries = Deliveries(state.deliveries_folder, mongo)
    deliveries.start()
    traffic = drift = None
    if settings.data_root:
        store = open_store(settings.data_root, settings.do_spaces_bucket, settings.s3)
        drift = DriftReports(store)
    if settings.data_root and settings.traffic_sample > 0:
        traffic = TrafficRecorder(
            store,
            metrics,
            sample=settings.traffic_sample,
            most_rows=settings.traffic_buffer_rows,
            flush_seconds=settings.traffic_flush_seconds,
        )
        traffic.start()
    writeback = None
    if settings.github_writeback != "none":
        writeback = WriteBack(
            settings.github_writeback,
            settings.github_api_url,
            settings.github_writeback_token.get_secret_value(),
            settings.public_url,
            metrics,
            Turns(state.folder / "turns", mongo),
        )
        writeback.start()
    metrics.start()
    reloader.start()
    simulation = Simulation(state.folder) if settings.simulate_drift else None
    parts = Parts(
        service, metrics, results, state, reloader, traffic, writeback, drift, simulation, deliveries, mongo
    )
    application = create_app(settings, parts=parts)
    # What stands now stays, and a request leaves no circles behind: looking for garbage seldom saves 4 % of its time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    return application
