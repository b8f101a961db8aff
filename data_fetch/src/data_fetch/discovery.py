"""From GITHUB_REPOS and GITHUB_SEARCH to names of repositories, by GraphQL or REST.

Every credential lists for itself: each may see other private repositories, and the pages of a list fit
together only as one credential sees it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import chain, zip_longest
from typing import Any

from github_client.client import Client
from github_client.errors import BadCredentials, Forbidden, GitHubError, NoCredential, NotFound, Refused
from github_client.messages import Reply
from stage_runtime.exits import WrongSettings
from stage_runtime.logs import get_logger

from data_fetch import queries
from data_fetch.repositories import unique

_PER_PAGE = 100
_SEARCH_LIMIT = 1_000
# Without an order of the user's own it is by stars: GitHub's, the best match, is another one for every
# page and credential.
_SORTED = re.compile(r"(?<!\S)sort:")


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
                names += _by_all(client, _owned_graphql if api == "graphql" else _owned_rest, owner)
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
            found = _by_all(client, find, search, most)[:most]
        except Refused as error:
            raise WrongSettings(
                f"GITHUB_SEARCH: expected a search for repositories such as stars:>100 language:go, found "
                f"{search[:100]!r}, which GitHub refuses: {error}"
            ) from None
        if not found:
            get_logger().warning("the search finds no repository", search=search)
        names += found
    return unique(names)


def _by_all(client: Client, listing: Callable[..., list[str]], *arguments: Any) -> list[str]:
    """What any credential lists: the first of each, then the second of each, and so on.

    Raises what kept a credential from it where none may list.
    """
    lists: list[list[str]] = []
    reasons: list[BadCredentials] = []
    unseen: GitHubError | None = None
    for one in client.apart():
        try:
            lists.append(listing(one, *arguments))
        except (NotFound, Forbidden) as error:
            unseen = error
            get_logger().info("a credential does not see this", reason=str(error))
        except NoCredential as error:
            reasons += error.reasons
    if not lists:
        raise unseen or NoCredential("no credential is left", tuple(reasons))
    return unique(name for name in chain.from_iterable(zip_longest(*lists)) if name)


def _named(nodes: list[dict[str, Any] | None], reply: Reply) -> list[str]:
    """The names; what GitHub keeps from a credential that is not authorised is said."""
    if None in nodes:
        reasons = sorted({error.message for error in reply.errors})
        get_logger().warning("GitHub keeps repositories back", count=nodes.count(None), reasons=reasons)
    return [node["nameWithOwner"] for node in nodes if node and "nameWithOwner" in node]


def _owned_graphql(client: Client, owner: str) -> list[str]:
    names: list[str] = []
    after = None
    while True:
        variables = {"login": owner, "first": _PER_PAGE, "after": after}
        reply = client.send(client.api.graphql(queries.owner(), variables), need="repositoryOwner")
        connection = reply.data["repositoryOwner"]["repositories"]
        names += _named(connection["nodes"], reply)
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
    query = search if _SORTED.search(search) else f"{search} sort:stars-desc"
    names: list[str] = []
    after = None
    while len(names) < most:
        variables = {"query": query, "first": min(_PER_PAGE, most - len(names)), "after": after}
        reply = client.send(client.api.graphql(queries.search(), variables), need="search")
        found = reply.data["search"]
        names += _named(found["nodes"], reply)
        if not found["pageInfo"]["hasNextPage"]:
            break
        after = found["pageInfo"]["endCursor"]
    return names[:most]


def _search_rest(client: Client, search: str, most: int) -> list[str]:
    order = {} if _SORTED.search(search) else {"sort": "stars", "order": "desc"}
    names: list[str] = []
    for page in range(1, _SEARCH_LIMIT // _PER_PAGE + 1):
        request = client.api.get("/search/repositories", q=search, **order, per_page=_PER_PAGE, page=page)
        reply = client.send(request)
        if reply.data.get("incomplete_results"):
            get_logger().warning("GitHub's search ran out of time: its results are incomplete", page=page)
        names += [repo["full_name"] for repo in reply.data["items"]]
        if len(names) >= most or reply.next_url is None:
            break
    return names[:most]
