"""Prometheus metrics, right under several workers (prometheus_client's multiprocess mode).

PROMETHEUS_MULTIPROC_DIR must be set before this module is imported; __main__.py does so before the fork.

    name                                   labels              what
    model_serving_requests_total           route method status answered requests
    model_serving_request_seconds          route               histogram of the time from whole request to sent answer
    model_serving_batch_size               -                   histogram of pull requests in a request
    model_serving_scores_total             anomaly             scored pull requests, flagged (true) or not
    model_serving_anomaly_score            -                   histogram of the score 0..1
    model_serving_model_info               model version worker 1 for the version that a worker serves
    model_serving_reloads_total            result              changed, unchanged, refused (broken model), failed
    model_serving_traffic_rows_total       result              recorded rows: written, dropped, failed
    model_serving_webhooks_total           result              scored, duplicate, ignored, refused
    model_serving_writebacks_total         result              done, failed, dropped, superseded (by a newer one)
    model_serving_scores_stored_total      result              scores to MongoDB: done, failed, dropped
    model_serving_instance_info            instance            1: which replica answered this scrape

Requests marked X-Request-Purpose: load-test count in the first three only.

The first five are counted for every request, and their values lie in files that the workers share: three microseconds a
number. So a request only appends to a list, and a thread adds the list up twice a second.
"""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from stage_runtime.logs import get_logger

T = TypeVar("T")
ADD_UP_SECONDS = 0.5

BUCKETS_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
BUCKETS_ITEMS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
RELOAD_RESULTS = ("changed", "unchanged", "refused", "failed")
BUCKETS_SCORE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 1.0)


class Metrics:
    """The metrics of this process; one object a process."""

    def __init__(self) -> None:
        # Imported here: the library decides on multiprocess mode when it is imported.
        import prometheus_client as prometheus

        from model_serving import metric_files

        metric_files.install()
        self.registry = prometheus.CollectorRegistry()
        host = re.sub(r"[^A-Za-z0-9_.-]", "", os.environ.get("HOSTNAME") or socket.gethostname())
        self.instance = f"{host}-{os.getppid()}"
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
        for result in RELOAD_RESULTS:
            # From the first scrape on: a series that is born at 1 has not increased, and no alert would see it.
            self.reloads.labels(result)
        self.traffic = counter("model_serving_traffic_rows", "Recorded rows", ["result"], **more)
        self.webhooks = counter("model_serving_webhooks", "Webhook deliveries", ["result"], **more)
        self.writebacks = counter("model_serving_writebacks", "Results written back", ["result"], **more)
        self.stored = counter("model_serving_scores_stored", "Scores to MongoDB", ["result"], **more)
        self._answered: deque[tuple[str, str, int, float]] = deque()
        self._batches: deque[int] = deque()
        self._scored: deque[list[tuple[float, bool]]] = deque()
        self._adding = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def start(self) -> None:
        """Add up in the background; call it after the fork."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Add up what is left."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(seconds)
        self.add_up()

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._answered.append((route, method, status, seconds))

    def counted(self, route: str, method: str, status: int, received: float) -> Callable[[], None]:
        """What is to be called when the answer is handed over to a request that was received then (monotonic time)."""
        return lambda: self.answered(route, method, status, time.monotonic() - received)

    def batched(self, items: int, requests: int = 1) -> None:
        """Count the pull requests of one request, or of several with as many each."""
        self._batches.extend([items] * requests)

    def scored(self, scores: list[dict[str, Any]]) -> None:
        """Count scored pull requests."""
        self._scored.append([(score["anomaly_score"], score["is_anomaly"]) for score in scores])

    def add_up(self) -> None:
        """Bring the shared values up to date with the lists."""
        with self._adding:
            requests: Counter[tuple[str, str, int]] = Counter()
            seconds: dict[str, list[float]] = {}
            for route, method, status, duration in _drained(self._answered):
                requests[route, method, status] += 1
                seconds.setdefault(route, []).append(duration)
            for (route, method, status), count in requests.items():
                self.requests.labels(route, method, str(status)).inc(count)
            for route, durations in seconds.items():
                _observe_all(self.seconds.labels(route), durations)
            _observe_all(self.batch, [float(items) for items in _drained(self._batches)])
            scores = [pair for pairs in _drained(self._scored) for pair in pairs]
            _observe_all(self.score, [score for score, _ in scores])
            flagged = sum(flag for _, flag in scores)
            if scores:
                self.scores.labels("true").inc(flagged)
                self.scores.labels("false").inc(len(scores) - flagged)

    def _run(self) -> None:
        while not self._stop.wait(ADD_UP_SECONDS):
            try:
                self.add_up()
            except Exception:  # what is wrong with one number must not end the counting for good
                get_logger().exception("Metrics could not be added up")

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

        self.add_up()
        registry = self.registry
        if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            registry = prometheus.CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        text = prometheus.generate_latest(registry)
        # Behind a load balancer each scrape may reach another replica: this says which one.
        instance = f'model_serving_instance_info{{instance="{self.instance}"}} 1.0'.encode()
        kept = [instance] + [line for line in text.split(b"\n") if not _of_the_past(line)]
        return b"\n".join(kept), prometheus.CONTENT_TYPE_LATEST


def _drained(items: deque[T]) -> Iterator[T]:
    # popleft is atomic, so requests may append meanwhile.
    for _ in range(len(items)):
        yield items.popleft()


def _observe_all(histogram: Any, values: Sequence[float]) -> None:
    """histogram.observe for many values at the price of one; its own method takes them one by one."""
    if not values:
        return
    counts = Counter(bisect_left(histogram._upper_bounds, value) for value in values)
    for bucket, count in counts.items():
        histogram._buckets[bucket].inc(count)
    histogram._sum.inc(sum(values))


def _of_the_past(line: bytes) -> bool:
    # A version that a worker no longer serves would stay as a 0 for ever.
    return line.startswith(b"model_serving_model_info{") and line.endswith(b" 0.0")


def worker_gone(pid: int, folder: Path) -> None:
    """A worker has ended: what it counted stays, what it was does not."""
    for file in folder.glob(f"gauge_live*_{pid}.db"):
        file.unlink(missing_ok=True)
