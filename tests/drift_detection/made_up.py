"""A model's folder and recorded traffic, made up; columns and files as ml_training and model_serving write them."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

MODEL = "pr-anomaly-autoencoder"
FEATURES = (
    ("newcomer", "author"),
    ("opened", "author"),
    ("lines", "size"),
    ("files", "size"),
    ("words", "title"),
)
NAMES = tuple(name for name, _ in FEATURES)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
RUN_ID = "20261101T000000Z"


def rows(rng: np.random.Generator, n: int, *, shift: float = 0.0) -> np.ndarray:
    """[n, 5] float32: a yes/no fact and four numbers, one of them often missing; ``shift`` moves the sizes."""
    values = rng.normal(size=(n, len(FEATURES))).astype(np.float32)
    values[:, 0] = rng.random(n) < 0.2
    values[:, 2:4] += shift
    values[rng.random(n) < 0.3, 4] = np.nan
    return values


def errors_of(values: np.ndarray) -> np.ndarray:
    """A score that follows from the sizes."""
    return np.exp(0.5 * np.abs(values[:, 2]) + 0.3 * np.abs(values[:, 3])).astype(np.float32)


def bins(values: np.ndarray) -> dict[str, Any]:
    present = values[~np.isnan(values)].astype(np.float64)
    edges = np.unique(np.quantile(present, np.linspace(0, 1, 11), method="lower"))
    edges[0] = np.nextafter(np.float32(edges[0]), np.float32(-np.inf))
    counts = np.bincount(np.searchsorted(edges, present, side="left"), minlength=len(edges) + 1)
    missing = int(np.isnan(values).sum())
    quantiles = np.quantile(present, np.linspace(0, 1, 101)).tolist()
    return {"edges": edges.tolist(), "counts": counts.tolist(), "quantiles": quantiles, "missing": missing}


def make_model(folder: Path, *, n: int = 2_000, run_id: str = RUN_ID) -> Path:
    """A model folder with reference.json and card.json."""
    values = rows(np.random.default_rng(0), n)
    errors = np.sort(errors_of(values).astype(np.float64))
    quantiles = np.quantile(errors, np.linspace(0, 1, 1001)).tolist()
    features = [
        {"name": name, "group": group, **bins(values[:, position])}
        for position, (name, group) in enumerate(FEATURES)
    ]
    score = {"edges": [], "counts": [n], "quantiles": quantiles, "rows": n, "how": "cross-fitted"}
    files = folder / "artifacts"
    files.mkdir(parents=True)
    reference = {"version": 1, "error_quantiles": quantiles, "drift": {"score": score, "features": features}}
    (files / "reference.json").write_text(json.dumps(reference))
    (files / "card.json").write_text(json.dumps({"data": {"preprocess_run_id": run_id}}))
    return folder


def make_registry(file: Path, models: dict[str, Path], *, at: datetime = LONG_AGO, **aliases: str) -> str:
    """MLflow's SQLite file with these versions, registered then, and aliases; the tracking URI."""
    with sqlite3.connect(file) as connection:
        connection.executescript(
            "CREATE TABLE IF NOT EXISTS registered_model_aliases"
            " (alias VARCHAR(256), version INTEGER, name VARCHAR(256));"
            "CREATE TABLE IF NOT EXISTS model_versions (name VARCHAR(256), version INTEGER, source VARCHAR(500),"
            " storage_location VARCHAR(500), creation_time BIGINT);"
            "CREATE TABLE IF NOT EXISTS model_version_tags (key TEXT, value TEXT, name TEXT, version INTEGER);"
            "DELETE FROM registered_model_aliases; DELETE FROM model_versions;"
        )
        for version, folder in models.items():
            connection.execute(
                "INSERT INTO model_versions VALUES (?, ?, ?, ?, ?)",
                (MODEL, version, "", str(folder), int(at.timestamp() * 1000)),
            )
        for alias, version in aliases.items():
            connection.execute(
                "INSERT INTO registered_model_aliases VALUES (?, ?, ?)", (alias, version, MODEL)
            )
    connection.close()
    return f"sqlite:///{file}"


def traffic_file(
    values: np.ndarray, *, version: str = "1", at: datetime | None = None, leave_out: Sequence[str] = ()
) -> bytes:
    """One Parquet file as model_serving writes it; rows a millisecond apart, the last one at ``at``."""
    at = at or datetime.now(UTC)
    n = len(values)
    moments = [at - timedelta(milliseconds=n - 1 - position) for position in range(n)]
    errors = errors_of(values)
    columns: dict[str, Any] = {
        "scored_at": pa.array(moments, pa.timestamp("ms", tz="UTC")),
        "model_version": pa.array([version] * n, pa.string()),
    }
    columns |= {
        name: pa.array(values[:, position], pa.float32())
        for position, name in enumerate(NAMES)
        if name not in leave_out
    }
    columns |= {"reconstruction_error": pa.array(errors), "is_anomaly": pa.array(errors > 4)}
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


def record(root: Path, values: np.ndarray, *, at: datetime | None = None, **more: Any) -> Path:
    """Put a file of traffic into a data root, with the time of its last row as its own."""
    at = at or datetime.now(UTC)
    file = root / "traffic" / f"date={at:%Y-%m-%d}" / f"replica-{uuid.uuid4().hex}.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(traffic_file(values, at=at, **more))
    os.utime(file, (at.timestamp(), at.timestamp()))
    return file


def publish_run(
    root: Path, *, run_id: str = RUN_ID, documents: int = 10, updated_at: str | None = None
) -> None:
    """A preprocess run: feature rows and the manifest."""
    folder = root / "preprocess-runs" / run_id
    (folder / "features").mkdir(parents=True)
    values = rows(np.random.default_rng(9), 300)
    columns: dict[str, Any] = {name: values[:, position] for position, name in enumerate(NAMES)}
    columns["split"] = ["train"] * 240 + ["later"] * 60
    pq.write_table(pa.table(columns), folder / "features" / "part-0.parquet")
    watermark = {"updated_at": updated_at, "fetched_at": None}
    manifest = {"documents": documents, "source": {"watermark": watermark}}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def tag(file: Path, version: str, **tags: str) -> None:
    """Tags of a version, as the gate writes them."""
    with sqlite3.connect(file) as connection:
        for key, value in tags.items():
            connection.execute(
                "INSERT INTO model_version_tags VALUES (?, ?, ?, ?)", (key, value, MODEL, version)
            )
    connection.close()
