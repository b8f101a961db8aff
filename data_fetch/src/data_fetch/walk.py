"""One repository, newest update first, without skipping or repeating while it changes.

A walk goes from the newest update down to the watermark minus an overlap. By GraphQL its position is
a cursor that holds a key (time, id), so what is updated meanwhile leaves the unread part for the top
and moves nothing else; `rest_source` says how offset pages are made to do the same. What moved to the
top is newer than the walk's beginning: a look from the top again finds it, at once where the walk took
several pages, else in the next run.

Order of writing: documents, then the position, and the watermark only when the walk is through. So
it may be killed anywhere: the next run goes on from the last durable page.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from github_client.clock import Clock
from github_client.errors import Refused
from stage_runtime.logs import get_logger

from data_fetch.pages import Page, PageSize, Question, Source, from_epoch
from data_fetch.shaping import Document, Rejection
from data_fetch.state import Checkpoint, Walk
from data_fetch.store import Store

_MAX_PASSES = 5
_VERIFY = 100


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


class RepositoryWalk:
    """The walk of one repository. `seen` hears how many pull requests were read, `expect` how many
    are likely to come where only the walk can tell.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        store: Store,
        clock: Clock,
        shape: str,
        *,
        overlap: timedelta = timedelta(minutes=5),
        page_size: int = 50,
        full_resync: bool = False,
        seen: Callable[[int], None] = lambda count: None,
        expect: Callable[[int], None] = lambda count: None,
        check: Callable[[], None] = lambda: None,
        claim: Callable[[str], bool] = lambda repo_name: True,
    ) -> None:
        self._name = name
        self._source = source
        self._store = store
        self._clock = clock
        self._shape = shape
        self._overlap = overlap
        self._full_resync = full_resync
        self._seen = seen
        self._expect = expect
        self._check = check
        self._claim = claim
        self._checkpoint = store.checkpoint(name)
        self._size = PageSize(page_size, self._checkpoint.page_size)
        self._rejected: set[str] | None = None
        self.outcome = Outcome()

    def run(self) -> Outcome:
        """Walk until nothing new is at the top. Raises GitHubError, NoCredential and StageError."""
        whole = False
        for _ in range(_MAX_PASSES):
            walk, known = self._begin(), self._checkpoint.watermark
            resumed = walk.position is not None
            whole = whole or walk.floor is None
            last = self._pass(walk)
            if last is None:
                return self.outcome  # another name of a repository that was done in this run
            newer = walk.top is not None and (known is None or walk.top > known)
            if newer and (resumed or walk.pages > 1):
                continue  # it took a while: look whether something came to the top
            if not self._incomplete(whole):
                break
            self._checkpoint.watermark = None  # once more, from the top to the bottom
        return self.outcome

    def _now(self) -> datetime:
        return from_epoch(self._clock.now())

    def _begin(self) -> Walk:
        """The walk to go on with, or a new one down to the watermark."""
        checkpoint = self._checkpoint
        walk = checkpoint.walk
        wanted = self._full_resync and not self.outcome.pages
        if walk is not None and walk.shape == self._shape and (walk.full or not wanted):
            if walk.api == self._source.api:
                return walk
            walk.api, walk.position, walk.etag, walk.pages = self._source.api, None, None, 0
            return walk
        known = checkpoint.watermark if checkpoint.shape == self._shape and not wanted else None
        floor = None if known is None else known - self._overlap
        return Walk(self._source.api, self._shape, self._now(), floor, full=wanted)

    def _pass(self, walk: Walk) -> Page | None:
        """Walk to the floor; the last page, or None when another name claimed the repository."""
        checkpoint = self._checkpoint
        while True:
            self._check()
            page = self._ask(walk)
            if not self._adopt(page):
                return None
            if walk.floor is None and walk.position is None:
                self._expect(page.likely)
            if self._checkpoint is not checkpoint:  # an old repository's new name, or the reverse
                checkpoint, walk = self._checkpoint, self._begin()
                continue
            self._write(page)
            if walk.position is None:
                walk.top, walk.read_at, walk.etag = page.newest, page.server_time, page.etag
                if page.not_modified:
                    walk.top = checkpoint.watermark
            walk.pages += 1
            checkpoint.page_size = self._size.value
            if page.total is not None:
                checkpoint.total = page.total
            below = walk.floor is not None and page.oldest is not None and page.oldest < walk.floor
            if page.next is None or below or page.not_modified:
                self._finish(walk)
                return page
            walk.position = page.next
            checkpoint.walk = walk
            self._store.save(checkpoint)

    def _ask(self, walk: Walk) -> Page:
        try:
            return self._source.page(self._question(walk))
        except Refused:
            if walk.position is None:
                raise
            get_logger().warning("GitHub no longer knows the saved position", repository=self._name)
            walk.position = None
            return self._source.page(self._question(walk))

    def _question(self, walk: Walk) -> Question:
        known = self._checkpoint
        # Only when nothing older than the newest page can still appear, as for the probe.
        same = walk.floor is not None and known.shape == self._shape and known.settled
        etag = known.etag if same else None
        few = walk.floor is not None and walk.position is None
        return Question(self._name, walk.position, etag, few, self._size, self._current(walk))

    def _current(self, walk: Walk) -> Callable[[dict[int, datetime]], set[int]]:
        """Which listed pull requests are stored as they are, so long after that none changed since.

        Only for documents of the wanted shape: those of this walk, or of an earlier whole one.
        """
        since = None if self._checkpoint.shape == self._shape else walk.started_at

        def current(listed: dict[int, datetime]) -> set[int]:
            found = set()
            for identity, (updated, fetched) in self._store.known(list(listed)).items():
                if updated is None or fetched is None or updated != listed[identity]:
                    continue
                if fetched - updated > self._overlap and (since is None or fetched > since):
                    found.add(identity)
            self._store.touch(sorted(found), self._now())
            self.outcome.same += len(found)
            self._seen(len(found))
            return found

        return current

    def _write(self, page: Page) -> None:
        for batch in page.batches:
            documents: list[Document] = [one for one in batch if isinstance(one, dict)]
            rejections = [one for one in batch if isinstance(one, Rejection)]
            written = self._store.write(documents)
            self._store.reject(rejections)
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

    def _adopt(self, page: Page) -> bool:
        """Follow renames; False when another configured name led to the same repository.

        GraphQL's id of a repository has 32 bits: beyond them it is None and only names count.
        """
        if page.repo_name is None:
            return True  # nothing changed, so nothing was said
        if not self._claim(page.repo_name):
            get_logger().info("repository was fetched under another name", repository=self._name)
            return False
        checkpoint, found = self._checkpoint, page.repository_id
        if found is not None and checkpoint.repository_id is None:
            former = self._store.checkpoint_by_id(found, other_than=checkpoint.name)
            if former is not None:
                name, former.name = former.name, checkpoint.name
                self._checkpoint = former
                self._rename(former, page.repo_name)
                self._store.save(former)
                self._store.forget(name)
                return True
        elif found is not None and checkpoint.repository_id != found:
            get_logger().warning(
                "another repository has this name now: reading all of it", repository=self._name
            )
            self._checkpoint = Checkpoint(checkpoint.name, page.repo_name, found)
            self._full_resync = True  # finds what belongs to the old one
            return True
        self._rename(checkpoint, page.repo_name)
        checkpoint.repository_id = found if found is not None else checkpoint.repository_id
        return True

    def _rename(self, checkpoint: Checkpoint, repo_name: str) -> None:
        old = checkpoint.repo_name
        if old is not None and old != repo_name:
            count = self._store.rename(old, repo_name)
            get_logger().info("repository was renamed", old=old, new=repo_name, documents=count)
        checkpoint.repo_name = repo_name

    def _finish(self, walk: Walk) -> None:
        """Everything down to the floor is durable: move the watermark."""
        checkpoint = self._checkpoint
        if walk.full:
            self._remove_deleted(walk)
        checkpoint.shape = self._shape
        checkpoint.watermark = walk.top or checkpoint.watermark
        late = walk.top is not None and walk.read_at is not None and walk.read_at - walk.top >= self._overlap
        checkpoint.settled = walk.top is None or late
        checkpoint.etag = walk.etag
        checkpoint.walk = None
        checkpoint.completed_at = self._now()
        self._store.save(checkpoint)

    def _incomplete(self, whole: bool) -> bool:
        """Whether GitHub counts more than is stored, beyond what is known not to be listed.

        After a `whole` walk the difference is what GitHub counts and does not list (it hides what
        it takes for spam): that is said and remembered instead of walking again in every run.
        """
        checkpoint = self._checkpoint
        if checkpoint.total is None or checkpoint.repo_name is None:
            return False
        rejected = len(self._store.rejected_of(checkpoint.repo_name))
        missing = max(0, checkpoint.total - self._store.count(checkpoint.repo_name) - rejected)
        if missing > checkpoint.unseen and not whole:
            get_logger().warning(
                "documents are missing: reading all of the repository", repository=self._name, missing=missing
            )
            return True
        if missing > checkpoint.unseen:
            get_logger().warning(
                "GitHub counts more pull requests than it lists",
                repository=self._name,
                counts=checkpoint.total,
                unlisted=missing,
            )
        if missing != checkpoint.unseen:
            checkpoint.unseen = missing
            self._store.save(checkpoint)
        return False

    def _remove_deleted(self, walk: Walk) -> None:
        """Remove what the whole walk did not meet and GitHub, asked for each, does not have."""
        name = self._checkpoint.repo_name or self._name
        for some in self._store.not_seen_since(name, walk.started_at):
            self._check()
            found = self._source.by_number(self._name, [number for _, number in some])
            alive = [one for one in found.values() if isinstance(one, dict)]
            self._store.write(alive)
            kept = {one["_id"] for one in alive}
            gone = [
                identity
                for identity, number in some
                if identity not in kept and not isinstance(found[number], Rejection)
            ]
            self.outcome.removed += self._store.remove(gone)
            if gone:
                numbers = [number for identity, number in some if identity in set(gone)]
                get_logger().info("removed what GitHub no longer has", repository=name, numbers=numbers)
