"""GraphQL of the stand-in: pages by key, errors in GitHub's form, points by GitHub's formula."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from local_setup.github_standin import Corpus, GitHubStandIn, cursors

PAGE = """
query($owner: String!, $name: String!, $first: Int!, $after: String, $states: [PullRequestState!]) {
  rateLimit { cost limit remaining used resetAt nodeCount }
  repository(owner: $owner, name: $name) {
    nameWithOwner
    pullRequests(first: $first, after: $after, states: $states,
                 orderBy: {field: UPDATED_AT, direction: DESC}) {
      totalCount
      pageInfo { hasNextPage endCursor }
      nodes { fullDatabaseId number title updatedAt state author { __typename login ... on User { databaseId } }
              labels(first: 100) { nodes { name } totalCount } commits { totalCount }
              assignees { totalCount } files(first: 3) { nodes { path } pageInfo { hasNextPage endCursor } } }
    }
  }
}"""


def pages(client: Any, full_name: str, first: int, between: Any = None, **more: Any) -> list[dict[str, Any]]:
    owner, name = full_name.split("/")
    after, found = None, []
    while True:
        data = client.graphql(PAGE, owner=owner, name=name, first=first, after=after, **more)["data"]
        connection = data["repository"]["pullRequests"]
        found += connection["nodes"]
        if not connection["pageInfo"]["hasNextPage"]:
            return found
        after = connection["pageInfo"]["endCursor"]
        if between is not None:
            between(found)


@pytest.mark.parametrize("first", [1, 7, 100])
def test_a_walk_gives_every_pull_request_once_newest_update_first(
    client: Any, corpus: Corpus, busiest: str, first: int
) -> None:
    found = pages(client, busiest, first)
    repository = corpus.repository(busiest)
    assert repository is not None
    assert len(found) == len(repository)
    keys = [(one["updatedAt"], int(one["fullDatabaseId"])) for one in found]
    assert keys == sorted(keys, reverse=True)
    assert {one["number"] for one in found} == set(repository.entries)


def test_a_page_goes_on_after_its_key_whatever_was_updated(client: Any, corpus: Corpus, busiest: str) -> None:
    """What moves to the front during the walk is not seen again; nothing that stays is skipped."""
    touched: list[int] = []

    def touch(found: list[dict[str, Any]]) -> None:
        seen = {one["number"] for one in found}
        repository = corpus.repository(busiest)
        assert repository is not None
        touched.append(next(number for _, _, number in repository.by_updated if number not in seen))
        corpus.update(busiest, touched[-1], title="touched")

    found = [one["number"] for one in pages(client, busiest, 10, touch)]
    everything = {pull["number"] for pull in corpus.pulls(busiest)}
    assert len(found) == len(set(found))
    assert set(found) == everything - set(touched)


def test_equal_times_are_told_apart_by_id(client: Any, corpus: Corpus, busiest: str) -> None:
    for pull in list(corpus.pulls(busiest)):
        corpus.update(busiest, pull["number"], updated_at="2026-01-01T00:00:00Z")
    found = pages(client, busiest, 3)
    assert len({one["number"] for one in found}) == len(found) == len(corpus.repository(busiest) or ())


def test_states_select_and_count(client: Any, corpus: Corpus, busiest: str) -> None:
    repository = corpus.repository(busiest)
    assert repository is not None
    found = pages(client, busiest, 9, states=["MERGED"])
    assert len(found) == repository.counts["MERGED"] > 0
    assert {one["state"] for one in found} == {"MERGED"}


def test_the_cursor_is_a_key_as_githubs_is() -> None:
    cursor = cursors.encode_key(1_484_876_252, 237_892_105)
    assert base64.b64decode(cursor).startswith(b"cursor:v2:\x92")
    assert cursors.decode_key(cursor) == (1_484_876_252, 237_892_105)
    for wrong in ("", "nonsense", "Y3Vyc29yOnYyOg==", base64.b64encode(b"cursor:v2:\x92\xb4x").decode()):
        with pytest.raises(ValueError):
            cursors.decode_key(wrong)


def test_nodes_have_graphqls_spelling(client: Any, corpus: Corpus) -> None:
    found = [
        (node, corpus.pull(repository.full_name, node["number"]))
        for repository in corpus.repositories()
        for node in pages(client, repository.full_name, 50)
    ]
    assert "Bot" in {node["author"]["__typename"] for node, _ in found}
    for node, pull in found:
        assert pull is not None
        assert node["fullDatabaseId"] == str(pull["id"])
        assert node["author"]["login"] == pull["user"]["login"].removesuffix("[bot]")
        assert node["author"]["__typename"] == pull["user"]["type"]
        assert node["commits"]["totalCount"] == pull["commits"]
        assert node["assignees"]["totalCount"] == len(pull["assignees"])
        assert [one["name"] for one in node["labels"]["nodes"]] == [one["name"] for one in pull["labels"]]
        assert len(node["files"]["nodes"]) == min(3, len(pull["files"]))
        assert node["files"]["pageInfo"]["hasNextPage"] == (len(pull["files"]) > 3)


def test_files_are_paged(client: Any, corpus: Corpus, busiest: str) -> None:
    owner, name = busiest.split("/")
    pull = max(corpus.pulls(busiest), key=lambda one: len(one["files"]))
    query = """query($owner: String!, $name: String!, $number: Int!, $after: String) {
      repository(owner: $owner, name: $name) { pullRequest(number: $number) {
        files(first: 4, after: $after) { totalCount pageInfo { hasNextPage endCursor } nodes { path } } } } }"""
    after, paths = None, []
    while True:
        answer = client.graphql(query, owner=owner, name=name, number=pull["number"], after=after)
        files = answer["data"]["repository"]["pullRequest"]["files"]
        paths += [one["path"] for one in files["nodes"]]
        if not files["pageInfo"]["hasNextPage"]:
            break
        after = files["pageInfo"]["endCursor"]
    assert paths == [one["filename"] for one in pull["files"]]
    assert files["totalCount"] == len(paths) > 8


def test_a_record_without_a_field_gives_null_and_no_default(
    client: Any, corpus: Corpus, busiest: str
) -> None:
    pull = next(corpus.pulls(busiest))
    for key in ("draft", "labels", "author_association", "assignees", "files"):
        del pull[key]
    pull.update(
        updated_at="2026-07-01T00:00:00Z", user=None, assignee={"login": "x", "id": 1, "type": "User"}
    )
    pull["head"] = {"ref": "gone", "repo": None}
    corpus.add(pull)
    owner, name = busiest.split("/")
    query = """query($owner: String!, $name: String!, $number: Int!) { repository(owner: $owner, name: $name) {
      pullRequest(number: $number) { isDraft isCrossRepository authorAssociation author { login } body
        labels(first: 1) { nodes { name } } files(first: 1) { nodes { path } } assignees { totalCount } } } }"""
    answer = client.graphql(query, owner=owner, name=name, number=pull["number"])
    node = answer["data"]["repository"]["pullRequest"]
    assert "errors" not in answer
    assert node.pop("body") == (pull["body"] or "")
    assert node.pop("assignees") == {"totalCount": 1}
    assert set(node) == {"isDraft", "isCrossRepository", "authorAssociation", "author", "labels", "files"}
    assert set(node.values()) == {None}


@pytest.mark.parametrize(
    ("query", "kind", "message"),
    [
        (
            '{ repository(owner: "no", name: "body") { id } }',
            "NOT_FOUND",
            "Could not resolve to a Repository with the name 'no/body'.",
        ),
        (
            '{ organization(login: "nobody") { login } }',
            "NOT_FOUND",
            "Could not resolve to an Organization with the login of 'nobody'.",
        ),
        (
            '{ repository(owner: "OWNER", name: "NAME") { pullRequest(number: 987654) { id } } }',
            "NOT_FOUND",
            "Could not resolve to a PullRequest with the number of 987654.",
        ),
        (
            '{ repository(owner: "OWNER", name: "NAME") { pullRequests(first: 101) { nodes { id } } } }',
            "EXCESSIVE_PAGINATION",
            "Requesting 101 records on the `pullRequests` connection exceeds the `first` limit of 100 records.",
        ),
        (
            '{ repository(owner: "OWNER", name: "NAME") { pullRequests { nodes { id } } } }',
            "MISSING_PAGINATION_BOUNDARIES",
            "You must provide a `first` or `last` value to properly paginate the `pullRequests` connection.",
        ),
        (
            '{ repository(owner: "OWNER", name: "NAME") { pullRequests(first: 5, after: "zzz") { nodes { id } } } }',
            "INVALID_CURSOR_ARGUMENTS",
            "`zzz` does not appear to be a valid cursor.",
        ),
    ],
)
def test_what_cannot_be_answered_is_an_error_inside_200(
    client: Any, busiest: str, query: str, kind: str, message: str
) -> None:
    owner, name = busiest.split("/")
    answer = client.graphql(query.replace("OWNER", owner).replace("NAME", name))
    assert [(one["type"], one["message"]) for one in answer["errors"]] == [(kind, message)]


def test_an_undefined_field_is_refused_as_github_does(client: Any) -> None:
    answer = client.graphql("{ viewer { login shoeSize } }")
    assert "data" not in answer
    assert answer["errors"][0]["message"] == "Field 'shoeSize' doesn't exist on type 'User'"
    assert answer["errors"][0]["extensions"] == {
        "code": "undefinedField",
        "typeName": "User",
        "fieldName": "shoeSize",
    }
    assert client.graphql("{ viewer {")["errors"][0]["message"].startswith("Parse error")
    assert json.loads(client.post("").body)["errors"]


def test_one_missing_repository_leaves_the_others(client: Any, busiest: str) -> None:
    owner, name = busiest.split("/")
    query = f'''{{ a: repository(owner: "{owner}", name: "{name}") {{ nameWithOwner }}
      b: repository(owner: "x", name: "y") {{ id }} }}'''
    answer = client.graphql(query)
    assert answer["data"] == {"a": {"nameWithOwner": busiest}, "b": None}
    assert answer["errors"][0]["path"] == ["b"]


def test_points_follow_githubs_formula(client: Any, busiest: str) -> None:
    """Their example: 100 repositories, 50 issues, 60 labels = 5,101 requests = 51 points."""
    owner, name = busiest.split("/")
    query = """query($first: Int!) { rateLimit { cost nodeCount } repositoryOwner(login: "%s") {
      repositories(first: 100) { nodes { pullRequests(first: 50) { nodes {
        labels(first: $first) { nodes { name } } } } } } } }"""
    answer = client.graphql(query % owner, first=60)
    assert answer["data"]["rateLimit"] == {"cost": 51, "nodeCount": 100 + 5_000 + 300_000}
    refused = client.graphql(query % owner, first=100)
    assert refused["errors"][0]["type"] == "MAX_NODE_LIMIT_EXCEEDED"
    assert "505,100 possible nodes" in refused["errors"][0]["message"]
    one = client.graphql(PAGE, owner=owner, name=name, first=50, after=None)["data"]["rateLimit"]
    assert one["cost"] == 1
    left_out = """query($with: Boolean!) { rateLimit { nodeCount } repositoryOwner(login: "%s") {
      repositories(first: 10) @include(if: $with) { totalCount } } }"""
    assert client.graphql(left_out % owner, **{"with": False})["data"]["rateLimit"]["nodeCount"] == 0


def test_points_are_spent_until_none_is_left_and_come_back(client: Any, clock: Any, corpus: Corpus) -> None:
    from local_setup.github_standin import Limits

    client.standin = GitHubStandIn(corpus, clock=clock, limits=Limits(graphql=2))
    query = "{ rateLimit { remaining used limit resetAt } viewer { login } }"
    assert client.graphql(query)["data"]["rateLimit"]["remaining"] == 1
    assert client.graphql(query)["data"]["rateLimit"]["remaining"] == 0
    reply = client.post(query)
    assert reply.status == 200
    assert json.loads(reply.body)["errors"][0]["type"] == "RATE_LIMIT"
    assert reply.headers["X-RateLimit-Remaining"] == "0"
    clock.advance(int(reply.headers["X-RateLimit-Reset"]) - clock.now())
    assert client.graphql(query)["data"]["rateLimit"]["remaining"] == 1


def test_renamed_repositories_are_followed(client: Any, corpus: Corpus, busiest: str) -> None:
    owner, name = busiest.split("/")
    corpus.rename(busiest, "elsewhere/renamed")
    query = f'''{{ repository(owner: "{owner}", name: "{name}") {{
      nameWithOwner pullRequests(first: 1) {{ totalCount }} }} }}'''
    assert client.graphql(query)["data"]["repository"]["nameWithOwner"] == "elsewhere/renamed"
    pull = next(corpus.pulls("elsewhere/renamed"))
    assert pull["base"]["repo"]["full_name"] == "elsewhere/renamed"


def test_blocked_and_spoilt_ones_are_partial_errors(client: Any, corpus: Corpus, busiest: str) -> None:
    owner, name = busiest.split("/")
    number = next(corpus.pulls(busiest))["number"]
    query = """query($owner: String!, $name: String!) { repository(owner: $owner, name: $name) {
      pullRequests(first: 100, orderBy: {field: CREATED_AT, direction: ASC}) { nodes { number %s } } } }"""
    corpus.spoil(busiest, number)
    answer = client.graphql(query % "additions", owner=owner, name=name)
    assert answer["data"]["repository"]["pullRequests"]["nodes"][0] is None
    assert answer["errors"][0]["path"] == ["repository", "pullRequests", "nodes", 0, "additions"]
    assert client.graphql(query % "", owner=owner, name=name)["data"]["repository"]["pullRequests"]["nodes"][
        0
    ]
    corpus.block(busiest)
    answer = client.graphql(query % "", owner=owner, name=name)
    assert (answer["data"], answer["errors"][0]["message"]) == (
        {"repository": None},
        "Repository access blocked",
    )


def test_search_and_owners(client: Any, corpus: Corpus, busiest: str) -> None:
    query = """query($query: String!, $after: String) {
      search(type: REPOSITORY, query: $query, first: 2, after: $after) {
        repositoryCount pageInfo { hasNextPage endCursor }
        nodes { ... on Repository { nameWithOwner stargazerCount } } } }"""
    first = client.graphql(query, query="stars:>=0 sort:stars")["data"]["search"]
    assert first["repositoryCount"] == 4
    assert first["pageInfo"]["endCursor"] == base64.b64encode(b"cursor:2").decode()
    second = client.graphql(query, query="stars:>=0 sort:stars", after=first["pageInfo"]["endCursor"])
    both = first["nodes"] + second["data"]["search"]["nodes"]
    stars = [one["stargazerCount"] for one in both]
    assert stars == sorted(stars, reverse=True)
    assert not second["data"]["search"]["pageInfo"]["hasNextPage"]
    owner = busiest.split("/")[0]
    owners = f'''{{ repositoryOwner(login: "{owner}") {{
      repositories(first: 5, ownerAffiliations: [OWNER]) {{ totalCount nodes {{ nameWithOwner }} }} }} }}'''
    found = client.graphql(owners)["data"]["repositoryOwner"]["repositories"]
    assert {"nameWithOwner": busiest} in found["nodes"]
    assert client.graphql('{ repositoryOwner(login: "nobody") { login } }') == {
        "data": {"repositoryOwner": None}
    }


def test_ids_beyond_32_bits_are_null_as_in_githubs_int(client: Any, corpus: Corpus) -> None:
    pull = {**next(corpus.pulls(corpus.repositories()[0].full_name)), "id": 2**31, "number": 1}
    repository = {"id": 2**31, "full_name": "big/ids", "owner": {"login": "big", "id": 2**31, "type": "User"}}
    pull.update(base={**pull["base"], "repo": repository}, user={"login": "x", "id": 2**31, "type": "User"})
    corpus.add(pull)
    answer = client.graphql(
        """{ repository(owner: "big", name: "ids") { databaseId owner { ... on User { databaseId } }
             pullRequest(number: 1) { databaseId fullDatabaseId author { ... on User { databaseId } } } } }"""
    )
    assert "errors" not in answer
    found = answer["data"]["repository"]
    assert (found["databaseId"], found["owner"]["databaseId"]) == (None, None)
    assert found["pullRequest"] == {
        "databaseId": None,
        "fullDatabaseId": str(2**31),
        "author": {"databaseId": None},
    }


@pytest.mark.parametrize(
    ("rest", "graphql"),
    [("dependabot[bot]", "dependabot"), ("Copilot", "copilot-swe-agent")],
)
def test_a_bot_has_its_apps_name(client: Any, corpus: Corpus, busiest: str, rest: str, graphql: str) -> None:
    number = next(corpus.pulls(busiest))["number"]
    corpus.update(busiest, number, user={"login": rest, "id": 7, "type": "Bot"})
    owner, name = busiest.split("/")
    query = """query($owner: String!, $name: String!, $number: Int!) {
        repository(owner: $owner, name: $name) { pullRequest(number: $number) { author { login } } } }"""
    answer = client.graphql(query, owner=owner, name=name, number=number)
    assert answer["data"]["repository"]["pullRequest"]["author"]["login"] == graphql
