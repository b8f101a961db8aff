"""A small model, an application around it, and the service as a process."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from artifact import make_model, pull_request
from model_serving.app import Application, create_app
from model_serving.model import ServedModel, load_model
from model_serving.settings import Settings
from service_process import ServiceProcess
from werkzeug.test import Client

Start = Callable[..., ServiceProcess]


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model") / "1", seed=1)


@pytest.fixture(scope="session")
def other_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that gives other scores."""
    return make_model(tmp_path_factory.mktemp("model") / "2", seed=2)


@pytest.fixture(scope="session")
def model(model_folder: Path) -> ServedModel:
    loaded = load_model("pr-anomaly-autoencoder", "1", model_folder)
    loaded.open()
    return loaded


@pytest.fixture
def application(model: ServedModel) -> Application:
    return create_app(Settings(), model)


@pytest.fixture
def client(application: Application) -> Client:
    return Client(application)


@pytest.fixture
def pull() -> dict[str, Any]:
    return pull_request(3)


@pytest.fixture
def start(tmp_path: Path, model_folder: Path) -> Iterator[Start]:
    """Start the service as a process: start(workers=2, reload_token="x"); all are ended afterwards."""
    running: list[ServiceProcess] = []

    def begin(*, wait: bool = True, **settings: Any) -> ServiceProcess:
        if "mlflow_tracking_uri" not in settings:
            settings.setdefault("model_dir", model_folder)
        process = ServiceProcess(tmp_path / f"service-{len(running)}", settings)
        running.append(process)
        if wait:
            process.wait_until_ready()
        return process

    yield begin
    for process in running:
        process.stop()
