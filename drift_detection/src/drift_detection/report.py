"""A verdict as numbers for machines: the content of ``report.json`` (schemas/drift_report.schema.json)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from drift_detection.reference import Reference
from drift_detection.verdict import FeatureVerdict, Verdict
from drift_detection.window import Window

VERSION = 1
DIGITS = 6


def make_report(
    run_id: str, made_at: datetime, reference: Reference, window: Window, verdict: Verdict, threshold: float
) -> dict[str, Any]:
    """Everything but the page and the webhook, which ``detect`` adds."""
    alarm = verdict.alarm(threshold)
    if verdict.drift_score is None:
        state = "too few rows"
    else:
        state = "drift" if alarm else "no drift"
    return {
        "version": VERSION,
        "run_id": run_id,
        "made_at": _time(made_at.timestamp()),
        "state": state,
        "alarm": alarm,
        "drift_score": verdict.drift_score,
        "threshold": threshold,
        "model": {"name": reference.model_name, "version": reference.model_version},
        "window": _window(window, verdict),
        "score": {
            "drifted": verdict.score_drifted,
            "distance": _round(verdict.score.ks),
            "p": verdict.score.p,
            "median": _round(float(np.median(window.errors))) if len(window) else None,
            "reference_median": _round(float(np.median(reference.quantiles))),
            "reference_rows": reference.score_rows,
        },
        "groups": [
            {"name": name, "drifted": drifted, "features": _drifted_of(verdict.features, name)}
            for name, drifted in verdict.groups.items()
        ],
        "features": [_feature(feature) for feature in verdict.features],
        "page": None,
        "webhook": "not called",
    }


def _window(window: Window, verdict: Verdict) -> dict[str, Any]:
    return {
        "from": _time(window.scored_at.min() / 1000) if len(window) else None,
        "to": _time(window.scored_at.max() / 1000) if len(window) else None,
        "rows": len(window),
        "effective_rows": round(verdict.effective_rows, 1),
        "repeated_rows": window.repeated,
        "flag_rate": _round(float(window.flags.mean())) if len(window) else None,
        "other_versions": window.other_versions,
        "unreadable_files": window.unreadable,
        "unread_files": window.unread,
    }


def _feature(feature: FeatureVerdict) -> dict[str, Any]:
    return {
        "name": feature.name,
        "group": feature.group,
        "drifted": feature.drifted,
        "psi": _round(feature.bins.psi),
        "psi_by_chance": _round(feature.bins.psi_by_chance),
        "p": feature.bins.p,
        "shift": _round(feature.shift),
        "missing": _round(feature.missing),
        "reference_missing": _round(feature.reference_missing),
    }


def _drifted_of(features: tuple[FeatureVerdict, ...], group: str) -> list[str]:
    """Names of the group's drifted features, the largest difference first."""
    found = [feature for feature in features if feature.group == group and feature.drifted]
    return [feature.name for feature in sorted(found, key=lambda one: -one.bins.excess)]


def sentence(report: Mapping[str, Any]) -> str:
    """The verdict in words, for a log line."""
    window = report["window"]
    if report["state"] == "too few rows":
        others = sum(window["other_versions"].values())
        more = f"; {others} rows are of other versions" if others else ""
        more += f"; {window['repeated_rows']} more repeat them" if window["repeated_rows"] else ""
        more += f"; {window['unread_files']} older files were not read" if window["unread_files"] else ""
        return f"no verdict: {window['rows']} rows, worth {window['effective_rows']:.0f}{more}"
    groups = [group["name"] for group in report["groups"] if group["drifted"]]
    parts = [f"drift score {report['drift_score']:.2f}"]
    if report["score"]["drifted"]:
        parts.append(f"scores drifted (distance {report['score']['distance']:.2f})")
    parts.append("drifted groups: " + (", ".join(groups) or "none"))
    return "; ".join(parts)


def _round(value: float) -> float:
    return round(value, DIGITS)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
