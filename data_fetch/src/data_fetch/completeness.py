"""Whether the store holds what GitHub has, no more and no less."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from stage_runtime.logs import get_logger

from data_fetch.pages import Source
from data_fetch.shaping import Rejection
from data_fetch.state import Checkpoint
from data_fetch.store import Store


def is_short(store: Store, checkpoint: Checkpoint, *, whole: bool) -> bool:
    """Whether GitHub counts more than is stored, beyond what is known not to be listed.

    After a `whole` walk the difference is what GitHub counts and does not list (it hides what it
    takes for spam): that is said and remembered instead of walking again in every run.
    """
    if checkpoint.total is None or checkpoint.repo_name is None:
        return False
    stored = store.stored([checkpoint.repo_name])[checkpoint.repo_name]
    missing = max(0, checkpoint.total - stored)
    if missing > checkpoint.unseen and not whole:
        get_logger().warning(
            "documents are missing: reading all of the repository",
            repository=checkpoint.name,
            missing=missing,
        )
        return True
    if missing > checkpoint.unseen:
        get_logger().warning(
            "GitHub counts more pull requests than it lists",
            repository=checkpoint.name,
            counts=checkpoint.total,
            unlisted=missing,
        )
    if missing != checkpoint.unseen:
        checkpoint.unseen = missing
        store.save(checkpoint)
    return False


def remove_deleted(
    store: Store, source: Source, checkpoint: Checkpoint, started_at: datetime, check: Callable[[], None]
) -> Iterator[int]:
    """Remove what a whole walk begun at that time did not meet and GitHub, asked for each, does not have.

    Gives how many, batch by batch; `check` may raise to stop between two.
    """
    name = checkpoint.repo_name or checkpoint.name
    for some in store.not_seen_since(name, started_at):
        check()
        found = source.by_number(checkpoint.name, [number for _, number in some])
        alive = [one for one in found.values() if isinstance(one, dict)]
        store.write(alive)
        kept = {one["_id"] for one in alive}
        gone = {
            identity: number
            for identity, number in some
            if identity not in kept and not isinstance(found[number], Rejection)
        }
        yield store.remove(list(gone))
        if gone:
            get_logger().info(
                "removed what GitHub no longer has", repository=name, numbers=list(gone.values())
            )
