"""Webhook deliveries, each of which has its effects once, however often GitHub sends it and to whichever replica.

Among the workers of a replica a link a delivery decides, at once. Among replicas a document in MongoDB does: that may
take as long as MongoDB may take, so it is asked in the background, after the answer. Until then nothing is recorded,
shown or written back. Without MongoDB, or while it is away, only the workers of one replica know of each other.

A claim is pending until its effects are done, so that what a dead worker has not done may come again:

    FOLDER/HASH -> PID, then done    a symbolic link, since it is made whole or not at all, even on a full disk; the
                                     pending ones of a worker go with it (`forget`)
    document: until, holder          pending: from `until` on anybody may take it over, and its holder, whose workers
                                     have the links, at any time. Without them: done
"""

from __future__ import annotations

import hashlib
import os
import queue
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from stage_runtime.logs import get_logger

from model_serving.mongo import Away, Mongo

KEPT = timedelta(days=7)
KEPT_FILES = 10_000
PENDING = timedelta(minutes=2)
DONE = "done"
WAITING_AT_MOST = 1_000
# Called with whether the delivery is new.
Effect = Callable[[bool], None]


class Deliveries:
    """Which deliveries were taken; without a folder and MongoDB every one is new."""

    def __init__(self, folder: Path | None = None, mongo: Mongo | None = None) -> None:
        self._folder, self._mongo = folder, mongo
        self._holder = f"{socket.gethostname()}:{folder}"
        self._waiting: queue.Queue[tuple[str, Effect] | None] = queue.Queue(WAITING_AT_MOST)
        self._thread = threading.Thread(target=self._run, name="deliveries", daemon=True)

    def start(self) -> None:
        """Begin to ask MongoDB; call it after the fork."""
        if self._mongo is not None:
            self._thread.start()

    def claim(self, delivery: str) -> bool:
        """Take a delivery; False where a worker of this replica has it already.

        Scoring needs no claim: where it cannot be kept, the delivery counts as new.
        """
        if self._folder is None:
            return True
        try:
            return self._take(self._folder, _name(delivery))
        except OSError as error:
            get_logger().warning(
                "A delivery is scored without knowing whether it has come before", error=str(error)
            )
            return True

    def release(self, delivery: str) -> None:
        """The delivery was not handled here: it may come again."""
        if self._folder is not None:
            with suppress(OSError):
                (self._folder / _name(delivery)).unlink()

    def done(self, delivery: str) -> None:
        """Its effects are done: it never has them again. Waits for MongoDB where there is one."""
        if self._folder is not None:
            link = self._folder / _name(delivery)
            unfinished = link.with_suffix(f".{os.getpid()}")
            with suppress(OSError):
                unfinished.symlink_to(DONE)
                unfinished.replace(link)
        if self._mongo is not None:
            with suppress(Away), self._mongo.collection() as scores:
                scores.update_one({"_id": _key(delivery)}, {"$unset": {"until": "", "holder": ""}})

    def once(self, delivery: str, effect: Effect) -> bool:
        """Run the effect of a claimed delivery, soon; False where too many wait already, and it never will."""
        if self._mongo is None:
            effect(True)
            return True
        try:
            self._waiting.put_nowait((delivery, effect))
        except queue.Full:
            return False
        return True

    def stop(self, seconds: float) -> None:
        """Finish what waits, but wait no longer than this."""
        deadline = time.monotonic() + seconds
        try:
            self._waiting.put(None, timeout=seconds)
        except queue.Full:
            return
        if self._thread.is_alive():
            self._thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            delivery, effect = item
            try:
                new = self._claim_shared(delivery)
                effect(new)
            except Exception:  # the next one must not suffer
                get_logger().exception("A delivery's effects failed", delivery=delivery)
                new = False
            if not new:
                # Another replica's, which may die before its effects are done.
                self.release(delivery)

    @classmethod
    def _take(cls, folder: Path, name: str) -> bool:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            (folder / name).symlink_to(str(os.getpid()))
        except FileExistsError:
            return False
        if name.startswith("00"):  # one time in 256
            cls._tidy(folder)
        return True

    def _claim_shared(self, delivery: str) -> bool:
        if self._mongo is None:
            return True
        now = datetime.now(UTC)
        free = [{"until": {"$lte": now}}, {"holder": self._holder}]
        claim = {
            "kind": "delivery",
            "until": now + PENDING,
            "holder": self._holder,
            "expires_at": now + KEPT,
        }
        try:
            with self._mongo.collection() as scores:
                # Pending elsewhere, or done: the filter finds nothing, and the insert fails.
                scores.update_one({"_id": _key(delivery), "$or": free}, {"$set": claim}, upsert=True)
        except self._mongo.duplicate:
            return False
        except Away:
            pass
        return True

    @staticmethod
    def _tidy(folder: Path) -> None:
        try:
            files = list(folder.iterdir())
            if len(files) > KEPT_FILES:
                oldest = sorted(files, key=lambda file: file.lstat().st_mtime)
                for file in oldest[: len(files) - KEPT_FILES]:
                    file.unlink(missing_ok=True)
        except FileNotFoundError:  # another worker tidies up at this moment
            pass


def forget(folder: Path, pid: int | None = None) -> None:
    """Remove what a worker that has ended left pending, without a pid what any did; raises OSError."""
    for link in folder.iterdir():
        with suppress(FileNotFoundError):  # another worker's, just released
            if link.is_symlink() and (holder := os.readlink(link)) != DONE and holder == str(pid or holder):
                link.unlink()


def _name(delivery: str) -> str:
    return hashlib.sha256(delivery.encode()).hexdigest()


def _key(delivery: str) -> str:
    return f"delivery:{delivery}"
