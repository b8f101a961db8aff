"""Turns at one place, among workers by files and among replicas by MongoDB."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from model_serving.turns import Busy, Superseded, Turns

Pair = tuple[Turns, Turns]


@pytest.fixture(params=["workers", "replicas"])
def two(request: pytest.FixtureRequest, tmp_path: Path, open_mongo: Any) -> Callable[[], Pair]:
    def make() -> Pair:
        if request.param == "workers":
            return Turns(tmp_path), Turns(tmp_path)
        uri = request.getfixturevalue("mongo_uri")
        one, other = (
            Turns(tmp_path / name, open_mongo(uri, request.node.name.partition("[")[0]))
            for name in ("a", "b")
        )
        return one, other

    return make


def test_one_at_a_time_and_never_back(two: Callable[[], Pair]) -> None:
    one, other = two()
    with one.take("x", "2"):
        with pytest.raises(Busy), other.take("x", "3"):
            raise AssertionError("taken twice")
        with other.take("y", "1"):
            pass
    with other.take("x", "3"):
        pass
    for turns in (one, other):
        for order in ("1", "3"):
            with pytest.raises(Superseded), turns.take("x", order):
                raise AssertionError("an older one was let in")


def test_who_fails_leaves_the_place_as_it_was(two: Callable[[], Pair]) -> None:
    one, other = two()
    with pytest.raises(ZeroDivisionError), one.take("x", "2"):
        raise ZeroDivisionError
    with other.take("x", "1"):
        pass


def test_the_turn_of_a_replica_that_died_ends(
    mongo_uri: str, open_mongo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (Turns(tmp_path / name, open_mongo(mongo_uri, "died")) for name in ("a", "b"))
    with one.take("x", "1"):  # it does not let go
        with pytest.raises(Busy), other.take("x", "2"):
            raise AssertionError("taken twice")
        monkeypatch.setattr("model_serving.turns.LEASE_SECONDS", -1.0)
    with pytest.raises(RuntimeError), one.take("x", "3"):
        monkeypatch.setattr("model_serving.turns.LEASE_SECONDS", 60.0)
        with other.take("x", "4"):
            # The first comes back to life: what it lets go is no longer its own.
            raise RuntimeError
    with other.take("x", "5"):
        pass
