"""The last window of served traffic, read from the newest files backwards until it is full.

A pull request that is sent again and again fills no window: copies beyond a hundredth of it are left out, and older
rows are read in their place.
"""

from __future__ import annotations

import io
import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from stage_runtime.exits import UnusableInput
from stage_runtime.logs import get_logger

from drift_detection.statistics import LARGEST_SHARE, few_copies
from drift_detection.store import Entry, Store

TRAFFIC = "traffic"
REQUIRED = ("scored_at", "model_version", "reconstruction_error", "is_anomaly")
# A file is written within a minute or so after its newest row; beyond, its rows are older than it says.
LATEST_WRITE = timedelta(minutes=15)
# So many times the window's rows are looked at, at most: a larger flood, or as many of other versions, leaves a
# smaller window.
MOST_LOOKED_AT = 100


@dataclass(frozen=True)
class Window:
    """Rows of one model version, newest first.

    values [n, features] float32, NaN for missing; errors [n]; flags [n]; scored_at [n] milliseconds since 1970.
    other_versions: rows of the same time that another version scored. unreadable: files left out. repeated: rows
    left out because the window has enough of their equals. unread: older files that were not looked at, as the newer
    ones had too many rows or took too long.
    """

    values: np.ndarray
    errors: np.ndarray
    flags: np.ndarray
    scored_at: np.ndarray
    other_versions: dict[str, int] = field(default_factory=dict)
    unreadable: int = 0
    repeated: int = 0
    unread: int = 0

    def __len__(self) -> int:
        return len(self.errors)

    @property
    def rows(self) -> np.ndarray:
        """Values and error side by side [n, features + 1]: what makes two rows equal.

        Of the error 13 bits: the rest depends on what else was scored in the same request.
        """
        fraction, exponent = np.frexp(self.errors)
        return np.column_stack([self.values, np.ldexp(np.round(fraction * 8192) / 8192, exponent)])

    def without_floods(self) -> Window:
        """No row more than LARGEST_SHARE of those kept; of equal ones the newest stay. Twice is the same as once."""
        return self._of(few_copies(self.rows))

    def newest(self, most_rows: int, most_copies: int) -> Window:
        """The newest rows, so many copies of one at most."""
        found = self._of(few_copies(self.rows, most_copies))
        return replace(found._of(np.arange(len(found)) < most_rows), repeated=found.repeated)

    def _of(self, kept: np.ndarray) -> Window:
        return replace(
            self,
            values=self.values[kept],
            errors=self.errors[kept],
            flags=self.flags[kept],
            scored_at=self.scored_at[kept],
            repeated=self.repeated + int((~kept).sum()),
        )


def read_window(
    store: Store,
    names: Sequence[str],
    version: str,
    *,
    since: datetime,
    most_rows: int,
    most_seconds: float = math.inf,
) -> Window:
    """The newest ``most_rows`` rows of ``version`` that were scored since then, as far as the seconds suffice.

    names: the features in the order of the model; a column that a file lacks is missing in all its rows.
    """
    end = time.monotonic() + most_seconds
    most_copies = max(1, math.ceil(LARGEST_SHARE * most_rows))
    window = _window(pa.table(_nothing(names)), names)
    others: Counter[str] = Counter()
    unreadable = unread = looked_at = 0
    entries = _newest_first(store, since)
    for position, entry in enumerate(entries):
        full = len(window) >= most_rows
        if full and entry.modified + LATEST_WRITE < _moment(window.scored_at[-1]):
            break
        if looked_at >= MOST_LOOKED_AT * most_rows or time.monotonic() >= end:
            unread = len(entries) - position
            break
        found = _read(store, entry, names, version, since)
        if found is None:
            unreadable += 1
            continue
        table, versions = found
        others.update(versions)
        looked_at += len(versions)
        window = _joined(window, _window(table, names)).newest(most_rows, most_copies)
    others.pop(version, None)
    if unreadable:
        get_logger().warning("Traffic files that are no Parquet of ours were left out", files=unreadable)
    if unread:
        get_logger().warning(
            "Reading ended early: the older traffic is not looked at",
            rows_looked_at=looked_at,
            rows_found=len(window),
            files_not_read=unread,
        )
    window = replace(window, other_versions=dict(others), unreadable=unreadable, unread=unread)
    return window.without_floods()


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
    return _window(columns, names).without_floods()


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


def _read(
    store: Store, entry: Entry, names: Sequence[str], version: str, since: datetime
) -> tuple[pa.Table, list[str]] | None:
    """A file's rows of the version, and the versions of all its rows; only what was scored since then.

    None for a file that is none of ours: no Parquet, without the required columns, or with columns of other types.
    """
    content = store.read(entry.path)
    if content is None:  # somebody tidied up meanwhile
        return pa.table(_nothing(names)), []
    try:
        table = pq.read_table(io.BytesIO(content))
        if not set(REQUIRED) <= set(table.column_names):
            return None
        table = table.filter(pc.greater_equal(table["scored_at"], pa.scalar(since, table["scored_at"].type)))
        versions = table["model_version"].cast(pa.string())
        return _columns(table.filter(pc.equal(versions, version)), names), versions.to_pylist()
    except (OSError, TypeError, pa.ArrowException):
        return None


def _nothing(names: Sequence[str]) -> dict[str, pa.Array]:
    """Columns without a row, as ``_columns`` makes them."""
    types = {"scored_at": pa.int64(), "reconstruction_error": pa.float32(), "is_anomaly": pa.bool_()}
    types |= {f"feature {name}": pa.float32() for name in names}
    return {name: pa.array([], kind) for name, kind in types.items()}


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


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)


def _joined(one: Window, other: Window) -> Window:
    """Both windows' rows, newest first; ``one`` is continued."""
    scored_at = np.concatenate([one.scored_at, other.scored_at])
    newest = np.argsort(-scored_at, kind="stable")
    return replace(
        one,
        values=np.concatenate([one.values, other.values])[newest],
        errors=np.concatenate([one.errors, other.errors])[newest],
        flags=np.concatenate([one.flags, other.flags])[newest],
        scored_at=scored_at[newest],
    )


def _window(table: pa.Table, names: Sequence[str]) -> Window:
    """The rows of ``_columns`` in arrays, newest first."""
    newest = np.argsort(-table["scored_at"].to_numpy(), kind="stable")
    values = np.stack(
        [table[f"feature {name}"].to_numpy(zero_copy_only=False).astype(np.float32) for name in names], axis=1
    )
    return Window(
        values=values[newest],
        errors=table["reconstruction_error"].to_numpy()[newest],
        flags=table["is_anomaly"].to_numpy(zero_copy_only=False)[newest],
        scored_at=table["scored_at"].to_numpy()[newest],
    )
