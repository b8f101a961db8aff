"""Scores for people, with a MongoDB and without one that answers."""

import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from artifact import pull_request
from model_serving.metrics import Metrics
from model_serving.results import KEPT_IN_MEMORY, Memory, Results, entry
from service_process import free_port


def item(number: int, error: float = 1.0, repo: str = "a/b") -> dict[str, Any]:
    score = {
        "repo_name": repo,
        "number": number,
        "reconstruction_error": error,
        "threshold": 2.0,
        "is_anomaly": error > 2.0,
        "anomaly_score": 0.5,
        "reasons": [],
        "model_version": "1",
        "request_id": f"r{number}",
    }
    return entry(score, {"title": f"title {number}"}, "api", datetime.now(UTC))


def test_memory_is_bounded_and_keeps_the_newest() -> None:
    memory = Memory()
    for number in range(1, KEPT_IN_MEMORY + 51):
        memory.add(item(number))
    assert len(memory.recent(10_000)) == KEPT_IN_MEMORY
    assert [kept["number"] for kept in memory.recent(2)] == [KEPT_IN_MEMORY + 50, KEPT_IN_MEMORY + 49]


def test_the_most_anomalous_come_first() -> None:
    memory = Memory()
    for number, error in ((1, 0.5), (2, 9.0), (3, 3.0)):
        memory.add(item(number, error))
    assert [kept["number"] for kept in memory.anomalous(2)] == [2, 3]


def test_claims_without_a_database(tmp_path: Path) -> None:
    results = Results(Metrics(), tmp_path)
    assert results.claim("x") and not results.claim("x") and results.claim("../../y")
    results.release("x")
    assert results.claim("x")
    assert len(list(tmp_path.iterdir())) == 2


def test_a_database_that_is_away_costs_no_score(tmp_path: Path) -> None:
    results = Results(Metrics(), tmp_path)
    results.connect("mongodb://user:hidden@127.0.0.1:9", "db", "scores", 10.0)
    begin = time.monotonic()
    for number in range(1, 2001):
        results.keep([item(number)])
    assert time.monotonic() - begin < 5.0
    assert [kept["number"] for kept in results.recent(1)] == [2000]
    assert not results.shared
    begin = time.monotonic()
    assert results.claim("d")
    for _ in range(20):  # after the first failure the server is left alone for a while
        results.anomalous(5)
    assert time.monotonic() - begin < 5.0
    results.stop(2)


@pytest.fixture(scope="module")
def mongo_uri(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The embedded MongoDB of local/, started as a process of its own environment."""
    python = repository / ".venv" / "local" / "bin" / "python"
    if not python.exists():
        pytest.fail("the environment .venv/local is not there: run `make setup`")
    port = free_port()
    folder = tmp_path_factory.mktemp("mongo")
    command = [python, "-m", "local_setup.mongodb", "--data", folder, "--port", str(port)]
    with subprocess.Popen(command, cwd=repository, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline(), "the embedded MongoDB did not start"
            yield f"mongodb://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


def wait_for(condition: Any, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_replicas_share_scores_and_deliveries(mongo_uri: str, tmp_path: Path) -> None:
    one, two = (Results(Metrics(), tmp_path / name) for name in ("one", "two"))
    for results in (one, two):
        results.connect(mongo_uri, "shared", "scores", 5.0)
    one.keep([item(number, float(number)) for number in range(1, 6)])
    one.keep([item(2, 99.0) | {"scored_at": datetime.now(UTC) + timedelta(seconds=1)}])
    wait_for(lambda: len(two.recent(10)) == 5)
    wait_for(lambda: two.anomalous(1)[0]["reconstruction_error"] == 99.0)
    assert two.recent(1)[0]["number"] == 2 and two.shared
    assert two.recent(1)[0]["scored_at"].tzinfo is not None
    assert one.claim("same") and not two.claim("same")
    one.release("same")
    assert two.claim("same")
    for results in (one, two):
        results.stop(5)


def test_a_service_shows_the_scores_of_another(mongo_uri: str, start: Any) -> None:
    settings = {"mongo_uri": mongo_uri, "mongo_db": "service", "mongo_timeout_seconds": 5}
    first, second = start(**settings), start(**settings)
    pulls = [pull_request(number) for number in range(30)]
    assert first.post("/predict", pulls)[0] == 200
    assert first.terminate() == 0  # what waits is written on the way out
    page = second.get("/")[1]
    assert "this one process" not in page
    assert sum(pull["title"] in page for pull in pulls) == 30
