"""POST /predict, answered before Flask sees it: its routing, request and response objects cost as much as the model.

Measured (process time of one request, one real pull request of 15 kB): Flask 95 µs around a view that does nothing,
this 15 µs. Our worker hands over the requests that wait at the same moment together (`together`), which costs a third
less for each; the same code stands in Flask's routes, for 405 and for other servers.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, MutableSequence, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from random import getrandbits
from typing import Any, NamedTuple

import msgspec
import numpy as np
from stage_runtime.logs import get_logger
from werkzeug.wsgi import ClosingIterator

from model_serving import bodies
from model_serving.http_protocol import RECEIVED, Request
from model_serving.metrics import Metrics
from model_serving.problems import MEDIA_TYPE, Problem, unexpected
from model_serving.results import Results, entry
from model_serving.service import Batch, Service
from model_serving.simulation import Simulation
from model_serving.traffic import TrafficRecorder

PATH = "/predict"
JSON = "application/json"
LOAD_TEST = "load-test"
# Beyond this, scoring more of them at once saves nothing.
MOST_TOGETHER = 64
Answer = tuple[int, list[tuple[str, str]], bytes]
_encode = msgspec.json.Encoder().encode
_sane_id = re.compile(r"[A-Za-z0-9._:-]{1,128}").fullmatch


def request_id(given: str | None) -> str:
    """The caller's X-Request-ID if it is a plain one, else a new one."""
    return given if given is not None and _sane_id(given) else f"{getrandbits(64):016x}"


class Asked(NamedTuple):
    """What counts of a request."""

    body: bytes
    request_id: str
    load_test: bool


class Recorder:
    """What happens with scores beside the answer; a load test (X-Request-Purpose) is recorded nowhere."""

    def __init__(
        self,
        metrics: Metrics,
        results: Results,
        traffic: TrafficRecorder | None,
        simulation: Simulation | None = None,
    ) -> None:
        self.metrics, self.results, self.traffic, self.simulation = metrics, results, traffic, simulation

    def record(self, batch: Batch, load_test: bool, *, requests: int = 1) -> bool:
        """Count the scores and take a sample for drift; False for a load test.

        requests: how many callers they are for, one score each where it is more than one.
        """
        self.metrics.batched(len(batch.scores) // requests, requests)
        if not batch.scores or load_test:
            return False
        self.metrics.scored(batch.scores)
        if self.traffic is not None:
            values = batch.values
            errors = np.array([score["reconstruction_error"] for score in batch.scores], dtype=np.float32)
            flags = np.array([score["is_anomaly"] for score in batch.scores], dtype=bool)
            if self.simulation is not None and (changed := self.simulation.changed(batch)) is not None:
                values, errors, flags = changed
            self.traffic.record(batch.model.version, batch.model.features, values, errors, flags)
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
        """Status, headers and body for a WSGI request; never raises."""
        try:
            asked = Asked(
                bodies.read_json(environ),
                request_id(environ.get("HTTP_X_REQUEST_ID")),
                environ.get("HTTP_X_REQUEST_PURPOSE") == LOAD_TEST,
            )
        except Problem as problem:
            return _problem(problem)
        return self._answers([asked])[0]

    def together(self, requests: Sequence[Request]) -> list[Answer]:
        """The answers to requests that have arrived together, each as if it had come alone; never raises.

        Running the network costs nearly the same for one row and for ten.
        """
        answers: list[Answer | None] = []
        asked = []
        for request in requests:
            try:
                asked.append(_asked(request))
                answers.append(None)
            except Problem as problem:
                answers.append(_problem(problem))
        found = iter(self._answers(asked))
        whole = [answer or next(found) for answer in answers]
        now = time.monotonic()
        for request, (status, _, _) in zip(requests, whole, strict=True):
            self.recorder.metrics.answered(PATH, "POST", status, now - request.received)
        return whole

    def wsgi(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """The route as a WSGI application, with its request counted."""
        status, headers, body = self(environ)
        start_response(f"{status} {HTTPStatus(status).phrase}" if status != 200 else "200 OK", headers)
        return ClosingIterator([body], self.recorder.metrics.counted(PATH, "POST", status, environ[RECEIVED]))

    def _answers(self, asked: Sequence[Asked]) -> list[Answer]:
        answers: list[Answer | None] = [None] * len(asked)
        # Load tests are recorded nowhere, so they are scored apart.
        singles: dict[bool, list[tuple[int, Asked, Any]]] = {}
        lists: list[tuple[int, Asked, Any]] = []
        for place, one in enumerate(asked):
            try:
                items, listed = bodies.pull_requests(
                    one.body, refuse_unknown=self.refuse_unknown, most=self.most
                )
            except Exception as error:
                answers[place] = _failed(error)
            else:
                wanted = lists if listed else singles.setdefault(one.load_test, [])
                wanted.append((place, one, items))
        # A list takes as long as all its items, so those with one go first.
        for group in singles.values():
            for first in range(0, len(group), MOST_TOGETHER):
                self._score_singles(group[first : first + MOST_TOGETHER], answers)
        for place, one, items in lists:
            answers[place] = self._score_list(one, items)
        return [answer or _problem(unexpected()) for answer in answers]

    def _score_singles(
        self, group: Sequence[tuple[int, Asked, Any]], answers: MutableSequence[Answer | None]
    ) -> None:
        payloads = [items[0] for _, _, items in group]
        try:
            batch, problems = self.service.score_apart(payloads, [one.request_id for _, one, _ in group])
            usable = [payload for payload, problem in zip(payloads, problems, strict=True) if problem is None]
            if usable and self.recorder.record(batch, group[0][1].load_test, requests=len(usable)):
                self.recorder.keep(batch, usable, "api")
        except Exception as error:
            if len(group) == 1:
                answers[group[0][0]] = _failed(error)
                return
            # Whoever it is must not fail the others.
            for alone in group:
                self._score_singles([alone], answers)
            return
        scores = iter(batch.scores)
        for (place, _, _), problem in zip(group, problems, strict=True):
            answers[place] = _answer(next(scores)) if problem is None else _problem(problem)

    def _score_list(self, one: Asked, items: Any) -> Answer:
        try:
            batch = self.service.score(items, one.request_id)
            if self.recorder.record(batch, one.load_test):
                self.recorder.keep(batch, items, "api")
            return _answer({"scores": batch.scores})
        except Exception as error:
            return _failed(error)


def _asked(request: Request) -> Asked:
    """The same of a request that has not become a WSGI environment; raises Problem 415."""
    headers = {name.lower(): value for name, value in request.headers}
    encoding = headers.get(b"content-encoding")
    bodies.check_json(
        headers.get(b"content-type", b"").decode("latin-1"), encoding.decode("latin-1") if encoding else None
    )
    given = headers.get(b"x-request-id")
    return Asked(
        request.body,
        request_id(given.decode("latin-1") if given is not None else None),
        headers.get(b"x-request-purpose") == LOAD_TEST.encode(),
    )


def _answer(value: Any) -> Answer:
    body = _encode(value)
    return 200, [("Content-Type", JSON), ("Content-Length", str(len(body)))], body


def _failed(error: Exception) -> Answer:
    if isinstance(error, Problem):
        return _problem(error)
    get_logger().error("A request failed", error=type(error).__name__, exc_info=error)
    return _problem(unexpected())


def _problem(problem: Problem) -> Answer:
    body = _encode(problem.body())
    headers = [("Content-Type", MEDIA_TYPE), ("Content-Length", str(len(body))), *problem.headers.items()]
    return int(problem.status), headers, body
