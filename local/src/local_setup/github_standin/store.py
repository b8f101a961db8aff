"""The repositories that the stand-in serves, and what may happen to them.

Everything that changes a record goes through here, so that tests can let things happen between any
two requests.
"""

from __future__ import annotations

import gzip
import json
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from local_setup.errors import CorpusError
from local_setup.github_standin.clock import epoch, iso
from local_setup.github_standin.repository import Pull, Repository, rename_facts

UNUSABLE_LINES_KEPT = 1_000


class Corpus:
    """All repositories by name. ``lock`` guards every read of several records and every change."""

    def __init__(self, now: Callable[[], float] | None = None) -> None:
        self.lock = threading.RLock()
        self.now = now
        self.unusable: list[str] = []
        self.unusable_count = 0
        self._repositories: dict[str, Repository] = {}
        self._by_id: dict[int, Repository] = {}
        self._renamed: dict[str, int] = {}

    # Reading

    def __len__(self) -> int:
        return sum(len(repository) for repository in self._repositories.values())

    def repositories(self) -> list[Repository]:
        """All repositories, in order of their names."""
        return [self._repositories[name] for name in sorted(self._repositories)]

    def repository(self, full_name: str) -> Repository | None:
        """The repository of this present name; letter case does not matter."""
        return self._repositories.get(full_name.lower())

    def repository_by_id(self, identity: int) -> Repository | None:
        """The repository with this id."""
        return self._by_id.get(identity)

    def moved_from(self, full_name: str) -> Repository | None:
        """The repository that had this name before it was renamed."""
        identity = self._renamed.get(full_name.lower())
        return None if identity is None else self._by_id.get(identity)

    def pull(self, full_name: str, number: int) -> Pull | None:
        """The REST object of one pull request, or None."""
        repository = self.repository(full_name)
        return None if repository is None else repository.pull(number)

    def pulls(self, full_name: str) -> Iterator[Pull]:
        """All pull requests of a repository, by number."""
        repository = self.repository(full_name)
        for number in sorted(repository.entries) if repository else ():
            pull = repository.pull(number) if repository else None
            if pull is not None:
                yield pull

    # Loading

    def load(self, path: Path, aside: Callable[[int, bytes], None] = lambda number, line: None) -> int:
        """Add every line of a ``.jsonl`` or ``.jsonl.gz``; how many could be used.

        A line that is no pull request is skipped, noted in ``unusable`` and given to ``aside`` with
        its number from 1. Raises CorpusError when the file cannot be read at all.
        """
        used = 0
        try:
            opened = gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")
            with opened as lines:
                for number, line in enumerate(lines, start=1):
                    if not line.strip():
                        continue
                    if self._load_line(path, number, line):
                        used += 1
                    else:
                        aside(number, line)
        except FileNotFoundError as error:
            raise CorpusError(f"{path}: no such corpus file") from error
        except (OSError, EOFError, zlib.error) as error:
            raise CorpusError(f"{path}: expected JSON lines, plain or gzip, but {error}") from error
        return used

    def _load_line(self, path: Path, number: int, line: bytes) -> bool:
        try:
            self.add(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            self.unusable_count += 1
            if len(self.unusable) < UNUSABLE_LINES_KEPT:
                reason = f"{type(error).__name__} {error}"[:120]
                self.unusable.append(f"{path}:{number}: no pull-request object: {reason}")
            return False
        return True

    def add(self, pull: Mapping[str, Any]) -> None:
        """Add a REST object; of one that is there already the later updated stays.

        Raises KeyError, TypeError or ValueError when it lacks what names it: number, id,
        created_at, base.repo.full_name.
        """
        record = dict(pull)
        facts = record["base"]["repo"]
        full_name = facts["full_name"]
        number, identity = record["number"], record["id"]
        if not (isinstance(full_name, str) and full_name.count("/") == 1):
            raise ValueError(f"base.repo.full_name is {full_name!r}")
        if type(number) is not int or type(identity) is not int or number < 1:
            raise TypeError(f"number {number!r} and id {identity!r} must be whole numbers")
        epoch(record["created_at"])
        with self.lock:
            repository = self.repository(full_name)
            if repository is None:  # an empty one is falsy, and no reason for another
                repository = self._new(full_name, facts)
            present = repository.entries.get(number)
            updated = epoch(record.get("updated_at") or record["created_at"])
            if present is None or present.updated <= updated:
                repository.put(record)

    def add_all(self, pulls: Iterable[Mapping[str, Any]]) -> None:
        """Add every one of ``pulls``."""
        for pull in pulls:
            self.add(pull)

    def add_repository(self, full_name: str, **facts: Any) -> None:
        """Add a repository without any pull request."""
        with self.lock:
            if self.repository(full_name) is None:
                self._new(full_name, facts)

    def _new(self, full_name: str, facts: Mapping[str, Any]) -> Repository:
        identity = facts.get("id")
        if not isinstance(identity, int) or identity in self._by_id:
            # Below 2**31, which is where GraphQL's databaseId ends.
            identity = zlib.crc32(full_name.lower().encode()) >> 2 | 1 << 30
        repository = Repository(full_name, identity, {**facts, "id": identity})
        self._repositories[full_name.lower()] = self._by_id[identity] = repository
        return repository

    # What happens on GitHub while somebody reads

    def update(self, full_name: str, number: int, **changes: Any) -> Pull:
        """Change keys of a pull request; ``updated_at`` becomes now unless given."""
        with self.lock:
            repository = self._known(full_name)
            pull = repository.pull(number)
            if pull is None:
                raise KeyError(f"{full_name} has no pull request {number}")
            changes.setdefault("updated_at", self._later(pull))
            pull.update(changes)
            repository.put(pull)
            return pull

    def close(self, full_name: str, number: int, *, merged: bool = False) -> Pull:
        """Close or merge a pull request now."""
        with self.lock:
            pull = self._known(full_name).pull(number)
            if pull is None:
                raise KeyError(f"{full_name} has no pull request {number}")
            moment = self._later(pull)
            changes: dict[str, Any] = {"state": "closed", "closed_at": moment, "updated_at": moment}
            if merged:
                changes.update(merged=True, merged_at=moment)
            return self.update(full_name, number, **changes)

    def delete(self, full_name: str, number: int) -> None:
        """Remove a pull request, as GitHub's support does with spam."""
        with self.lock:
            self._known(full_name).drop(number)

    def rename(self, old: str, new: str) -> None:
        """Rename or transfer a repository; the old name goes on leading to it."""
        with self.lock:
            repository = self._known(old)
            del self._repositories[old.lower()]
            self._repositories[new.lower()] = repository
            self._renamed[old.lower()] = repository.identity
            self._renamed.pop(new.lower(), None)
            repository.full_name = new
            rename_facts(repository.facts, new)

    def remove_repository(self, full_name: str) -> None:
        """Delete a repository (or hide it from everybody)."""
        with self.lock:
            repository = self._repositories.pop(full_name.lower())
            del self._by_id[repository.identity]

    def block(self, full_name: str, blocked: bool = True) -> None:
        """Keep a repository from everybody for legal reasons."""
        self._known(full_name).blocked = blocked

    def spoil(self, full_name: str, number: int, spoilt: bool = True) -> None:
        """Let GraphQL fail at this pull request's sizes, as it does at some on GitHub: null and an error."""
        numbers = self._known(full_name).spoilt
        (numbers.add if spoilt else numbers.discard)(number)

    def _known(self, full_name: str) -> Repository:
        repository = self.repository(full_name)
        if repository is None:
            raise KeyError(f"no repository {full_name}")
        return repository

    def _later(self, pull: Pull) -> str:
        """Now, by the stand-in's clock, but never before the last update."""
        last = epoch(pull.get("updated_at") or pull["created_at"])
        return iso(max(last, self.now() if self.now else last + 1))
