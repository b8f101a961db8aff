"""The stage's one command: settings in, a published run out."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from stage_runtime.exits import ExitCode, StageError, StoppedEarly
from stage_runtime.logs import get_logger, set_run_id
from stage_runtime.main import closing_counts
from stage_runtime.progress import progress
from stage_runtime.settings import load_settings
from stage_runtime.signals import StopRequest, stop_on_sigterm

from .executor import become_executor
from .failures import plain
from .pipeline import run
from .publication import RunFolder, clear_unpublished, new_run_id
from .session import spark_session
from .settings import Settings

_LOOK_SECONDS = 0.5


def main(argv: Sequence[str]) -> ExitCode:
    """Read settings, run, report; or, in a pod that Spark has made, become an executor. Raises StageError."""
    if list(argv) == ["executor"]:
        become_executor()
    settings = load_settings(Settings, argv, "spark_preprocess")
    run_id = settings.preprocess_run_id or new_run_id()
    set_run_id(run_id)
    stop = stop_on_sigterm()
    try:
        with spark_session(settings) as spark:
            stop.check()
            manifest = make_run(spark, settings, run_id, stop)
    except BaseException:
        # A task that was cancelled may still have made a file after its run's folder was cleared; now that
        # Spark is gone nobody does. On an object store a half-written object never appears.
        if not settings.on_object_store:
            clear_unpublished(settings.root, run_id)
        raise
    closing_counts(**{name: manifest[name] for name in ("documents", "rows", "rejected")})
    return ExitCode.DONE


def make_run(spark: SparkSession, settings: Settings, run_id: str, stop: StopRequest) -> dict[str, Any]:
    """The manifest of a run, made now or found published. Raises StageError.

    When it fails or is stopped, what was written of it is taken away.
    """
    folder: RunFolder | None = None
    try:
        folder = RunFolder(spark, settings.root, run_id)
        published = folder.manifest()
        if published is not None:
            get_logger().info(
                "This run is published already and is never changed; give another PREPROCESS_RUN_ID for a new one",
                run=folder.storage.uri,
            )
            return published
        with _watch(spark, stop):
            manifest = run(spark, settings, folder)
    except (StageError, PySparkException, Py4JError) as error:
        # py4j asks the JVM for an exception's text only when it is printed; later the JVM is gone.
        text = str(error)
        _clear(folder)
        if stop.requested:
            raise StoppedEarly(
                f"Stopped early ({stop.reason}); nothing was published. Run again from the start."
            ) from None
        if isinstance(error, StageError):
            raise
        raise plain(text) from RuntimeError(text)
    get_logger().info("published", run=folder.storage.uri)
    return manifest


def _clear(folder: RunFolder | None) -> None:
    """What can still be taken away; when the store or the JVM is gone, the first error is the one to tell."""
    if folder is not None:
        with suppress(PySparkException, Py4JError):
            folder.clear()


@contextmanager
def _watch(spark: SparkSession, stop: StopRequest) -> Iterator[None]:
    """Beside the run: show that it moves, and cancel Spark's jobs once a stop is asked for."""
    over = threading.Event()
    with progress(None, "stages of Spark's jobs", "stages") as bar:

        def look() -> None:
            done = 0
            while not over.wait(_LOOK_SECONDS):
                if stop.requested:
                    spark.sparkContext.cancelAllJobs()
                finished = _finished_stages(spark)
                bar.update(max(0, finished - done))
                done = max(done, finished)

        watcher = threading.Thread(target=look, name="watcher", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()


def _finished_stages(spark: SparkSession) -> int:
    store = spark.sparkContext._jsc.sc().statusStore()
    return int(store.appSummary().numCompletedStages())
