"""python -m model_serving: find the model, load it, serve it by gunicorn."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from gunicorn.glogging import Logger  # type: ignore[import-untyped]
from model_registry.artifacts import default_cache, local_folder
from model_registry.registry import open_registry
from stage_runtime.exits import ExitCode, StageError, WrongSettings
from stage_runtime.logs import get_logger
from stage_runtime.main import run_stage
from stage_runtime.settings import load_settings

from model_serving.app import Application, worker_application
from model_serving.model import BrokenModel, ServedModel, load_model
from model_serving.mongo import open_mongo
from model_serving.settings import Settings
from model_serving.shared_state import SharedState
from model_serving.traffic import place
from model_serving.wsgi_server import Server


class PlainLogger(Logger):  # type: ignore[misc]
    """gunicorn's log lines through the stage's own logging."""

    def setup(self, cfg: Any) -> None:
        for log in (self.error_log, self.access_log):
            log.handlers.clear()
            log.propagate = True
        self.error_log.setLevel(logging.INFO)
        self.access_log.setLevel(logging.WARNING)


def main(argv: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    settings = load_settings(Settings, argv, "model_serving")
    master = os.getpid()
    if settings.data_root:
        place(settings.data_root, settings.do_spaces_bucket)
    if (mongo := open_mongo(settings)) is not None:
        mongo.close()  # each worker opens its own; here it only proves its address
    model = find_model(settings)
    prove_apart(model)
    state = shared_state(settings.state_dir)
    try:
        # prometheus_client decides on its multiprocess mode when it is imported, in the workers.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(state.metrics_folder)
        return serve(settings, model, state, master)
    finally:
        if os.getpid() == master and settings.state_dir is None:
            shutil.rmtree(state.folder, ignore_errors=True)


def shared_state(folder: Path | None) -> SharedState:
    """The prepared folder that the workers share, a temporary one without STATE_DIR; raises WrongSettings."""
    try:
        state = SharedState(folder or Path(tempfile.mkdtemp(prefix="model-serving-")))
        state.prepare()
    except OSError as error:
        raise WrongSettings(
            "STATE_DIR: expected a folder of this service's own with room in it that it may write to (none: a new one "
            f"in TMPDIR), found {error.strerror}: {error.filename}"
        ) from None
    return state


def find_model(settings: Settings) -> ServedModel:
    """The model to start with: MODEL_DIR, or the version that the alias names."""
    if settings.model_dir is not None:
        return load_model(settings.model_name, settings.model_dir.name, settings.model_dir)
    found = open_registry(settings.mlflow_tracking_uri).resolve(settings.model_name, settings.model_alias)
    folder = local_folder(
        found, settings.mlflow_tracking_uri, settings.model_cache_dir or default_cache(), settings.s3
    )
    return load_model(found.name, found.version, folder)


def prove_apart(model: ServedModel) -> None:
    """Prove the golden request in a process of its own; raises BrokenModel.

    Not here: ONNX Runtime's threads would not survive the fork of the workers. Not only there: a worker that cannot
    boot gets a stack trace from gunicorn around the one line that says why.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        said = b""
        try:
            model.open()
        except BaseException as error:
            said = str(error).encode("utf-8", "replace")[:4000] or b"unknown"
        finally:
            os.write(writer, said)
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        said = answer.read()
    _, status = os.waitpid(pid, 0)
    if status != 0:
        said = f"Model {model.name} version {model.version}: its process ended with status {status}".encode()
    if said:
        raise BrokenModel(said.decode("utf-8"))


def serve(settings: Settings, model: ServedModel, state: SharedState, master: int) -> int:
    """Run gunicorn; returns in the arbiter only."""
    options = {
        "bind": f"{settings.host}:{settings.port}",
        "workers": settings.worker_count,
        "worker_class": "model_serving.worker.EventWorker",
        "logger_class": PlainLogger,
        "proc_name": "model_serving",
        "timeout": 30,
        "graceful_timeout": int(settings.drain_wait_seconds + settings.drain_seconds + 5),
        "control_socket_disable": True,
        "post_fork": lambda arbiter, worker: _hear_signals(),
        "child_exit": lambda arbiter, worker: _worker_gone(state, worker.pid),
        "when_ready": lambda arbiter: get_logger().info(
            "listening", address=", ".join(str(listener) for listener in arbiter.LISTENERS)
        ),
    }
    # What was loaded until here is shared by the workers; a collection would copy its pages into each of them.
    gc.collect()
    gc.freeze()
    try:
        Server(lambda: _application(settings, model, state), options).run()
    except SystemExit as ending:
        if os.getpid() != master:
            raise  # this is a worker
        return (
            int(ending.code or ExitCode.DONE)
            if not isinstance(ending.code, str)
            else int(ExitCode.UNEXPECTED)
        )
    return int(ExitCode.DONE)


def _application(settings: Settings, model: ServedModel, state: SharedState) -> Application:
    """Called in a worker; a model that does not prove itself ends the whole service with exit code 3."""
    try:
        return worker_application(settings, model, state)
    except StageError as error:
        get_logger().error(str(error), error=type(error).__name__)
        # gunicorn takes this code for "cannot boot" and stops, with the same code.
        raise SystemExit(int(ExitCode.UNUSABLE_INPUT)) from None


def _hear_signals() -> None:
    """A worker that has no handlers of its own yet still has the arbiter's, which put a signal into a queue that
    nobody reads there: an interrupt in that moment would be lost, and the whole service wait for the drain to time out.
    """
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def _worker_gone(state: SharedState, pid: int) -> None:
    try:
        state.gone(pid)
    except OSError as error:  # the arbiter must go on, whatever has become of the folder
        get_logger().warning("What a worker left behind cannot be removed", pid=pid, error=str(error))


def run() -> NoReturn:
    """The console script."""
    run_stage("model_serving", main)


if __name__ == "__main__":
    run()
