"""discovery.py: owners and searches become names, whoever may see them and whatever a reply leads to."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

import pytest
from data_fetch.budget import Budget
from data_fetch.discovery import discover
from data_fetch.github import make_client
from data_fetch.settings import Settings
from fetch_harness import TOKEN, TestClock, World
from github_client.errors import NoCredential
from github_client.messages import Request, Response
from stage_runtime.exits import WrongSettings
from stage_runtime.signals import StopRequest
from structlog.testing import capture_logs

APIS = pytest.mark.parametrize("api", ["graphql", "rest"])


def test_a_page_on_another_host_is_named_and_not_asked_for(world: World) -> None:
    """A Link header is followed with the token: only to the server that the token is for."""
    world.fill("acme/widget", 3)
    asked = []

    def leading_away(request: Any, authorization: str, timeout: float) -> Any:
        asked.append(request.url)
        reply = world.transport(request, authorization, timeout)
        if "/orgs/" not in request.url and "/users/" not in request.url:
            return reply
        return Response(reply.status, {"link": '<http://evil.test/x?page=2>; rel="next"'}, reply.body)

    with pytest.raises(WrongSettings, match=r"GITHUB_API_URL.*leads to http://evil\.test/x"):
        world.fetch("acme/*", github_api="rest", transport=leading_away)
    assert asked and all(url.startswith("http://github.test/") for url in asked), asked


SECOND = "second-token"


@dataclass
class TwoViews:
    """One GitHub as two tokens see it: some repositories by both, some by one of them only."""

    first: World
    second: World
    asked: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.second.standin.add_token(SECOND)

    def transport(self, request: Request, authorization: str, timeout: float) -> Response:
        """The answer that this token gets."""
        token = authorization.removeprefix("Bearer ")
        self.asked.append((token, unquote_plus(request.url) + (request.body or b"").decode()))
        return (self.second if token == SECOND else self.first).transport(request, authorization, timeout)

    def discover(
        self, entries: str = "", search: str = "", *, api: str, most: int = 100, tokens: str = ""
    ) -> list[str]:
        """The names that a run would begin with."""
        settings = Settings.model_validate(
            {
                "github_repos": entries,
                "github_search": search,
                "github_token": tokens or f"{TOKEN},{SECOND}",
                "github_api_url": "http://github.test",
            }
        )
        clock = TestClock(self.first.clock)
        budget = Budget(clock, StopRequest())
        client = make_client(settings, clock, budget, transport=self.transport)
        return discover(client, api, list(filter(None, entries.split(","))), search, most)


@pytest.fixture
def views(world: World) -> TwoViews:
    return TwoViews(world, World(world.store, world.clock))


@APIS
def test_every_token_lists_an_owner_and_pages_of_one_list_are_asked_for_by_one(
    views: TwoViews, api: str
) -> None:
    """Private repositories shift a token's pages: those of two tokens do not fit together."""
    for number in range(250):
        if number % 5:
            views.first.corpus.add_repository(f"acme/r{number:03}", id=number + 1)
        if number % 3 == 0 or number > 200:
            views.second.corpus.add_repository(f"acme/r{number:03}", id=number + 1)
    everything = {one.full_name for view in (views.first, views.second) for one in view.corpus.repositories()}
    names = views.discover("acme/*", api=api)
    assert set(names) == everything
    assert len(names) == len(everything)
    tokens = [token for token, _ in views.asked]
    assert tokens == sorted(tokens, key=[TOKEN, SECOND].index), "one list after the other"


def test_what_only_one_of_two_tokens_sees_is_fetched(views: TwoViews) -> None:
    for view, name in ((views.first, "acme/one"), (views.second, "acme/two")):
        view.fill("acme/both", 4)
        view.fill(name, 3)
    everything = views.first.expected() | views.second.expected()
    for named in ({"repos": "acme/*"}, {"repos": " ", "github_search": "user:acme"}):
        views.first.store.documents.delete_many({})
        summary = views.first.fetch(**named, github_token=f"{TOKEN},{SECOND}", transport=views.transport)
        assert summary.repositories == 3
        assert views.first.stored() == everything


@APIS
def test_an_owner_that_one_token_sees_exists(views: TwoViews, api: str) -> None:
    views.second.corpus.add_repository("acme/hidden")
    assert views.discover("acme/*", api=api) == ["acme/hidden"]
    with pytest.raises(WrongSettings, match="found nobody, which GitHub does not know"):
        views.discover("nobody/*", api=api)


@APIS
def test_a_refused_token_lists_nothing_and_the_other_does(views: TwoViews, api: str) -> None:
    views.second.corpus.add_repository("acme/widget")
    assert views.discover("acme/*", api=api, tokens=f"unknown,{SECOND}") == ["acme/widget"]
    with pytest.raises(NoCredential) as caught:
        views.discover("acme/*", api=api, tokens="unknown,another")
    assert len(caught.value.reasons) == 2


@APIS
def test_a_search_is_the_best_of_what_every_token_finds(views: TwoViews, api: str) -> None:
    for number in range(6):
        views.first.corpus.add_repository(f"a/r{number}", id=number + 1, stargazers_count=number)
        views.second.corpus.add_repository(f"b/r{number}", id=number + 11, stargazers_count=number)
    found = views.discover(search="stars:>0", api=api, most=3)
    assert found == ["a/r5", "b/r5", "a/r4"]
    assert len(views.discover(search="stars:>0", api=api)) == 10


@APIS
@pytest.mark.parametrize(
    ("search", "given"),
    [("language:go", False), ("language:go sort:updated-desc", True), ("in:name resort:x", False)],
)
def test_a_search_has_a_fixed_order(views: TwoViews, api: str, search: str, given: bool) -> None:
    """GitHub's own order, the best match, is another one for each token and from page to page."""
    with suppress(WrongSettings):
        views.discover(search=search, api=api)
    text = views.asked[0][1]
    assert search in text
    ours = "sort:stars-desc" if api == "graphql" else "sort=stars&order=desc"
    assert (ours in text) is not given


def test_repositories_that_github_keeps_back_are_told(views: TwoViews) -> None:
    """As for a token that is not authorised for an organisation's single sign-on."""
    for number in range(3):
        views.first.corpus.add_repository(f"acme/r{number}", id=number + 1)

    def keeping_back(request: Request, authorization: str, timeout: float) -> Response:
        reply = views.first.transport(request, authorization, timeout)
        content = json.loads(reply.body)
        content["data"]["repositoryOwner"]["repositories"]["nodes"][1] = None
        path = ["repositoryOwner", "repositories", "nodes", 1]
        content["errors"] = [{"type": "FORBIDDEN", "path": path, "message": "protected by SAML"}]
        return Response(reply.status, reply.headers, json.dumps(content).encode())

    views.transport = keeping_back  # type: ignore[method-assign]
    with capture_logs() as said:
        assert views.discover("acme/*", api="graphql", tokens=TOKEN) == ["acme/r0", "acme/r2"]
    assert [(one["count"], one["reasons"]) for one in said] == [(1, ["protected by SAML"])]


def test_a_search_that_ran_out_of_time_is_told(views: TwoViews) -> None:
    views.first.corpus.add_repository("acme/widget")

    def cut(request: Request, authorization: str, timeout: float) -> Response:
        reply = views.first.transport(request, authorization, timeout)
        body = reply.body.replace(b'"incomplete_results":false', b'"incomplete_results":true')
        assert body != reply.body
        return Response(reply.status, reply.headers, body)

    views.transport = cut  # type: ignore[method-assign]
    with capture_logs() as said:
        assert views.discover(search="widget", api="rest", tokens=TOKEN) == ["acme/widget"]
    assert ["incomplete" in one["event"] for one in said] == [True]
