"""What GitHub's GraphQL gives up (502, 504): asked for less where that is possible, else once more."""

from __future__ import annotations

from typing import Any

import pytest
from fetch_harness import World, pull
from github_client.messages import Response

CUT_OFF = pytest.mark.parametrize("name", ["server-502", "server-504", "graphql-timeout"])


def failing_once(world: World, name: str, words: bytes) -> Any:
    """A transport: the first query with these words fails in this way."""
    left = [1]

    def transport(request: Any, authorization: str, timeout: float) -> Any:
        if words in (request.body or b"") and left:
            left.clear()
            world.standin.faults.script([name])
        return world.transport(request, authorization, timeout)

    return transport


@CUT_OFF
def test_the_files_beyond_a_hundred_survive_a_query_given_up(world: World, name: str) -> None:
    many = [{"filename": f"f{n:04}.py", "additions": n, "deletions": 0} for n in range(250)]
    world.corpus.add(pull("acme/widget", 1, world.clock.now() - 90_000, files=many))
    world.fetch(fetch_files=True, transport=failing_once(world, name, b"query Files"))
    assert world.standin.faults.happened == {name: 1}
    assert world.stored() == world.expected()


@CUT_OFF
@pytest.mark.parametrize(
    ("words", "repos", "search"),
    [
        (b"{ rateLimit { cost } }", "acme/*", ""),
        (b"query Owner", "acme/*", ""),
        (b"query Search", " ", "user:acme"),
        (b"query Repositories", "acme/widget", ""),
        (b"query Repositories", "acme/*", ""),
    ],
)
def test_finding_the_repositories_survives_a_query_given_up(
    world: World, name: str, words: bytes, repos: str, search: str
) -> None:
    world.fill("acme/widget", 3)
    world.fill("acme/gadget", 2)
    world.fetch(repos, github_search=search, transport=failing_once(world, name, words))
    assert world.standin.faults.happened == {name: 1}
    names = {"acme/widget"} if repos == "acme/widget" else {"acme/widget", "acme/gadget"}
    assert {one["repo_name"] for one in world.store.documents.find()} == names


def test_half_a_minute_without_graphql_fails_no_repository(world: World) -> None:
    world.fill("acme/widget", 30)
    world.fill("acme/gadget", 3)
    begin = world.clock.now()
    failed = []

    def outage(request: Any, authorization: str, timeout: float) -> Any:
        if world.clock.now() - begin < 30 and request.resource == "graphql":
            failed.append(request)
            return Response(502, {}, b"{}")
        return world.transport(request, authorization, timeout)

    world.fetch(transport=outage)
    assert 5 <= len(failed) <= 20
    assert world.stored() == world.expected()
    assert {one["source"] for one in world.store.documents.find()} == {"graphql"}
