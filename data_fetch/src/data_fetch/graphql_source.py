"""Pull requests by GraphQL: 25 to 50 in one call, with everything that REST needs a call each for.

GitHub cuts a query off after some ten seconds. The page then gets smaller; what still fails alone is
named by a query for numbers and asked for by REST, and if that fails too it is rejected with the
reason instead of holding up the rest of the repository.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from github_client.classifier import object_error
from github_client.client import Client
from github_client.clock import Clock
from github_client.errors import (
    Blocked,
    Forbidden,
    GitHubError,
    NotFound,
    QueryTooLarge,
    ServerFailure,
)
from github_client.messages import Reply

from data_fetch import queries
from data_fetch.pages import Page, Question, Shaped, from_epoch, parse_time
from data_fetch.shaping import Shaper

_MAX_FILES = 3_000  # REST's limit; a document must be the same by both ways
_BY_NUMBER = 25
_FIRST_LOOK = 20
_PROBED = 50

Single = Callable[[str, int], Shaped | None]


class GraphqlSource:
    """`single` gives one pull request by another interface (None: gone)."""

    api = "graphql"

    def __init__(self, client: Client, shaper: Shaper, clock: Clock, single: Single) -> None:
        self._client = client
        self._shaper = shaper
        self._clock = clock
        self._single = single

    def page(self, question: Question) -> Page:
        """One page; its size follows what GitHub can deliver."""
        while True:
            shrinks = question.size.value > 1
            try:
                reply = self._ask(queries.walk(), question, shrinks=shrinks, files=self._shaper.files)
            except QueryTooLarge:
                if not shrinks:
                    return self._page(self._ask(queries.numbers(), question), question.name)
                question.size.shrink()
                continue
            question.size.worked()
            return self._page(reply, question.name, question)

    def _ask(self, query: str, question: Question, *, shrinks: bool = False, **more: Any) -> Reply:
        owner, _, name = question.name.partition("/")
        first = question.size.value
        if question.few:  # mostly a handful changed since the last run
            first = min(first, _FIRST_LOOK)
        variables = {"owner": owner, "name": name, "first": first, "after": question.position}
        request = self._client.api.graphql(query, {**variables, **more})
        return self._client.send(request, scope=question.name, need="repository", shrinks=shrinks)

    def _page(self, reply: Reply, name: str, question: Question | None = None) -> Page:
        """`question` is None for a page of numbers, all of which are asked for one by one."""
        repository = reply.data["repository"]
        connection = repository.get("pullRequests")
        if connection is None:
            raise object_error(name, reply.errors, ("repository", "pullRequests"))
        nodes = connection.get("nodes") or []
        missing = [node["number"] for node in nodes if node] if question is None else []
        present = [] if question is None else [node for node in nodes if node]
        if question is not None and len(present) < len(nodes):
            listed = self._ask(queries.numbers(), question).data["repository"]["pullRequests"]["nodes"]
            known = {node["number"] for node in present}
            missing = [node["number"] for node in listed if node and node["number"] not in known]
        times = [time for node in nodes if node for time in [parse_time(node.get("updatedAt"))] if time]
        info = connection["pageInfo"]
        now = self._clock.now() if reply.server_time is None else reply.server_time
        repo_name = repository["nameWithOwner"]
        return Page(
            repository_id=repository["databaseId"],
            repo_name=repo_name,
            batches=self._batches(name, repo_name, present, missing),
            newest=max(times, default=None),
            oldest=min(times, default=None),
            next=info["endCursor"] if info["hasNextPage"] else None,
            total=connection.get("totalCount"),
            server_time=from_epoch(now),
        )

    def _batches(self, name: str, repo_name: str, nodes: list[dict[str, Any]], missing: list[int]) -> Any:
        fetched_at = from_epoch(self._clock.now())
        if nodes:
            yield [self._shaped(name, repo_name, node, fetched_at) for node in nodes]
        for number in missing:
            yield self._alone(name, repo_name, number)

    def _alone(self, name: str, repo_name: str, number: int) -> list[Shaped]:
        try:
            found = self._single(name, number)
        except (ServerFailure, Forbidden, Blocked) as error:
            time = from_epoch(self._clock.now())
            return [self._shaper.not_given(repo_name, number, self.api, time, str(error))]
        return [] if found is None else [found]

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
        """Single pull requests, some in a call; None where GitHub says that there is none."""
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
                found |= {number: self._single(name, number) for number in some}
                continue
            content = reply.data["repository"]
            for i, number in enumerate(some):
                node = content.get(f"item{i}")
                if node is None:
                    error = object_error(name, reply.errors, ("repository", f"item{i}"))
                    found[number] = None if isinstance(error, NotFound) else self._single(name, number)
                else:
                    time = from_epoch(self._clock.now())
                    found[number] = self._shaped(name, content["nameWithOwner"], node, time)
        return found


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
