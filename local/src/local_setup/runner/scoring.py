"""Score everything that was fetched over HTTP, as any caller would: our field names, lists of a hundred."""

from __future__ import annotations

import heapq
import itertools
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import requests
from pymongo import MongoClient

from local_setup.errors import LocalSetupError, ServerFailed

LIST_LENGTH = 100
SHOWN = 10
READY_SECONDS = 120.0
# Times of the database's own, of no meaning to a model.
NOT_SENT = ("_id", "fetched_at", "source")


@dataclass
class Scores:
    """What came back: counts, the most anomalous, and the largest distance from training's own scores."""

    scored: int = 0
    refused: int = 0
    flagged: int = 0
    compared: int = 0
    max_difference: float = 0.0
    threshold: float | None = None
    heap: list[tuple[float, int, dict[str, Any]]] = field(default_factory=list)

    def add(self, score: dict[str, Any], expected: Mapping[tuple[str, int], float]) -> None:
        """Count one score and compare it with training's, relative to max(1, training's)."""
        error = score["reconstruction_error"]
        self.scored += 1
        self.flagged += score["is_anomaly"]
        self.threshold = score["threshold"]
        trained = expected.get((score["repo_name"], score["number"]))
        if trained is not None:
            self.compared += 1
            difference = abs(error - trained) / max(1.0, abs(trained))
            self.max_difference = max(self.max_difference, difference)
        heapq.heappush(self.heap, (error, -self.scored, score))
        if len(self.heap) > SHOWN:
            heapq.heappop(self.heap)

    def top(self) -> list[dict[str, Any]]:
        """The SHOWN largest errors, largest first."""
        return [score for _, _, score in sorted(self.heap, key=lambda entry: entry[:2], reverse=True)]


class Service:
    """The HTTP side of a running model_serving at ``url``."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()

    def wait_until_ready(self, alive: Any) -> None:
        """Poll /ready; ``alive()`` tells whether its process still runs. Raises ServerFailed."""
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end:
            if not alive():
                raise ServerFailed("model_serving ended before it was ready; its own message stands above")
            try:
                if self._session.get(f"{self.url}/ready", timeout=5).status_code == 200:
                    return
            except requests.ConnectionError:
                pass
            time.sleep(0.1)
        raise ServerFailed(f"model_serving at {self.url} was not ready within {READY_SECONDS:.0f} s")

    def model(self) -> dict[str, Any]:
        """What /model says of the served model."""
        answer = self._session.get(f"{self.url}/model", timeout=10)
        answer.raise_for_status()
        return dict(answer.json())

    def predict(self, pulls: list[dict[str, Any]]) -> requests.Response:
        """POST /predict with a list."""
        return self._session.post(f"{self.url}/predict", json=pulls, timeout=60)


def documents(mongo_uri: str, database: str, collection: str) -> Iterator[dict[str, Any]]:
    """All fetched documents in the order of their ids, with times as text."""
    client: MongoClient[dict[str, Any]]
    with MongoClient(mongo_uri, tz_aware=True, serverSelectionTimeoutMS=10_000) as client:
        found: Iterable[dict[str, Any]] = client[database][collection].find().sort("_id", 1).batch_size(500)
        for document in found:
            yield {
                name: value.isoformat() if isinstance(value, datetime) else value
                for name, value in document.items()
                if name not in NOT_SENT
            }


def score_all(
    service: Service,
    pulls: Iterable[dict[str, Any]],
    into: Path,
    expected: Mapping[tuple[str, int], float],
) -> Scores:
    """Write one score a line to ``into``; what the service refuses goes to ``unscored.jsonl`` beside it.

    expected: training's own errors by (repo_name, number). Raises LocalSetupError for an answer that is
    neither scores nor a refusal that names the item.
    """
    result = Scores()
    part = into.with_suffix(".part")
    unscored = into.with_name("unscored.jsonl")
    with part.open("w", encoding="utf-8") as scores_file, unscored.open("w", encoding="utf-8") as refused:
        iterator = iter(pulls)
        while batch := list(itertools.islice(iterator, LIST_LENGTH)):
            for score in _scores(service, batch, refused, result):
                scores_file.write(json.dumps(score, ensure_ascii=False) + "\n")
                result.add(score, expected)
    part.replace(into)
    if not result.refused:
        unscored.unlink()
    return result


def _scores(
    service: Service, batch: list[dict[str, Any]], refused: Any, result: Scores
) -> list[dict[str, Any]]:
    while batch:
        answer = service.predict(batch)
        if answer.status_code == 200:
            return list(answer.json()["scores"])
        if answer.status_code == 413 and len(batch) > 1:  # long descriptions: half a list may be small enough
            middle = len(batch) // 2
            return [
                score
                for half in (batch[:middle], batch[middle:])
                for score in _scores(service, half, refused, result)
            ]
        problem = answer.json() if "json" in answer.headers.get("content-type", "") else {}
        index = problem.get("index")
        if answer.status_code != 422 or not isinstance(index, int):
            raise LocalSetupError(f"/predict answered {answer.status_code}: {answer.text[:300]}")
        pull = batch.pop(index)
        result.refused += 1
        line = {"repo_name": pull.get("repo_name"), "number": pull.get("number"), "problem": problem}
        refused.write(json.dumps(line, ensure_ascii=False) + "\n")
    return []
