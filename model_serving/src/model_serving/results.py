"""Scores for people: what the dashboard shows, in memory and, where there is a MongoDB, shared by all replicas.

The collection `scores` holds two kinds of documents, told apart by `kind`:

    score     _id "OWNER/NAME#NUMBER": the last score of a pull request with title, address and reasons
    delivery  _id "delivery:ID": a webhook delivery that was taken, so that a second one is ignored

Both expire (`expires_at`, a TTL index). Scores are written by one thread from a bounded queue; a MongoDB that is slow
or away costs nothing but the shared view.
"""

from __future__ import annotations

import hashlib
import heapq
import os
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from stage_runtime.logs import get_logger

from model_serving.metrics import Metrics

KEPT_IN_MEMORY = 500
WAITING_AT_MOST = 5_000
BATCH = 500
SCORES_LAST = timedelta(days=90)
DELIVERIES_LAST = timedelta(days=7)
LOCAL_DELIVERIES = 10_000

Entry = dict[str, Any]


def entry(score: Mapping[str, Any], payload: Mapping[str, Any], origin: str, scored_at: datetime) -> Entry:
    """What is kept of a scored pull request; its address is made of name and number, never taken from the request."""
    title = payload.get("title")
    return {
        **score,
        "kind": "score",
        "title": title[:300] if title else None,
        "scored_at": scored_at,
        "origin": origin,
    }


class Memory:
    """The last score of each pull request that this process has scored: the newest KEPT_IN_MEMORY of them."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, item: Entry) -> None:
        """Keep it as the newest."""
        key = f"{item['repo_name']}#{item['number'] or item['request_id']}"
        with self._lock:
            self._entries.pop(key, None)
            self._entries[key] = item
            if len(self._entries) > KEPT_IN_MEMORY:
                self._entries.popitem(last=False)

    def recent(self, most: int) -> list[Entry]:
        """The newest first."""
        with self._lock:
            entries = list(self._entries.values())
        return entries[: -most - 1 : -1]

    def anomalous(self, most: int) -> list[Entry]:
        """The most unusual first."""
        with self._lock:
            entries = list(self._entries.values())
        return heapq.nlargest(most, entries, key=lambda item: float(item["reconstruction_error"]))


class Results:
    """Memory and, with a MongoDB, the shared collection."""

    def __init__(self, metrics: Metrics, claims: Path | None = None) -> None:
        self.memory = Memory()
        self.metrics = metrics
        self._claims = claims
        self._database: _Database | None = None

    @property
    def shared(self) -> bool:
        """Whether a MongoDB is configured and answered lately."""
        return self._database is not None and self._database.answers

    def connect(self, uri: str, database: str, collection: str, timeout_seconds: float) -> None:
        """Share the scores from now on; call it after the fork. Does not wait for the server."""
        self._database = _Database(uri, database, collection, timeout_seconds, self.metrics)

    def keep(self, items: list[Entry]) -> None:
        """Keep scores; never waits for the database."""
        for item in items:
            self.memory.add(item)
            if self._database is not None and item["number"] is not None:
                self._database.put(item)

    def recent(self, most: int) -> list[Entry]:
        """The newest scores, of all replicas where that is possible within the time limit."""
        return self._read("scored_at", most) or self.memory.recent(most)

    def anomalous(self, most: int) -> list[Entry]:
        """The most unusual ones, likewise."""
        return self._read("reconstruction_error", most) or self.memory.anomalous(most)

    def _read(self, order: str, most: int) -> list[Entry] | None:
        return self._database.read(order, most) if self._database is not None else None

    def claim(self, delivery: str) -> bool:
        """Take a webhook delivery; False where this or another process has it already."""
        if not self._claim_here(delivery):
            return False
        if self._database is not None and not self._database.claim(delivery):
            # Another replica has it now, and may give it back.
            self._unclaim_here(delivery)
            return False
        return True

    def release(self, delivery: str) -> None:
        """The delivery could not be handled: it may come again."""
        self._unclaim_here(delivery)
        if self._database is not None:
            self._database.release(delivery)

    def _unclaim_here(self, delivery: str) -> None:
        if self._claims is not None:
            self._file(delivery).unlink(missing_ok=True)

    def _file(self, delivery: str) -> Path:
        if self._claims is None:
            raise RuntimeError("no folder for claims")
        return self._claims / hashlib.sha256(delivery.encode()).hexdigest()

    def _claim_here(self, delivery: str) -> bool:
        if self._claims is None:
            return True
        self._claims.mkdir(parents=True, exist_ok=True)
        try:
            os.close(os.open(self._file(delivery), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            return False
        try:
            files = list(self._claims.iterdir())
            if len(files) > LOCAL_DELIVERIES:
                for file in sorted(files, key=lambda file: file.stat().st_mtime)[: LOCAL_DELIVERIES // 10]:
                    file.unlink(missing_ok=True)
        except FileNotFoundError:  # another worker tidies up at this moment
            pass
        return True

    def stop(self, seconds: float) -> None:
        """Write what waits, but wait no longer than this."""
        if self._database is not None:
            self._database.stop(seconds)


class _Database:
    """The collection, with one writing thread."""

    def __init__(self, uri: str, database: str, collection: str, timeout: float, metrics: Metrics) -> None:
        # Imported here: half a second that a service without MongoDB need not spend.
        import pymongo
        from pymongo.errors import DuplicateKeyError, PyMongoError

        self._pymongo, self._errors, self._duplicate = pymongo, PyMongoError, DuplicateKeyError
        milliseconds = max(1, int(timeout * 1000))
        self._client: Any = pymongo.MongoClient(
            uri,
            serverSelectionTimeoutMS=milliseconds,
            connectTimeoutMS=milliseconds,
            socketTimeoutMS=milliseconds,
            timeoutMS=milliseconds,
            tz_aware=True,
            appname="model_serving",
        )
        self._collection = self._client[database][collection]
        self._metrics = metrics
        self._waiting: queue.Queue[Entry | None] = queue.Queue(WAITING_AT_MOST)
        self.answers = False
        # After a failure the server is left alone for a while, so that a page does not wait for it each time.
        self._rest_until = 0.0
        self._pause = max(timeout, 1.0) * 5
        self._thread = threading.Thread(target=self._run, name="scores", daemon=True)
        self._thread.start()

    def put(self, item: Entry) -> None:
        try:
            self._waiting.put_nowait(item)
        except queue.Full:
            self._metrics.stored.labels("dropped").inc()

    def read(self, order: str, most: int) -> list[Entry] | None:
        if time.monotonic() < self._rest_until:
            return None
        try:
            found = list(self._collection.find({"kind": "score"}).sort(order, -1).limit(most))
        except self._errors as error:
            self._failed(error)
            return None
        self.answers = True
        return found

    def claim(self, delivery: str) -> bool:
        if time.monotonic() < self._rest_until:
            return True
        try:
            self._collection.insert_one(
                {
                    "_id": f"delivery:{delivery}",
                    "kind": "delivery",
                    "expires_at": datetime.now(UTC) + DELIVERIES_LAST,
                }
            )
        except self._duplicate:
            return False
        except self._errors as error:
            self._failed(error)
        return True

    def release(self, delivery: str) -> None:
        try:
            self._collection.delete_one({"_id": f"delivery:{delivery}"})
        except self._errors as error:
            self._failed(error)

    def stop(self, seconds: float) -> None:
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            pass
        else:
            self._thread.join(seconds)
        self._client.close()

    def _failed(self, error: Exception) -> None:
        if self.answers or not self._rest_until:
            # The message may hold the server's address with its credentials: the class is enough.
            get_logger().warning("MongoDB does not answer: scores are not shared", error=type(error).__name__)
        self.answers = False
        self._rest_until = time.monotonic() + self._pause

    def _run(self) -> None:
        indexed = False
        while True:
            batch, last = self._batch()
            if not indexed:
                indexed = self._make_indexes()
            if batch:
                self._write(batch)
            if last:
                return

    def _batch(self) -> tuple[list[Entry], bool]:
        items: list[Entry] = []
        try:
            item = self._waiting.get(timeout=30.0)
            while item is not None:
                items.append(item)
                if len(items) >= BATCH:
                    return items, False
                item = self._waiting.get(timeout=0.2)
            return items, True
        except queue.Empty:
            return items, False

    def _write(self, items: list[Entry]) -> None:
        newest = {f"{item['repo_name']}#{item['number']}": item for item in items}
        replace = self._pymongo.ReplaceOne
        operations = [
            replace({"_id": key}, {**item, "expires_at": item["scored_at"] + SCORES_LAST}, upsert=True)
            for key, item in newest.items()
        ]
        try:
            self._collection.bulk_write(operations, ordered=False)
        except self._errors as error:
            self._failed(error)
            self._metrics.stored.labels("failed").inc(len(items))
            return
        self.answers = True
        self._metrics.stored.labels("done").inc(len(items))

    def _make_indexes(self) -> bool:
        try:
            self._collection.create_index("expires_at", expireAfterSeconds=0)
            self._collection.create_index([("kind", 1), ("scored_at", -1)])
            self._collection.create_index([("kind", 1), ("reconstruction_error", -1)])
        except self._errors as error:
            self._failed(error)
            return False
        self.answers = True
        return True
