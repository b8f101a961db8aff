"""POST /predict, answered before Flask sees it: its routing, request and response objects cost as much as the model.

Measured (process time of one request, one real pull request of 15 kB): Flask 95 µs around a view that does nothing,
this 15 µs. The same function stands in Flask's routes, for 405 and for servers other than our worker.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import msgspec
import numpy as np
from stage_runtime.logs import get_logger

from model_serving import bodies
from model_serving.metrics import Metrics
from model_serving.problems import MEDIA_TYPE, Problem, unexpected
from model_serving.results import Results, entry
from model_serving.service import Batch, Service
from model_serving.traffic import TrafficRecorder

PATH = "/predict"
JSON = "application/json"
LOAD_TEST = "load-test"
Answer = tuple[int, list[tuple[str, str]], bytes]
_encode = msgspec.json.Encoder().encode
_sane_id = re.compile(r"[A-Za-z0-9._:-]{1,128}").fullmatch


def request_id(environ: Mapping[str, Any]) -> str:
    """The caller's X-Request-ID if it is a plain one, else a new one."""
    given = environ.get("HTTP_X_REQUEST_ID")
    return given if given is not None and _sane_id(given) else os.urandom(8).hex()


class Recorder:
    """What happens with scores beside the answer; a load test (X-Request-Purpose) is recorded nowhere."""

    def __init__(self, metrics: Metrics, results: Results, traffic: TrafficRecorder | None) -> None:
        self.metrics, self.results, self.traffic = metrics, results, traffic

    def record(self, batch: Batch, environ: Mapping[str, Any]) -> bool:
        """Count the scores and take a sample for drift; False for a load test."""
        self.metrics.batched(len(batch.scores))
        if not batch.scores or environ.get("HTTP_X_REQUEST_PURPOSE") == LOAD_TEST:
            return False
        self.metrics.scored(batch.scores)
        if self.traffic is not None:
            errors = np.array([score["reconstruction_error"] for score in batch.scores], dtype=np.float32)
            flags = np.array([score["is_anomaly"] for score in batch.scores], dtype=bool)
            self.traffic.record(batch.model.version, batch.model.features, batch.values, errors, flags)
        return True

    def keep(self, batch: Batch, items: Any, origin: str) -> None:
        """Keep the scores for the dashboard."""
        now = datetime.now(UTC)
        self.results.keep(
            [entry(score, item, origin, now) for score, item in zip(batch.scores, items, strict=True)]
        )


class Predict:
    """The route."""

    def __init__(self, service: Service, recorder: Recorder) -> None:
        settings = service.settings
        self.service, self.recorder = service, recorder
        self.refuse_unknown = settings.unknown_fields == "refuse"
        self.most = settings.max_items

    def __call__(self, environ: Mapping[str, Any]) -> Answer:
        """Status, headers and body; never raises."""
        try:
            body = self._score(environ)
        except Problem as problem:
            return _problem(problem)
        except Exception as error:
            get_logger().exception("A request failed", error=type(error).__name__)
            return _problem(unexpected())
        return 200, [("Content-Type", JSON), ("Content-Length", str(len(body)))], body

    def _score(self, environ: Mapping[str, Any]) -> bytes:
        items, listed = bodies.pull_requests(
            bodies.read_json(environ), refuse_unknown=self.refuse_unknown, most=self.most
        )
        batch = self.service.score(items, request_id(environ), listed=listed)
        if self.recorder.record(batch, environ):
            self.recorder.keep(batch, items, "api")
        return _encode({"scores": batch.scores} if listed else batch.scores[0])

    def wsgi(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        """The route as a WSGI application, with its request counted."""
        start = time.perf_counter()
        status, headers, body = self(environ)
        start_response(f"{status} {HTTPStatus(status).phrase}" if status != 200 else "200 OK", headers)
        self.recorder.metrics.answered(PATH, "POST", status, time.perf_counter() - start)
        return [body]


def _problem(problem: Problem) -> Answer:
    body = _encode(problem.body())
    headers = [("Content-Type", MEDIA_TYPE), ("Content-Length", str(len(body))), *problem.headers.items()]
    return int(problem.status), headers, body
