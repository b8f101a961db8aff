"""Replacing the served model in running workers, without a lost or mixed answer.

A new version is first tried in the one worker that was asked (or that polls the registry): loaded beside the old one,
its golden request scored. Only when that went well do all workers hear of it, and each does the same before it
swaps. So a broken model reaches nobody.
"""

from __future__ import annotations

import gc
import os
import random
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from model_registry.artifacts import default_cache, local_folder
from model_registry.registry import ModelVersion, open_registry
from stage_runtime.exits import StageError
from stage_runtime.logs import get_logger

from model_serving.metrics import Metrics
from model_serving.model import BrokenModel, ServedModel, load_model
from model_serving.service import Service
from model_serving.shared_state import SharedState, Wanted, WorkerState

WATCH_SECONDS = 0.1
# A worker that could not follow tries again after this long.
RETRY_SECONDS = 5.0


@dataclass(frozen=True)
class Outcome:
    """What a reload did; converged: every worker serves `version`."""

    changed: bool
    version: str
    previous: str
    converged: bool
    workers: list[WorkerState]


class Reloader:
    """One worker's part in reloading: follows the wanted version, and polls the registry if it is its turn."""

    def __init__(self, service: Service, state: SharedState, metrics: Metrics, initial: ServedModel) -> None:
        self.service, self.state, self.metrics = service, state, metrics
        self.settings = service.settings
        self.pid = os.getpid()
        self.generation = 0
        self.error: str | None = None
        self._initial = initial
        self._tried: ServedModel | None = None
        self._refused: ModelVersion | None = None
        self._swap = threading.Lock()
        self._stop = threading.Event()
        self._unreported = False

    def start(self) -> None:
        """Serve the wanted version, or the initial one, proven; then watch in the background.

        Raises BrokenModel when neither can be served.
        """
        wanted = self.state.wanted()
        if wanted is not None and wanted.version != self._initial.version:
            # This worker replaces one that died after a reload.
            self._follow(wanted)
        if self.service.model is None:
            self._initial.open()
            self._serve(self._initial, wanted.generation if wanted and self.error is None else 0)
        if self.settings.model_dir is None:
            threading.Thread(target=self._poll, name="poll", daemon=True).start()
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def stop(self) -> None:
        """Draining: follow no further and leave the group."""
        self._stop.set()
        self.state.leave(self.pid)

    def reload(self) -> Outcome:
        """Look the alias up and bring every worker to its version.

        Raises BrokenModel (the old one stays), or UnusableInput, WrongSettings, ServiceUnreachable of the registry.
        """
        with self.state.lock("reload", wait=True):
            try:
                found = self._lookup()
                outcome = self._change_to(found)
            except StageError as error:
                self.metrics.reloads.labels("refused" if isinstance(error, BrokenModel) else "failed").inc()
                raise
        self.metrics.reloads.labels("changed" if outcome.changed else "unchanged").inc()
        return outcome

    def _lookup(self) -> ModelVersion:
        settings = self.settings
        if settings.model_dir is not None:
            return ModelVersion(settings.model_name, settings.model_dir.name, str(settings.model_dir))
        return open_registry(settings.mlflow_tracking_uri).resolve(settings.model_name, settings.model_alias)

    def _change_to(self, found: ModelVersion) -> Outcome:
        current = self.service.model
        previous = current.version if current else ""
        wanted = self.state.wanted()
        wanted_version = wanted.version if wanted else self._initial.version
        if found.version == wanted_version:
            return Outcome(False, found.version, previous, *self._converged(wanted))
        settings = self.settings
        folder = local_folder(
            found, settings.mlflow_tracking_uri, settings.model_cache_dir or default_cache(), settings.s3
        )
        self._tried = self._load(found.name, found.version, folder)
        wanted = self.state.want(found.name, found.version, folder)
        self._follow(wanted)
        return Outcome(True, found.version, previous, *self._wait(wanted))

    def _load(self, name: str, version: str, folder: Path) -> ServedModel:
        model = load_model(name, version, folder)
        try:
            model.open()
        except BrokenModel:
            model.close()
            raise
        return model

    def _follow(self, wanted: Wanted) -> None:
        """Serve the wanted version; where that fails the old one stays and the state says why."""
        with self._swap:
            if wanted.generation <= self.generation:
                return
            try:
                model, self._tried = self._tried, None
                if model is None or model.version != wanted.version:
                    model = self._load(wanted.name, wanted.version, Path(wanted.folder))
            except Exception as error:
                self.error = str(error)
                get_logger().error("This worker keeps its model", error=self.error, wanted=wanted.version)
                self._report()
                return
            self._serve(model, wanted.generation)

    def _serve(self, model: ServedModel, generation: int) -> None:
        before, self.service.model = self.service.model, model
        self.generation, self.error = generation, None
        self.metrics.serving(model.name, model.version, before.version if before else None)
        self._report()
        get_logger().info("serving", model=model.name, model_version=model.version, pid=self.pid)
        self._compare_privacy(model)
        if before is not None:
            before.close()
            del before
            # Its modules refer to each other in circles, and the worker collects seldom.
            gc.collect()

    def _compare_privacy(self, model: ServedModel) -> None:
        """Say where fetching and serving disagree on hiding authors: nothing else would show it but odd scores."""
        privacy = self.settings.author_privacy
        if model.knows_accounts is not (privacy != "keep"):
            return
        learned = (
            "by GitHub's own ids" if model.knows_accounts else "without GitHub's own ids, as hash leaves them"
        )
        get_logger().warning(
            f"AUTHOR_PRIVACY is {privacy}, and this model has learned authors {learned}: whoever is known to it "
            "counts as a newcomer. Set AUTHOR_PRIVACY and its key as in data_fetch, or fetch and train anew.",
            model_version=model.version,
        )

    def _report(self) -> None:
        """Say what is served. Where that cannot be written (a full disk), it is tried again; scores do not wait."""
        model = self.service.model
        if model is None or self._stop.is_set():
            return
        state = WorkerState(
            self.pid, self.generation, model.version, self.service.ready, self.error, model.loaded_at
        )
        try:
            self.state.report(state)
            self._unreported = False
        except OSError as error:
            self._unreported = True
            get_logger().error("What this worker serves cannot be written", error=str(error))

    def _converged(self, wanted: Wanted | None) -> tuple[bool, list[WorkerState]]:
        workers = self.state.workers()
        version = wanted.version if wanted else self._initial.version
        # A worker that is still starting has not said anything yet, and counts as one that has not followed.
        everybody = len(workers) >= self.settings.worker_count
        return everybody and all(worker.version == version for worker in workers), workers

    def _wait(self, wanted: Wanted) -> tuple[bool, list[WorkerState]]:
        deadline = time.monotonic() + self.settings.reload_timeout_seconds
        while True:
            converged, workers = self._converged(wanted)
            if converged or time.monotonic() > deadline:
                return converged, workers
            time.sleep(WATCH_SECONDS / 2)

    def _watch(self) -> None:
        seen, again = 0, 0.0
        while not self._stop.wait(WATCH_SECONDS):
            try:
                stamp = self.state.stamp()
                if stamp == seen and not ((self.error or self._unreported) and time.monotonic() > again):
                    continue
                seen, again = stamp, time.monotonic() + RETRY_SECONDS
                if self._unreported:
                    self._report()
                wanted = self.state.wanted()
                if wanted is not None:
                    self._follow(wanted)
            except Exception:  # the next wanted version must be followed all the same
                seen = 0
                get_logger().exception("Looking for the wanted version failed")
                self._stop.wait(RETRY_SECONDS)

    def _poll(self) -> None:
        pause = self.settings.reload_poll_seconds
        if not pause:
            return
        # One worker polls as long as it lives; the others wait for its turn to end.
        while not self._stop.is_set():
            try:
                with self.state.lock("poll", wait=False) as mine:
                    while mine and not self._stop.wait(pause * random.uniform(0.9, 1.1)):  # noqa: S311
                        self._poll_once()
            except OSError as error:
                get_logger().error("The registry cannot be asked", error=str(error))
            self._stop.wait(min(pause, 5.0))

    def _poll_once(self) -> None:
        try:
            with self.state.lock("reload", wait=True):
                found = self._lookup()
                wanted = self.state.wanted()
                if found == self._refused or found.version == (
                    wanted.version if wanted else self._initial.version
                ):
                    return
                try:
                    self._change_to(found)
                except BrokenModel:
                    self._refused = found  # until the alias moves or somebody asks by POST /reload
                    raise
            self.metrics.reloads.labels("changed").inc()
        except StageError as error:
            self.metrics.reloads.labels("refused" if isinstance(error, BrokenModel) else "failed").inc()
            get_logger().error("The served model stays", error=str(error))
        except Exception:
            self.metrics.reloads.labels("failed").inc()
            get_logger().exception("Looking for a new model failed")
