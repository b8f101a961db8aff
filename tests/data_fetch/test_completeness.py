"""completeness.py: the store holds what GitHub has, of documents and of reasons for rejecting."""

from __future__ import annotations

import pytest
from fetch_harness import World

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
