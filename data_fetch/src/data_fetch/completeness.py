"""Whether the store holds what GitHub has, no more and no less."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping
from datetime import datetime, timedelta

from github_client.errors import GitHubError
from stage_runtime.logs import get_logger

from data_fetch.pages import Shaped, Source
from data_fetch.shaping import Rejection
from data_fetch.state import Checkpoint
from data_fetch.store import Store


def fall_short(store: Store, walked: Mapping[str, bool]) -> list[str]:
    """The names of those of which GitHub counts more than is stored: they are to be walked as a whole.

    `walked` says of each name whether its walk was a whole one already. Then the difference is what
    GitHub counts and does not list (it hides what it takes for spam): that is said and remembered
    instead of walking again in every run. One look at the end of the run and not one for each
    repository, because a server without a real index reads everything for each.
    """
    checkpoints = {name: store.checkpoint(name) for name in walked}
    stored = store.stored(one.repo_name for one in checkpoints.values() if one.repo_name)
    short = []
    for name, checkpoint in checkpoints.items():
        if checkpoint.total is None or checkpoint.repo_name is None:
            continue
        missing = max(0, checkpoint.total - stored[checkpoint.repo_name])
        if missing == checkpoint.unseen:
            continue
        log = get_logger().bind(repository=name, counts=checkpoint.total, missing=missing)
        if missing < checkpoint.unseen or walked[name]:
            if missing > checkpoint.unseen:
                log.warning("GitHub counts more pull requests than it lists")
            checkpoint.unseen = missing
        else:
            log.warning("documents are missing: reading all of the repository")
            checkpoint.watermark = None
            short.append(name)
        store.save(checkpoint)
    return short


def remove_deleted(
    store: Store, source: Source, checkpoint: Checkpoint, started_at: datetime, check: Callable[[], None]
) -> Iterator[int]:
    """Remove what a whole walk begun at that time did not meet and GitHub, asked for each, does not have.

    Gives how many documents, batch by batch; rejections go with them. `check` may raise to stop between
    two.
    """
    name = checkpoint.repo_name or checkpoint.name
    for some in store.not_seen_since(name, started_at):
        check()
        found = _asked_for(store, source, checkpoint, [number for _, number in some])
        gone = {identity: number for identity, number in some if not _is(found[number], identity)}
        yield store.remove(list(gone))
        if gone:
            get_logger().info(
                "removed what GitHub no longer has", repository=name, numbers=list(gone.values())
            )
    for reasons in store.rejected_before(name, started_at):
        check()
        found = _asked_for(store, source, checkpoint, [number for _, number in reasons if number is not None])
        still = {number for number, one in found.items() if isinstance(one, Rejection)}
        # One without a number is there only if the walk met it again, which gives it a new time.
        store.forgive(key for key, number in reasons if number not in still)


def ask_again(
    store: Store,
    by_number: Callable[[str, list[int]], dict[int, Shaped | None]],
    names: Container[str],
    started_at: datetime,
    check: Callable[[], None],
) -> int:
    """Ask once more for what GitHub listed and did not give in the runs of the day before this one, begun
    at that time: its failures pass. How many came.

    `names` are those of this run, in lower case. A repository of which three more are not given has to
    wait for the next run, and what is not given for a day for its next update.
    """
    came = 0
    failures: Counter[str] = Counter()
    for key, name, number in list(store.not_given(started_at - timedelta(days=1), started_at)):
        if name.lower() not in names or failures[name] == 3:
            continue
        check()
        try:
            found = by_number(name, [number])[number]
        except GitHubError as error:
            get_logger().warning("not given again", pull_request=key, reason=str(error))
            found = None
        if isinstance(found, dict):
            store.write([found])
            store.forgive([key])
            came += 1
        else:
            failures[name] += 1
    return came


def _asked_for(
    store: Store, source: Source, checkpoint: Checkpoint, numbers: list[int]
) -> dict[int, Shaped | None]:
    """What GitHub has of these numbers; what can be shaped of it is stored."""
    found = source.by_number(checkpoint.name, numbers)
    store.write([one for one in found.values() if isinstance(one, dict)])
    return found


def _is(found: Shaped | None, identity: int) -> bool:
    """Whether it is this pull request, and not none or another repository's; unknown where it is rejected."""
    return isinstance(found, Rejection) or (found is not None and found["_id"] == identity)
