"""Served traffic for the drift job: feature rows and scores, no texts and no names, as Parquet in the background.

    {DATA_ROOT}/traffic/date=YYYY-MM-DD/{replica}-{uuid}.parquet
        scored_at timestamp[ms, UTC], model_version string, one float32 column a feature (NaN: missing),
        reconstruction_error float32, is_anomaly bool

A request only appends to a list in memory. One thread writes; when the store is slow, absent or full the rows wait,
at most TRAFFIC_BUFFER_ROWS of them, and what is beyond is dropped and counted.
"""

from __future__ import annotations

import io
import os
import random
import socket
import threading
import time
import uuid
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from model_registry.object_store import S3Access, s3_client
from stage_runtime.exits import WrongSettings
from stage_runtime.logs import get_logger

from model_serving.metrics import Metrics


class Rows(NamedTuple):
    """Recorded rows of one request: values [n, d] float32, errors [n], flags [n], at one moment."""

    scored_at: float
    model_version: str
    features: Sequence[str]
    values: np.ndarray
    errors: np.ndarray
    flags: np.ndarray


class Store(Protocol):
    """Where files go, and where the drift job's reports come from."""

    def get(self, path: str) -> bytes | None:
        """Content of a file, None where there is none. Raises on any failure."""

    def put(self, path: str, data: bytes) -> None:
        """Write one new file; the path is relative to the root. Raises on any failure."""


class FolderStore:
    """A folder; a file appears whole or not at all."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def get(self, path: str) -> bytes | None:
        try:
            return (self.root / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def put(self, path: str, data: bytes) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_name(f".{file.name}.unfinished")
        try:
            unfinished.write_bytes(data)
            unfinished.replace(file)
        finally:
            unfinished.unlink(missing_ok=True)


class S3Store:
    """A bucket with a prefix."""

    def __init__(self, bucket: str, prefix: str, access: S3Access) -> None:
        self.bucket, self.prefix = bucket, prefix
        self.client, self._failures = s3_client(access)

    def get(self, path: str) -> bytes | None:
        try:
            return bytes(
                self.client.get_object(Bucket=self.bucket, Key=f"{self.prefix}{path}")["Body"].read()
            )
        except self._failures as error:
            if getattr(error, "response", {}).get("Error", {}).get("Code") in {"NoSuchKey", "404"}:
                return None
            raise

    def put(self, path: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=f"{self.prefix}{path}", Body=data)


def open_store(root: str, bucket: str, access: S3Access) -> Store:
    """The store at DATA_ROOT; nothing is contacted yet. Raises WrongSettings as `place` does."""
    found = place(root, bucket)
    return FolderStore(found) if isinstance(found, Path) else S3Store(*found, access)


def place(root: str, bucket: str) -> Path | tuple[str, str]:
    """A folder, or (bucket, prefix); raises WrongSettings for an address that is neither."""
    scheme, separator, rest = root.partition("://")
    if not separator:
        return Path(root)
    if scheme == "file":
        return Path(rest)
    if scheme not in {"s3", "s3a"}:
        raise WrongSettings(
            f"DATA_ROOT: expected a folder or s3a://bucket/prefix, found the scheme {scheme!r}."
        )
    named, _, prefix = rest.partition("/")
    if not (named or bucket):
        raise WrongSettings(
            "DATA_ROOT: expected a bucket in s3a://bucket/prefix or in DO_SPACES_BUCKET, found none."
        )
    return named or bucket, prefix.rstrip("/") + "/" if prefix.strip("/") else ""


class TrafficRecorder:
    """Collects rows and writes them."""

    def __init__(
        self, store: Store, metrics: Metrics, *, sample: float, most_rows: int, flush_seconds: float
    ) -> None:
        self.store, self.metrics = store, metrics
        self.sample, self.most_rows, self.flush_seconds = sample, most_rows, flush_seconds
        self.replica = os.environ.get("HOSTNAME") or socket.gethostname()
        self._waiting: deque[Rows] = deque()
        self._rows = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._random = random.Random()  # noqa: S311 - a sample, not a secret
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)

    def start(self) -> None:
        """Begin to write; call it after the fork."""
        self._thread.start()

    def record(
        self,
        model_version: str,
        features: Sequence[str],
        values: np.ndarray,
        errors: np.ndarray,
        flags: np.ndarray,
    ) -> None:
        """Take a request's rows, or a sample of them. Never waits for the store and never raises."""
        n = len(values)
        if self.sample < 1:
            chosen = [index for index in range(n) if self._random.random() < self.sample]
            if not chosen:
                return
            values, errors, flags, n = values[chosen], errors[chosen], flags[chosen], len(chosen)
        with self._lock:
            if self._rows + n > self.most_rows:
                dropped = True
            else:
                dropped = False
                self._waiting.append(Rows(time.time(), model_version, features, values, errors, flags))
                self._rows += n
            half_full = self._rows * 2 > self.most_rows
        if dropped:
            self.metrics.traffic.labels("dropped").inc(n)
        if half_full:
            self._wake.set()

    def stop(self, seconds: float) -> None:
        """Write what waits, but wait no longer than this."""
        self._stop.set()
        self._wake.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        while True:
            self._wake.wait(self.flush_seconds)
            self._wake.clear()
            last = self._stop.is_set()
            written = self.flush()
            if last:
                return
            if not written:
                # The store does not do it now: do not try at every request while the buffer is half full.
                self._stop.wait(min(self.flush_seconds, 5.0))

    def flush(self) -> bool:
        """Write all rows that wait, one file a day and version; False where the store failed and they still wait."""
        with self._lock:
            batch = list(self._waiting)
        groups: dict[tuple[str, str], list[Rows]] = {}
        for rows in batch:
            day = datetime.fromtimestamp(rows.scored_at, UTC).strftime("%Y-%m-%d")
            groups.setdefault((day, rows.model_version), []).append(rows)
        for (day, _), parts in groups.items():
            path = f"traffic/date={day}/{self.replica}-{uuid.uuid4().hex}.parquet"
            n = sum(len(rows.errors) for rows in parts)
            try:
                self.store.put(path, parquet(parts))
            except Exception as error:
                self.metrics.traffic.labels("failed").inc(n)
                get_logger().warning(
                    "Traffic could not be written, it waits", rows=n, error=type(error).__name__
                )
                return False
            self.metrics.traffic.labels("written").inc(n)
            done = {id(rows) for rows in parts}
            with self._lock:
                self._waiting = deque(rows for rows in self._waiting if id(rows) not in done)
                self._rows -= n
        return True


def parquet(parts: Sequence[Rows]) -> bytes:
    """One Parquet file of parts that share a model version."""
    # Imported here: only a service that records needs it.
    from arro3.core import Array, DataType, Table
    from arro3.io import write_parquet

    lengths = [len(rows.errors) for rows in parts]
    milliseconds = np.repeat(np.array([round(rows.scored_at * 1000) for rows in parts], np.int64), lengths)
    values = np.concatenate([rows.values for rows in parts]).astype(np.float32)
    columns: dict[str, Any] = {
        "scored_at": Array.from_numpy(milliseconds).cast(DataType.timestamp("ms", tz="UTC")),
        "model_version": Array([parts[0].model_version] * sum(lengths), DataType.string()),
    }
    for index, name in enumerate(parts[0].features):
        columns[name] = Array.from_numpy(np.ascontiguousarray(values[:, index]))
    columns["reconstruction_error"] = Array.from_numpy(
        np.concatenate([rows.errors for rows in parts]).astype(np.float32)
    )
    columns["is_anomaly"] = Array.from_numpy(np.concatenate([rows.flags for rows in parts]).astype(bool))
    out = io.BytesIO()
    write_parquet(Table.from_pydict(columns), out)
    return out.getvalue()
