"""Whose turn it is to write a result to one place at GitHub, so that nothing is written twice or by an older result.

GitHub has no conditional writes: what is read there and what is written a moment later are two calls. Between them
nobody else of ours may write, and who comes with an older result than the last one must not write at all.

Among the workers of a replica a locked file decides, held until the process lets go or dies. Among replicas a document
in MongoDB does: a turn lasts LEASE_SECONDS at most, its holder must be done after WORK_SECONDS, and the difference is
what replicas' clocks may differ by. Without MongoDB, or while it is away, replicas do not know of each other.
"""

from __future__ import annotations

import fcntl
import hashlib
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from model_serving.mongo import Away, Mongo

LEASE_SECONDS = 120.0
WORK_SECONDS = 60.0
KEPT = timedelta(days=90)
KEPT_FILES = 10_000
_NOBODY_SINCE = datetime(1970, 1, 1, tzinfo=UTC)


class Busy(Exception):
    """Somebody else is writing there: try again soon."""


class Superseded(Exception):
    """A newer result, or this one, stands there already."""


class Turns:
    """Turns at places, told apart by key. An order is a text that sorts as its results are to be ordered."""

    def __init__(self, folder: Path | None = None, mongo: Mongo | None = None) -> None:
        self._folder, self._mongo = folder, mongo
        self._holder = uuid.uuid4().hex

    @contextmanager
    def take(self, key: str, order: str) -> Iterator[float]:
        """Hold the turn at a place; yields the monotonic time by which the work must be done.

        Leaving without an exception records that this result stands there now. Raises Busy or Superseded.
        """
        with self._local(key, order):
            leased = self._lease(key, order)
            done = False
            try:
                yield time.monotonic() + WORK_SECONDS
                done = True
            except Superseded:
                raise
            finally:
                if leased:
                    self._give_back(key, order if done else None)

    @contextmanager
    def _local(self, key: str, order: str) -> Iterator[None]:
        if self._folder is None:
            yield
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(key.encode()).hexdigest()
        with (self._folder / name).open("a+", encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Busy(key) from None
            file.seek(0)
            if file.read() >= order:
                raise Superseded(key)
            yield
            _rewrite(file, order)
        if name.startswith("00"):  # one time in 256
            _tidy(self._folder)

    def _lease(self, key: str, order: str) -> bool:
        """Take the turn among replicas; False where MongoDB is away."""
        if self._mongo is None:
            return False
        now = datetime.now(UTC)
        place = {"_id": f"writeback:{key}"}
        turn = {
            "kind": "writeback",
            "holder": self._holder,
            "until": now + timedelta(seconds=LEASE_SECONDS),
            "expires_at": now + KEPT,
        }
        try:
            with self._mongo.collection() as scores:
                # Held, or something newer stands there: the filter finds nothing, and the insert fails.
                scores.update_one(
                    {**place, "until": {"$lte": now}, "order": {"$lt": order}},
                    {"$set": turn, "$setOnInsert": {"order": ""}},
                    upsert=True,
                )
        except self._mongo.duplicate:
            return self._refused(key, order)
        except Away:
            return False
        return True

    def _refused(self, key: str, order: str) -> bool:
        if self._mongo is None:
            return False
        try:
            with self._mongo.collection() as scores:
                found = scores.find_one({"_id": f"writeback:{key}"}) or {}
        except Away:
            return False
        if found.get("order", "") >= order:
            raise Superseded(key)
        raise Busy(key)

    def _give_back(self, key: str, order: str | None) -> None:
        if self._mongo is None:
            return
        changes = {"until": _NOBODY_SINCE} | ({"order": order} if order is not None else {})
        try:
            with self._mongo.collection() as scores:
                scores.update_one({"_id": f"writeback:{key}", "holder": self._holder}, {"$set": changes})
        except Away:
            pass  # the turn ends by itself


def _rewrite(file: IO[str], text: str) -> None:
    file.seek(0)
    file.truncate()
    file.write(text)
    file.flush()


def _tidy(folder: Path) -> None:
    """Remove the oldest; nobody is at a place that has not changed for a day."""
    files = [(file.stat().st_mtime, file) for file in folder.iterdir()]
    for changed, file in sorted(files)[: max(0, len(files) - KEPT_FILES)]:
        if changed < time.time() - 86_400:
            file.unlink(missing_ok=True)
