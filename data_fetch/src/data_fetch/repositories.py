"""Which repositories: lists, files, owners and searches to names, and a shard's share of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from stage_runtime.exits import WrongSettings

_NAME = re.compile(r"[A-Za-z0-9_.-]+/(?:[A-Za-z0-9_.-]+|\*)")


def parse_repositories(text: str) -> list[str]:
    """The entries of GITHUB_REPOS in order, each once: `owner/name` or `owner/*`.

    Raises WrongSettings for anything else, for a file that cannot be read and for a list of none.
    """
    entries: list[str] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        if part.startswith("@"):
            entries += _lines(Path(part[1:]))
        else:
            entries.append(part)
    for entry in entries:
        if not _NAME.fullmatch(entry):
            raise WrongSettings(f"GITHUB_REPOS: expected owner/name or owner/*, found {entry[:100]!r}")
    if text.strip() and not entries:
        raise WrongSettings(f"GITHUB_REPOS: expected at least one repository, found none in {text[:100]!r}")
    return unique(entries)


def _lines(file: Path) -> list[str]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise WrongSettings(
            f"GITHUB_REPOS: expected a readable list @{file}, found {type(error).__name__}"
        ) from None
    return [line.split("#")[0].strip() for line in lines if line.split("#")[0].strip()]


def unique(names: Iterable[str]) -> list[str]:
    """Each name once, in order; GitHub does not tell capital letters apart."""
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(name.lower(), name)
    return list(first.values())


def parse_shard(text: str, completion_index: int | None) -> tuple[int, int]:
    """`i/n`, or `/n` with the completion index of an Indexed Job. Raises WrongSettings."""
    if not text:
        return 0, 1
    match = re.fullmatch(r"(\d*)/(\d+)", text)
    if match is None:
        raise WrongSettings(f"SHARD: expected i/n such as 0/4, found {text[:40]!r}")
    count = int(match[2])
    if match[1]:
        index = int(match[1])
    elif completion_index is not None:
        index = completion_index
    else:
        raise WrongSettings(f"SHARD: expected i in {text}, or JOB_COMPLETION_INDEX, found neither")
    if not 0 <= index < count:
        raise WrongSettings(f"SHARD: expected i from 0 to {count - 1}, found {index}")
    return index, count


def shard_of(name: str, count: int) -> int:
    """The shard of a repository: the one with the highest hash for it.

    So adding one shard to n moves about one repository in n + 1, all of them to the new one.
    """
    return max(
        range(count),
        key=lambda shard: hashlib.blake2b(f"{shard} {name.lower()}".encode(), digest_size=8).digest(),
    )


def share(names: Sequence[str], index: int, count: int) -> list[str]:
    """The repositories of one shard, in order."""
    return [name for name in names if shard_of(name, count) == index]
