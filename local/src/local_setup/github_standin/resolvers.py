"""How the fields of the small schema are answered from the corpus."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLError, GraphQLSchema

from local_setup.github_standin import cursors, nodes
from local_setup.github_standin.repository import Key, Repository
from local_setup.github_standin.search import (
    MOST_RESULTS,
    owner_login,
    search_repositories,
    stars,
)
from local_setup.github_standin.store import Corpus

SEARCH_PREFIX = "cursor:"


@dataclass
class Context:
    """What one query may see; ``pulls`` counts the pull requests it was given."""

    corpus: Corpus
    rate_limit: dict[str, Any]
    viewer: dict[str, Any]
    pulls: int = 0


def attach(schema: GraphQLSchema) -> GraphQLSchema:
    """Give every field that is no plain key of a dict its resolver."""
    for path, resolver in RESOLVERS.items():
        kind, name = path.split(".")
        schema.type_map[kind].fields[name].resolve = resolver  # type: ignore[attr-defined]
    return schema


def from_key(source: Any, info: Any, **_arguments: Any) -> Any:
    """The default: a key of the dict, named as the field."""
    return source.get(info.field_name)


def type_name(value: Any, _info: Any, _abstract: Any) -> str:
    """The object type of a value of an interface or union."""
    return "Repository" if isinstance(value, Repository) else str(value["__typename"])


def not_found(message: str) -> GraphQLError:
    """GitHub's error for what does not exist, or may not be seen."""
    return GraphQLError(message, extensions={"type": "NOT_FOUND"})


def _bad_cursor(cursor: str) -> GraphQLError:
    message = f"`{cursor}` does not appear to be a valid cursor."
    return GraphQLError(message, extensions={"type": "INVALID_CURSOR_ARGUMENTS"})


def _repository(_root: Any, info: Any, owner: str, name: str, followRenames: bool = True) -> Any:
    corpus: Corpus = info.context.corpus
    full_name = f"{owner}/{name}"
    found = corpus.repository(full_name)
    if found is None and followRenames:
        found = corpus.moved_from(full_name)
    if found is None:
        raise not_found(f"Could not resolve to a Repository with the name '{full_name}'.")
    if found.blocked:
        raise GraphQLError("Repository access blocked", extensions={"type": "FORBIDDEN"})
    return found


def _pull_request(repository: Repository, info: Any, number: int) -> Any:
    pull = repository.pull(number)
    if pull is None:
        raise not_found(f"Could not resolve to a PullRequest with the number of {number}.")
    info.context.pulls += 1
    return nodes.pull_request(pull, repository)


def _pull_requests(
    repository: Repository,
    info: Any,
    first: int | None = None,
    after: str | None = None,
    states: Sequence[str] | None = None,
    orderBy: dict[str, str] | None = None,
) -> dict[str, Any]:
    """A page by key: after its cursor's (time, id), whatever moved in the meantime."""
    wanted = set(states) if states else None
    total = sum(count for state, count in repository.counts.items() if not wanted or state in wanted)
    order = orderBy or {"field": "CREATED_AT", "direction": "ASC"}
    keys = repository.by_updated if order["field"] == "UPDATED_AT" else repository.by_created
    try:
        key = cursors.decode_key(after) if after is not None else None
        if key is not None and key[0] is None:
            raise ValueError(after)
    except ValueError:
        raise _bad_cursor(str(after)) from None
    page: list[Key] = []
    has_next = False
    if first is not None:
        for item in _from(keys, key, order["direction"] == "DESC"):
            if wanted and repository.state_of(item[2]) not in wanted:
                continue
            if len(page) == first:
                has_next = True
                break
            page.append(item)
    ends = [cursors.encode_key(item[0], item[1]) for item in (page[:1] + page[-1:])]
    info.context.pulls += len(page)
    return {
        "totalCount": total,
        "pageInfo": _page_info(ends, has_next, key is not None),
        "nodes": [nodes.pull_request(_present(repository, item[2]), repository) for item in page],
    }


def _present(repository: Repository, number: int) -> dict[str, Any]:
    pull = repository.pull(number)
    assert pull is not None, "the sort keys are those of the records"
    return pull


def _from(keys: list[Key], key: tuple[int | None, int] | None, descending: bool) -> Iterator[Key]:
    """The keys after ``key`` in the wanted direction."""
    time, identity = key if key is not None else (None, 0)
    if descending:
        start = len(keys) if time is None else bisect_left(keys, (time, identity, 0))
        return (keys[position] for position in range(start - 1, -1, -1))
    start = 0 if time is None else bisect_left(keys, (time, identity + 1, 0))
    return (keys[position] for position in range(start, len(keys)))


def _page_info(ends: list[str], has_next: bool, has_previous: bool) -> dict[str, Any]:
    return {
        "hasNextPage": has_next,
        "hasPreviousPage": has_previous,
        "startCursor": ends[0] if ends else None,
        "endCursor": ends[-1] if ends else None,
    }


def _counted(items: Sequence[Any], first: int | None, after: str | None, prefix: str = "") -> dict[str, Any]:
    """A page of a list that is addressed by position."""
    try:
        start = cursors.decode_count(after, prefix)
    except ValueError:
        raise _bad_cursor(str(after)) from None
    stop = min(len(items), start + (first or 0))
    ends = [cursors.encode_count(n, prefix) for n in (start + 1, stop)] if stop > start else []
    return {
        "totalCount": len(items),
        "nodes": list(items[start:stop]),
        "pageInfo": _page_info(ends, stop < len(items), start > 0),
    }


def _items(source: dict[str, Any], info: Any, first: int | None = None, after: str | None = None) -> Any:
    connection = source[info.field_name]
    if connection is None:
        return None
    if connection["_items"] is None:
        return connection
    return _counted(connection["_items"], first, after)


def _owner_of(corpus: Corpus, login: str) -> dict[str, Any] | None:
    for repository in corpus.repositories():
        if owner_login(repository).lower() == login.lower():
            owner = repository.facts.get("owner") or {}
            kind = owner.get("type", "Organization")
            return {
                "__typename": kind if kind in {"Organization", "User"} else "User",
                "login": owner_login(repository),
                "databaseId": nodes.int32(owner.get("id")),
                "url": f"{nodes.WEB}/{owner_login(repository)}",
            }
    return None


def _repository_owner(_root: Any, info: Any, login: str) -> Any:
    return _owner_of(info.context.corpus, login)


def _organization(_root: Any, info: Any, login: str) -> Any:
    owner = _owner_of(info.context.corpus, login)
    if owner is None or owner["__typename"] != "Organization":
        raise not_found(f"Could not resolve to an Organization with the login of '{login}'.")
    return owner


def _user(_root: Any, info: Any, login: str) -> Any:
    owner = _owner_of(info.context.corpus, login)
    if owner is None or owner["__typename"] != "User":
        raise not_found(f"Could not resolve to a User with the login of '{login}'.")
    return owner


def _repositories_of(
    owner: dict[str, Any],
    info: Any,
    first: int | None = None,
    after: str | None = None,
    orderBy: dict[str, str] | None = None,
    isFork: bool | None = None,
    isArchived: bool | None = None,
    **_arguments: Any,
) -> dict[str, Any]:
    found = [
        one
        for one in info.context.corpus.repositories()
        if owner_login(one) == owner["login"]
        and (isFork is None or bool(one.facts.get("fork")) == isFork)
        and (isArchived is None or bool(one.facts.get("archived")) == isArchived)
    ]
    order = orderBy or {"field": "NAME", "direction": "ASC"}
    sorts: dict[str, Callable[[Repository], Any]] = {
        "NAME": lambda one: one.full_name.lower(),
        "STARGAZERS": stars,
        "CREATED_AT": lambda one: one.identity,
    }
    found.sort(key=sorts[order["field"]], reverse=order["direction"] == "DESC")
    return _counted(found, first, after, "")


def _search(
    _root: Any, info: Any, query: str, type: str, first: int | None = None, after: str | None = None
) -> dict[str, Any]:
    try:
        found = search_repositories(info.context.corpus.repositories(), query)
    except ValueError:
        found = []
    page = _counted(found[:MOST_RESULTS], first, after, SEARCH_PREFIX)
    return {"repositoryCount": len(found), **page}


RESOLVERS: dict[str, Callable[..., Any]] = {
    "Query.rateLimit": lambda _root, info, dryRun=False: info.context.rate_limit,
    "Query.viewer": lambda _root, info: info.context.viewer,
    "Query.repository": _repository,
    "Query.repositoryOwner": _repository_owner,
    "Query.organization": _organization,
    "Query.user": _user,
    "Query.search": _search,
    "Organization.repositories": _repositories_of,
    "User.repositories": _repositories_of,
    "Repository.id": lambda one, info: one.facts.get("node_id") or f"R_{one.identity}",
    "Repository.databaseId": lambda one, info: nodes.int32(one.identity),
    "Repository.name": lambda one, info: one.full_name.split("/")[1],
    "Repository.nameWithOwner": lambda one, info: one.full_name,
    "Repository.isArchived": lambda one, info: bool(one.facts.get("archived")),
    "Repository.isFork": lambda one, info: bool(one.facts.get("fork")),
    "Repository.isPrivate": lambda one, info: bool(one.facts.get("private")),
    "Repository.owner": lambda one, info: _owner_of(info.context.corpus, owner_login(one)),
    "Repository.stargazerCount": lambda one, info: stars(one),
    "Repository.url": lambda one, info: f"{nodes.WEB}/{one.full_name}",
    "Repository.pullRequest": _pull_request,
    "Repository.pullRequests": _pull_requests,
    "PullRequest.assignees": _items,
    "PullRequest.commits": _items,
    "PullRequest.files": _items,
    "PullRequest.labels": _items,
}
