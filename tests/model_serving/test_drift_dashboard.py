"""The dashboard and the alerts about drift ask only for what /metrics says."""

import json
import re
from pathlib import Path

from model_serving import drift


def names_of_the_module() -> set[str]:
    return set(re.findall(r"model_serving_(?:drift|retraining)\w+", drift.__doc__ or ""))


def test_every_metric_is_made_and_documented() -> None:
    report = {
        "made_at": "2026-11-23T03:00:00Z", "model": {"version": "1"}, "window": {"rows": 1}, "alarm": True,
        "drift_score": 1.0, "groups": [{"name": "size", "drifted": True}],
    }  # fmt: skip
    retraining = {"ended_at": "2026-11-23T03:00:00Z", "outcome": "refused"}
    started = {"claimed_at": "2026-11-23T02:00:00Z"}
    lines = [
        *drift._report_lines(report),
        *drift._started_lines(started),
        *drift._retraining_lines(retraining),
    ]
    assert {f"model_serving_{re.split('[{ ]', line)[0]}" for line in lines} == names_of_the_module()


def test_the_dashboard_and_the_alerts(repository: Path) -> None:
    known = names_of_the_module()
    dashboard = json.loads((repository / "model_serving" / "grafana" / "drift.json").read_text("utf-8"))
    asked = " ".join(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    asked += (repository / "argo-apps" / "components" / "drift-alerts" / "alerts.yaml").read_text("utf-8")
    used = set(re.findall(r"model_serving_(?:drift|retraining)\w+", asked))
    assert used == known
