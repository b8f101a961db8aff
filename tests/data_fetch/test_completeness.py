"""completeness.py: the store holds what GitHub has, of documents and of reasons for rejecting."""

from __future__ import annotations

from typing import Any

import pytest
from fetch_harness import World, iso

APIS = pytest.mark.parametrize("api", ["graphql", "rest"])
ALL = set(range(1, 41))  # more than a first look reads


@pytest.fixture
def rejected(world: World) -> World:
    """Pull requests, of which number 5 is stored as it was before it became unusable."""
    world.fill("acme/widget", len(ALL))
    world.fetch()
    world.clock.advance(4_000)
    world.corpus.update("acme/widget", 5, additions=-5)
    world.fetch()
    world.clock.advance(4_000)
    assert numbers(world) == (ALL, {5})
    return world


def numbers(world: World) -> tuple[set[int], set[int]]:
    """Of documents and of rejections."""
    found = (world.store.documents.find(), world.store.rejected.find())
    documents, reasons = ({one["number"] for one in some} for some in found)
    return documents, reasons


@APIS
def test_reasons_end_with_their_pull_request(rejected: World, api: str) -> None:
    rejected.corpus.update("acme/widget", 6, additions=-5)
    rejected.fetch(github_api=api)
    rejected.store.documents.delete_many({"number": 6})  # as if it had never been usable
    rejected.clock.advance(4_000)
    for number in (5, 6):
        rejected.corpus.delete("acme/widget", number)
    assert rejected.fetch(github_api=api, full_resync=True).outcome.removed == 1
    assert numbers(rejected) == (ALL - {5, 6}, set())
    assert rejected.stored() == rejected.expected()


@APIS
def test_reasons_stay_while_their_pull_request_does(rejected: World, api: str) -> None:
    assert rejected.fetch(github_api=api, full_resync=True).outcome.removed == 0
    assert numbers(rejected) == (ALL, {5})


def test_a_rejection_of_what_is_stored_hides_no_lost_document(rejected: World) -> None:
    rejected.store.documents.delete_many({"number": 3})
    rejected.fetch()
    assert numbers(rejected) == (ALL, {5})


def test_a_reason_whose_pull_request_cannot_be_named_ends_with_the_next_whole_walk(rejected: World) -> None:
    unnamed = {**rejected.store.rejected.find_one({}), "_id": "acme/widget#00ff", "number": None}
    rejected.store.rejected.insert_one(unnamed)
    rejected.fetch(full_resync=True)
    assert numbers(rejected) == (ALL, {5})


def test_what_becomes_usable_while_its_repository_is_read_is_not_rejected(world: World) -> None:
    world.fill("acme/widget", 10)
    world.corpus.update(
        "acme/widget", 3, additions=-5, updated_at=iso(world.clock.now() - 86_400 - 7 * 3_600)
    )

    def mended(number: int, request: Any) -> None:
        if world.store.rejected.count_documents({}) and world.corpus.pull("acme/widget", 3)["additions"] < 0:
            world.clock.advance(5)
            world.corpus.update("acme/widget", 3, additions=5)

    world.standin.before = mended
    world.fetch(page_size=3)
    assert world.stored() == world.expected()
    assert numbers(world) == (set(range(1, 11)), set())


@APIS
def test_reasons_are_kept_under_the_name_that_github_gives(world: World, api: str) -> None:
    """However it is written in GITHUB_REPOS, and after it was renamed."""
    world.fill("acme/widget", 10)
    world.corpus.rename("acme/widget", "acme/Gadget")
    world.corpus.update("acme/gadget", 7, additions=-5)
    for name in ("ACME/GADGET", "acme/widget"):
        world.fetch(name, github_api=api)
        assert [one["_id"] for one in world.store.rejected.find()] == ["acme/Gadget#7"]
        world.clock.advance(4_000)
    world.corpus.update("acme/gadget", 7, additions=5)
    world.fetch("ACME/GADGET", github_api=api)
    assert numbers(world) == (set(range(1, 11)), set())
