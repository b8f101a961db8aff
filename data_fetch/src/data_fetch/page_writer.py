"""What a walk does with a page: documents and rejections are stored, what is known already is noted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from github_client.clock import Clock
from stage_runtime.logs import get_logger

from data_fetch.pages import Page, from_epoch
from data_fetch.shaping import Document, Rejection
from data_fetch.store import Store


@dataclass
class Outcome:
    """What one run did for a repository, in pull requests."""

    written: int = 0
    same: int = 0
    superseded: int = 0
    rejected: int = 0
    removed: int = 0
    pages: int = 0

    def add(self, other: Outcome) -> None:
        """Sum up."""
        for name in self.__dataclass_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class PageWriter:
    """Writes the pages of one repository and counts what became of them.

    `seen` hears how many pull requests were read.
    """

    def __init__(self, store: Store, clock: Clock, overlap: timedelta, seen: Callable[[int], None]) -> None:
        self._store = store
        self._clock = clock
        self._overlap = overlap
        self._seen = seen
        self._rejected: set[str] | None = None
        self.outcome = Outcome()

    def write(self, page: Page) -> None:
        """Make all of a page durable."""
        for batch in page.batches:
            documents: list[Document] = [one for one in batch if isinstance(one, dict)]
            rejections = [one for one in batch if isinstance(one, Rejection)]
            written = self._store.write(documents)
            self._store.reject(rejections)
            if self._rejected is not None:
                self._rejected.update(one.key for one in rejections)
            self._forgive(documents)
            self.outcome.add(
                Outcome(
                    written=written.inserted + written.replaced,
                    same=written.same,
                    superseded=written.superseded,
                    rejected=len(rejections),
                )
            )
            for rejection in rejections:
                get_logger().warning("rejected", what=rejection.place, reason=rejection.reason)
            self._seen(len(batch))
        self.outcome.pages += 1

    def _forgive(self, documents: list[Document]) -> None:
        """What could not be shaped before and can be now is no longer rejected."""
        if not documents:
            return
        if self._rejected is None:
            self._rejected = self._store.rejected_of(documents[0]["repo_name"])
        if self._rejected:
            shaped = {f"{one['repo_name']}#{one['number']}" for one in documents} & self._rejected
            self._store.forgive(sorted(shaped))
            self._rejected -= shaped

    def current(self, listed: dict[int, datetime], since: datetime | None) -> set[int]:
        """Which listed pull requests (id -> time of update) are stored as they are.

        Fetched so long after that update that none of the same time can have come since, and after
        `since` where only documents of this walk have the wanted shape.
        """
        found = set()
        for identity, (updated, fetched) in self._store.known(list(listed)).items():
            if updated is None or fetched is None or updated != listed[identity]:
                continue
            if fetched - updated > self._overlap and (since is None or fetched > since):
                found.add(identity)
        self._store.touch(sorted(found), from_epoch(self._clock.now()))
        self.outcome.same += len(found)
        self._seen(len(found))
        return found
