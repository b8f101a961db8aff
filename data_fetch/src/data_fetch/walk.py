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
from datetime import datetime, timedelta
from functools import partial

from github_client.clock import Clock
from github_client.errors import Refused
from stage_runtime.logs import get_logger

from data_fetch.completeness import remove_deleted
from data_fetch.page_writer import Outcome, PageWriter
from data_fetch.pages import Page, PageSize, Question, Source, from_epoch
from data_fetch.state import Checkpoint, Walk
from data_fetch.store import Store

_MAX_PASSES = 5


class RepositoryWalk:
    """The walk of one repository. `seen` hears how many pull requests were read, `expect` how many
    are likely to come where only the walk can tell. `whole` says that it went to the oldest one.
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
        self._expect = expect
        self._check = check
        self._claim = claim
        self._checkpoint = store.checkpoint(name)
        self._size = PageSize(page_size, self._checkpoint.page_size)
        self._writer = PageWriter(store, clock, overlap, seen)
        self.outcome: Outcome = self._writer.outcome
        self.whole = False

    def run(self) -> bool:
        """Walk until nothing new is at the top; False for another name of a repository of this run.

        Raises GitHubError, NoCredential and StageError.
        """
        for _ in range(_MAX_PASSES):
            walk, known = self._begin(), self._checkpoint.watermark
            resumed = walk.position is not None
            self.whole = self.whole or walk.floor is None
            if not self._pass(walk):
                return False
            newer = walk.top is not None and (known is None or walk.top > known)
            if not (newer and (resumed or walk.pages > 1)):
                break  # else it took a while: look whether something came to the top
        return True

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

    def _pass(self, walk: Walk) -> bool:
        """Walk to the floor; False when another name claimed the repository."""
        checkpoint = self._checkpoint
        while True:
            self._check()
            page = self._ask(walk)
            if not self._adopt(page):
                return False
            if walk.floor is None and walk.position is None:
                self._expect(page.likely)
            if self._checkpoint is not checkpoint:  # an old repository's new name, or the reverse
                checkpoint, walk = self._checkpoint, self._begin()
                continue
            self._writer.write(page)
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
                return True
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
        # What an earlier walk stored counts as it is only where it has the wanted shape.
        since = None if known.shape == self._shape else walk.started_at
        current = partial(self._writer.current, since=since)
        return Question(self._name, walk.position, etag, few, self._size, current)

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
            for count in remove_deleted(self._store, self._source, checkpoint, walk.started_at, self._check):
                self.outcome.removed += count
        checkpoint.shape = self._shape
        checkpoint.watermark = walk.top or checkpoint.watermark
        late = walk.top is not None and walk.read_at is not None and walk.read_at - walk.top >= self._overlap
        checkpoint.settled = walk.top is None or late
        checkpoint.etag = walk.etag
        checkpoint.walk = None
        checkpoint.completed_at = self._now()
        self._store.save(checkpoint)
