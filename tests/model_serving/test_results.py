"""Scores for people, with a MongoDB and without one that answers."""

import json
import os
import signal
import time
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

from artifact import pull_request
from model_serving.metrics import Metrics
from model_serving.results import KEPT_IN_MEMORY, Memory, Results, anomalous, entry, recent
from service_process import exchange


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


def ranked(number: int, error: float, threshold: float, score: float) -> dict[str, Any]:
    kept = item(number)
    scored = {name: kept[name] for name in ("repo_name", "number", "reasons", "model_version", "request_id")}
    scored |= {
        "reconstruction_error": error,
        "threshold": threshold,
        "is_anomaly": error > threshold,
        "anomaly_score": score,
    }
    return entry(scored, {"title": "t"}, "api", datetime.now(UTC))


# The first two are of a version with errors in the hundreds, the others of one with errors below one.
DIFFERENT_VERSIONS = [
    ranked(1, 300.0, 400.0, 0.9),
    ranked(2, 200.0, 400.0, 0.5),
    ranked(3, 0.5, 0.2, 1.0),
    ranked(4, 0.9, 0.2, 1.0),
]


def test_memory_is_bounded_and_keeps_the_newest() -> None:
    memory = Memory()
    for number in range(1, KEPT_IN_MEMORY + 51):
        memory.add(item(number))
    assert len(recent(memory.entries(), 10_000)) == KEPT_IN_MEMORY
    assert [kept["number"] for kept in recent(memory.entries(), 2)] == [
        KEPT_IN_MEMORY + 50,
        KEPT_IN_MEMORY + 49,
    ]


def test_the_most_anomalous_come_first() -> None:
    memory = Memory()
    for number, error in ((1, 0.5), (2, 9.0), (3, 3.0)):
        memory.add(item(number, error))
    assert [kept["number"] for kept in anomalous(memory.entries(), 2)] == [2, 3]


def test_versions_with_errors_of_other_units_are_ranked_by_what_they_mean() -> None:
    memory = Memory()
    for ranked in DIFFERENT_VERSIONS:
        memory.add(ranked)
    assert [kept["number"] for kept in anomalous(memory.entries(), 9)] == [4, 3, 1, 2]


def test_a_database_that_is_away_costs_no_score(open_mongo: Any) -> None:
    mongo = open_mongo("mongodb://user:hidden@127.0.0.1:9", "db", 10.0)
    results = Results(Metrics(), mongo)
    begin = time.monotonic()
    for number in range(1, 2001):
        results.keep([item(number)])
    assert time.monotonic() - begin < 5.0
    assert [kept["number"] for kept in results.recent(1)] == [2000]
    assert not results.shared
    begin = time.monotonic()
    for _ in range(20):  # after the first failure the server is left alone for a while
        results.anomalous(5)
    assert time.monotonic() - begin < 5.0
    results.stop(2)


def wait_for(condition: Any, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_replicas_share_scores(mongo_uri: str, open_mongo: Any) -> None:
    one, two = (Results(Metrics(), open_mongo(mongo_uri, "shared")) for _ in range(2))
    one.keep([item(number, float(number)) for number in range(1, 6)])
    one.keep([item(2, 99.0) | {"scored_at": datetime.now(UTC) + timedelta(seconds=1)}])
    wait_for(lambda: len(two.recent(10)) == 5)
    wait_for(lambda: two.anomalous(1)[0]["reconstruction_error"] == 99.0)
    assert two.recent(1)[0]["number"] == 2 and two.shared
    assert two.recent(1)[0]["scored_at"].tzinfo is not None
    # What was scored before another replica did comes too late.
    two.keep([item(2, 7.0) | {"scored_at": datetime.now(UTC) - timedelta(hours=1)}, item(6, 6.0)])
    wait_for(lambda: len(one.recent(10)) == 6)
    assert one.anomalous(1)[0]["reconstruction_error"] == 99.0
    for results in (one, two):
        results.stop(5)


def test_the_shared_ones_are_ranked_as_those_in_memory(mongo_uri: str, open_mongo: Any) -> None:
    mongo = open_mongo(mongo_uri, "ranked")
    results = Results(Metrics(), mongo)
    results.keep(DIFFERENT_VERSIONS)
    results.stop(20)
    assert [kept["number"] for kept in results.anomalous(9)] == [4, 3, 1, 2] and results.shared
    with mongo.collection() as scores:
        keys = [index["key"] for index in scores.index_information().values()]
    assert [("kind", 1), ("anomaly_score", -1), ("times_threshold", -1)] in keys


def test_a_service_shows_the_scores_of_another(mongo_uri: str, start: Any) -> None:
    settings = {"mongo_uri": mongo_uri, "mongo_db": "service", "mongo_timeout_seconds": 5}
    first, second = start(**settings), start(**settings)
    pulls = [pull_request(number) for number in range(30)]
    assert first.post("/predict", pulls)[0] == 200
    assert first.terminate() == 0  # what waits is written on the way out
    page = second.get("/")[1]
    assert "this one service" not in page
    assert sum(pull["title"] in page for pull in pulls) == 30


def test_without_a_mongodb_every_worker_shows_what_all_of_them_have_scored(
    start: Any, tmp_path: Path
) -> None:
    service = start(workers=3)
    pulls = [pull_request(number) for number in range(30)]

    def shown_by(page: str) -> int:
        return sum(f"#{pull['number']}</a>" in page for pull in pulls)

    with service.a_connection_to_each_worker() as by_worker:
        connections = list(by_worker.values())
        for pull, connection in zip(pulls, cycle(connections)):
            assert exchange(connection, "POST", "/predict", pull)[0] == 200
        wait_for(lambda: all(shown_by(exchange(one, "GET", "/")[1]) == 30 for one in connections), 20)
    victim = service.worker_pids()[0]
    os.kill(victim, signal.SIGKILL)
    scores = tmp_path / "service-0" / "state" / "scores"
    wait_for(lambda: victim not in {int(file.stem) for file in scores.glob("*.json")})
    assert service.get("/")[0] == 200


def test_the_last_score_of_a_pull_request_counts_whichever_worker_gave_it(tmp_path: Path) -> None:
    one = Results(Metrics(), folder=tmp_path)
    (tmp_path / "1.json").write_text(
        json.dumps([item(number) | {"scored_at": "2030-01-01T00:00:00Z"} for number in (1, 2)])
    )
    (tmp_path / "2.json").write_text("{")
    one.keep([item(2, 5.0), item(3)])
    assert {kept["number"] for kept in one.recent(2)} == {1, 2} and len(one.recent(9)) == 3
    assert next(kept for kept in one.recent(9) if kept["number"] == 2)["reconstruction_error"] == 1.0


def signed(number: int, error: float, minutes: float = 0) -> dict[str, Any]:
    return item(number, error) | {
        "origin": "webhook",
        "scored_at": datetime.now(UTC) + timedelta(minutes=minutes),
    }


def test_nobody_replaces_what_github_has_signed(tmp_path: Path) -> None:
    results = Results(Metrics(), folder=tmp_path)
    results.keep([signed(1, 9.0), item(1, 1.0), item(2, 1.0)])
    assert {kept["number"]: kept["reconstruction_error"] for kept in results.recent(9)} == {1: 9.0, 2: 1.0}
    # What another worker has of a caller comes later, and what it has of GitHub, too.
    other = [item(1, 2.0) | {"scored_at": "2030-01-01T00:00:00Z"}, signed(2, 8.0, -60)]
    other[1]["scored_at"] = other[1]["scored_at"].isoformat()
    (tmp_path / "1.json").write_text(json.dumps(other))
    assert {kept["number"]: kept["reconstruction_error"] for kept in results.recent(9)} == {1: 9.0, 2: 8.0}
    results.keep([signed(1, 3.0)])
    assert results.memory.entries()[-1]["reconstruction_error"] == 3.0


def test_nobody_replaces_what_github_has_signed_for_all_replicas(mongo_uri: str, open_mongo: Any) -> None:
    def shown() -> dict[int, float]:
        return {kept["number"]: kept["reconstruction_error"] for kept in results.recent(9)}

    for batch, expected in (
        ([item(2, 1.0)], {2: 1.0}),
        ([signed(1, 9.0), item(1, 1.0), signed(2, 8.0)], {1: 9.0, 2: 8.0}),
        ([item(1, 1.0), item(2, 1.0)], {1: 9.0, 2: 8.0}),
        ([signed(1, 3.0)], {1: 3.0, 2: 8.0}),
    ):
        results = Results(Metrics(), open_mongo(mongo_uri, "signed"))
        results.keep(batch)
        results.stop(20)
        assert shown() == expected and results.shared
