"""The model's card: what a person wants to know about it, for the dashboard and for MLflow's page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


def make_card(
    *,
    model_name: str,
    run_id: str,
    manifest: Mapping[str, Any],
    params: Mapping[str, Any],
    rows: Mapping[str, int],
    threshold: Mapping[str, Any],
    error_histogram: Mapping[str, Any],
    best_epoch: int,
    quality: Mapping[str, Any] | None,
    preprocessor_hash: str,
    data_hash: str,
) -> dict[str, Any]:
    """Content of ``card.json``; quality is the report's table, None where none was made."""
    return {
        "version": 1,
        "model": model_name,
        "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": {
            "preprocess_run_id": run_id,
            "published_at": manifest.get("published_at"),
            "rows": dict(rows),
            "data_hash": data_hash,
            "preprocessor_hash": preprocessor_hash,
        },
        "network": {key: list(value) if isinstance(value, tuple) else value for key, value in params.items()},
        "best_epoch": best_epoch,
        "threshold": dict(threshold),
        "error_histogram": dict(error_histogram),
        "quality": quality,
        "limits": "Says how unusual a pull request is, not whether it is wrong or harmful. Errors of other "
        "models and thresholds cannot be compared with this one's.",
    }
