"""Several tokens, of which one does not see a repository: "not found" is then no word on what is in it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fetch_harness import TOKEN, World, pull
from github_client.messages import Response
from stage_runtime.exits import WrongSettings

APIS = pytest.mark.parametrize("api", ["graphql", "rest"])
BLIND = "a-second-token"
BOTH = pytest.mark.parametrize(
    "tokens", [f"{TOKEN},{BLIND}", f"{BLIND},{TOKEN}"], ids=["blind last", "blind first"]
)
HIDDEN = Response(404, {}, b'{"message": "Not Found"}')


class Blind:
    """A transport: BLIND does not see `repo`, nobody does once it is `gone`; both as GitHub tells it."""

    def __init__(self, world: World, repo: str = "acme/private") -> None:
        self.world = world
        self.repo = repo
        self.asked = 0
        self.gone = False
        world.standin.add_token(BLIND)

    def __call__(self, request: Any, authorization: str, timeout: float) -> Response:
        if BLIND not in authorization and not self.gone:
            return self.world.transport(request, authorization, timeout)
        if request.resource != "graphql":
            if f"/repos/{self.repo}" in request.url:
                self.asked += 1
                return HIDDEN
            return self.world.transport(request, authorization, timeout)
        response = self.world.transport(request, authorization, timeout)
        content = json.loads(response.body)
        for name, value in (content.get("data") or {}).items():
            if value and value.get("nameWithOwner") == self.repo:
                self.asked += 1
                content["data"][name] = None
                error = {"type": "NOT_FOUND", "path": [name], "message": "Could not resolve to a Repository"}
                content.setdefault("errors", []).append(error)
        return Response(200, response.headers, json.dumps(content).encode())


@pytest.fixture
def private(world: World) -> World:
    world.fill("acme/private", 40)
    world.fill("acme/public", 5)
    return world


@APIS
@BOTH
def test_nothing_is_lost_or_rejected(private: World, api: str, tokens: str) -> None:
    transport = Blind(private)
    private.corpus.spoil("acme/private", 9)
    for _ in range(3):
        private.fetch(github_api=api, github_token=tokens, transport=transport, page_size=7)
        assert private.stored() == private.expected()
        assert private.store.rejected.count_documents({}) == 0
        private.corpus.update("acme/private", 4, title="New")
        private.clock.advance(4_000)
    assert transport.asked


@APIS
@BOTH
def test_nor_are_files(world: World, api: str, tokens: str) -> None:
    many = [{"filename": f"f{n:04}.py", "additions": n, "deletions": 0} for n in range(250)]
    for number in (1, 2, 3):
        world.corpus.add(pull("acme/private", number, world.clock.now() - 90_000, files=many))
    world.corpus.spoil("acme/private", 2)
    world.fetch(github_api=api, github_token=tokens, transport=Blind(world), fetch_files=True)
    assert world.stored() == world.expected()
    assert world.store.rejected.count_documents({}) == 0


@APIS
@BOTH
def test_a_full_resync_removes_what_is_gone_and_nothing_else(private: World, api: str, tokens: str) -> None:
    private.fetch(github_api=api)
    private.clock.advance(4_000)
    for number in (5, 6, 7):
        private.corpus.update("acme/private", number, title="New")
    private.corpus.spoil("acme/private", 9)
    private.corpus.delete("acme/private", 30)
    transport = Blind(private)
    summary = private.fetch(github_api=api, github_token=tokens, full_resync=True, transport=transport)
    assert private.stored() == private.expected()
    assert (summary.outcome.removed, private.store.rejected.count_documents({})) == (1, 0)
    assert transport.asked


@APIS
def test_a_repository_that_is_gone_in_the_middle_loses_nothing(private: World, api: str) -> None:
    """Also when that happens while the end of a full walk asks for each that it did not meet."""
    private.fetch(github_api=api)
    stored = private.stored()
    for number in (3, 20):
        private.corpus.delete("acme/private", number)
    private.clock.advance(4_000)
    transport = Blind(private)

    def until_single(request: Any, authorization: str, timeout: float) -> Response:
        single = "/pulls/" in request.url or b"query PullRequests(" in (request.body or b"")
        transport.gone = transport.gone or single
        return transport(request, authorization, timeout)

    with pytest.raises(WrongSettings, match="acme/private"):
        private.fetch("acme/private", github_api=api, full_resync=True, transport=until_single)
    assert transport.gone
    assert private.stored() == stored
    assert private.store.rejected.count_documents({}) == 0
