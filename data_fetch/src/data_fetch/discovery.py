"""From GITHUB_REPOS and GITHUB_SEARCH to names of repositories, by GraphQL or REST."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from github_client.client import Client
from github_client.errors import NotFound, Refused
from stage_runtime.exits import WrongSettings
from stage_runtime.logs import get_logger

from data_fetch import queries
from data_fetch.repositories import unique

_PER_PAGE = 100
_SEARCH_LIMIT = 1_000


def discover(client: Client, api: str, entries: list[str], search: str, most: int) -> list[str]:
    """All names, each once: the entries with `owner/*` resolved, then the search's first `most`.

    Raises GitHubError, NoCredential, WrongSettings for an owner that does not exist and a search that
    GitHub refuses.
    """
    names: list[str] = []
    for entry in entries:
        if entry.endswith("/*"):
            owner = entry.removesuffix("/*")
            try:
                names += _owned_graphql(client, owner) if api == "graphql" else _owned_rest(client, owner)
            except NotFound:
                raise WrongSettings(
                    f"GITHUB_REPOS: expected an organisation or user, found {owner}, which GitHub does not "
                    "know or the token may not see"
                ) from None
        else:
            names.append(entry)
    if search:
        find = _search_graphql if api == "graphql" else _search_rest
        try:
            found = find(client, search, most)
        except Refused as error:
            raise WrongSettings(
                f"GITHUB_SEARCH: expected a search for repositories such as stars:>100 language:go, found "
                f"{search[:100]!r}, which GitHub refuses: {error}"
            ) from None
        if not found:
            get_logger().warning("the search finds no repository", search=search)
        names += found
    return unique(names)


def _owned_graphql(client: Client, owner: str) -> list[str]:
    names: list[str] = []
    after = None
    while True:
        variables = {"login": owner, "first": _PER_PAGE, "after": after}
        reply = client.send(client.api.graphql(queries.owner(), variables), need="repositoryOwner")
        connection = reply.data["repositoryOwner"]["repositories"]
        names += [node["nameWithOwner"] for node in connection["nodes"] if node]
        if not connection["pageInfo"]["hasNextPage"]:
            return names
        after = connection["pageInfo"]["endCursor"]


def _owned_rest(client: Client, owner: str) -> list[str]:
    try:
        return [repo["full_name"] for repo in _all(client, f"/orgs/{owner}/repos")]
    except NotFound:
        return [repo["full_name"] for repo in _all(client, f"/users/{owner}/repos")]


def _all(client: Client, path: str) -> Iterator[Any]:
    url: str | None = path
    parameters: dict[str, str | int] = {"per_page": _PER_PAGE, "sort": "created", "direction": "asc"}
    while url is not None:
        reply = client.send(client.api.get(url, None, **parameters))
        yield from reply.data
        url, parameters = reply.next_url, {}


def _search_graphql(client: Client, search: str, most: int) -> list[str]:
    names: list[str] = []
    after = None
    while len(names) < most:
        first = min(_PER_PAGE, most - len(names))
        variables = {"query": search, "first": first, "after": after}
        found = client.send(client.api.graphql(queries.search(), variables), need="search").data["search"]
        names += [node["nameWithOwner"] for node in found["nodes"] if node and "nameWithOwner" in node]
        if not found["pageInfo"]["hasNextPage"]:
            break
        after = found["pageInfo"]["endCursor"]
    return names[:most]


def _search_rest(client: Client, search: str, most: int) -> list[str]:
    names: list[str] = []
    for page in range(1, _SEARCH_LIMIT // _PER_PAGE + 1):
        reply = client.send(client.api.get("/search/repositories", q=search, per_page=_PER_PAGE, page=page))
        names += [repo["full_name"] for repo in reply.data["items"]]
        if len(names) >= most or reply.next_url is None:
            break
    return names[:most]
