"""Deliveries among the workers of a replica and among replicas, and a queue that is full."""

import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from model_serving.deliveries import Deliveries

from model_serving import deliveries


def test_claims_among_workers(tmp_path: Path) -> None:
    one, other = Deliveries(tmp_path), Deliveries(tmp_path)
    assert one.claim("x") and not other.claim("x") and other.claim("../../y")
    one.release("x")
    assert other.claim("x")
    assert len(list(tmp_path.iterdir())) == 2


def test_what_a_dead_worker_has_not_done_may_come_again(tmp_path: Path) -> None:
    claims = "from model_serving.deliveries import *; import os, sys; taken = Deliveries(Path(sys.argv[1]))"
    claims += (
        "; assert taken.claim('begun') and taken.claim('ended'); taken.done('ended'); print(os.getpid())"
    )
    command = [sys.executable, "-c", claims, str(tmp_path)]
    pid = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    mine = Deliveries(tmp_path)
    assert mine.claim("my own") and not mine.claim("begun")
    deliveries.forget(tmp_path, pid)
    assert mine.claim("begun") and not mine.claim("ended") and not mine.claim("my own")
    # A service that starts: what an earlier one had begun is as free, and an earlier version's claims are done.
    (tmp_path / deliveries._name("old")).touch()
    deliveries.forget(tmp_path)
    assert [mine.claim(name) for name in ("begun", "my own", "ended", "old")] == [True, True, False, False]


def test_where_claims_cannot_be_kept_every_delivery_is_new(tmp_path: Path) -> None:
    (tmp_path / "deliveries").write_text("no folder")
    for folder in (tmp_path / "deliveries", Path("/proc/nothing")):
        taken = Deliveries(folder)
        assert taken.claim("x") and taken.claim("x")
        taken.done("x")
        taken.release("x")


def test_the_files_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "KEPT_FILES", 20)
    taken = Deliveries(tmp_path)
    for number in range(1500):
        assert taken.claim(str(number))
    assert len(list(tmp_path.iterdir())) < 1000
    assert not taken.claim("1499")


def test_without_a_mongodb_effects_come_at_once() -> None:
    seen: list[bool] = []
    assert Deliveries().once("x", seen.append) and seen == [True]


class Replica:
    """Its deliveries, and whether each was new among all."""

    def __init__(self, folder: Path, mongo: Any) -> None:
        self.deliveries = Deliveries(folder, mongo)
        self.deliveries.start()

    def new(self, delivery: str, *, done: bool) -> bool:
        assert self.deliveries.claim(delivery)
        seen: list[bool] = []

        def effect(new: bool) -> None:
            if new and done:
                self.deliveries.done(delivery)
            seen.append(new)

        assert self.deliveries.once(delivery, effect)
        end = time.monotonic() + 30
        while not seen:
            assert time.monotonic() < end
            time.sleep(0.01)
        return seen[0]


def test_a_pending_delivery_is_taken_over_by_its_replica_at_once_and_by_others_later(
    tmp_path: Path, open_mongo: Any, mongo_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (Replica(tmp_path / name, open_mongo(mongo_uri, "taken")) for name in ("one", "other"))
    assert one.new("x", done=False) and not other.new("x", done=True)
    deliveries.forget(tmp_path / "one")  # its worker has died
    assert one.new("x", done=False)
    deliveries.forget(tmp_path / "one")
    monkeypatch.setattr(deliveries, "PENDING", timedelta(0))
    assert one.new("x", done=False) and other.new("x", done=True)
    deliveries.forget(tmp_path / "one")
    assert not one.new("x", done=True)
    one.deliveries.stop(10)
    other.deliveries.stop(10)


def test_effects_that_fail_may_be_had_by_another_delivery(
    tmp_path: Path, open_mongo: Any, mongo_uri: str
) -> None:
    taken = Deliveries(tmp_path, open_mongo(mongo_uri, "failed"))
    taken.start()

    def fail(new: bool) -> None:
        raise RuntimeError("no effects")

    assert taken.claim("x") and taken.once("x", fail)
    end = time.monotonic() + 30
    while not taken.claim("x"):
        assert time.monotonic() < end
        time.sleep(0.01)
    taken.stop(10)


def test_a_full_queue_is_said_and_what_waits_is_done_at_the_end(
    tmp_path: Path, open_mongo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "WAITING_AT_MOST", 3)
    waiting = Deliveries(tmp_path, open_mongo("mongodb://127.0.0.1:9", "db", 0.2))
    go, seen = threading.Event(), []

    def effect(new: bool) -> None:
        go.wait(30)
        seen.append(new)

    waiting.start()
    assert [waiting.once(str(number), effect) for number in range(8)].count(False) >= 4
    go.set()
    waiting.stop(20)
    assert 3 <= len(seen) <= 4 and all(seen)
