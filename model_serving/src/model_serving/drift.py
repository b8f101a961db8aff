"""The drift job's latest report, for people, machines and Prometheus: the job ends too soon to be scraped itself.

    drift-runs/latest.json               the newest report (drift_detection/README.md)
    drift-runs/{run_id}/report.html      its page
    drift-runs/latest-retraining.json    how the last retraining ended
    drift-runs/started-retraining.json   when the last one began, ended or not

    name                                         labels     what
    model_serving_drift_score                    -          1: scores drifted, else the share of drifted groups
    model_serving_drift_alarm                    -          1 for an alarm
    model_serving_drift_group                    group      1 for a drifted group
    model_serving_drift_window_rows              -          rows of the window
    model_serving_drift_report_time_seconds      -          when the report was made
    model_serving_drift_model_info               version    1: the version that was judged
    model_serving_retraining_start_time_seconds  -          when the last retraining began
    model_serving_retraining_end_time_seconds    outcome    when the last one to end did so, and how

All of them stand in the answer to every scrape of every replica, as of at most TTL_SECONDS ago.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stage_runtime.logs import get_logger

from model_serving.traffic import Store

LATEST = "drift-runs/latest.json"
RETRAINING = "drift-runs/latest-retraining.json"
STARTED = "drift-runs/started-retraining.json"
TTL_SECONDS = 10.0
# A page is some 7 MB. A larger one than this is read for each request rather than kept.
MOST_KEPT_BYTES = 16_000_000
_RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}").fullmatch


class StoreFailed(Exception):
    """The object store did not answer."""


@dataclass(frozen=True)
class Page:
    """The page of a run; a run's page never changes."""

    run_id: str
    content: bytes


class DriftReports:
    """What the store holds, read at most once in TTL_SECONDS; may be asked by several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._read_at = -TTL_SECONDS
        self._failed = False
        self._latest: dict[str, Any] | None = None
        self._retraining: dict[str, Any] | None = None
        self._started: dict[str, Any] | None = None
        self._page_lock = threading.Lock()
        self._page: Page | None = None

    def latest(self) -> dict[str, Any] | None:
        """The newest report, None before the first; raises StoreFailed."""
        self._refresh()
        if self._failed:
            raise StoreFailed
        return self._latest

    def retraining(self) -> dict[str, Any] | None:
        """How the last retraining ended, as far as it is known."""
        self._refresh()
        return self._retraining

    def page_run(self) -> str | None:
        """The newest report's run where it has a page; raises StoreFailed."""
        report = self.latest()
        run_id = str(report.get("run_id")) if report and report.get("page") else ""
        return run_id if _RUN_ID(run_id) else None

    def page(self) -> Page | None:
        """The page of the newest report, None where it has none; raises StoreFailed.

        The last one that was asked for is kept; several who ask at once wait for one read.
        """
        run_id = self.page_run()
        if run_id is None:
            return None
        with self._page_lock:
            if self._page is not None and self._page.run_id == run_id:
                return self._page
            self._page = None  # before the next one is there: never two at a time
            try:
                content = self._store.get(f"drift-runs/{run_id}/report.html")
            except Exception as error:
                raise StoreFailed from error
            if content is None:
                return None
            found = Page(run_id, content)
            if len(content) <= MOST_KEPT_BYTES:
                self._page = found
            return found

    def _refresh(self) -> None:
        with self._lock:
            if time.monotonic() - self._read_at < TTL_SECONDS:
                return
            try:
                self._latest = _report(self._object(LATEST))
                self._retraining = self._object(RETRAINING)
                self._started = self._object(STARTED)
                self._failed = False
            except Exception as error:
                self._failed = True
                get_logger().warning("The drift report could not be read", error=type(error).__name__)
            self._read_at = time.monotonic()

    def _object(self, path: str) -> dict[str, Any] | None:
        content = self._store.get(path)
        found = json.loads(content) if content else None
        return found if isinstance(found, dict) else None

    def exposition(self) -> bytes:
        """Lines for /metrics; none where there is no report."""
        self._refresh()
        lines = [
            *_report_lines(self._latest or {}),
            *_started_lines(self._started or {}),
            *_retraining_lines(self._retraining or {}),
        ]
        return "".join(f"model_serving_{line}\n" for line in lines).encode()


def _report(found: dict[str, Any] | None) -> dict[str, Any] | None:
    """The report, if it has the parts that are shown."""
    if found is None:
        return None
    groups = found.get("groups")
    parts = isinstance(found.get("model"), dict) and isinstance(found.get("window"), dict)
    if not parts or not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
        get_logger().warning("The newest drift report is none of ours", path=LATEST)
        return None
    return found


def _report_lines(report: Mapping[str, Any]) -> Iterator[str]:
    try:
        made_at = _seconds(report["made_at"])
        yield f"drift_report_time_seconds {made_at}"
        yield f'drift_model_info{{version="{_label(report["model"]["version"])}"}} 1.0'
        yield f"drift_window_rows {float(report['window']['rows'])}"
        yield f"drift_alarm {float(bool(report['alarm']))}"
        if report["drift_score"] is not None:
            yield f"drift_score {float(report['drift_score'])}"
            for group in report["groups"]:
                yield f'drift_group{{group="{_label(group["name"])}"}} {float(bool(group["drifted"]))}'
    except (KeyError, TypeError, ValueError):
        return


def _started_lines(started: Mapping[str, Any]) -> Iterator[str]:
    try:
        yield f"retraining_start_time_seconds {_seconds(started['claimed_at'])}"
    except (KeyError, TypeError, ValueError):
        return


def _retraining_lines(retraining: Mapping[str, Any]) -> Iterator[str]:
    try:
        ended_at = _seconds(retraining["ended_at"])
        yield f'retraining_end_time_seconds{{outcome="{_label(retraining["outcome"])}"}} {ended_at}'
    except (KeyError, TypeError, ValueError):
        return


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _label(value: Any) -> str:
    """A label's value; what is not plain is replaced, so that no line can be broken."""
    return re.sub(r"[^A-Za-z0-9_. -]", "_", str(value))[:64]
