"""Prometheus metrics, right under several workers (prometheus_client's multiprocess mode).

PROMETHEUS_MULTIPROC_DIR must be set before this module is imported; server.py does so before the fork.

    name                                   labels              what
    model_serving_requests_total           route method status answered requests
    model_serving_request_seconds          route               histogram of the time to answer
    model_serving_batch_size               -                   histogram of pull requests in a request
    model_serving_scores_total             anomaly             scored pull requests, flagged (true) or not
    model_serving_anomaly_score            -                   histogram of the score 0..1
    model_serving_model_info               model version pid   1 for the version that a worker serves
    model_serving_reloads_total            result              changed, unchanged, refused (broken model), failed
    model_serving_traffic_rows_total       result              recorded rows: written, dropped, failed
    model_serving_webhooks_total           result              scored, duplicate, ignored, refused
    model_serving_writebacks_total         result              done, failed, dropped
    model_serving_scores_stored_total      result              scores to MongoDB: done, failed, dropped

Requests marked X-Request-Purpose: load-test count in the first three only.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

BUCKETS_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
BUCKETS_ITEMS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
BUCKETS_SCORE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 1.0)


class Metrics:
    """The metrics of this process; one object a process."""

    def __init__(self) -> None:
        # Imported here: the library decides on multiprocess mode when it is imported.
        import prometheus_client as prometheus

        self.registry = prometheus.CollectorRegistry()
        more: dict[str, Any] = {"registry": self.registry}
        counter, histogram, gauge = prometheus.Counter, prometheus.Histogram, prometheus.Gauge
        self.requests = counter(
            "model_serving_requests", "Answered requests", ["route", "method", "status"], **more
        )
        self.seconds = histogram(
            "model_serving_request_seconds", "Seconds to answer", ["route"], buckets=BUCKETS_SECONDS, **more
        )
        self.batch = histogram(
            "model_serving_batch_size", "Pull requests in a request", buckets=BUCKETS_ITEMS, **more
        )
        self.scores = counter("model_serving_scores", "Scored pull requests", ["anomaly"], **more)
        self.score = histogram("model_serving_anomaly_score", "Scores", buckets=BUCKETS_SCORE, **more)
        self.model_info = gauge(
            "model_serving_model_info",
            "The version that each worker serves",
            ["model", "version", "worker"],
            multiprocess_mode="livesum",
            **more,
        )
        self.reloads = counter("model_serving_reloads", "Reloads", ["result"], **more)
        self.traffic = counter("model_serving_traffic_rows", "Recorded rows", ["result"], **more)
        self.webhooks = counter("model_serving_webhooks", "Webhook deliveries", ["result"], **more)
        self.writebacks = counter("model_serving_writebacks", "Results written back", ["result"], **more)
        self.stored = counter("model_serving_scores_stored", "Scores to MongoDB", ["result"], **more)
        self._observers: dict[tuple[str, str, int], tuple[Any, Any]] = {}
        self._flagged = self.scores.labels("true")
        self._normal = self.scores.labels("false")

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        key = (route, method, status)
        observers = self._observers.get(key)
        if observers is None:
            observers = (self.requests.labels(route, method, str(status)), self.seconds.labels(route))
            self._observers[key] = observers
        observers[0].inc()
        observers[1].observe(seconds)

    def scored(self, scores: list[dict[str, Any]]) -> None:
        """Count scored pull requests."""
        flagged = 0
        for score in scores:
            self.score.observe(score["anomaly_score"])
            flagged += score["is_anomaly"]
        if flagged:
            self._flagged.inc(flagged)
        if flagged < len(scores):
            self._normal.inc(len(scores) - flagged)

    def serving(self, model: str, version: str, before: str | None) -> None:
        """This worker serves another version now."""
        worker = str(os.getpid())
        if before is not None and before != version:
            self.model_info.labels(model, before, worker).set(0)
        self.model_info.labels(model, version, worker).set(1)

    def exposition(self) -> tuple[bytes, str]:
        """The metrics of all workers as text, and its content type."""
        import prometheus_client as prometheus
        from prometheus_client import multiprocess

        registry = self.registry
        if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            registry = prometheus.CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        text = prometheus.generate_latest(registry)
        kept = [line for line in text.split(b"\n") if not _of_the_past(line)]
        return b"\n".join(kept), prometheus.CONTENT_TYPE_LATEST


def _of_the_past(line: bytes) -> bool:
    # A version that a worker no longer serves would stay as a 0 for ever.
    return line.startswith(b"model_serving_model_info{") and line.endswith(b" 0.0")


def worker_gone(pid: int, folder: Path) -> None:
    """A worker has ended: what it counted stays, what it was does not."""
    for file in folder.glob(f"gauge_live*_{pid}.db"):
        file.unlink(missing_ok=True)
