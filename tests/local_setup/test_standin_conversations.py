"""Comments and statuses of the stand-in."""

from __future__ import annotations

import json
from typing import Any

from local_setup.github_standin import Corpus, GitHubStandIn, Reply


def send(
    standin: GitHubStandIn, method: str, path: str, content: Any = None, token: str = "local-token"
) -> Reply:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    body = b"" if content is None else json.dumps(content).encode()
    return standin.request(method, f"http://h{path}", headers, body)


def test_a_comment_is_added_edited_by_anybody_and_removed(
    standin: GitHubStandIn, corpus: Corpus, busiest: str
) -> None:
    standin.add_token("other")
    number = next(iter(corpus.pulls(busiest)))["number"]
    place = f"/repos/{busiest}/issues/{number}/comments"
    added = json.loads(send(standin, "POST", place, {"body": "one"}).body)
    assert send(standin, "POST", place, {"body": "two"}, "other").status == 201
    found = json.loads(send(standin, "GET", place).body)
    assert [one["body"] for one in found] == ["one", "two"]
    assert found[0]["user"]["id"] != found[1]["user"]["id"]
    one = f"/repos/{busiest}/issues/comments/{added['id']}"
    assert json.loads(send(standin, "PATCH", one, {"body": "edited"}, "other").body)["body"] == "edited"
    assert send(standin, "DELETE", one).status == 204
    assert send(standin, "PATCH", one, {"body": "x"}).status == 404
    assert len(json.loads(send(standin, "GET", place).body)) == 1


def test_comments_come_in_pages(standin: GitHubStandIn, corpus: Corpus, busiest: str) -> None:
    number = next(iter(corpus.pulls(busiest)))["number"]
    place = f"/repos/{busiest}/issues/{number}/comments"
    for text in range(5):
        send(standin, "POST", place, {"body": str(text)})
    first = send(standin, "GET", f"{place}?per_page=3")
    following = first.headers["Link"].partition(">")[0].removeprefix("<http://h")
    assert [one["body"] for one in json.loads(send(standin, "GET", following).body)] == ["3", "4"]


def test_a_status_stands_at_its_commit(standin: GitHubStandIn, busiest: str) -> None:
    place = f"/repos/{busiest}/statuses/{'a' * 40}"
    for state in ("pending", "success"):
        assert send(standin, "POST", place, {"state": state, "context": "c"}).status == 201
    kept = json.loads(send(standin, "GET", f"/repos/{busiest}/commits/{'a' * 40}/statuses").body)
    assert [one["state"] for one in kept] == ["success", "pending"]
    assert send(standin, "POST", place, {"state": "good"}).status == 422
    assert send(standin, "POST", place, {"state": "error", "description": "x" * 141}).status == 422


def test_nobody_writes_without_a_token_or_where_nothing_is(standin: GitHubStandIn, busiest: str) -> None:
    assert (
        send(standin, "POST", f"/repos/{busiest}/statuses/{'a' * 40}", {"state": "error"}, "").status == 401
    )
    assert send(standin, "POST", f"/repos/{busiest}/issues/999999/comments", {"body": "x"}).status == 404
    assert send(standin, "GET", "/repos/no/body/issues/1/comments").status == 404
