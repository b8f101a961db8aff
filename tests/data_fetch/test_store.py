"""store.py on a real server: idempotent, never older over newer, safe for two writers."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import dns.resolver
import pytest
from data_fetch.shaping import Rejection
from data_fetch.state import Checkpoint, Walk
from data_fetch.store import Store, Written
from fetch_harness import START, World, pull
from pr_features.documents import from_rest
from stage_runtime.exits import ServiceUnreachable, WrongSettings

NOW = datetime.fromtimestamp(START, UTC)
SECOND = timedelta(seconds=1)


def document(number: int = 1, updated: int = 0, fetched: int | None = 0, **changes: Any) -> dict[str, Any]:
    made = from_rest(pull("acme/widget", number, START - 900 + updated))
    made["fetched_at"] = None if fetched is None else NOW + fetched * SECOND
    return {**made, **changes}


@pytest.fixture
def store(world: World) -> Store:
    return world.store


def title(store: Store, number: int = 1) -> str:
    found = store.documents.find_one({"number": number})
    assert found is not None
    return str(found["title"])


def test_writing_twice_changes_nothing(store: Store) -> None:
    both = [document(1), document(2)]
    assert store.write(both) == Written(inserted=2)
    assert store.write(both) == Written(same=2)
    assert store.write([]) == Written()
    assert store.documents.count_documents({}) == 2


@pytest.mark.parametrize(
    ("updated", "fetched", "wins"),
    [(1, -99, True), (0, 1, True), (0, 0, True), (0, -1, False), (-1, 99, False), (0, None, False)],
)
def test_only_newer_replaces(store: Store, updated: int, fetched: int | None, wins: bool) -> None:
    store.write([document(title="stored")])
    written = store.write([document(1, updated, fetched, title="given")])
    assert title(store) == ("given" if wins else "stored")
    assert (written.replaced, written.superseded) == ((1, 0) if wins else (0, 1))


NEW, OLD = {"updated": 9, "title": "new"}, {"updated": 0, "title": "old"}
LATE, EARLY = {"fetched": 9, "title": "new"}, {"fetched": None, "title": "old"}
TIMELESS = {"updated_at": None, "title": "old"}


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("pair", [(NEW, OLD), (LATE, EARLY), (NEW, TIMELESS)])
@pytest.mark.parametrize("order", [1, -1])
def test_of_two_in_one_batch_the_newer_is_kept(
    store: Store, stored: bool, pair: tuple[dict[str, Any], ...], order: int
) -> None:
    if stored:
        store.write([document(1, -50)])
    written = store.write([document(1, **one) for one in pair[::order]])
    assert title(store) == "new"
    assert written == Written(inserted=int(not stored), replaced=int(stored), superseded=1)
    assert store.write([document(1, **pair[0])] * 3) == Written(same=3)


def test_a_document_without_times_is_older_than_any(store: Store) -> None:
    store.write([document(1, updated_at=None, title="no time")])
    assert store.write([document(title="with time")]).replaced == 1
    assert store.write([document(1, updated_at=None, title="no time")]).superseded == 1
    assert title(store) == "with time"


def test_seen_again_unchanged_moves_the_time_of_fetching_forward_only(store: Store) -> None:
    store.write([document(1, fetched=50)])
    store.write([document(1, fetched=20)])
    assert store.known([document()["_id"], 5])[document()["_id"]][1] == NOW + 50 * SECOND
    store.write([document(1, fetched=70)])
    assert store.known([document()["_id"]])[document()["_id"]][1] == NOW + 70 * SECOND


def test_two_writers_end_with_the_newest_whoever_is_last(store: Store) -> None:
    versions = [
        document(number, version, title=f"version {version}") for version in range(12) for number in (1, 2, 3)
    ]
    start = threading.Barrier(4)

    def write(mine: list[dict[str, Any]]) -> None:
        start.wait()
        for one in mine:
            store.write([one])

    threads = [threading.Thread(target=write, args=(versions[n::4],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [title(store, number) for number in (1, 2, 3)] == ["version 11"] * 3


def test_an_insert_that_another_writer_was_faster_with_still_brings_the_newer(store: Store) -> None:
    """The race itself: the look finds nothing, then the other one inserts an older version."""
    newer = document(1, 5, title="newer")
    original = store.documents.insert_many
    other = document(1, 0, title="older")

    class Racing:
        def __getattr__(self, name: str) -> Any:
            return getattr(documents, name)

        def insert_many(self, *given: Any, **more: Any) -> Any:
            original([dict(other)])
            return original(*given, **more)

    documents = store.documents
    try:
        store.documents = Racing()  # type: ignore[assignment]
        assert store.write([newer, document(2)]) == Written(inserted=1, replaced=1)
    finally:
        store.documents = documents
    assert title(store) == "newer"
    assert store.documents.count_documents({}) == 2


def test_checkpoints_come_back_as_they_were(store: Store) -> None:
    assert store.checkpoint("Acme/Widget") == Checkpoint("acme/widget")
    walk = Walk("graphql", "shape", NOW, floor=NOW - SECOND, position="abc", top=NOW, pages=3)
    kept = Checkpoint("acme/widget", "acme/Widget", 7, "shape", NOW, True, 30, 1, 25, 'W/"x"', NOW, walk)
    store.save(kept)
    store.save(kept)
    assert store.checkpoint("ACME/widget") == kept
    assert store.checkpoint_by_id(7, other_than="acme/other") == kept
    assert store.checkpoint_by_id(7, other_than="acme/widget") is None
    store.checkpoints.update_one({"_id": "acme/widget"}, {"$set": {"of_a_later_version": 1, "walk.new": 2}})
    assert store.checkpoint("acme/widget") == kept
    store.forget("acme/widget")
    assert store.checkpoint("acme/widget") == Checkpoint("acme/widget")


def test_rejections_are_kept_once_and_forgiven(store: Store) -> None:
    one = Rejection("a/b#1", "a/b", 1, "title", "expected text", "rest", "pull request a/b#1", NOW)
    store.reject([one])
    store.reject([one])
    store.reject([])
    assert store.rejected_of("a/b") == {"a/b#1"}
    store.forgive(["a/b#1", "a/b#2"])
    store.forgive([])
    assert store.rejected_of("a/b") == set()


def test_documents_and_rejections_are_counted_together_and_by_repository(store: Store) -> None:
    store.write([document(1), document(2), document(3, repo_name="other/tool")])
    store.reject([Rejection("acme/widget#9", "acme/widget", 9, "title", "x", "rest", "p")])
    store.reject([Rejection("line:1", None, None, "line", "x", "file", "p")])
    store.reject([Rejection("acme/widget#1", "acme/widget", 1, "title", "of a later version", "rest", "p")])
    store.reject([Rejection("acme/widget#00ff", "acme/widget", None, "number", "x", "rest", "p")])
    store.reject([Rejection("only/rejected#1", "only/rejected", 1, "title", "x", "rest", "p")])
    many = [f"none/{number}" for number in range(600)]
    expected = {"acme/widget": 4, "other/tool": 1, "only/rejected": 1}
    assert store.stored(["acme/widget", *many, "other/tool", "only/rejected"]) == expected
    assert store.stored([]) == {}


def test_what_was_not_seen_is_found_in_batches(store: Store) -> None:
    store.write([document(number, fetched=-10) for number in range(1, 601)])
    store.write([document(number, fetched=10) for number in range(601, 605)])
    store.write([document(700, fetched=None)])
    found = [one for batch in store.not_seen_since("acme/widget", NOW) for one in batch]
    assert [number for _, number in found] == [*range(1, 601), 700]
    assert store.remove([identity for identity, _ in found[:2]]) == 2
    assert store.remove([]) == 0
    assert store.stored(["acme/widget"]) == {"acme/widget": 603}


def test_old_reasons_are_found_in_batches(store: Store) -> None:
    given = [
        Rejection(f"acme/widget#{n}", "acme/widget", n, "title", "x", "rest", "p", NOW - SECOND)
        for n in range(1, 601)
    ]
    fresh = Rejection("acme/widget#700", "acme/widget", 700, "title", "x", "rest", "p", NOW)
    other = Rejection("other/tool#1", "other/tool", 1, "title", "x", "rest", "p", NOW - SECOND)
    store.reject([*given, fresh, other])
    batches = list(store.rejected_before("acme/widget", NOW))
    assert max(map(len, batches)) <= 500
    assert sorted(one for batch in batches for one in batch) == sorted((r.key, r.number) for r in given)


def test_a_rename_moves_documents_and_drops_old_reasons(store: Store) -> None:
    store.write([document(1), document(2)])
    store.reject([Rejection("acme/widget#3", "acme/widget", 3, "title", "x", "rest", "p")])
    assert store.rename("acme/widget", "new/name") == 2
    assert store.stored(["acme/widget", "new/name"]) == {"new/name": 2}
    assert store.rejected_of("acme/widget") == set()


def test_mongodb_errors_are_clear_and_without_the_password() -> None:
    with pytest.raises(ServiceUnreachable, match="MongoDB did not answer") as caught:
        Store("mongodb://me:pass-word@127.0.0.1:9", "x", "y", wait_seconds=0.3)
    assert "pass-word" not in str(caught.value)
    with pytest.raises(WrongSettings, match="MONGO_URI"):
        Store("mongodb://me:pass@word@127.0.0.1", "x", "y")


def test_a_name_that_cannot_be_looked_up_may_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any, **__: Any) -> None:
        raise dns.resolver.NoNameservers

    monkeypatch.setattr(dns.resolver, "resolve", failing)
    with pytest.raises(ServiceUnreachable, match=r"looked up in DNS \(NoNameservers\)") as caught:
        Store("mongodb+srv://me:pass-word@db.example.test", "x", "y")
    assert "pass-word" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "expected"),
    [("", {"w": "majority"}), ("?w=1", {"w": 1}), ("?journal=true", {"w": "majority", "j": True})],
)
def test_a_page_is_durable_at_a_majority_unless_the_address_says_otherwise(
    mongo_uri: str, options: str, expected: dict[str, Any]
) -> None:
    store = Store(f"{mongo_uri}/{options}", "writes", "pull_requests")
    assert store.documents.write_concern.document == expected
    store.close()
