"""What was known of an author and a repository at the moment a pull request was opened.

Everything here is looked up *by time*: openings and merges strictly before ``created_at``, repository
norms as of the end of the month before. So a row of training and a row of serving see the same values,
and no later event leaks into an earlier pull request.

The state holds no names: author and repository are one 64-bit hash. GitHub's names of repositories ignore case, so
the key of one has a single spelling (``repo_key``).
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .facts import author_key as author_key
from .norms import NO_NORMS, Norms

Document = Mapping[str, Any]

MONTHS_PER_YEAR = 12
DAY_SECONDS = 86_400
# Repositories and months whose norms stand ready; a service sees the same few again and again.
NORMS_READY = 4_096


class History(NamedTuple):
    """What was known before ``created_at``; ``norms`` is laid out as in ``norms.py``.

    author_opened, author_merged: the author's pull requests in this repository; author_day: those opened in
    the DAY_SECONDS before. All are 0 for a newcomer, and for an author whom GitHub no longer knows: of the latter
    ``facts`` takes them for not known.
    """

    author_opened: int = 0
    author_merged: int = 0
    author_day: int = 0
    norms: Sequence[float] = NO_NORMS


def month_of(moment: datetime) -> int:
    """Months since year 0 in UTC: 2026-11 is 24,322."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.year * MONTHS_PER_YEAR + moment.month - 1


def epoch_second(moment: datetime) -> int:
    """Seconds since 1970 in UTC, rounded down: GitHub's times have whole seconds."""
    return math.floor(moment.timestamp())


def repo_key(name: str) -> str:
    """The one spelling of a repository's name for every lookup, join and grouping: GitHub's ignore case.

    They are ASCII, so no other letter is touched (``bytes.lower``): what is lower case beyond that differs between
    libraries, and Arrow's ``ascii_lower`` gives the same as this. Shown is the name as it came.
    """
    return name.encode().lower().decode()


def key_hash(*parts: str) -> int:
    """A 64-bit signed hash of the parts; a collision among a million keys has odds of 1 in 30 million."""
    digest = hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


@dataclass(frozen=True)
class HistoryState:
    """Compact history of a whole corpus: sorted times by author and repository, norms by month.

    Arrays (``n`` authors, ``r`` repositories):
        author_keys [n] sorted hashes; opened_bounds, merged_bounds [n+1] slices into opened, merged
        (seconds, sorted within each author);
        repo_keys [r] sorted hashes; month_bounds [r+1] slices into months (sorted) and norms [., width].
    """

    author_keys: np.ndarray
    opened_bounds: np.ndarray
    opened: np.ndarray
    merged_bounds: np.ndarray
    merged: np.ndarray
    repo_keys: np.ndarray
    month_bounds: np.ndarray
    months: np.ndarray
    norms: np.ndarray

    @classmethod
    def pack(
        cls,
        authors: Iterable[tuple[str, str, Sequence[int], Sequence[int]]],
        repositories: Iterable[tuple[str, int, Sequence[float]]],
    ) -> HistoryState:
        """Build the state from rows in any order.

        authors: (repo_key, author_key, opened seconds, merged seconds), one row an author and repository.
        repositories: (repo_key, month, norms), one row a repository and month.
        """
        by_author = sorted(
            (key_hash(repo, author), sorted(opened), sorted(merged))
            for repo, author, opened, merged in authors
        )
        by_repo = sorted((key_hash(repo), month, tuple(norms)) for repo, month, norms in repositories)
        repo_keys = sorted({key for key, _, _ in by_repo})
        keys_of_months = np.array([key for key, _, _ in by_repo], dtype=np.int64)
        ends = np.searchsorted(keys_of_months, np.array(repo_keys, dtype=np.int64), side="right")
        return cls(
            author_keys=np.array([key for key, _, _ in by_author], dtype=np.int64),
            opened_bounds=_bounds([len(opened) for _, opened, _ in by_author]),
            opened=_flat([opened for _, opened, _ in by_author]),
            merged_bounds=_bounds([len(merged) for _, _, merged in by_author]),
            merged=_flat([merged for _, _, merged in by_author]),
            repo_keys=np.array(repo_keys, dtype=np.int64),
            month_bounds=np.concatenate([[0], ends]).astype(np.int64),
            months=np.array([month for _, month, _ in by_repo], dtype=np.int32),
            norms=np.array([norms for _, _, norms in by_repo], dtype=np.float64).reshape(
                len(by_repo), len(NO_NORMS)
            ),
        )

    def save(self, path: str | Path) -> None:
        """Write the arrays as one .npz file without any pickle."""
        np.savez_compressed(path, **{name: getattr(self, name) for name in self.__dataclass_fields__})

    @classmethod
    def load(cls, path: str | Path) -> HistoryState:
        """Read what ``save`` wrote; raises ValueError for a file that holds objects or lacks an array."""
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            missing = set(cls.__dataclass_fields__) - set(arrays.files)
            if missing:
                raise ValueError(f"{path}: history state without {', '.join(sorted(missing))}")
            return cls(**{name: arrays[name] for name in cls.__dataclass_fields__})

    def lookup(self, document: Document) -> History:
        """The history of ``document`` as of its ``created_at``; one newer than the state sees its end."""
        created_at = document["created_at"]
        repo = repo_key(document["repo_name"])
        norms = self._norms(repo, month_of(created_at))
        author = author_key(document)
        times = self._times
        index = None if author is None else _find(times.author_keys, key_hash(repo, author))
        if index is None:
            return History(norms=norms)
        second = epoch_second(created_at)
        first, end = times.opened_bounds[index], times.opened_bounds[index + 1]
        opened = bisect_left(times.opened, second, first, end)
        day_ago = bisect_left(times.opened, second - DAY_SECONDS, first, opened)
        first_merged, end_merged = times.merged_bounds[index], times.merged_bounds[index + 1]
        merged = bisect_left(times.merged, second, first_merged, end_merged) - first_merged
        return History(opened - first, merged, opened - day_ago, norms)

    def _norms(self, repo: str, month: int) -> Norms:
        ready = self._ready
        norms = ready.get((repo, month))
        if norms is None:
            if len(ready) >= NORMS_READY:
                ready.clear()
            norms = ready[repo, month] = self._norms_of_month(repo, month)
        return norms

    def _norms_of_month(self, repo: str, month: int) -> Norms:
        index = _find(self._times.repo_keys, key_hash(repo))
        if index is None:
            return NO_NORMS
        first, end = self.month_bounds[index], self.month_bounds[index + 1]
        position = bisect_right(self.months, month, first, end)
        if position == first:
            return NO_NORMS
        return Norms(self.norms[position - 1].tolist())

    @cached_property
    def _ready(self) -> dict[tuple[str, int], Norms]:
        return {}

    @cached_property
    def _times(self) -> _Times:
        return _Times(*[memoryview(getattr(self, name)) for name in _Times._fields])


class _Times(NamedTuple):
    """The arrays that are searched, as plain integers: bisecting numpy's own makes a scalar at each step."""

    author_keys: memoryview
    opened_bounds: memoryview
    opened: memoryview
    merged_bounds: memoryview
    merged: memoryview
    repo_keys: memoryview


def _find(keys: memoryview, key: int) -> int | None:
    index = bisect_left(keys, key)
    return index if index < len(keys) and keys[index] == key else None


def _bounds(lengths: Sequence[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _flat(lists: Sequence[Sequence[int]]) -> np.ndarray:
    return np.fromiter((value for values in lists for value in values), dtype=np.int64)
