"""What the workers of one replica have scored lately, each in a file of its own, for the dashboard of all of them.

    FOLDER/PID.json   a list of entries: a worker's newest and its most unusual ones, replaced as a whole

Written by a thread once a second where something was scored, so a request costs nothing and a page lags by a second.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from stage_runtime.logs import get_logger

WRITE_SECONDS = 1.0

Entry = dict[str, Any]
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[dict[str, Any]]).decode


class Board:
    """One worker's file, and those of the others."""

    def __init__(self, folder: Path, entries: Callable[[], list[Entry]]) -> None:
        """entries: what this worker shows, asked for in a thread."""
        self._folder, self._entries = folder, entries
        self._file = folder / f"{os.getpid()}.json"
        self._changed = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="board", daemon=True)

    def start(self) -> None:
        """Begin to write; call it after the fork."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._thread.start()

    def changed(self) -> None:
        """There is something new to write."""
        if not self._changed.is_set():
            self._changed.set()

    def others(self) -> list[Entry]:
        """What the other workers have written."""
        found: list[Entry] = []
        for file in self._folder.glob("*.json"):
            if file == self._file:
                continue
            try:
                entries = _decode(file.read_bytes())
                found += [item | {"scored_at": datetime.fromisoformat(item["scored_at"])} for item in entries]
            except (OSError, msgspec.MsgspecError, KeyError, ValueError) as error:
                get_logger().warning("A worker's scores cannot be read", error=type(error).__name__)
        return found

    def stop(self) -> None:
        """Write no more, and take the file away."""
        self._stop.set()
        self._changed.set()
        if self._thread.is_alive():
            self._thread.join(WRITE_SECONDS)
        self._file.unlink(missing_ok=True)

    def _run(self) -> None:
        while self._changed.wait() and not self._stop.wait(WRITE_SECONDS):
            self._changed.clear()
            unfinished = self._file.with_suffix(".new")
            try:
                unfinished.write_bytes(_encode(self._entries()))
                unfinished.replace(self._file)
            except OSError as error:  # a full disk costs the other workers' pages alone
                get_logger().warning("Scores cannot be shared among workers", error=type(error).__name__)


def worker_gone(pid: int, folder: Path) -> None:
    """What a worker that has died cannot take away itself."""
    for file in folder.glob(f"{pid}.*"):
        file.unlink(missing_ok=True)
