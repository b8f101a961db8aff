"""Writing back to the stand-in for GitHub, alone and beside other workers and replicas."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from artifact import pull_request
from local_servers import GitHub, github_standin
from model_serving.metrics import Metrics
from model_serving.turns import Turns
from model_serving.writeback import Target, WriteBack, target_of
from model_serving.writeback_texts import comment, describe, mark, marked, order_of, plain

SCORE = {
    "repo_name": "o/n",
    "number": 7,
    "reconstruction_error": 3.25,
    "threshold": 1.5,
    "is_anomaly": True,
    "anomaly_score": 0.997,
    "reasons": [
        {"feature": "text", "share": 0.5, "value": "x", "usual": None, "text": "unusual wording around: x"}
    ],
    "model_version": "4",
    "request_id": "r",
}
SHA = "a" * 40
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
Writer = Callable[..., WriteBack]


def at(minute: int) -> str:
    """The order of what happened so many minutes after noon."""
    moment = NOON + timedelta(minutes=minute)
    return order_of(moment, moment)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., GitHub]]:
    """Stand-ins by their flags, and those that run."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield lambda *flags: stack.enter_context(github_standin(tmp_path_factory.mktemp("github"), *flags))


@pytest.fixture(scope="module")
def standin(servers: Callable[..., GitHub]) -> GitHub:
    return servers("--latency-ms", "20")


@pytest.fixture
def github(standin: GitHub) -> GitHub:
    """With no comment on its pull request."""
    for found in standin.comments():
        import requests

        headers = {"Authorization": "Bearer ours"}
        place = f"{standin.url}/repos/{standin.repo_name}/issues/comments/{found['id']}"
        requests.delete(place, headers=headers, timeout=30)
    return standin


@pytest.fixture
def sha() -> str:
    """A commit of this test's own."""
    return f"{random.getrandbits(160):040x}"


def target(github: GitHub, sha: str = SHA) -> Target:
    return Target(github.repo_name, github.number, sha)


def writer(
    github: GitHub, kind: Any = "comment", turns: Turns | None = None, token: str = "ours"
) -> WriteBack:
    return WriteBack(kind, github.url, token, "https://scores.example.org/", Metrics(), turns)


def counted(back: WriteBack) -> dict[str, float]:
    (metric,) = back.metrics.writebacks.collect()
    return {s.labels["result"]: s.value for s in metric.samples if s.name.endswith("_total")}


def test_a_status(github: GitHub, sha: str) -> None:
    writer(github, "status").send(target(github, sha), SCORE, at(0))
    (status,) = github.statuses(sha)
    assert (status["state"], status["context"]) == ("failure", "pr-anomaly")
    assert status["target_url"] == "https://scores.example.org" and len(status["description"]) <= 140
    writer(github, "status").send(target(github, sha), SCORE | {"is_anomaly": False}, at(1))
    assert github.statuses(sha)[0]["state"] == "success"


def test_one_comment_is_edited_in_place(github: GitHub) -> None:
    github.say("looks good to me", "other")
    back = writer(github)
    back.send(target(github), SCORE, at(0))
    back.send(target(github), SCORE | {"is_anomaly": False}, at(1))
    theirs, ours = github.comments()
    assert theirs["body"] == "looks good to me"
    assert marked(ours["body"]) == at(1) and "Nothing unusual" in ours["body"] and SHA[:12] in ours["body"]


def test_somebody_else_s_comment_with_our_mark_is_neither_edited_nor_believed(github: GitHub) -> None:
    # As new as can be, so that ours would seem old beside it.
    forged = github.say(mark("9999-01-01T00:00:00Z/9999") + "\nNothing unusual", "other")
    back = writer(github)
    back.send(target(github), SCORE, at(0))
    back.send(target(github), SCORE, at(1))
    theirs, ours = github.comments()
    assert theirs == forged
    assert ours["user"]["id"] != forged["user"]["id"] and marked(ours["body"]) == at(1)


def test_our_own_words_in_another_comment_of_the_account_are_left_alone(github: GitHub) -> None:
    said = github.say("The mark is\n" + mark(at(5)), "ours")
    writer(github).send(target(github), SCORE, at(0))
    first, second = github.comments()
    assert first == said and marked(second["body"]) == at(0)


def test_an_older_comment_does_not_replace_a_newer_one_even_of_another_replica(github: GitHub) -> None:
    writer(github).send(target(github), SCORE, at(2))
    late = writer(github)
    late.start()
    late.put(target(github), SCORE | {"is_anomaly": False}, NOON)
    late.stop(30)
    (ours,) = github.comments()
    assert marked(ours["body"]) == at(2) and counted(late)["superseded"] == 1


def test_the_second_of_two_comments_of_ours_is_removed(github: GitHub) -> None:
    # As two replicas leave them that both found none, without a MongoDB.
    for minute in (0, 1):
        github.say(mark(at(minute)) + "\nx", "ours")
    writer(github).send(target(github), SCORE, at(2))
    (ours,) = github.comments()
    assert marked(ours["body"]) == at(2) and "Unusual" in ours["body"]


@pytest.fixture
def replicas(mongo_uri: str, open_mongo: Any, tmp_path: Path) -> list[Turns]:
    return [Turns(tmp_path / str(n), open_mongo(mongo_uri, "turns")) for n in range(3)]


def write_all(github: GitHub, kind: str, turns: list[Turns], sha: str) -> list[WriteBack]:
    """Twelve results in no order, dealt out to writers that work at the same time; the last of them is number 11."""
    backs = [writer(github, kind, one) for one in turns]
    order = list(range(12))
    random.Random(3).shuffle(order)
    for number in order:
        score = SCORE | {"model_version": str(number), "anomaly_score": number / 1000}
        backs[number % len(backs)].put(target(github, sha), score, NOON + timedelta(minutes=number))
    for back in backs:
        back.start()
    threads = [threading.Thread(target=back.stop, args=(60,)) for back in backs]
    end = time.monotonic() + 60
    while sum(sum(counted(back).values()) for back in backs) < 12 and time.monotonic() < end:
        time.sleep(0.1)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for back in backs:
        assert not counted(back).get("failed") and not counted(back).get("dropped")
    return backs


def test_replicas_at_the_same_moment_leave_one_comment_with_the_newest_result(
    github: GitHub, replicas: list[Turns], sha: str
) -> None:
    write_all(github, "comment", replicas, sha)
    (ours,) = github.comments()
    assert marked(ours["body"]) is not None and "version 11" in ours["body"]


def test_replicas_at_the_same_moment_leave_the_newest_status_on_top(
    github: GitHub, replicas: list[Turns], sha: str
) -> None:
    write_all(github, "status", replicas, sha)
    found = [status["description"] for status in github.statuses(sha)]
    assert "1.1%" in found[0]
    written = [float(text.partition("than ")[2].partition("%")[0]) for text in found]
    assert written == sorted(written, reverse=True)


def test_workers_of_one_replica_need_no_mongodb(github: GitHub, tmp_path: Path, sha: str) -> None:
    write_all(github, "comment", [Turns(tmp_path) for _ in range(2)], sha)
    (ours,) = github.comments()
    assert "version 11" in ours["body"]
    write_all(github, "status", [Turns(tmp_path) for _ in range(2)], sha)
    assert "1.1%" in github.statuses(sha)[0]["description"]


def test_a_mongodb_that_is_away_keeps_nothing_from_being_written(
    github: GitHub, open_mongo: Any, tmp_path: Path
) -> None:
    away = open_mongo("mongodb://127.0.0.1:9", "turns", 0.2)
    back = writer(github, turns=Turns(tmp_path, away))
    back.send(target(github), SCORE, at(0))
    back.send(target(github), SCORE, at(1))
    assert [marked(one["body"]) for one in github.comments()] == [at(1)]


def test_limits_are_waited_for_in_the_background(servers: Callable[..., GitHub], sha: str) -> None:
    github = servers("--fault-script", "secondary-403", "--fault-wait-s", "1")
    back = writer(github, "status")
    back.start()
    begin = time.monotonic()
    back.put(target(github, sha), SCORE, NOON)
    assert time.monotonic() - begin < 0.8
    end = time.monotonic() + 60
    while not counted(back) and time.monotonic() < end:
        time.sleep(0.05)
    assert len(github.statuses(sha)) == 1 and time.monotonic() - begin >= 1.0
    back.stop(5)


def test_a_turn_is_not_held_through_a_long_wait(
    servers: Callable[..., GitHub], tmp_path: Path, sha: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model_serving.turns.WORK_SECONDS", 1.0)
    github = servers("--fault-script", "secondary-403", "--fault-wait-s", "3")
    turns = Turns(tmp_path)
    back = writer(github, "status", turns)
    back.start()
    back.put(target(github, sha), SCORE, NOON)
    time.sleep(1.5)
    with turns.take("status:somewhere-else", at(0)):
        pass
    with Turns(tmp_path).take(f"status:{github.repo_name}@{sha}", at(-1)):
        pass  # nobody holds it meanwhile
    end = time.monotonic() + 60
    while not counted(back) and time.monotonic() < end:
        time.sleep(0.05)
    assert len(github.statuses(sha)) == 1 and counted(back)["done"] == 1
    back.stop(5)


def test_what_waits_for_another_s_turn_at_the_end_is_written_after_it(
    github: GitHub, tmp_path: Path, sha: str
) -> None:
    place = f"status:{github.repo_name}@{sha}"
    back = writer(github, "status", Turns(tmp_path))
    with Turns(tmp_path).take(place, at(-1)):
        back.start()
        back.put(target(github, sha), SCORE, NOON)
        ending = threading.Thread(target=back.stop, args=(20,))
        ending.start()
        time.sleep(1.5)  # longer than one more try takes
    ending.join()
    assert len(github.statuses(sha)) == 1 and counted(back) == {"done": 1}


def test_nobody_waits_for_another_s_turn_beyond_the_end(github: GitHub, tmp_path: Path, sha: str) -> None:
    back = writer(github, "status", Turns(tmp_path))
    with Turns(tmp_path).take(f"status:{github.repo_name}@{sha}", at(-1)):
        back.start()
        back.put(target(github, sha), SCORE, NOON)
        begin = time.monotonic()
        back.stop(2.5)
        assert time.monotonic() - begin < 10
    assert github.statuses(sha) == [] and counted(back) == {"dropped": 1}


def test_a_failure_is_counted_and_the_next_is_sent(github: GitHub, sha: str) -> None:
    back = writer(github, "status")
    back.start()
    back.put(Target("o/other", 7, SHA), SCORE, NOON)
    back.put(target(github, sha), SCORE, NOON)
    back.stop(20)
    assert len(github.statuses(sha)) == 1 and counted(back) == {"failed": 1, "done": 1}


def test_without_the_account_of_the_token_no_comment_is_touched(servers: Callable[..., GitHub]) -> None:
    github = servers("--no-graphql")
    before = github.say(mark(at(0)), "ours")
    back = writer(github)
    back.start()
    back.put(target(github), SCORE, NOON)
    back.stop(20)
    assert github.comments() == [before] and counted(back) == {"failed": 1}


@pytest.mark.parametrize(
    ("name", "number", "sha"),
    [
        ("o/n/../../x", 7, "a" * 40),
        ("o/..", 7, "a" * 40),
        ("o n/x", 7, "a" * 40),
        ("o/n", None, "a" * 40),
        ("o/n", 7, "x"),
    ],
)
def test_an_odd_target_is_none(name: str, number: int | None, sha: str) -> None:
    assert target_of({"head": {"sha": sha}}, name, number) is None
    assert target_of({"head": {"sha": "a" * 40}}, "o/n", 7) == Target("o/n", 7, SHA)


def test_text_of_a_pull_request_stays_text() -> None:
    hostile = "@everyone <img src=x> [a](http://evil) `code` #12 \n# heading \u202e"
    shown = plain(hostile)
    assert "<img" not in shown and "@everyone" not in shown and "\n" not in shown and "://" not in shown
    assert "\\[a\\]\\(" in shown and "\\#12" in shown and "\u202e" not in shown
    reason = {"feature": "text", "share": 0.5, "value": "x", "usual": None, "text": hostile}
    assert "<img" not in comment(SCORE | {"reasons": [reason]}, "", at(0), SHA)


def test_the_description_fits() -> None:
    assert len(describe(SCORE | {"reasons": [{"feature": "f" * 300}]})) == 140


def test_a_service_writes_back_what_a_webhook_brings(github: GitHub, start: Any, mongo_uri: str) -> None:
    from test_webhook import SECRET, event, headers

    settings = {
        "github_webhook_secret": SECRET,
        "github_writeback": "comment",
        "github_writeback_token": "ours",
        "github_api_url": github.url,
        "mongo_uri": mongo_uri,
        "mongo_db": "written",
    }
    services = [start(workers=2, **settings), start(**settings)]
    pull = pull_request(3) | {"number": github.number}
    pull["base"]["repo"]["full_name"] = github.repo_name
    for minute in (3, 1, 2):
        body = event(pull | {"updated_at": f"2026-11-22T12:0{minute}:00Z"})
        for service in services:  # GitHub sends it once more, and the load balancer to the other replica
            answer = service.request("POST", "/webhooks/github", body, headers(body, f"d-{minute}"))
            assert answer[0] == 200
    for service in services:
        assert service.terminate() == 0
    (ours,) = github.comments()
    assert (marked(ours["body"]) or "").startswith("2026-11-22T12:03:00Z")
