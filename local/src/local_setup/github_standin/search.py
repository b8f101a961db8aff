"""GitHub's repository search, as far as it selects repositories by their facts."""

from __future__ import annotations

import re
from collections.abc import Iterable

from local_setup.github_standin.repository import Repository

MOST_RESULTS = 1_000
"""GitHub gives no more than this, however many it counts."""


def search_repositories(
    repositories: Iterable[Repository], query: str, sort: str | None = None, order: str = "desc"
) -> list[Repository]:
    """All that fit, best first. Qualifiers: stars, language, org, user, repo, archived, fork, is, sort;
    other words are looked for in name and description. Raises ValueError on an unknown one.
    """
    words: list[str] = []
    found = list(repositories)
    for token in re.findall(r'[\w-]+:"[^"]*"|\S+', query):
        name, colon, value = token.partition(":")
        if not colon:
            words.append(token.lower())
        elif name == "sort":
            sort, _, order = value.partition("-")
            order = order or "desc"
        else:
            found = [one for one in found if _fits(one, name.lower(), value.strip('"'))]
    found = [one for one in found if all(word in _text(one) for word in words)]
    key = {"stars": stars, None: stars, "updated": _updated}.get(sort)
    if key is None:
        raise ValueError(f"cannot sort by {sort!r}")
    found.sort(key=lambda one: (key(one), one.full_name), reverse=order != "asc")
    return found


def stars(repository: Repository) -> int:
    """How many stars it has; 0 where the record does not say."""
    return int(repository.facts.get("stargazers_count") or 0)


def owner_login(repository: Repository) -> str:
    """The owner's login."""
    return repository.full_name.split("/")[0]


def _updated(repository: Repository) -> int:
    return repository.by_updated[-1][0] if repository.by_updated else 0


def _text(repository: Repository) -> str:
    return f"{repository.full_name} {repository.facts.get('description') or ''}".lower()


def _fits(repository: Repository, name: str, value: str) -> bool:
    facts = repository.facts
    if name in {"org", "user"}:
        return owner_login(repository).lower() == value.lower()
    if name == "repo":
        return repository.full_name.lower() == value.lower()
    if name == "language":
        return str(facts.get("language") or "").lower() == value.lower()
    if name == "archived":
        return bool(facts.get("archived")) == (value == "true")
    if name == "fork":
        return value in {"true", "only"} or not facts.get("fork")
    if name == "stars":
        return in_range(stars(repository), value)
    if name == "is":
        return value == "public"
    raise ValueError(f"the qualifier {name!r} is not known")


def in_range(number: int, text: str) -> bool:
    """GitHub's ranges: 10, >10, >=10, <10, <=10, 10..20, 10..*, *..20. Raises ValueError."""
    match = re.fullmatch(r"(>=|<=|>|<)?(\d+)", text)
    if match:
        bound = int(match[2])
        return {
            ">=": number >= bound,
            "<=": number <= bound,
            ">": number > bound,
            "<": number < bound,
            None: number == bound,
        }[match[1]]
    low, dots, high = text.partition("..")
    if not dots:
        raise ValueError(f"{text!r} is no number or range")
    return (low == "*" or number >= int(low)) and (high == "*" or number <= int(high))
