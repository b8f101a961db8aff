"""What every source of pull requests gives: pages, newest update first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from data_fetch.shaping import Document, Rejection

Shaped = Document | Rejection


@dataclass
class Page:
    """One page of the walk.

    `batches` gives what has to be written, piece by piece; the page is durable when all of it is.
    `newest` and `oldest` are times of update, `next` the position after it, None at the end.
    `total` is how many GitHub counts in the repository, None where it does not say; `likely` is the
    same, rounded up, where only the number of pages is known.
    """

    repository_id: int | None
    repo_name: str | None
    batches: Iterable[list[Shaped]] = ()
    newest: datetime | None = None
    oldest: datetime | None = None
    next: str | None = None
    total: int | None = None
    likely: int = 0
    server_time: datetime | None = None
    etag: str | None = None
    not_modified: bool = False


@dataclass
class Question:
    """What the walk asks a source for: the page at `position` (None: the newest).

    `current` decides whether a listed pull request (id, time of update) is stored already as it is,
    so that its detail need not be asked for. `etag` is of the newest page as it was last seen, `few`
    says that not much is likely to be wanted.
    """

    name: str
    position: str | None = None
    etag: str | None = None
    few: bool = False
    size: PageSize = field(default_factory=lambda: PageSize(50))
    current: Callable[[dict[int, datetime]], set[int]] = lambda listed: set()


class Source(Protocol):
    """GitHub by one of its interfaces. Both methods raise GitHubError and NoCredential."""

    api: str

    def page(self, question: Question) -> Page:
        """One page."""

    def by_number(self, name: str, numbers: list[int]) -> dict[int, Shaped | None]:
        """Single pull requests; None where it does not exist any more."""


class PageSize:
    """How many pull requests to ask for: halved when GitHub gives up, grown back slowly."""

    def __init__(self, largest: int, value: int | None = None) -> None:
        self.largest = largest
        self.value = max(1, min(value or largest, largest))
        self._good = 0

    def shrink(self) -> None:
        """GitHub gave up on this size."""
        self.value = max(1, self.value // 2)
        self._good = 0

    def worked(self) -> None:
        """A whole page came; after four of them try a quarter more."""
        self._good += 1
        if self._good >= 4 and self.value < self.largest:
            self.value = min(self.largest, self.value + max(1, self.value // 4))
            self._good = 0


def parse_time(value: Any) -> datetime | None:
    """A time of GitHub's, None where it is none: the walk must go on past a broken object."""
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return time.astimezone(UTC) if time.tzinfo else None


def from_epoch(seconds: float) -> datetime:
    """Epoch seconds as BSON keeps them: whole milliseconds."""
    return datetime.fromtimestamp(int(seconds * 1000) / 1000, UTC)
