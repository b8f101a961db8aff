"""Reload and verify against real services: three replicas with several workers each."""

import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from drift_detection.__main__ import main
from drift_detection.replicas import Replica, resolve, verify
from made_up import make_registry
from stage_runtime.exits import ExitCode, ServiceUnreachable, UnusableInput, WrongSettings

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv" / "model_serving" / "bin" / "python"
TOKEN = "reload-token-of-the-tests"
pytestmark = pytest.mark.timeout(300)


@dataclass
class Service:
    """model_serving as a process."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def model(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://{self.address}/model", timeout=20) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def versions(self) -> set[str]:
        found = self.model()
        return {found["version"], *(worker["version"] for worker in found["workers"])}

    def wait(self) -> None:
        end = time.monotonic() + 120
        while time.monotonic() < end:
            assert self.process.poll() is None, self.log.read_text()
            try:
                if len(self.model()["workers"]) == 2:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise AssertionError(self.log.read_text())


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two small models that can be served, and a broken one; made by the tests of serving in its environment."""
    folder = tmp_path_factory.mktemp("models")
    made = (
        "import artifact, pathlib, sys; artifact.make_model(pathlib.Path(sys.argv[1]), seed=int(sys.argv[2]))"
    )
    for version in ("1", "2"):
        subprocess.run(
            [PYTHON, "-c", made, str(folder / version), version],
            check=True, env={**os.environ, "PYTHONPATH": str(ROOT / "tests" / "model_serving")},
        )  # fmt: skip
    (folder / "broken" / "artifacts").mkdir(parents=True)
    return {version: folder / version for version in ("1", "2", "broken")}


class Replicas:
    """Three services, each with a registry file of its own, so that one of them can be given a broken model."""

    def __init__(self, folder: Path, models: dict[str, Path]) -> None:
        self.folder, self.models = folder, models
        self.services: list[Service] = []

    def registry(self, number: int, second: str, champion: str) -> str:
        folders = {"1": self.models["1"], "2": self.models[second]}
        return make_registry(self.folder / f"registry-{number}.db", folders, champion=champion)

    def start(self) -> None:
        for number in range(3):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            settings = {
                "PORT": str(port), "WORKERS": "2", "RELOAD_TOKEN": TOKEN, "RELOAD_POLL_SECONDS": "0",
                "DRAIN_WAIT_SECONDS": "0", "MLFLOW_TRACKING_URI": self.registry(number, "2", champion="1"),
            }  # fmt: skip
            environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
            file = self.folder / f"log-{number}"
            with file.open("wb") as log:
                process = subprocess.Popen(
                    [PYTHON, "-m", "model_serving"], env={**environ, **settings}, stdout=log, stderr=log,
                    start_new_session=True,
                )  # fmt: skip
            self.services.append(Service(process, port, file))
        for service in self.services:
            service.wait()

    def stop(self) -> None:
        for service in self.services:
            service.process.terminate()
        for service in self.services:
            service.process.wait(60)

    def command(self, name: str, *flags: str) -> int:
        addresses = ",".join(service.address for service in self.services)
        registry = f"--mlflow-tracking-uri=sqlite:///{self.folder}/registry-0.db"
        common = [f"--replicas={addresses}", registry, f"--reload-token={TOKEN}"]
        return int(main([name, *common, *flags]) or 0)

    def versions(self) -> list[set[str]]:
        return [service.versions() for service in self.services]


@pytest.fixture
def replicas(tmp_path: Path, models: dict[str, Path]) -> Iterator[Replicas]:
    made = Replicas(tmp_path, models)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def test_every_worker_of_every_replica_follows(replicas: Replicas) -> None:
    assert replicas.command("verify", "--verify-seconds=0") == ExitCode.DONE
    for number in range(3):
        replicas.registry(number, "2", champion="2")
    with pytest.raises(UnusableInput, match="version 2 in every worker of 3 replicas, found others in 3"):
        replicas.command("verify", "--verify-seconds=0")
    assert replicas.command("reload") == ExitCode.DONE
    assert replicas.command("verify") == ExitCode.DONE
    assert replicas.versions() == [{"2"}] * 3


def test_a_replica_that_cannot_load_keeps_the_old_one_and_verify_fails(
    replicas: Replicas, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, second in enumerate(("2", "2", "broken")):
        replicas.registry(number, second, champion="2")
    bad = replicas.services[2]
    # The others are served: one that refuses stops nobody.
    assert replicas.command("reload") == ExitCode.DONE
    assert replicas.versions() == [{"2"}, {"2"}, {"1"}]
    said = capsys.readouterr().out
    assert bad.address in said and "the served model stays" in said and "network.onnx" in said
    with pytest.raises(UnusableInput) as raised:
        replicas.command("verify", "--verify-seconds=2")
    assert f"{bad.address}: serves 1" in str(raised.value)
    assert replicas.services[0].address not in str(raised.value)


def test_a_wrong_token_is_said_and_changes_nothing(replicas: Replicas) -> None:
    for number in range(3):
        replicas.registry(number, "2", champion="2")
    with pytest.raises(WrongSettings, match="reload_token") as raised:
        replicas.command("reload", "--reload-token=other-token")
    assert "other-token" not in str(raised.value)
    assert replicas.versions() == [{"1"}] * 3


def test_a_replica_that_is_gone(replicas: Replicas) -> None:
    replicas.services[1].process.terminate()
    replicas.services[1].process.wait(60)
    assert replicas.command("reload") == ExitCode.DONE
    with pytest.raises(UnusableInput, match=f"{replicas.services[1].address}: unreachable"):
        replicas.command("verify", "--verify-seconds=0")


def test_nobody_answers() -> None:
    with pytest.raises(ServiceUnreachable, match="No replica answered"):
        main(["reload", "--replicas=127.0.0.1:9", "--reload-token=x"])


def test_names_are_resolved() -> None:
    assert resolve(["127.0.0.1:80", "127.0.0.1:80", "[::1]:81"]) == [
        Replica("127.0.0.1", 80),
        Replica("::1", 81),
    ]
    assert Replica("::1", 81).url == "http://[::1]:81"
    with pytest.raises(ServiceUnreachable, match=r"no-such-name\.invalid"):
        resolve(["no-such-name.invalid:8080"])
    for wrong in ("host", ":80", "host:http"):
        with pytest.raises(WrongSettings, match="HOST:PORT"):
            resolve([wrong])


def test_replicas_are_looked_up_anew_each_time() -> None:
    """One that is about to go may be gone at the next look, and a new one must be asked too."""
    looks = iter([[Replica("127.0.0.1", 9)], []])
    assert verify(lambda: next(looks), "1", wait_seconds=30, timeout=5) == []
