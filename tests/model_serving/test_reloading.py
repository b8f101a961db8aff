"""Reload in running workers, against a registry in a SQLite file as MLflow lays it out."""

import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from artifact import make_model, pull_request
from service_process import ServiceProcess

NAME = "pr-anomaly-autoencoder"
TOKEN = "reload-token"


class Registry:
    """Versions and the alias champion."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._run(
            "CREATE TABLE registered_model_aliases (alias TEXT, version INTEGER, name TEXT)",
            "CREATE TABLE model_versions (name TEXT, version INTEGER, source TEXT, storage_location TEXT)",
        )

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.file}"

    def _run(self, *statements: str) -> None:
        connection = sqlite3.connect(self.file)
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()

    def add(self, version: int, folder: Path | str) -> None:
        self._run(f"INSERT INTO model_versions VALUES ('{NAME}', {version}, '{folder}', NULL)")

    def champion(self, version: int) -> None:
        self._run(
            "DELETE FROM registered_model_aliases",
            f"INSERT INTO registered_model_aliases VALUES ('champion', {version}, '{NAME}')",
        )


@pytest.fixture
def registry(tmp_path: Path, model_folder: Path, other_model_folder: Path) -> Registry:
    """1 and 2 are good, 3 has no network, 4 scores its golden request otherwise."""
    found = Registry(tmp_path / "mlflow.db")
    broken = shutil.copytree(model_folder, tmp_path / "broken")
    (broken / "artifacts" / "network.onnx").unlink()
    wrong = shutil.copytree(model_folder, tmp_path / "wrong")
    shutil.copy(other_model_folder / "artifacts" / "network.onnx", wrong / "artifacts" / "network.onnx")
    for version, folder in enumerate((model_folder, other_model_folder, broken, wrong), start=1):
        found.add(version, folder)
    found.champion(1)
    return found


def reload(service: ServiceProcess) -> tuple[int, Any]:
    return service.post("/reload", b"", Authorization=f"Bearer {TOKEN}")


def versions(service: ServiceProcess) -> set[str]:
    return {worker["version"] for worker in service.get("/model")[1]["workers"]}


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_all_workers_follow(start: Callable[..., ServiceProcess], registry: Registry) -> None:
    settings = {"workers": 3, "reload_token": TOKEN, "reload_poll_seconds": 0}
    service = start(wait=False, mlflow_tracking_uri=registry.uri, **settings)
    service.wait_until_ready(workers=1)  # the others are somewhere in their start
    before = service.post("/predict", pull_request(1))[1]
    assert reload(service)[1]["changed"] is False
    registry.champion(2)
    status, outcome = reload(service)
    assert (status, outcome["changed"], outcome["converged"], outcome["version"]) == (200, True, True, "2")
    assert [worker["version"] for worker in outcome["workers"]] == ["2"] * 3
    after = service.post("/predict", pull_request(1))[1]
    assert after["model_version"] == "2" and after["reconstruction_error"] != before["reconstruction_error"]
    metrics = service.get("/metrics")[1]
    assert metrics.count('version="2"') == 3 and 'version="1"' not in metrics
    assert 'model_serving_reloads_total{result="changed"} 1.0' in metrics
    # Back again: an older version is a change like any other.
    registry.champion(1)
    assert reload(service)[1]["version"] == "1" and versions(service) == {"1"}


@pytest.mark.parametrize(("version", "words"), [(3, "expected network.onnx"), (4, "golden request scored")])
def test_a_broken_model_is_refused_and_the_old_one_stays(
    start: Callable[..., ServiceProcess], registry: Registry, version: int, words: str
) -> None:
    service = start(mlflow_tracking_uri=registry.uri, workers=2, reload_token=TOKEN, reload_poll_seconds=0)
    registry.champion(version)
    status, problem = reload(service)
    assert status == 409 and words in problem["detail"] and "stays" in problem["detail"]
    assert versions(service) == {"1"} and service.get("/ready")[0] == 200
    registry.champion(2)
    assert reload(service)[0] == 200 and versions(service) == {"2"}


def test_no_registry_no_alias_no_token(start: Callable[..., ServiceProcess], registry: Registry) -> None:
    service = start(mlflow_tracking_uri=registry.uri, reload_token=TOKEN, reload_poll_seconds=0)
    for token in ("", "Bearer", "Bearer wrong", f"Basic {TOKEN}", "Bearer \u00e9"):
        assert (
            service.request("POST", "/reload", b"", {"Authorization": token.encode().decode("latin-1")})[0]
            == 401
        )
    registry.champion(99)
    assert reload(service)[0] == 422
    registry.file.rename(registry.file.with_name("away"))
    assert reload(service)[0] == 503
    assert service.post("/predict", pull_request(1))[1]["model_version"] == "1"


def test_without_a_token_nobody_reloads(start: Callable[..., ServiceProcess]) -> None:
    service = start()
    assert reload(service)[0] == 403


def test_the_alias_is_polled(start: Callable[..., ServiceProcess], registry: Registry) -> None:
    service = start(mlflow_tracking_uri=registry.uri, workers=2, reload_poll_seconds=0.3)
    registry.champion(4)
    refused = 'model_serving_reloads_total{result="refused"} 1.0'
    wait_for(lambda: refused in service.get("/metrics")[1])
    assert versions(service) == {"1"}
    registry.champion(2)
    wait_for(lambda: versions(service) == {"2"})


def test_a_worker_that_starts_later_serves_the_new_version(
    start: Callable[..., ServiceProcess], registry: Registry
) -> None:
    import os
    import signal

    service = start(mlflow_tracking_uri=registry.uri, workers=1, reload_token=TOKEN, reload_poll_seconds=0)
    registry.champion(2)
    assert reload(service)[0] == 200
    os.kill(service.worker_pids()[0], signal.SIGKILL)
    service.wait_until_ready()
    assert service.post("/predict", pull_request(1))[1]["model_version"] == "2"


def reload_under_load(
    service: ServiceProcess, registry: Registry, expected: dict[str, list[float]], times: int
) -> int:
    """Reload so often, every 25th time to a broken version; fails for a lost or mixed answer."""
    pulls = [pull_request(number) for number in range(20)]
    stop = threading.Event()
    failures: list[str] = []
    answers = [0]

    def client() -> None:
        while not stop.is_set():
            try:
                status, body = service.post("/predict", pulls)
            except OSError as error:
                failures.append(repr(error))
                continue
            answers[0] += 1
            found = {score["model_version"] for score in body.get("scores", [])}
            if status != 200 or len(found) != 1:
                failures.append(f"{status} {found}")
                continue
            errors = [score["reconstruction_error"] for score in body["scores"]]
            if errors != pytest.approx(expected[found.pop()], rel=1e-5):
                failures.append("scores of another version")

    clients = [threading.Thread(target=client) for _ in range(4)]
    for thread in clients:
        thread.start()
    try:
        good = 1
        for number in range(1, times + 1):
            if number % 25 == 0:
                registry.champion(3 if number % 50 else 4)
                assert reload(service)[0] == 409
            else:
                good = 3 - good
                registry.champion(good)
                status, outcome = reload(service)
                assert status == 200 and outcome["converged"], outcome
    finally:
        stop.set()
        for thread in clients:
            thread.join()
    assert failures == []
    return answers[0]


@pytest.fixture
def expected(model_folder: Path, other_model_folder: Path) -> dict[str, list[float]]:
    from model_serving.model import load_model

    found = {}
    for version, folder in (("1", model_folder), ("2", other_model_folder)):
        loaded = load_model(NAME, version, folder)
        loaded.open()
        documents = [loaded.documents.from_rest(pull_request(number)) for number in range(20)]
        found[version] = loaded.scorer.run(documents).reconstruction_error.tolist()
        loaded.close()
    return found


def test_reloads_under_load_lose_nothing(
    start: Callable[..., ServiceProcess], registry: Registry, expected: dict[str, list[float]]
) -> None:
    service = start(mlflow_tracking_uri=registry.uri, workers=2, reload_token=TOKEN, reload_poll_seconds=0)
    assert reload_under_load(service, registry, expected, 4) > 10


@pytest.mark.long
def test_fifty_reloads_under_load(
    start: Callable[..., ServiceProcess], registry: Registry, expected: dict[str, list[float]]
) -> None:
    service = start(mlflow_tracking_uri=registry.uri, workers=2, reload_token=TOKEN, reload_poll_seconds=0)
    reload_under_load(service, registry, expected, 10)
    before = service.memory_mb()
    assert reload_under_load(service, registry, expected, 50) > 200
    assert service.memory_mb() < before + 60
    assert service.terminate() == 0


def test_a_model_made_here_differs_by_its_seed(tmp_path: Path, model_folder: Path) -> None:
    again = make_model(tmp_path / "again", seed=1)
    for name in ("network.onnx", "golden.json"):
        assert (again / "artifacts" / name).read_bytes() == (model_folder / "artifacts" / name).read_bytes()


def test_a_state_folder_that_cannot_be_written_ends_no_thread(
    start: Callable[..., ServiceProcess], registry: Registry, tmp_path: Path
) -> None:
    service = start(
        mlflow_tracking_uri=registry.uri,
        workers=2,
        reload_token=TOKEN,
        reload_poll_seconds=0,
        reload_timeout_seconds=1,
    )
    workers = tmp_path / "service-0" / "state" / "workers"
    workers.rename(kept := workers.with_name("kept"))
    workers.write_text("no folder")
    registry.champion(2)
    assert reload(service)[0] == 202  # nobody could say that it has followed
    wait_for(lambda: service.log.count("cannot be written") >= 2)
    workers.unlink()
    kept.rename(workers)
    wait_for(lambda: versions(service) == {"2"})
    registry.champion(1)
    assert reload(service)[0] in {200, 202}
    wait_for(lambda: versions(service) == {"1"})
