"""One pull request that GitHub does not give holds up no other and is never left out without a word."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fetch_harness import World
from github_client.errors import NetworkFailure
from github_client.messages import Response
from stage_runtime.exits import ServiceUnreachable

APIS = pytest.mark.parametrize("api", ["graphql", "rest"])


def failing(world: World, answer: Response | None, *paths: str) -> Any:
    """A transport: these paths always have this answer (None: a time-out)."""

    def transport(request: Any, authorization: str, timeout: float) -> Response:
        if request.url.split("?")[0].endswith(paths):
            if answer is None:
                raise NetworkFailure(f"{request.label}: ReadTimeout")
            return answer
        return world.transport(request, authorization, timeout)

    return transport


def said(status: int, message: str) -> Response:
    return Response(status, {}, json.dumps({"message": message}).encode())


LASTING = pytest.mark.parametrize(
    ("answer", "words"),
    [
        (said(500, "Server Error"), "Server Error"),
        (said(451, "Repository access blocked"), "blocked"),
        (said(403, "Resource not accessible by integration"), "not accessible"),
        (said(422, "Sorry, this diff is taking too long to generate."), "too long"),
        (Response(200, {}, b'{"cut'), "expected JSON"),
        (None, "ReadTimeout"),
    ],
)


@APIS
@LASTING
def test_one_that_is_never_given_is_rejected_with_the_reason(
    world: World, api: str, answer: Response | None, words: str
) -> None:
    world.fill("acme/widget", 10)
    world.corpus.spoil("acme/widget", 4)  # GraphQL does not give it either
    begin = world.clock.now()
    world.fetch("Acme/Widget", github_api=api, transport=failing(world, answer, "/pulls/4"))
    assert len(world.stored()) == 9
    rejected = world.store.rejected.find_one({})
    assert (rejected["_id"], rejected["number"]) == ("acme/widget#4", 4)
    assert words in rejected["reason"]
    assert world.clock.now() - begin < 300
    world.clock.advance(4_000)
    world.corpus.update("acme/widget", 4, title="Given at last")
    world.fetch("Acme/Widget", github_api=api)
    assert world.stored() == world.expected()
    assert world.store.rejected.count_documents({}) == 0


@APIS
def test_what_a_passing_failure_has_kept_back_comes_with_the_next_run(world: World, api: str) -> None:
    world.fill("acme/widget", 10)
    world.corpus.spoil("acme/widget", 4)  # GraphQL does not give it either
    outage = failing(world, said(500, "Server Error"), "/pulls/4", "/pulls/5")
    world.fetch(github_api=api, transport=outage)
    assert world.store.rejected.count_documents({}) >= 1
    world.clock.advance(4_000)
    summary = world.fetch(github_api=api)  # nothing else has changed
    assert summary.outcome.written >= 1
    assert world.stored() == world.expected()
    assert world.store.rejected.count_documents({}) == 0


def test_what_is_not_given_for_a_day_is_not_asked_for_in_every_run(world: World) -> None:
    world.fill("acme/widget", 10)
    asked: list[str] = []

    def never(request: Any, authorization: str, timeout: float) -> Response:
        if request.url.endswith("/pulls/4"):
            asked.append(request.url)
            return said(500, "Server Error")
        return world.transport(request, authorization, timeout)

    for hours, expected in ((0, True), (12, True), (13, False), (12, False)):
        world.clock.advance(hours * 3_600)
        asked.clear()
        world.fetch(github_api="rest", transport=never)
        assert bool(asked) is expected, hours
    assert world.store.rejected.distinct("_id") == ["acme/widget#4"]


def test_where_much_is_not_given_the_next_run_asks_for_three_of_it(world: World) -> None:
    world.fill("acme/widget", 10)
    paths = [f"/pulls/{number}" for number in range(1, 9)]
    world.fetch(github_api="rest", transport=failing(world, said(422, "too large"), *paths))
    assert world.store.rejected.count_documents({}) == 8
    world.clock.advance(4_000)
    asked: list[str] = []

    def never(request: Any, authorization: str, timeout: float) -> Response:
        if request.url.endswith(tuple(paths)):
            asked.append(request.url)
            return said(422, "too large")
        return world.transport(request, authorization, timeout)

    world.fetch(github_api="rest", transport=never)
    assert len(set(asked)) == 3
    world.clock.advance(4_000)
    world.fetch(github_api="rest")
    assert world.stored() == world.expected()


@pytest.mark.parametrize(
    "answer", [said(500, "Server Error"), said(422, "too large"), said(404, "Not Found")]
)
def test_the_files_that_are_never_given_reject_their_pull_request_only(
    world: World, answer: Response
) -> None:
    world.fill("acme/widget", 10)
    world.fetch(github_api="rest", fetch_files=True, transport=failing(world, answer, "/pulls/4/files"))
    assert len(world.stored()) == 9
    assert world.store.rejected.distinct("_id") == ["acme/widget#4"]


def test_where_the_repository_does_not_answer_either_it_is_not_finished_and_nothing_rejected(
    world: World,
) -> None:
    world.fill("acme/widget", 10)
    down = failing(world, said(500, "Server Error"), "/pulls/4", "/repos/acme/widget")
    with pytest.raises(ServiceUnreachable, match=r"acme/widget \(ServerFailure"):
        world.fetch(github_api="rest", transport=down)
    assert world.store.rejected.count_documents({}) == 0
    world.fetch(github_api="rest")
    assert world.stored() == world.expected()


@APIS
def test_a_full_resync_keeps_what_is_not_given(world: World, api: str) -> None:
    world.fill("acme/widget", 10)
    world.fetch(github_api=api)
    world.clock.advance(4_000)
    world.corpus.update("acme/widget", 4, title="New")
    world.corpus.spoil("acme/widget", 4)
    never = failing(world, said(500, "Server Error"), "/pulls/4")
    summary = world.fetch(github_api=api, full_resync=True, transport=never)
    assert (len(world.stored()), summary.outcome.removed) == (10, 0)


@APIS
def test_what_is_not_found_in_passing_is_neither_rejected_nor_removed(world: World, api: str) -> None:
    world.fill("acme/widget", 10)
    world.corpus.spoil("acme/widget", 4)
    missing = [1]

    def once(request: Any, authorization: str, timeout: float) -> Response:
        if request.url.endswith("/pulls/4") and missing:
            missing.clear()
            return said(404, "Not Found")
        return world.transport(request, authorization, timeout)

    for resync in (False, True):
        missing.append(1)
        world.fetch(github_api=api, full_resync=resync, transport=once)
        assert not missing
        assert world.stored() == world.expected()
        assert world.store.rejected.count_documents({}) == 0
        world.clock.advance(4_000)
        world.corpus.update("acme/widget", 4, title="New")


@APIS
def test_one_that_cannot_be_shaped_is_rejected_under_its_repositorys_own_name(world: World, api: str) -> None:
    world.fill("acme/widget", 10)
    world.corpus.update("acme/widget", 4, additions=-5)
    world.fetch("ACME/Widget", github_api=api)
    assert world.store.rejected.distinct("_id") == ["acme/widget#4"]
    world.clock.advance(4_000)
    world.corpus.update("acme/widget", 4, additions=5)
    world.fetch("ACME/Widget", github_api=api)
    assert world.stored() == world.expected()
    assert world.store.rejected.count_documents({}) == 0


# --- a null in a page of GraphQL ------------------------------------------------------------------


def test_a_null_node_is_asked_for_by_number(world: World) -> None:
    world.fill("acme/widget", 10)
    world.standin.faults.script([None, "null-node-unavailable"])
    world.fetch(page_size=4)
    assert world.standin.faults.happened == {"null-node-unavailable": 1}
    assert world.stored() == world.expected()
    assert {one["source"] for one in world.store.documents.find()} == {"graphql"}


def test_a_null_node_is_not_lost_when_its_page_moves_before_the_second_look(world: World) -> None:
    """The page of the second look begins with what was updated since, and so ends before the null."""
    world.fill("acme/widget", 10)
    world.fetch()
    world.clock.advance(4_000)
    for number in (1, 2, 3, 4, 5):
        world.clock.advance(400)
        world.corpus.update("acme/widget", number, title="New")
    world.clock.advance(400)
    looks = []

    def before(number: int, request: Any) -> None:
        if b"query Numbers" in request.body:
            looks.append(number)
            world.corpus.update("acme/widget", 9, title="Newer")

    world.standin.before = before
    world.standin.faults.script([None, "null-node-unavailable"])  # the probe, then 5, 4 and the null 3
    world.fetch(page_size=3)
    assert looks
    assert world.stored() == world.expected()


def test_a_null_among_the_numbers_is_no_end_of_the_page(world: World) -> None:
    world.fill("acme/widget", 10)
    world.standin.faults.script([None, "null-node-unavailable", "null-node-unavailable"])
    with pytest.raises(ServiceUnreachable, match="without its number"):
        world.fetch(page_size=4)
    world.fetch(page_size=4)
    assert world.stored() == world.expected()
    assert world.store.rejected.count_documents({}) == 0
