"""Webhook deliveries, each of which has its effects once, however often GitHub sends it and to whichever replica.

Among the workers of a replica a file a delivery decides, at once. Among replicas a document in MongoDB does: that may
take as long as MongoDB may take, so it is asked in the background, after the answer. Until then nothing is recorded,
shown or written back. Without MongoDB, or while it is away, only the workers of one replica know of each other.
"""

from __future__ import annotations

import hashlib
import os
import queue
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from stage_runtime.logs import get_logger

from model_serving.mongo import Away, Mongo

KEPT = timedelta(days=7)
KEPT_FILES = 10_000
WAITING_AT_MOST = 1_000
# Called with whether the delivery is new.
Effect = Callable[[bool], None]


class Deliveries:
    """Which deliveries were taken; without a folder and MongoDB every one is new."""

    def __init__(self, folder: Path | None = None, mongo: Mongo | None = None) -> None:
        self._folder, self._mongo = folder, mongo
        self._waiting: queue.Queue[tuple[str, Effect] | None] = queue.Queue(WAITING_AT_MOST)
        self._thread = threading.Thread(target=self._run, name="deliveries", daemon=True)

    def start(self) -> None:
        """Begin to ask MongoDB; call it after the fork."""
        if self._mongo is not None:
            self._thread.start()

    def claim(self, delivery: str) -> bool:
        """Take a delivery; False where a worker of this replica has it already."""
        if self._folder is None:
            return True
        self._folder.mkdir(parents=True, exist_ok=True)
        name = _name(delivery)
        try:
            os.close(os.open(self._folder / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            return False
        if name.startswith("00"):  # one time in 256
            self._tidy(self._folder)
        return True

    def release(self, delivery: str) -> None:
        """The delivery could not be handled: it may come again."""
        if self._folder is not None:
            (self._folder / _name(delivery)).unlink(missing_ok=True)

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
                effect(self._claim_shared(delivery))
            except Exception:  # the next one must not suffer
                get_logger().exception("A delivery's effects failed", delivery=delivery)

    def _claim_shared(self, delivery: str) -> bool:
        if self._mongo is None:
            return True
        try:
            with self._mongo.collection() as scores:
                scores.insert_one(
                    {
                        "_id": f"delivery:{delivery}",
                        "kind": "delivery",
                        "expires_at": datetime.now(UTC) + KEPT,
                    }
                )
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
                oldest = sorted(files, key=lambda file: file.stat().st_mtime)
                for file in oldest[: len(files) - KEPT_FILES]:
                    file.unlink(missing_ok=True)
        except FileNotFoundError:  # another worker tidies up at this moment
            pass


def _name(delivery: str) -> str:
    return hashlib.sha256(delivery.encode()).hexdigest()
