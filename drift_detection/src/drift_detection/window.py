"""The last window of served traffic, read from the newest files backwards until it is full."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from stage_runtime.exits import UnusableInput
from stage_runtime.logs import get_logger

from drift_detection.store import Entry, Store

TRAFFIC = "traffic"
REQUIRED = ("scored_at", "model_version", "reconstruction_error", "is_anomaly")
# A file is written within a minute or so after its newest row; beyond, its rows are older than it says.
LATEST_WRITE = timedelta(minutes=15)


@dataclass(frozen=True)
class Window:
    """Rows of one model version, newest first.

    values [n, features] float32, NaN for missing; errors [n]; flags [n]; scored_at [n] milliseconds since 1970.
    other_versions: rows within the window's hours that another version scored. unreadable: files left out.
    """

    values: np.ndarray
    errors: np.ndarray
    flags: np.ndarray
    scored_at: np.ndarray
    other_versions: dict[str, int] = field(default_factory=dict)
    unreadable: int = 0

    def __len__(self) -> int:
        return len(self.errors)


def read_window(
    store: Store, names: Sequence[str], version: str, *, hours: float, most_rows: int, now: datetime
) -> Window:
    """The newest ``most_rows`` rows of ``version`` that were scored within the last hours.

    names: the features in the order of the model; a column that a file lacks is missing in all its rows.
    """
    since = now - timedelta(hours=hours)
    parts: list[pa.Table] = []
    others: Counter[str] = Counter()
    unreadable = rows = 0
    oldest_kept: datetime | None = None
    for entry in _newest_first(store, since):
        if rows >= most_rows and oldest_kept is not None and entry.modified + LATEST_WRITE < oldest_kept:
            break
        table = _read(store, entry)
        if table is None:
            unreadable += 1
            continue
        try:
            table = table.filter(
                pc.greater_equal(table["scored_at"], pa.scalar(since, table["scored_at"].type))
            )
            versions = table["model_version"].cast(pa.string())
            table = _columns(table.filter(pc.equal(versions, version)), names)
        except (pa.ArrowException, TypeError):  # columns of our names and of other types
            unreadable += 1
            continue
        others.update(versions.to_pylist())
        if table.num_rows:
            parts.append(table)
            rows += table.num_rows
            if rows >= most_rows:
                oldest_kept = _oldest_of_newest(parts, most_rows)
    others.pop(version, None)
    if unreadable:
        get_logger().warning("Traffic files that are no Parquet of ours were left out", files=unreadable)
    return _window(parts, names, most_rows, dict(others), unreadable)


def window_of_file(content: bytes, shown: str, names: Sequence[str]) -> Window:
    """A Parquet file of recorded rows as the window, whatever versions and times are in it."""
    try:
        table = pq.read_table(io.BytesIO(content))
    except (OSError, pa.ArrowException) as error:
        raise UnusableInput(
            f"{shown}: expected a Parquet file of recorded rows, found {type(error).__name__}."
        ) from error
    if "reconstruction_error" not in table.column_names:
        raise UnusableInput(f"{shown}: expected a column reconstruction_error, found none.")
    n = table.num_rows
    if "is_anomaly" not in table.column_names:
        table = table.append_column("is_anomaly", pa.array([False] * n))
    if "scored_at" not in table.column_names:
        now = datetime.now(UTC)
        table = table.append_column("scored_at", pa.array([now] * n, pa.timestamp("ms", tz="UTC")))
    try:
        columns = _columns(table, names)
    except (pa.ArrowException, TypeError) as error:
        raise UnusableInput(f"{shown}: expected rows as the service records them: {error}") from error
    return _window([columns], names, n, {}, 0)


def _newest_first(store: Store, since: datetime) -> list[Entry]:
    """Files that may hold rows since then. A day's folder is named after its rows, so no other is listed."""
    first = f"date={since:%Y-%m-%d}"
    days = [day for day in store.folders(TRAFFIC) if day.startswith("date=") and day >= first]
    entries = [
        entry
        for day in days
        for entry in store.entries(f"{TRAFFIC}/{day}")
        if entry.path.endswith(".parquet") and entry.modified >= since
    ]
    return sorted(entries, key=lambda entry: (entry.modified, entry.path), reverse=True)


def _read(store: Store, entry: Entry) -> pa.Table | None:
    content = store.read(entry.path)
    if content is None:  # somebody tidied up meanwhile
        return None
    try:
        table = pq.read_table(io.BytesIO(content))
    except (OSError, pa.ArrowException):
        return None
    return table if set(REQUIRED) <= set(table.column_names) else None


def _columns(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """The required columns and the features, in that order, as one type each; rows without a finite error left out."""
    n = table.num_rows
    absent = pa.nulls(n, pa.float32())
    columns = {
        "scored_at": table["scored_at"].cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64()),
        "reconstruction_error": table["reconstruction_error"].cast(pa.float32()),
        "is_anomaly": table["is_anomaly"].cast(pa.bool_()),
    }
    for name in names:
        columns[f"feature {name}"] = table[name].cast(pa.float32()) if name in table.column_names else absent
    found = pa.table(columns)
    finite = pc.is_finite(found["reconstruction_error"])
    kept = found.filter(finite, null_selection_behavior="drop")
    if kept.num_rows < n:
        get_logger().warning("Recorded rows without a finite error were left out", rows=n - kept.num_rows)
    return kept


def _oldest_of_newest(parts: list[pa.Table], most_rows: int) -> datetime:
    moments = np.sort(np.concatenate([part["scored_at"].to_numpy() for part in parts]))
    return datetime.fromtimestamp(int(moments[-most_rows]) / 1000, UTC)


def _window(
    parts: list[pa.Table], names: Sequence[str], most_rows: int, others: dict[str, int], unreadable: int
) -> Window:
    if not parts:
        empty = np.empty(0, dtype=np.float32)
        values = np.empty((0, len(names)), dtype=np.float32)
        return Window(values, empty, empty.astype(bool), empty.astype(np.int64), others, unreadable)
    table = pa.concat_tables(parts)
    newest = np.argsort(-table["scored_at"].to_numpy(), kind="stable")[:most_rows]
    values = np.stack(
        [table[f"feature {name}"].to_numpy(zero_copy_only=False).astype(np.float32) for name in names], axis=1
    )
    return Window(
        values=values[newest],
        errors=table["reconstruction_error"].to_numpy()[newest],
        flags=table["is_anomaly"].to_numpy(zero_copy_only=False)[newest],
        scored_at=table["scored_at"].to_numpy()[newest],
        other_versions=others,
        unreadable=unreadable,
    )
