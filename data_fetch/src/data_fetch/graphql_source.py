"""Pull requests by GraphQL: 25 to 50 in one call, with everything that REST needs a call each for.

GitHub cuts a query off after some ten seconds. The page then gets smaller; what still fails alone, or
is null in a page, is named by a query for numbers and asked for by number, by REST in the end, and if
that fails too it is rejected with the reason instead of holding up the rest of the repository.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from github_client.classifier import object_error
from github_client.client import Client
from github_client.clock import Clock
from github_client.errors import GitHubError, QueryTooLarge, ServerFailure
from github_client.messages import Reply

from data_fetch import queries
from data_fetch.pages import Page, Question, Shaped, from_epoch, parse_time
from data_fetch.shaping import Shaper

_MAX_FILES = 3_000  # REST's limit; a document must be the same by both ways
_BY_NUMBER = 25
_FIRST_LOOK = 20
_PROBED = 50

ByNumber = Callable[[str, list[int]], dict[int, Shaped | None]]


class GraphqlSource:
    """`by_rest` gives single pull requests by the other interface (None: GitHub has none)."""

    api = "graphql"

    def __init__(self, client: Client, shaper: Shaper, clock: Clock, by_rest: ByNumber) -> None:
        self._client = client
        self._shaper = shaper
        self._clock = clock
        self._by_rest = by_rest

    def page(self, question: Question) -> Page:
        """One page; its size follows what GitHub can deliver."""
        name = question.name
        while True:
            shrinks = question.size.value > 1
            try:
                reply = self._ask(queries.walk(), question, shrinks=shrinks, files=self._shaper.files)
            except QueryTooLarge:
                if not shrinks:
                    return self._page_of_numbers(question)
                question.size.shrink()
                continue
            nodes = _nodes(reply, name)
            if None in nodes:
                return self._page_of_numbers(question)
            question.size.worked()
            return self._page(reply, nodes, self._whole(name, reply, nodes))

    def _page_of_numbers(self, question: Question) -> Page:
        """The same page where GitHub cannot give all of it: listed by number, then asked for anew.

        Its beginning and its end are those of this list: what was updated since the first look is at
        the top now, and what that pushed out of the page comes with the next one.
        """
        reply = self._ask(queries.numbers(), question)
        nodes = _nodes(reply, question.name)
        if None in nodes:
            raise ServerFailure(f"{question.name}: GitHub lists a pull request without its number")
        return self._page(reply, nodes, self._numbered(question.name, reply, nodes))

    def _ask(self, query: str, question: Question, *, shrinks: bool = False, **more: Any) -> Reply:
        owner, _, name = question.name.partition("/")
        first = question.size.value
        if question.few:  # mostly a handful changed since the last run
            first = min(first, _FIRST_LOOK)
        variables = {"owner": owner, "name": name, "first": first, "after": question.position}
        request = self._client.api.graphql(query, {**variables, **more})
        return self._client.send(request, scope=question.name, need="repository", shrinks=shrinks)

    def _page(self, reply: Reply, nodes: list[Any], batches: Iterator[list[Shaped]]) -> Page:
        repository = reply.data["repository"]
        connection = repository["pullRequests"]
        times = [time for node in nodes for time in [parse_time(node.get("updatedAt"))] if time]
        info = connection["pageInfo"]
        now = self._clock.now() if reply.server_time is None else reply.server_time
        return Page(
            repository_id=repository["databaseId"],
            repo_name=repository["nameWithOwner"],
            batches=batches,
            newest=max(times, default=None),
            oldest=min(times, default=None),
            next=info["endCursor"] if info["hasNextPage"] else None,
            total=connection.get("totalCount"),
            server_time=from_epoch(now),
        )

    def _whole(self, name: str, reply: Reply, nodes: list[Any]) -> Iterator[list[Shaped]]:
        repo_name = reply.data["repository"]["nameWithOwner"]
        fetched_at = from_epoch(self._clock.now())
        yield [self._shaped(name, repo_name, node, fetched_at) for node in nodes]

    def _numbered(self, name: str, reply: Reply, nodes: list[Any]) -> Iterator[list[Shaped]]:
        repo_name = reply.data["repository"]["nameWithOwner"]
        for start in range(0, len(nodes), _BY_NUMBER):
            found = self.by_number(name, [node["number"] for node in nodes[start : start + _BY_NUMBER]])
            now = from_epoch(self._clock.now())
            yield [
                one or self._shaper.not_given(repo_name, number, self.api, now)
                for number, one in found.items()
            ]

    def _shaped(self, name: str, repo_name: str, node: dict[str, Any], fetched_at: datetime) -> Shaped:
        files = self._more_files(name, node) if self._shaper.files else None
        return self._shaper.graphql(node, repo_name, files, fetched_at)

    def _more_files(self, name: str, node: dict[str, Any]) -> list[Any] | None:
        """All files where they fill more than one page; None leaves it to the node."""
        connection = node.get("files")
        if not connection or not connection["pageInfo"]["hasNextPage"]:
            return None
        owner, _, repository = name.partition("/")
        found = list(connection["nodes"])
        info = connection["pageInfo"]
        while info["hasNextPage"] and len(found) < _MAX_FILES:
            variables = {
                "owner": owner,
                "name": repository,
                "number": node["number"],
                "after": info["endCursor"],
            }
            request = self._client.api.graphql(queries.more_files(), variables)
            pull = self._client.send(request, scope=name, need="repository").data["repository"]["pullRequest"]
            if not pull or not pull.get("files"):
                return None
            found += pull["files"]["nodes"]
            info = pull["files"]["pageInfo"]
        return found[:_MAX_FILES]

    def by_number(self, name: str, numbers: list[int]) -> dict[int, Shaped | None]:
        """Single pull requests, some in a call; what that does not give is asked for by REST."""
        owner, _, repository = name.partition("/")
        found: dict[int, Shaped | None] = {}
        for start in range(0, len(numbers), _BY_NUMBER):
            some = numbers[start : start + _BY_NUMBER]
            variables: dict[str, Any] = {"owner": owner, "name": repository, "files": self._shaper.files}
            variables |= {f"number{i}": number for i, number in enumerate(some)}
            request = self._client.api.graphql(queries.pull_requests(len(some)), variables)
            try:
                reply = self._client.send(request, scope=name, need="repository", shrinks=True)
            except QueryTooLarge:
                found |= self._by_rest(name, some)
                continue
            content = reply.data["repository"]
            now = from_epoch(self._clock.now())
            for i, number in enumerate(some):
                if content.get(f"item{i}") is not None:
                    found[number] = self._shaped(name, content["nameWithOwner"], content[f"item{i}"], now)
            found |= self._by_rest(name, [number for number in some if number not in found])
        return found


def _nodes(reply: Reply, name: str) -> list[Any]:
    """The pull requests of a page, None for each that GitHub could not give."""
    connection = reply.data["repository"].get("pullRequests")
    if connection is None:
        raise object_error(name, reply.errors, ("repository", "pullRequests"))
    return connection.get("nodes") or []


def probe(client: Client, names: list[str]) -> dict[str, dict[str, Any] | GitHubError]:
    """For each repository what `queries/repository.graphql` asks, or why it was not given."""
    found: dict[str, dict[str, Any] | GitHubError] = {}
    most = _PROBED
    while len(found) < len(names):
        some = names[len(found) : len(found) + most]
        variables = {}
        for i, name in enumerate(some):
            variables[f"owner{i}"], _, variables[f"name{i}"] = name.partition("/")
        request = client.api.graphql(queries.repositories(len(some)), variables)
        try:
            reply = client.send(request, shrinks=len(some) > 1)
        except QueryTooLarge as error:
            if len(some) == 1:
                found[some[0]] = error
            most = max(1, len(some) // 2)
            continue
        for i, name in enumerate(some):
            node = reply.data.get(f"item{i}")
            found[name] = node or object_error(name, reply.errors, (f"item{i}",))
    return found
