"""The command ``detect``: a window of served traffic in, a report out, an alarm where it drifted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import PurePath
from typing import Any

import numpy as np
from model_registry.registry import ModelVersion
from stage_runtime.exits import ExitCode, StageError
from stage_runtime.logs import bind, get_logger
from stage_runtime.main import closing_counts

from drift_detection import retrainings, runs, webhook
from drift_detection.page import NoReferenceRows, make_page, reference_rows, rows_of_file
from drift_detection.reference import Reference, of_registry, of_version
from drift_detection.report import make_report, sentence
from drift_detection.settings import DetectSettings
from drift_detection.store import Store, open_store, read_address
from drift_detection.verdict import judge
from drift_detection.window import Window, read_window, window_of_file


def detect(settings: DetectSettings) -> ExitCode:
    """Judge the last window, publish the report, call the webhook on an alarm. A found drift is a result: 0."""
    now = datetime.now(UTC)
    store = open_store(settings.root_address, settings.s3_access)
    run_id = runs.new_run_id(now)
    bind(run_id=run_id)
    reference = _reference(settings)
    window = _window(settings, store, reference, now)
    verdict = judge(window, reference, min_rows=settings.min_rows)
    report = make_report(run_id, now, reference, window, verdict, settings.drift_threshold)
    page = _page(settings, store, reference, window, report) if settings.html_page else None
    if page is not None:
        report["page"] = "report.html"
    # The alarm is noted before it is sent: what the webhook says comes into the report afterwards.
    served = not (settings.data_dir or settings.model_dir or settings.current_data_path)
    runs.publish(store, run_id, report, page, newest=served)
    try:
        report["webhook"] = _alarm(settings, store, report, now)
    except StageError as error:
        report["webhook"] = f"failed: {type(error).__name__}"
        raise
    finally:
        runs.publish(store, run_id, report, None, newest=served)
        get_logger().info(sentence(report), state=report["state"], model_version=reference.model_version)
        closing_counts(
            rows=len(window),
            drift_score=report["drift_score"],
            alarm=report["alarm"],
            webhook=report["webhook"],
            model_version=reference.model_version,
        )
    if not served:
        get_logger().info(
            "Named by hand: GET /drift goes on to show the served traffic's", report=f"{run_id}/report.json"
        )
    if page is not None:
        runs.forget_pages(store, settings.html_kept)
    return ExitCode.DONE


def _reference(settings: DetectSettings) -> Reference:
    if settings.model_dir:
        named = ModelVersion(settings.model_name, PurePath(settings.model_dir).name, settings.model_dir)
        return of_version(settings, named)
    return of_registry(settings, settings.model_alias)


def _window(settings: DetectSettings, store: Store, reference: Reference, now: datetime) -> Window:
    if settings.current_data_path:
        content = read_address(settings.current_data_path, store, settings.s3_access)
        return window_of_file(content, settings.current_data_path, reference.names)
    traffic = open_store(settings.data_dir, settings.s3_access) if settings.data_dir else store
    since = now - timedelta(hours=settings.window_hours)
    if reference.registered_at is not None:
        since = max(since, reference.registered_at)
    return read_window(
        traffic,
        reference.names,
        reference.model_version,
        since=since,
        most_rows=settings.window_rows,
        most_seconds=settings.read_seconds,
    )


def _page(
    settings: DetectSettings, store: Store, reference: Reference, window: Window, report: dict[str, Any]
) -> bytes | None:
    """The page; None with too few rows, or where Evidently or its reference rows are not to be had."""
    if report["drift_score"] is None:
        return None
    by_hand = settings.current_data_path or settings.reference_data_path or settings.data_dir
    if not by_hand and (known := runs.same_page(store, report)) is not None:
        return known
    found = report["window"]
    repeated = f", and {found['repeated_rows']} that repeat them" if found["repeated_rows"] else ""
    facts = {
        "verdict": f"{str(report['state']).capitalize()} in the traffic of {reference.model_name}",
        "in detail": sentence(report),
        "model version": reference.model_version,
        "rows": f"{found['rows']} from {found['from']} to {found['to']}{repeated}",
    }
    try:
        rows = _rows_to_show(settings, store, reference)
        return make_page(window, reference, rows, most_rows=settings.html_rows, facts=facts)
    except NoReferenceRows as error:
        get_logger().warning(str(error))
    except Exception as error:  # the verdict must not be lost for a page
        get_logger().exception("The page could not be made", error=type(error).__name__)
    return None


def _rows_to_show(settings: DetectSettings, store: Store, reference: Reference) -> np.ndarray:
    if settings.reference_data_path:
        content = read_address(settings.reference_data_path, store, settings.s3_access)
        return rows_of_file(content, settings.reference_data_path, reference.names)
    return reference_rows(store, reference, settings.html_rows)


def _alarm(settings: DetectSettings, store: Store, report: dict[str, Any], now: datetime) -> str:
    """Call the webhook where there is an alarm and a retraining could start; what happened, in words."""
    if not report["alarm"]:
        return "not called"
    get_logger().warning("DRIFT", drift_score=report["drift_score"], threshold=report["threshold"])
    if not settings.call_webhook:
        return "not called: switched off"
    if not settings.drift_webhook_url:
        return "not called: DRIFT_WEBHOOK_URL is not set"
    last = retrainings.newest(store)
    if last is not None:
        until = last.blocks_until(
            timedelta(hours=settings.cool_down_hours), timedelta(minutes=settings.retry_minutes)
        )
        if now < until:
            return f"held back: retraining {last.number}, the next may start at {until:%Y-%m-%dT%H:%M:%SZ}"
    webhook.call(settings.drift_webhook_url, settings.drift_webhook_token.get_secret_value(), report)
    return "called"
