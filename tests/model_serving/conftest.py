"""A small model, an application around it, and the service as a process."""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from model_serving.app import Application, create_app
from model_serving.model import ServedModel, load_model
from model_serving.mongo import Mongo
from model_serving.settings import Settings
from werkzeug.test import Client

# Test files import the modules beside them by name.
sys.path.insert(0, str(Path(__file__).resolve().parent))
artifact: Any = importlib.import_module("artifact")
service_process: Any = importlib.import_module("service_process")

local_servers: Any = importlib.import_module("local_servers")

Start = Callable[..., Any]


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = artifact.make_model(tmp_path_factory.mktemp("model") / "1", seed=1)
    return folder


@pytest.fixture(scope="session")
def other_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that gives other scores."""
    folder: Path = artifact.make_model(tmp_path_factory.mktemp("model") / "2", seed=2)
    return folder


@pytest.fixture(scope="session")
def model(model_folder: Path) -> ServedModel:
    loaded = load_model("pr-anomaly-autoencoder", "1", model_folder)
    loaded.open()
    return loaded


@pytest.fixture
def application(model: ServedModel) -> Application:
    return create_app(Settings(), model)


class ReadingClient(Client):
    """One that reads each answer to its end, after which it is counted."""

    def open(self, *args: Any, **kwargs: Any) -> Any:
        return super().open(*args, **{"buffered": True, **kwargs})


@pytest.fixture
def client(application: Application) -> Client:
    return ReadingClient(application)


@pytest.fixture
def pull() -> dict[str, Any]:
    pulled: dict[str, Any] = artifact.pull_request(3)
    return pulled


@pytest.fixture
def start(tmp_path: Path, model_folder: Path) -> Iterator[Start]:
    """Start the service as a process: start(workers=2, reload_token="x"); all are ended afterwards."""
    running: list[Any] = []

    def begin(*, wait: bool = True, **settings: Any) -> Any:
        if "mlflow_tracking_uri" not in settings:
            settings.setdefault("model_dir", model_folder)
        process = service_process.ServiceProcess(tmp_path / f"service-{len(running)}", settings)
        running.append(process)
        if wait:
            process.wait_until_ready()
        return process

    yield begin
    for process in running:
        process.stop()


@pytest.fixture(scope="module")
def mongo_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The embedded MongoDB of local/."""
    with local_servers.embedded_mongo(tmp_path_factory.mktemp("mongo")) as uri:
        yield uri


@pytest.fixture
def open_mongo() -> Iterator[Callable[..., Mongo]]:
    """open_mongo(uri, database, timeout_seconds): one process's connection, closed afterwards."""
    with ExitStack() as stack:

        def opened(uri: str, database: str = "db", timeout_seconds: float = 5.0) -> Mongo:
            mongo = Mongo(uri, database, "scores", timeout_seconds)
            stack.callback(mongo.close)
            return mongo

        yield opened
