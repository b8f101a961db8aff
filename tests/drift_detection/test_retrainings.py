"""Who may start a retraining: exactly one in a cool-down, and no failure holds up the next one for long."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from drift_detection.store import FolderStore

from drift_detection import retrainings

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
COOL_DOWN, RETRY = timedelta(hours=6), timedelta(minutes=30)


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path)


def claim(store: FolderStore, by: str, minutes: float = 0) -> retrainings.Answer:
    return retrainings.claim(store, by, NOW + timedelta(minutes=minutes), COOL_DOWN, RETRY)


def test_ten_alarms_within_the_cool_down_start_one(store: FolderStore) -> None:
    answers = [claim(store, f"w{number}", minutes=number * 10) for number in range(10)]
    assert [answer.go for answer in answers] == [True] + [False] * 9
    assert answers[5].until == NOW + COOL_DOWN
    assert claim(store, "later", minutes=359).go is False
    after = claim(store, "later", minutes=360)
    assert after.go and after.number == 2


def test_ten_at_the_same_moment_start_one(store: FolderStore) -> None:
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda number: claim(store, f"w{number}"), range(10)))
    assert sum(answer.go for answer in answers) == 1


def test_a_step_that_is_tried_again_gets_its_own_answer(store: FolderStore) -> None:
    assert claim(store, "w1").go
    assert claim(store, "w1", minutes=2).go
    assert not claim(store, "w2", minutes=2).go
    assert not claim(store, "w2", minutes=3).go


def test_a_claim_whose_answer_got_lost_is_its_own(tmp_path: Path) -> None:
    class LosesAnswers(FolderStore):
        def create(self, path: str, content: bytes) -> bool:
            super().create(path, content)
            return super().create(path, content)  # tried again by the client below, which then finds it there

    assert claim(LosesAnswers(tmp_path), "w1").go
    assert not claim(LosesAnswers(tmp_path), "w2", minutes=1).go


def test_asking_without_a_name(store: FolderStore) -> None:
    assert claim(store, "").go
    assert not claim(store, "", minutes=1).go


@pytest.mark.parametrize(
    ("outcome", "blocked", "free"),
    [("failed", 49, 50), ("no new rows", 49, 50), ("succeeded", 359, 360), ("refused", 359, 360)],
)
def test_when_the_next_may_start(
    store: FolderStore, outcome: retrainings.Outcome, blocked: int, free: int
) -> None:
    claim(store, "w1")
    ended = retrainings.end(store, "w1", NOW + timedelta(minutes=20), outcome, "why")
    assert ended is not None and ended.outcome == outcome
    assert not claim(store, "w2", minutes=blocked).go
    assert claim(store, "w3", minutes=free).go


def test_one_that_was_killed_without_a_word_blocks_no_longer_than_the_cool_down(store: FolderStore) -> None:
    claim(store, "w1")
    assert not claim(store, "w2", minutes=359).go
    assert claim(store, "w2", minutes=360).go


def test_a_failure_after_a_long_run_does_not_prolong_the_cool_down(store: FolderStore) -> None:
    claim(store, "w1")
    retrainings.end(store, "w1", NOW + timedelta(minutes=350), "failed", "")
    assert claim(store, "w2", minutes=360).go


def a_day_of_failures(store: FolderStore, until: int = 24 * 60) -> list[int]:
    """Minutes at which retrainings start where an alarm comes every ten minutes and each fails after twenty."""
    starts: list[int] = []
    for minute in range(0, until, 10):
        if starts and minute == starts[-1] + 20:
            retrainings.end(
                store, f"w{starts[-1]}", NOW + timedelta(minutes=minute), "failed", "train: code 3"
            )
        if (not starts or minute >= starts[-1] + 20) and claim(store, f"w{minute}", minutes=minute).go:
            starts.append(minute)
    return starts


def test_a_training_that_always_fails_is_tried_ever_less_often(store: FolderStore) -> None:
    # Pauses of 30, 60, 120 and 240 minutes, then the cool-down.
    assert a_day_of_failures(store) == [0, 50, 130, 270, 530, 890, 1250]
    last = json.loads(store.read(retrainings.LATEST) or b"")
    assert (last["number"], last["failures"]) == (7, 7)


@pytest.mark.parametrize("outcome", ["succeeded", "no new rows", "refused"])
def test_failures_count_only_in_a_row(store: FolderStore, outcome: retrainings.Outcome) -> None:
    assert a_day_of_failures(store, until=300)[-1] == 270
    claim(store, "w", minutes=530)
    retrainings.end(store, "w", NOW + timedelta(minutes=550), outcome, "")
    claim(store, "w2", minutes=900)
    ended = retrainings.end(store, "w2", NOW + timedelta(minutes=920), "failed", "")
    assert ended is not None and (ended.number, ended.failures) == (6, 1)
    assert not claim(store, "w3", minutes=949).go
    assert claim(store, "w3", minutes=950).go


def test_an_end_of_before_failures_were_counted_is_one(store: FolderStore) -> None:
    claim(store, "w1")
    end = {"number": 1, "by": "w1", "ended_at": NOW.isoformat(), "outcome": "failed", "why": ""}
    store.write(f"{retrainings.FOLDER}/000001.end.json", json.dumps(end).encode())
    assert not claim(store, "w2", minutes=29).go
    assert claim(store, "w2", minutes=30).go


def test_the_first_ending_stays_and_only_its_own(store: FolderStore) -> None:
    assert retrainings.end(store, "w1", NOW, "failed", "") is None
    claim(store, "w1")
    assert retrainings.end(store, "w2", NOW, "failed", "") is None
    retrainings.end(store, "w1", NOW, "refused", "by the gate")
    ended = retrainings.end(store, "w1", NOW, "succeeded", "")
    assert ended is not None and ended.outcome == "refused"
    shown = json.loads(store.read(retrainings.LATEST) or b"")
    assert (shown["outcome"], shown["number"], shown["why"]) == ("refused", 1, "by the gate")


@pytest.mark.parametrize(
    ("status", "outcome"), [("succeeded", "no new rows"), ("failed", "failed"), ("refused", "refused")]
)
def test_one_that_had_nothing_to_learn(store: FolderStore, status: retrainings.Outcome, outcome: str) -> None:
    """It ends as that, unless a replica could not be brought up to date afterwards."""
    claim(store, "w1")
    retrainings.nothing_new(store, "w1", "0 new")
    retrainings.nothing_new(store, "w1", "0 new")  # the step is tried again
    retrainings.nothing_new(store, "w2", "another's")
    last = retrainings.newest(store)
    assert last is not None and last.ended_at is None
    ended = retrainings.end(store, "w1", NOW, status, "said")
    assert ended is not None and ended.outcome == outcome


def test_who_started_last_is_shown_until_the_next_one(store: FolderStore) -> None:
    """One that is killed leaves its start and no end: an alert counts from there."""
    assert store.read(retrainings.STARTED) is None
    claim(store, "w1")
    started = json.loads(store.read(retrainings.STARTED) or b"")
    assert started == {"number": 1, "by": "w1", "claimed_at": NOW.isoformat()}
    claim(store, "w2", minutes=3)
    assert json.loads(store.read(retrainings.STARTED) or b"") == started
    store.delete(retrainings.STARTED)
    claim(store, "w1", minutes=4)  # killed between claim and this, and tried again
    assert json.loads(store.read(retrainings.STARTED) or b"") == started
    retrainings.end(store, "w1", NOW, "failed", "")
    claim(store, "w3", minutes=40)
    assert json.loads(store.read(retrainings.STARTED) or b"")["by"] == "w3"


def test_a_claim_that_cannot_be_read_is_taken_for_a_running_one(store: FolderStore) -> None:
    store.write(f"{retrainings.FOLDER}/000001.json", b"{")
    assert not retrainings.claim(store, "w", datetime.now(UTC), COOL_DOWN, RETRY).go
