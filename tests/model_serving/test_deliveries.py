"""Deliveries among the workers of a replica, and a queue that is full."""

import threading
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
