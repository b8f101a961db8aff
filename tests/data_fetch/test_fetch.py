"""fetch.py over GitHub in the same process: which repositories, by which interface, at what cost."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from data_fetch.budget import Budget, StoppableClock
from data_fetch.fetch import Fetch
from data_fetch.github import make_client
from data_fetch.progress import FetchProgress
from data_fetch.settings import Settings
from data_fetch.state import Checkpoint
from data_fetch.store import Store
from fetch_harness import TOKEN, World, iso, pull
from github_client.clock import SystemClock
from github_client.messages import Response
from local_setup.github_standin import DEFAULT_TOKEN
from pr_features.documents import from_rest, hash_author
from stage_runtime.exits import ServiceUnreachable, WrongSettings
from stage_runtime.signals import StopRequest

APIS = pytest.mark.parametrize("api", ["graphql", "rest"])


@pytest.fixture
def filled(world: World) -> World:
    world.fill("acme/widget", 30)
    world.fill("acme/gadget", 3)
    world.corpus.add_repository("acme/empty")
    return world


def calls(world: World, *args: Any, **more: Any) -> int:
    before = world.standin.log.calls
    world.fetch(*args, **more)
    return world.standin.log.calls - before


@APIS
def test_both_interfaces_give_the_same_documents(filled: World, api: str) -> None:
    filled.fetch(github_api=api)
    assert filled.stored() == filled.expected()
    assert {one["source"] for one in filled.store.documents.find()} == {api}


def test_graphql_takes_few_calls_and_nothing_when_nothing_changed(filled: World) -> None:
    assert calls(filled) == 4
    assert calls(filled) == 1
    assert filled.last.summary.unchanged == 3
    filled.corpus.update("acme/widget", 3, title="New")
    assert calls(filled) == 2
    assert filled.stored() == filled.expected()


def test_rest_takes_one_free_call_a_repository_when_nothing_changed(filled: World) -> None:
    filled.fetch(github_api="rest")
    assert calls(filled, github_api="rest") == 3 + 1  # an empty list does not say whose it is
    assert filled.standin.log.statuses[304] >= 2
    assert filled.budget.points <= 2
    filled.clock.advance(4_000)
    filled.corpus.update("acme/widget", 3, title="New")
    assert calls(filled, github_api="rest") == 3 + 1 + 1
    assert filled.stored() == filled.expected()


@APIS
def test_progress_knows_how_much_a_first_walk_will_read(
    filled: World, api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected: list[int] = []
    monkeypatch.setattr(FetchProgress, "expect", lambda shown, count: expected.append(count))
    filled.rest_per_page = 20
    filled.fetch("acme/widget", github_api=api)
    assert sum(expected) == {"graphql": 30, "rest": 40}[api]  # REST tells pages only
    expected.clear()
    filled.clock.advance(4_000)
    filled.corpus.update("acme/widget", 3, title="New")
    filled.fetch("acme/widget", github_api=api)
    assert sum(expected) == 0


def test_without_graphql_rest_is_used(filled: World) -> None:
    filled.standin.with_graphql = False
    filled.fetch()
    assert filled.stored() == filled.expected()
    assert {one["source"] for one in filled.store.documents.find()} == {"rest"}
    filled.fetch("acme/*")
    with pytest.raises(WrongSettings):
        filled.fetch(github_api="graphql")


def test_an_older_server_whose_graphql_lacks_a_field_is_read_by_rest(filled: World) -> None:
    """Such a server answers the probe, which asks for less, and refuses the walk."""
    refusal = {
        "path": ["query", "fullDatabaseId"],
        "extensions": {"code": "undefinedField"},
        "message": "Field 'fullDatabaseId' doesn't exist on type 'PullRequest'",
    }

    def older(request: Any, authorization: str, timeout: float) -> Any:
        if b"fullDatabaseId" in (request.body or b""):
            return Response(200, {}, json.dumps({"errors": [refusal]}).encode())
        return filled.transport(request, authorization, timeout)

    with pytest.raises(WrongSettings, match="fullDatabaseId"):
        filled.fetch(github_api="graphql", transport=older)
    filled.fetch(transport=older)
    assert filled.stored() == filled.expected()
    assert {one["source"] for one in filled.store.documents.find()} == {"rest"}


def test_an_address_that_leads_elsewhere_is_named(filled: World) -> None:
    """Such as http:// where only https:// answers: a query is never sent on to another place."""
    asked = []

    def moved(request: Any, authorization: str, timeout: float) -> Any:
        asked.append(request.url)
        return Response(301, {"location": "https://elsewhere.test/graphql"}, b"")

    with pytest.raises(WrongSettings, match="GITHUB_API_URL.*leads to https://elsewhere.test"):
        filled.fetch(transport=moved)
    assert len(asked) == 1


def test_a_search_that_github_refuses_is_named(filled: World) -> None:
    with pytest.raises(WrongSettings, match="GITHUB_SEARCH.*nonsense:zz"):
        filled.fetch(" ", github_api="rest", github_search="nonsense:zz")


def test_a_walk_goes_on_with_the_other_interface(filled: World) -> None:
    with pytest.raises(Exception, match="max-points"):
        filled.fetch(page_size=3, max_points=4)
    filled.fetch(github_api="rest")
    assert filled.stored() == filled.expected()


@APIS
def test_a_renamed_repository_is_followed(filled: World, api: str) -> None:
    filled.fetch("acme/widget", github_api=api)
    filled.corpus.rename("acme/widget", "acme/widget-two")
    filled.fetch("acme/widget", github_api=api)
    filled.corpus.update("acme/widget-two", 2, title="After the move")
    filled.fetch("acme/widget", github_api=api)
    assert {one["repo_name"] for one in filled.store.documents.find()} == {"acme/widget-two"}
    # And under its new name it is the same repository, not one more.
    assert calls(filled, "acme/widget-two", github_api=api) <= 4
    assert filled.store.checkpoints.count_documents({}) == 1
    filled.fetch("acme/widget,acme/widget-two", github_api=api)
    assert filled.store.documents.count_documents({}) == 30


@APIS
def test_another_repository_under_an_old_name_is_read_anew(filled: World, api: str) -> None:
    filled.fetch("acme/widget", github_api=api)
    filled.corpus.remove_repository("acme/widget")
    filled.clock.advance(60)
    for number in (1, 2):
        record = pull("else/where", number, filled.clock.now() - 50)
        record["base"]["repo"] = {**record["base"]["repo"], "full_name": "acme/widget"}
        filled.corpus.add(record)
    filled.fetch("acme/widget", github_api=api)
    expected = {i: d for i, d in filled.expected().items() if d["repo_name"] == "acme/widget"}
    assert filled.stored() == expected


@APIS
def test_a_full_resync_removes_what_was_deleted_and_nothing_else(filled: World, api: str) -> None:
    filled.fetch(github_api=api)
    filled.corpus.delete("acme/widget", 4)
    filled.corpus.delete("acme/widget", 30)
    filled.fetch(github_api=api)
    assert len(filled.stored()) == 33, "a deletion is not looked for unasked"
    filled.clock.advance(60)
    summary = filled.fetch(github_api=api, full_resync=True)
    assert summary.outcome.removed == 2
    assert filled.stored() == filled.expected()


@APIS
def test_what_was_deleted_from_the_store_comes_back(filled: World, api: str) -> None:
    filled.fetch(github_api="graphql")
    filled.store.documents.delete_many({"number": {"$lte": 5}})
    filled.fetch(github_api="graphql")
    assert filled.stored() == filled.expected()


def test_what_github_counts_and_does_not_list_is_said_once_and_not_fetched_for_ever(filled: World) -> None:
    filled.fetch("acme/widget")
    name = "acme/widget"
    document = filled.store.checkpoints.find_one({"_id": name})
    checkpoint = Checkpoint.from_document({**document, "name": name})
    original = filled.transport

    def hiding(request: Any, authorization: str, timeout: float) -> Any:
        response = original(request, authorization, timeout)
        body = response.body.replace(b'"totalCount":30', b'"totalCount":32')
        return type(response)(response.status, response.headers, body)

    filled.fetch(name, transport=hiding)
    assert filled.store.checkpoint(name).unseen == 2
    assert checkpoint.unseen == 0
    before = filled.standin.log.calls
    filled.fetch(name, transport=hiding)
    assert filled.standin.log.calls - before == 1


@APIS
def test_an_unusable_pull_request_is_rejected_with_its_reason_and_forgiven_later(
    filled: World, api: str
) -> None:
    filled.corpus.update("acme/widget", 7, additions=-5, updated_at=iso(filled.clock.now() - 40_000))
    summary = filled.fetch(github_api=api)
    assert summary.outcome.rejected == 1
    rejected = filled.store.rejected.find_one({})
    assert rejected["_id"] == "acme/widget#7"
    assert rejected["field"] == "additions"
    assert "expected" in rejected["reason"]
    assert len(filled.stored()) == 32
    assert calls(filled, github_api=api) <= 4, "a rejected one counts as known"
    filled.corpus.update("acme/widget", 7, additions=5)
    filled.fetch(github_api=api)
    assert filled.stored() == filled.expected()
    assert filled.store.rejected.count_documents({}) == 0


def test_a_pull_request_that_graphql_cannot_give_comes_by_rest(filled: World) -> None:
    filled.corpus.repository("acme/widget").spoilt.add(9)
    filled.fetch()
    assert filled.stored() == filled.expected()


@APIS
def test_a_blocked_repository_is_named_and_the_others_are_fetched(filled: World, api: str) -> None:
    filled.corpus.block("acme/gadget")
    with pytest.raises(WrongSettings, match=r"acme/gadget \((Blocked|NotFound)"):
        filled.fetch(github_api=api)
    assert len(filled.stored()) == 30


@APIS
def test_an_organisation_and_a_search_name_repositories(filled: World, api: str) -> None:
    filled.fill("other/tool", 2)
    filled.fetch("acme/*", github_api=api)
    assert {one["repo_name"] for one in filled.store.documents.find()} == {"acme/widget", "acme/gadget"}
    assert filled.last.summary.repositories == 3
    filled.fetch(" ", github_api=api, github_search="user:other")
    assert filled.stored() == filled.expected()
    filled.fetch(" ", github_api=api, github_search="user:acme", github_max_repos=1)
    assert filled.last.summary.repositories == 1


@APIS
def test_files_are_fetched_when_asked_for_and_completed_later(world: World, api: str) -> None:
    many = [{"filename": f"f{n:04}.py", "additions": n, "deletions": 0} for n in range(250)]
    world.corpus.add(pull("acme/widget", 1, world.clock.now() - 90_000, files=many))
    world.corpus.add(pull("acme/widget", 2, world.clock.now() - 80_000, files=many[:3]))
    world.fetch(github_api=api)
    assert [one["files"] for one in world.store.documents.find()] == [None, None]
    world.fetch(github_api=api, fetch_files=True)
    assert world.stored() == world.expected()
    assert calls(world, github_api=api, fetch_files=True) == 1


def test_authors_are_hashed_with_the_key_and_all_again_with_another(filled: World) -> None:
    for key in ("the first key of authors", "another key of authors"):
        filled.fetch(author_privacy="hash", author_hash_key=key)
        stored = {one["_id"]: one["author_login"] for one in filled.store.documents.find()}
        for repository in filled.corpus.repositories():
            for one in filled.corpus.pulls(repository.full_name):
                assert stored[one["id"]] == hash_author(from_rest(one), key.encode())["author_login"]
    text = str(list(filled.store.checkpoints.find()))
    assert "someone-private" not in text and "key of authors" not in text


def test_tokens_share_the_work_and_a_refused_one_is_left_out(world: World) -> None:
    for number in range(6):
        world.fill(f"acme/r{number}", 8)
    world.standin.add_token("second-token")
    world.fetch(github_token=f"{TOKEN},second-token,{DEFAULT_TOKEN}-unknown", page_size=3)
    assert world.stored() == world.expected()
    used = [caller.buckets["graphql"].used for caller in world.standin._callers.values()]
    assert all(used), used


def test_no_accepted_token_ends_with_wrong_settings(filled: World) -> None:
    with pytest.raises(WrongSettings, match="Bad credentials") as caught:
        filled.fetch(github_token="ghp_one-wrong,ghp_two-wrong")
    assert "ghp_" not in str(caught.value)


@APIS
@pytest.mark.parametrize("name", ["acme/anti-abuse", "acme/timeout-lib", "acme/dmca"])
def test_an_unknown_repository_is_one_whatever_its_name(filled: World, api: str, name: str) -> None:
    begin = filled.clock.now()
    with pytest.raises(WrongSettings, match=rf"{name} \(NotFound"):
        filled.fetch(f"acme/widget,{name}", github_api=api)
    assert filled.clock.now() - begin < 60
    assert len(filled.stored()) == 30


def test_what_may_pass_counts_before_what_lasts(filled: World) -> None:
    original = filled.transport

    def failing(request: Any, authorization: str, timeout: float) -> Any:
        response = original(request, authorization, timeout)
        walks_gadget = b'"gadget"' in (request.body or b"") and b"query Walk" in (request.body or b"")
        return type(response)(500, {}, b"") if walks_gadget else response

    with pytest.raises(ServiceUnreachable, match="acme/gadget"):
        filled.fetch("acme/nowhere,acme/gadget,acme/widget", transport=failing)
    assert len(filled.stored()) == 30


def test_a_position_that_github_forgot_is_begun_again(filled: World) -> None:
    with pytest.raises(Exception, match="max-points"):
        filled.fetch("acme/widget", page_size=3, max_points=4)
    filled.store.checkpoints.update_one({"_id": "acme/widget"}, {"$set": {"walk.position": "bm9uc2Vuc2U="}})
    filled.fetch("acme/widget")
    assert len(filled.stored()) == 30


def test_an_empty_store_with_old_checkpoints_is_filled_again(filled: World) -> None:
    filled.fetch()
    filled.store.documents.delete_many({})
    filled.fetch()
    assert filled.stored() == filled.expected()


def test_documents_say_when_they_were_fetched(filled: World) -> None:
    filled.fetch()
    now = datetime.fromtimestamp(filled.clock.now(), UTC)
    assert all(one["fetched_at"] <= now for one in filled.store.documents.find())


def test_one_threads_ending_ends_the_long_wait_of_another(filled: World) -> None:
    """A token that has to wait an hour must not keep the process from saying that MongoDB is gone."""
    filled.standin.add_token("second-token")
    stop = StopRequest()
    clock = StoppableClock(stop, SystemClock())
    budget = Budget(clock, stop)
    limited = threading.Event()

    def transport(request: Any, authorization: str, timeout: float) -> Any:
        if b'"gadget"' in (request.body or b"") and b"query Walk" in (request.body or b""):
            if "second-token" in authorization:
                return Response(404, {}, b"{}")
            limited.set()
            return Response(403, {"retry-after": "3600"}, b"{}")
        if b"query Walk" in (request.body or b""):
            limited.wait(20)
        return filled.transport(request, authorization, timeout)

    class Gone(Store):
        def __init__(self, store: Store) -> None:
            self.__dict__.update(store.__dict__)

        def write(self, documents: Any) -> Any:
            if documents:
                raise ServiceUnreachable("MongoDB did not answer")
            return super().write(documents)

    settings = Settings.model_validate(
        {"github_repos": "acme/gadget,acme/widget", "github_token": f"{TOKEN},second-token"}
    )
    client = make_client(settings, clock, budget, transport=transport)
    start = time.monotonic()
    with pytest.raises(ServiceUnreachable, match="MongoDB"):
        Fetch(settings, client, Gone(filled.store), clock, budget).run()
    assert time.monotonic() - start < 30
    assert limited.is_set()


@APIS
def test_a_second_edit_within_the_second_that_was_read_is_not_lost(filled: World, api: str) -> None:
    """GitHub's times have whole seconds: the same time of update does not mean the same content."""
    filled.fetch(github_api=api)
    for title in ("first", "second"):
        filled.corpus.update("acme/widget", 5, title=title)
        filled.fetch(github_api=api)
        assert filled.stored() == filled.expected()
