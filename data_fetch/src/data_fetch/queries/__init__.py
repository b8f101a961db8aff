"""The GraphQL queries. Each is a file, so that a reader and GitHub's own schema can check it.

`repositories` and `pull_requests` ask for several objects in one call, each under an alias
(`item0`, `item1`, ...): one that is missing then costs an error of its own, not the whole reply.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

_RATE = "rateLimit { cost limit remaining used resetAt }"


@cache
def _file(name: str) -> str:
    return files(__package__).joinpath(f"{name}.graphql").read_text(encoding="utf-8")


def walk() -> str:
    """Variables: owner, name, first, after, files."""
    return _file("walk") + _file("pull_request")


def numbers() -> str:
    """Variables: owner, name, first, after."""
    return _file("numbers")


def more_files() -> str:
    """Variables: owner, name, number, after."""
    return _file("files")


def search() -> str:
    """Variables: query, first, after."""
    return _file("search")


def owner() -> str:
    """Variables: login, first, after."""
    return _file("owner")


@cache
def repositories(count: int) -> str:
    """Variables: owner0, name0, owner1, name1, ...; the reply has item0, item1, ..."""
    variables = ", ".join(f"$owner{i}: String!, $name{i}: String!" for i in range(count))
    items = "\n".join(
        f"  item{i}: repository(owner: $owner{i}, name: $name{i}) {{ ...RepositoryFields }}"
        for i in range(count)
    )
    return f"query Repositories({variables}) {{\n  {_RATE}\n{items}\n}}\n" + _file("repository")


@cache
def pull_requests(count: int) -> str:
    """Variables: owner, name, files, number0, number1, ...; the reply has item0, item1, ..."""
    numbers = ", ".join(f"$number{i}: Int!" for i in range(count))
    items = "\n".join(
        f"    item{i}: pullRequest(number: $number{i}) {{ ...PullRequestFields }}" for i in range(count)
    )
    return (
        f"query PullRequests($owner: String!, $name: String!, $files: Boolean!, {numbers}) {{\n"
        f"  {_RATE}\n  repository(owner: $owner, name: $name) {{\n    databaseId\n"
        f"    nameWithOwner\n{items}\n  }}\n}}\n" + _file("pull_request")
    )
