import io
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drift_detection.store import FolderStore
from drift_detection.window import MOST_LOOKED_AT, Window, read_window, window_of_file
from made_up import NAMES, record, rows, traffic_file
from stage_runtime.exits import UnusableInput

NOW = datetime(2026, 11, 23, 0, 30, tzinfo=UTC)


class Counting(FolderStore):
    """Notes what is read."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.reads: list[str] = []

    def read(self, path: str) -> bytes | None:
        self.reads.append(path)
        return super().read(path)


def read(root: Path, *, hours: float = 24, most_rows: int = 1_000, version: str = "1") -> Window:
    since = NOW - timedelta(hours=hours)
    return read_window(FolderStore(root), NAMES, version, since=since, most_rows=most_rows)


def test_the_newest_rows_of_the_version(root: Path, rng: np.random.Generator) -> None:
    values = [rows(rng, 40) for _ in range(3)]
    record(root, values[0], at=NOW - timedelta(hours=30))
    record(root, values[1], at=NOW - timedelta(hours=2))  # on the day before
    record(root, values[2], at=NOW - timedelta(minutes=5))
    record(root, values[2], at=NOW - timedelta(minutes=3), version="2")
    window = read(root)
    assert len(window) == 80 and window.other_versions == {"2": 40}
    np.testing.assert_array_equal(window.values[:40], values[2][::-1])
    np.testing.assert_array_equal(window.values[40:], values[1][::-1])
    assert len(read(root, hours=72)) == 120
    assert len(read(root, version="3")) == 0


def test_no_more_files_are_read_than_it_takes(root: Path, rng: np.random.Generator) -> None:
    newest = record(root, rows(rng, 60), at=NOW - timedelta(minutes=1))
    # Written late, but within the time that a write may take: its rows may be newer than others'.
    record(root, rows(rng, 60), at=NOW - timedelta(minutes=9))
    old = record(root, rows(rng, 60), at=NOW - timedelta(hours=3))
    store = Counting(root)
    window = read_window(store, NAMES, "1", since=NOW - timedelta(hours=24), most_rows=50)
    assert len(window) == 50 and window.unread == 0
    assert store.reads[0].endswith(newest.name)
    assert not [path for path in store.reads if path.endswith(old.name)]


def test_a_flood_is_read_past(root: Path, rng: np.random.Generator) -> None:
    """What one pull request takes of the window is a hundredth, and older rows come in its place."""
    record(root, rows(rng, 150), at=NOW - timedelta(hours=3))
    for minutes in range(60, 30, -1):
        record(
            root,
            np.repeat(np.full((1, len(NAMES)), 7, np.float32), 40, axis=0),
            at=NOW - timedelta(minutes=minutes),
        )
    record(root, rows(rng, 30), at=NOW)
    window = read(root, most_rows=200)
    assert len(window) == 30 + 150 + 2 and window.repeated == 30 * 40 - 2
    assert (window.values[30:32] == 7).all() and (np.diff(window.scored_at) <= 0).all()
    assert len(read(root, most_rows=100)) == 100


def test_an_endless_flood_is_not_read_to_its_end(root: Path, rng: np.random.Generator) -> None:
    record(root, rows(rng, 50), at=NOW - timedelta(hours=3))
    record(root, np.zeros((MOST_LOOKED_AT * 10, len(NAMES)), np.float32), at=NOW - timedelta(minutes=40))
    assert (len(read(root, most_rows=10)), read(root, most_rows=10).unread) == (1, 1)
    assert (len(read(root, most_rows=11)), read(root, most_rows=11).unread) == (11, 0)


def test_rows_of_other_versions_are_not_read_to_their_end(root: Path, rng: np.random.Generator) -> None:
    """Gone back to version 1 by hand: what it scored before lies behind a week of version 2."""
    record(root, rows(rng, 50), at=NOW - timedelta(hours=3))
    for minutes in (40, 30):
        record(root, rows(rng, MOST_LOOKED_AT * 5), at=NOW - timedelta(minutes=minutes), version="2")
    record(root, rows(rng, 5), at=NOW)
    assert (len(read(root, most_rows=10)), read(root, most_rows=10).unread) == (5, 1)
    assert (len(read(root, most_rows=11)), read(root, most_rows=11).unread) == (11, 0)


def test_what_was_read_in_time_is_the_window(
    root: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many small files there are, and however slow the store."""
    for minutes in range(20):
        record(root, rows(rng, 1), at=NOW - timedelta(minutes=minutes))
    store = Counting(root)
    monkeypatch.setattr(time, "monotonic", lambda: 10.0 * len(store.reads))
    since = NOW - timedelta(hours=24)
    window = read_window(store, NAMES, "1", since=since, most_rows=100, most_seconds=120)
    assert (len(store.reads), len(window), window.unread) == (12, 12, 8)


def test_a_column_that_is_not_there_is_missing(root: Path, rng: np.random.Generator) -> None:
    record(root, rows(rng, 30), at=NOW, leave_out=["lines"])
    record(root, rows(rng, 30), at=NOW - timedelta(minutes=1))
    window = read(root)
    assert np.isnan(window.values[:30, 2]).all() and not np.isnan(window.values[30:, 2]).any()


def test_a_damaged_file_is_left_out_and_counted(root: Path, rng: np.random.Generator) -> None:
    file = record(root, rows(rng, 30), at=NOW)
    (file.parent / "broken.parquet").write_bytes(b"PAR1 no")
    (file.parent / "unfinished.tmp").write_bytes(b"")
    pq.write_table(pa.table({"x": [1]}), file.parent / "other.parquet")
    for other in file.parent.iterdir():
        os.utime(other, (NOW.timestamp(), NOW.timestamp()))
    window = read(root)
    assert len(window) == 30 and window.unreadable == 2


@pytest.mark.parametrize(("column", "kind"), [("scored_at", pa.string()), ("model_version", pa.int64())])
def test_a_file_with_columns_of_other_types_is_left_out_or_read(
    root: Path, rng: np.random.Generator, column: str, kind: pa.DataType
) -> None:
    file = record(root, rows(rng, 30), at=NOW)
    table = pq.read_table(io.BytesIO(traffic_file(rows(rng, 30), at=NOW)))
    table = table.set_column(table.column_names.index(column), column, table[column].cast(kind))
    pq.write_table(table, file.parent / "other.parquet")
    os.utime(file.parent / "other.parquet", (NOW.timestamp(), NOW.timestamp()))
    window = read(root)
    assert (len(window), window.unreadable) in {(30, 1), (60, 0)}


def test_rows_without_a_finite_error_are_left_out(root: Path, rng: np.random.Generator) -> None:
    file = record(root, rows(rng, 30), at=NOW)
    table = pq.read_table(file)
    errors = table["reconstruction_error"].to_pylist()
    errors[:3] = [float("nan"), float("inf"), None]
    position = table.column_names.index("reconstruction_error")
    pq.write_table(table.set_column(position, "reconstruction_error", pa.array(errors, pa.float32())), file)
    os.utime(file, (NOW.timestamp(), NOW.timestamp()))
    window = read(root)
    assert len(window) == 27 and np.isfinite(window.errors).all()


def test_no_traffic_at_all(root: Path) -> None:
    window = read(root)
    assert len(window) == 0 and window.values.shape == (0, len(NAMES))


def test_a_file_by_hand(rng: np.random.Generator) -> None:
    content = traffic_file(rows(rng, 25), version="9")
    assert len(window_of_file(content, "rows.parquet", NAMES)) == 25
    out = io.BytesIO()
    pq.write_table(pa.table({"lines": [1.0]}), out)
    with pytest.raises(UnusableInput, match="reconstruction_error"):
        window_of_file(out.getvalue(), "x", NAMES)
    with pytest.raises(UnusableInput, match="Parquet"):
        window_of_file(b"no", "x", NAMES)
