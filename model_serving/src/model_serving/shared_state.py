"""What the workers of one service share: a folder with the wanted version and one file a worker.

    wanted.json         {"generation", "name", "version", "folder"}: what every worker has to serve
    workers/PID.json    {"pid", "generation", "version", "ready", "error", "loaded_at"}: what one serves
    scores/PID.json     what one has scored lately (see `board`)
    deliveries/         webhook deliveries that were taken (see `deliveries`); kept for the next service
    metrics/            what each has counted (see `metrics`)
    reload.lock         held while one worker tries a new version
    poll.lock           held by the worker that watches the registry

Files are replaced as a whole, so a reader sees the one or the other and never a half.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model_serving import board, deliveries, metrics


@dataclass(frozen=True)
class Wanted:
    """The version that all workers converge to; generation counts the changes."""

    generation: int
    name: str
    version: str
    folder: str


@dataclass(frozen=True)
class WorkerState:
    """What one worker serves; error is why it could not follow, None if it did."""

    pid: int
    generation: int
    version: str
    ready: bool
    error: str | None
    loaded_at: float


class SharedState:
    """The folder; every method may be called by any worker at any time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workers_folder = folder / "workers"
        self.metrics_folder = folder / "metrics"
        self.scores_folder = folder / "scores"
        self.deliveries_folder = folder / "deliveries"

    def prepare(self) -> None:
        """Make the folders, before the workers are forked; what an earlier service left undone is removed.

        Raises OSError where the folder cannot be used.
        """
        for part in (self.workers_folder, self.metrics_folder, self.scores_folder):
            part.mkdir(parents=True, exist_ok=True)
            for file in part.iterdir():
                file.unlink()
        self.deliveries_folder.mkdir(exist_ok=True)
        deliveries.forget(self.deliveries_folder)
        with self.lock("reload", wait=False):  # proves that files can be made here
            pass
        self._wanted_file.unlink(missing_ok=True)

    @property
    def _wanted_file(self) -> Path:
        return self.folder / "wanted.json"

    def stamp(self) -> int:
        """Changes when the wanted version does; cheap enough to ask often."""
        try:
            return self._wanted_file.stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def wanted(self) -> Wanted | None:
        """The wanted version, None before the first reload."""
        found = _read(self._wanted_file)
        return Wanted(**found) if found else None

    def want(self, name: str, version: str, folder: Path) -> Wanted:
        """Ask all workers to serve this version; call it with the reload lock held."""
        before = self.wanted()
        wanted = Wanted(before.generation + 1 if before else 1, name, version, str(folder))
        _write(self._wanted_file, asdict(wanted))
        return wanted

    def report(self, state: WorkerState) -> None:
        """Say what this worker serves."""
        _write(self.workers_folder / f"{state.pid}.json", asdict(state))

    def gone(self, pid: int) -> None:
        """The worker has ended: what it was, and what it had begun, is no more."""
        self.leave(pid)
        metrics.worker_gone(pid, self.metrics_folder)
        board.worker_gone(pid, self.scores_folder)
        deliveries.forget(self.deliveries_folder, pid)

    def leave(self, pid: int) -> None:
        """The worker is gone or on its way out."""
        (self.workers_folder / f"{pid}.json").unlink(missing_ok=True)

    def workers(self) -> list[WorkerState]:
        """The workers that serve now, by pid."""
        states = []
        for file in self.workers_folder.glob("*.json"):
            found = _read(file)
            if found and _alive(found["pid"]):
                states.append(WorkerState(**found))
        return sorted(states, key=lambda state: state.pid)

    @contextmanager
    def lock(self, name: str, *, wait: bool) -> Iterator[bool]:
        """A lock among the workers; False where it is held by another and wait is not set."""
        with (self.folder / f"{name}.lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            yield True


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _read(file: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return None
    return found


def _write(file: Path, content: dict[str, Any]) -> None:
    unfinished = file.with_suffix(f".{os.getpid()}.new")
    unfinished.write_text(json.dumps(content), encoding="utf-8")
    unfinished.replace(file)
