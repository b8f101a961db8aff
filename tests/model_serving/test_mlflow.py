"""The real MLflow beside ours: its registry by both ways, and the same registered model in other people's servers."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from artifact import pull_request
from service_process import free_port

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

REGISTER = """
import pathlib, sys
import ml_training.served_model, mlflow
from ml_training.model_signature import requirements, signature
uri, folder = sys.argv[1], pathlib.Path(sys.argv[2])
mlflow.set_tracking_uri(uri)
mlflow.set_experiment("test")
with mlflow.start_run():
    info = mlflow.pyfunc.log_model(
        name="model", python_model=ml_training.served_model.__file__,
        artifacts={file.name: str(file) for file in (folder / "artifacts").iterdir()},
        code_paths=[str(folder / "code" / "pr_features")], signature=signature(),
        pip_requirements=requirements(), registered_model_name="pr-anomaly-autoencoder",
    )
client = mlflow.MlflowClient()
client.set_registered_model_alias("pr-anomaly-autoencoder", "champion", info.registered_model_version)
print(client.get_model_version_download_uri("pr-anomaly-autoencoder", info.registered_model_version))
"""


@pytest.fixture(scope="module")
def training(repository: Path) -> Path:
    folder = repository / ".venv" / "ml_training" / "bin"
    if not folder.is_dir():
        pytest.fail("the environment .venv/ml_training is not there: run `make setup`")
    return folder


def register(training: Path, uri: str, model_folder: Path, folder: Path) -> str:
    done = subprocess.run(
        [training / "python", "-c", REGISTER, uri, model_folder],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip().splitlines()[-1]


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 180.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            if requests.get(url, timeout=3).status_code == 200:
                return
        except requests.RequestException:
            pass
        time.sleep(0.3)
    raise AssertionError(log.read_text()[-3000:])


class Process:
    """A program in a session of its own, ended with all that it has started."""

    def __init__(self, command: list[Any], folder: Path, ready: str, **environ: str) -> None:
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                env=os.environ | {"ORT_DISABLE_TELEMETRY": "1"} | environ,
            )  # fmt: skip
        try:
            wait_for(ready, self.process, self.log)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        import signal

        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                break
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                continue
        self.process.wait()


@pytest.fixture
def mlflow_server(training: Path, tmp_path: Path) -> Iterator[str]:
    port = free_port()
    folder = tmp_path / "server"
    folder.mkdir()
    process = Process(
        [
            training / "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db",
            "--artifacts-destination", folder / "artifacts", "--serve-artifacts",
            "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        ],
        folder, f"http://127.0.0.1:{port}/health",
    )  # fmt: skip
    yield f"http://127.0.0.1:{port}"
    process.stop()


def test_a_model_of_the_real_registry_by_its_file(
    training: Path, tmp_path: Path, model_folder: Path, start: Any
) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    register(training, uri, model_folder, tmp_path)
    service = start(mlflow_tracking_uri=uri)
    assert service.get("/model")[1]["version"] == "1"


def test_a_model_of_the_real_server(
    training: Path, tmp_path: Path, model_folder: Path, start: Any, mlflow_server: str
) -> None:
    location = register(training, mlflow_server, model_folder, tmp_path)
    assert location.startswith("mlflow-artifacts:")
    service = start(
        mlflow_tracking_uri=mlflow_server,
        model_cache_dir=tmp_path / "cache",
        reload_token="t",
        reload_poll_seconds=0,
    )
    assert service.post("/predict", pull_request(1))[1]["model_version"] == "1"
    register(training, mlflow_server, model_folder, tmp_path)
    status, outcome = service.post("/reload", b"", Authorization="Bearer t")
    assert (status, outcome["version"], outcome["converged"]) == (200, "2", True)
    missing = start(wait=False, mlflow_tracking_uri=mlflow_server, model_alias="nobody")
    assert missing.process.wait(60) == 3


@pytest.fixture(scope="module")
def registered(training: Path, model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("registered")
    return Path(register(training, f"sqlite:///{folder}/mlflow.db", model_folder, folder))


@pytest.fixture
def documents(model: Any) -> list[dict[str, Any]]:
    shaped = [model.documents.from_rest(pull_request(number)) for number in range(30)]
    return json.loads(json.dumps(shaped, default=lambda moment: moment.isoformat()))


@pytest.fixture
def expected(client: Any) -> list[float]:
    answer = client.post("/predict", json=[pull_request(number) for number in range(30)])
    return [score["reconstruction_error"] for score in answer.get_json()["scores"]]


def peer(repository: Path, name: str) -> Path:
    made = subprocess.run(
        [sys.executable, repository / "perf" / "peers" / "environments.py", name],
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr[-2000:]
    return Path(made.stdout.strip()) / "bin"


def test_the_same_scores_in_mlflow_models_serve(
    repository: Path, registered: Path, tmp_path: Path, documents: list[dict[str, Any]], expected: list[float]
) -> None:
    folder, port = peer(repository, "mlflow"), free_port()
    path = f"{folder}:{os.environ['PATH']}"
    process = Process(
        [
            folder / "mlflow", "models", "serve", "--model-uri", registered, "--env-manager", "local",
            "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        ],
        tmp_path, f"http://127.0.0.1:{port}/ping", PATH=path,
    )  # fmt: skip
    try:
        answer = requests.post(
            f"http://127.0.0.1:{port}/invocations", json={"dataframe_records": documents}, timeout=60
        )
        assert answer.status_code == 200, answer.text[:1000]
        found = [row["reconstruction_error"] for row in answer.json()["predictions"]]
        assert found == pytest.approx(expected, rel=1e-5)
    finally:
        process.stop()


def test_the_same_scores_in_mlserver_by_the_same_protocol(
    repository: Path, registered: Path, tmp_path: Path, documents: list[dict[str, Any]], client: Any
) -> None:
    folder = peer(repository, "mlserver")
    with socket.socket() as one, socket.socket() as two, socket.socket() as three:
        ports = []
        for probe in (one, two, three):
            probe.bind(("127.0.0.1", 0))
            ports.append(str(probe.getsockname()[1]))
    process = Process(
        [folder / "mlserver", "start", "."], tmp_path,
        f"http://127.0.0.1:{ports[0]}/v2/models/pr-anomaly-autoencoder/ready",
        PATH=f"{folder}:{os.environ['PATH']}", MLSERVER_HOST="127.0.0.1", MLSERVER_HTTP_PORT=ports[0],
        MLSERVER_GRPC_PORT=ports[1], MLSERVER_METRICS_PORT=ports[2], MLSERVER_PARALLEL_WORKERS="0",
        MLSERVER_MODEL_NAME="pr-anomaly-autoencoder", MLSERVER_MODEL_URI=str(registered),
        MLSERVER_MODEL_IMPLEMENTATION="mlserver_mlflow.MLflowRuntime",
    )  # fmt: skip
    try:
        names = ("repo_name", "created_at", "title", "author_login", "head_ref", "base_ref")
        inputs = [
            {
                "name": name, "shape": [30, 1], "datatype": "BYTES", "data": [row[name] for row in documents],
                "parameters": {"content_type": "str"},
            }
            for name in names
        ] + [
            {"name": name, "shape": [30, 1], "datatype": "INT64", "data": [row[name] for row in documents]}
            for name in ("number", "additions", "deletions", "changed_files", "commits_count", "author_id")
        ]  # fmt: skip
        request = {"inputs": inputs, "parameters": {"content_type": "pd"}}
        path = "/v2/models/pr-anomaly-autoencoder/infer"
        theirs = requests.post(f"http://127.0.0.1:{ports[0]}{path}", json=request, timeout=60)
        assert theirs.status_code == 200, theirs.text[:1000]
        ours = client.post(path, json=request).get_json()
        found, expected = (
            next(out["data"] for out in answer["outputs"] if out["name"] == "reconstruction_error")
            for answer in (theirs.json(), ours)
        )
        assert found == pytest.approx(expected, rel=1e-5)
    finally:
        process.stop()
