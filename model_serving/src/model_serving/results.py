"""Scores for people: what the dashboard shows. From MongoDB where there is one that answers, shared by all replicas;
otherwise what the workers of this replica have in memory.

The most unusual come first by `anomaly_score`: a percentile, so it means the same whichever model version gave it,
while reconstruction errors of two versions are numbers of different units. Where it ties (beyond the largest training
row it is 1), by how many times its version's threshold the error is.

Scores are written by one thread from a bounded queue; a MongoDB that is slow or away costs nothing but the shared view.
"""

from __future__ import annotations

import heapq
import queue
import threading
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from model_serving.board import Board, Entry
from model_serving.metrics import Metrics
from model_serving.mongo import Away, Mongo

KEPT_IN_MEMORY = 500
SHOWN = 50
WAITING_AT_MOST = 5_000
BATCH = 500
SCORES_LAST = timedelta(days=90)
# The origin of a score that GitHub asked for; any other caller is unknown.
SIGNED = "webhook"
NEWEST = (("scored_at", -1),)
MOST_UNUSUAL = (("anomaly_score", -1), ("times_threshold", -1))


def entry(score: Mapping[str, Any], payload: Mapping[str, Any], origin: str, scored_at: datetime) -> Entry:
    """What is kept of a scored pull request; its address is made of name and number, never taken from the request."""
    title = payload.get("title")
    threshold = score["threshold"]
    return {
        **score,
        "kind": "score",
        "title": title[:300] if title else None,
        "scored_at": scored_at,
        "origin": origin,
        "times_threshold": score["reconstruction_error"] / threshold if threshold else 0.0,
    }


def key_of(item: Entry) -> str:
    """What makes two entries the same pull request."""
    return f"{item['repo_name']}#{item['number'] or item['request_id']}"


def outranks(standing: Entry, item: Entry) -> bool:
    """Whether an entry stays where a later one of its pull request comes: what GitHub signed is not replaced by what
    anybody may have sent to /predict."""
    return bool(standing["origin"] == SIGNED != item["origin"])


class Memory:
    """The last score of each pull request that this process has scored: the newest KEPT_IN_MEMORY of them."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, item: Entry) -> None:
        """Keep it as the newest."""
        key = key_of(item)
        with self._lock:
            before = self._entries.get(key)
            if before is not None and outranks(before, item):
                return
            self._entries.pop(key, None)
            self._entries[key] = item
            if len(self._entries) > KEPT_IN_MEMORY:
                self._entries.popitem(last=False)

    def entries(self) -> list[Entry]:
        """All, the oldest first."""
        with self._lock:
            return list(self._entries.values())


def recent(entries: list[Entry], most: int) -> list[Entry]:
    """The newest first; those of the same moment in the order they came, the last first."""
    return heapq.nlargest(most, reversed(entries), key=lambda item: item["scored_at"])


def anomalous(entries: list[Entry], most: int) -> list[Entry]:
    """The most unusual first."""
    return heapq.nlargest(
        most, entries, key=lambda item: tuple(float(item[name]) for name, _ in MOST_UNUSUAL)
    )


class Results:
    """Memory, with a folder the other workers', and with a MongoDB the shared collection."""

    def __init__(self, metrics: Metrics, mongo: Mongo | None = None, folder: Path | None = None) -> None:
        self.memory = Memory()
        self._board = Board(folder, self._shown) if folder is not None else None
        self._mongo = mongo
        self._writer = _Writer(mongo, metrics) if mongo is not None else None

    @property
    def shared(self) -> bool:
        """Whether a MongoDB is configured and answered lately."""
        return self._mongo is not None and self._mongo.answers

    def start(self) -> None:
        """Begin to show the other workers what this one scores; call it after the fork."""
        if self._board is not None:
            self._board.start()

    def keep(self, items: list[Entry]) -> None:
        """Keep scores; never waits for the database."""
        if self._board is not None:
            self._board.changed()
        for item in items:
            self.memory.add(item)
            if self._writer is not None and item["number"] is not None:
                self._writer.put(item)

    def recent(self, most: int) -> list[Entry]:
        """The newest scores, of all replicas where that is possible within the time limit."""
        return self._read(NEWEST, most) or recent(self._of_all_workers(), most)

    def anomalous(self, most: int) -> list[Entry]:
        """The most unusual ones, likewise."""
        return self._read(MOST_UNUSUAL, most) or anomalous(self._of_all_workers(), most)

    def _shown(self) -> list[Entry]:
        entries = self.memory.entries()
        shown = [*recent(entries, SHOWN), *anomalous(entries, SHOWN)]
        return list({id(item): item for item in shown}.values())

    def _of_all_workers(self) -> list[Entry]:
        """The last score of each pull request."""
        own = self.memory.entries()
        if self._board is None or not (others := self._board.others()):
            return own
        newest: dict[str, Entry] = {}
        for item in sorted([*others, *own], key=lambda item: item["scored_at"]):
            before = newest.get(key := key_of(item))
            if before is None or not outranks(before, item):
                newest[key] = item
        return sorted(newest.values(), key=lambda item: item["scored_at"])

    def _read(self, order: tuple[tuple[str, int], ...], most: int) -> list[Entry] | None:
        if self._mongo is None:
            return None
        try:
            with self._mongo.collection() as scores:
                return list(scores.find({"kind": "score"}).sort(list(order)).limit(most))
        except Away:
            return None

    def stop(self, seconds: float) -> None:
        """Write what waits, but wait no longer than this."""
        if self._writer is not None:
            self._writer.stop(seconds)
        if self._board is not None:
            self._board.stop()


def _replaceable(key: str, item: Entry) -> dict[str, Any]:
    """What in the collection gives way to an entry."""
    found: dict[str, Any] = {"_id": key, "scored_at": {"$lte": item["scored_at"]}}
    if item["origin"] != SIGNED:
        found["origin"] = {"$ne": SIGNED}
    return found


class _Writer:
    """The thread that writes scores to the collection."""

    def __init__(self, mongo: Mongo, metrics: Metrics) -> None:
        self._mongo, self._metrics = mongo, metrics
        self._waiting: queue.Queue[Entry | None] = queue.Queue(WAITING_AT_MOST)
        self._thread = threading.Thread(target=self._run, name="scores", daemon=True)
        self._thread.start()

    def put(self, item: Entry) -> None:
        try:
            self._waiting.put_nowait(item)
        except queue.Full:
            self._metrics.stored.labels("dropped").inc()

    def stop(self, seconds: float) -> None:
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            pass
        else:
            self._thread.join(seconds)

    def _run(self) -> None:
        last = False
        while not last:
            batch, last = self._batch()
            try:
                if batch:
                    self._write(batch)
                    self._metrics.stored.labels("done").inc(len(batch))
                    batch = []
                self._mongo.make_indexes()
            except Away:
                self._metrics.stored.labels("failed").inc(len(batch))

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
        newest: dict[str, Entry] = {}
        for item in items:
            before = newest.get(key := key_of(item))
            if before is None or not outranks(before, item):
                newest[key] = item
        # What another replica has scored later or GitHub has signed stays: the filter finds nothing then, and the
        # insert fails.
        operations = [
            self._mongo.replace_one(
                _replaceable(key, item),
                {**item, "expires_at": item["scored_at"] + SCORES_LAST},
                upsert=True,
            )
            for key, item in newest.items()
        ]
        with self._mongo.collection() as scores:
            try:
                scores.bulk_write(operations, ordered=False)
            except self._mongo.bulk_error as error:
                if any(failed.get("code") != 11000 for failed in error.details["writeErrors"]):
                    raise
