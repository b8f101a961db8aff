"""Failures on purpose: each kind is what GitHub really sends, as often as it was asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from local_setup.github_standin import FAULTS, TRANSIENT, Corpus, Faults, GitHubStandIn, ManualClock

QUERY = '{ repository(owner: "%s", name: "%s") { pullRequests(first: 2) { nodes { number } } } }'


@pytest.mark.parametrize("name", FAULTS)
def test_every_kind_happens_by_script_and_only_once(
    standin: GitHubStandIn, client: Any, busiest: str, name: str
) -> None:
    fault = FAULTS[name]
    standin.faults.script([name])

    def ask() -> Any:
        if fault.where == "rest":
            return client.get(f"/repos/{busiest}/pulls")
        return client.post(QUERY % tuple(busiest.split("/")))

    failed, right = ask(), ask()
    assert right.status == 200
    assert "errors" not in json.loads(right.body)
    assert standin.faults.happened == {name: 1}
    changed = (failed.status, failed.body, failed.cut, failed.hang_up, failed.delay) != (
        right.status, right.body, right.cut, right.hang_up, right.delay,
    )  # fmt: skip
    assert changed


@pytest.mark.parametrize(
    ("name", "status", "headers"),
    [
        ("rate-limit-403", 403, {"X-RateLimit-Remaining": "0"}),
        ("rate-limit-429", 429, {"X-RateLimit-Remaining": "0"}),
        ("secondary-403", 403, {"Retry-After": "30"}),
        ("secondary-429", 429, {"Retry-After": "8"}),
        ("abuse", 403, {}),
        ("bad-credentials", 401, {}),
        ("forbidden", 403, {"X-Accepted-OAuth-Scopes": "repo"}),
        ("blocked", 451, {}),
        ("server-502", 502, {}),
    ],
)
def test_status_and_headers(
    standin: GitHubStandIn, client: Any, busiest: str, name: str, status: int, headers: dict[str, str]
) -> None:
    standin.faults.script([name])
    reply = client.get(f"/repos/{busiest}")
    assert reply.status == status
    assert headers.items() <= reply.headers.items()
    if not headers:
        assert "Retry-After" not in reply.headers


def test_chance_is_seeded_and_as_often_as_asked(corpus: Corpus, busiest: str) -> None:
    def statuses(seed: int) -> list[int]:
        faults = Faults({"server-500": 0.1, "secondary-429": 0.05, "graphql-timeout": 1.0}, seed)
        standin = GitHubStandIn(corpus, clock=ManualClock(), faults=faults)
        header = {"Authorization": "token local-token"}
        return [standin.request("GET", f"http://h/repos/{busiest}", header).status for _ in range(800)]

    first = statuses(1)
    assert first == statuses(1) != statuses(2)
    assert 50 < first.count(500) < 115
    assert 20 < first.count(429) < 65
    assert set(first) == {200, 500, 429}, "a failure of GraphQL does not happen to REST"


def test_waits_can_be_shortened(corpus: Corpus, clock: ManualClock, busiest: str) -> None:
    faults = Faults(wait=1)
    standin = GitHubStandIn(corpus, clock=clock, faults=faults)
    header = {"Authorization": "token local-token"}
    faults.script(["secondary-403", "rate-limit-403", "slow"])
    replies = [standin.request("GET", f"http://h/repos/{busiest}", header) for _ in range(3)]
    assert replies[0].headers["Retry-After"] == "1"
    assert int(replies[1].headers["X-RateLimit-Reset"]) == int(clock.now()) + 1
    assert replies[2].delay == 1.0


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no failure is called 'flood'; known: rate-limit-403"):
        Faults({"flood": 0.1})
    with pytest.raises(ValueError, match="flood"):
        Faults().script(["flood"])


def test_what_passes_by_itself_is_told_from_what_does_not() -> None:
    assert {"bad-credentials", "not-found", "blocked"}.isdisjoint(TRANSIENT)
    assert {"truncated-json", "hang-up", "graphql-resources", "null-node", "null-node-unavailable"} <= set(
        TRANSIENT
    )


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("secondary-429", 429, "secondary rate limit"),
        ("secondary-bare", 403, "secondary rate limit"),
        ("bad-credentials", 401, "Bad credentials"),
        ("not-found", 404, "Not Found"),
        ("abuse", 403, "abuse detection mechanism"),
        ("rate-limit-403", 403, "API rate limit exceeded"),
    ],
)
def test_the_words_are_those_that_were_recorded(
    standin: GitHubStandIn, client: Any, busiest: str, pr_data: Path, name: str, status: int, words: str
) -> None:
    recorded = [
        entry["response"]
        for file in sorted(pr_data.glob("github_api_replies_*.json"))
        for entry in json.loads(file.read_text())
    ]
    said = [
        one["body"]["message"]
        for one in recorded
        if one["status"] == status and isinstance(one["body"], dict) and "message" in one["body"]
    ]
    assert any(words.lower() in one.lower() for one in said), said
    standin.faults.script([name])
    reply = client.get(f"/repos/{busiest}")
    assert reply.status == status
    assert words.lower() in json.loads(reply.body)["message"].lower()
