"""GitHub changes between any two requests and the fetch dies anywhere: the next run has everything.

A history is a corpus, some runs with changes between their requests, each perhaps cut off at one
point, and a last undisturbed run. Then the store must equal the corpus.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import pytest
from data_fetch.store import Store
from fetch_harness import World, iso, pull
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

REPOS = ("acme/widget", "acme/gadget", "other/tool")


class Killed(BaseException):
    """The process died here. No `except Exception` may catch it, as none catches SIGKILL."""


@dataclass(frozen=True)
class Change:
    """What happens before one request: `seconds` pass, then `what` hits one pull request."""

    what: str
    seconds: int
    which: int


@dataclass(frozen=True)
class Run:
    """One run: the changes before it, those during it by request, and the step at which it dies
    (None: it does not).
    """

    api: str
    first: tuple[Change, ...]
    changes: tuple[tuple[Change, ...], ...]
    dies_at: int | None = None
    resync: bool = False


change = st.builds(
    Change,
    st.sampled_from(
        ("edit", "edit", "add", "close", "merge", "label", "edit twice", "edit late", "rename", "tick")
    ),
    st.sampled_from((0, 0, 1, 3, 29, 31, 60, 299, 301, 4000)),
    st.integers(0, 40),
)
run = st.builds(
    Run,
    st.sampled_from(("graphql", "rest")),
    st.lists(change, max_size=10).map(tuple),
    st.lists(st.lists(change, max_size=2).map(tuple), max_size=12).map(tuple),
    st.none() | st.integers(0, 40),
    st.sampled_from((False, False, False, True)),
)


class Steps:
    """Counts every request and every write; dies at one of them."""

    def __init__(self, dies_at: int | None) -> None:
        self.left = dies_at

    def __call__(self) -> None:
        if self.left is None:
            return
        if self.left == 0:
            raise Killed
        self.left -= 1


class MortalStore(Store):
    """The real store; may die before, in the middle of and after each write."""

    def __init__(self, store: Store, step: Steps) -> None:
        self.__dict__.update(store.__dict__)
        self.step = step

    def write(self, documents: Any) -> Any:
        self.step()
        half = len(documents) // 2
        if self.step.left == 0:
            super().write(documents[:half])
        self.step()
        written = super().write(documents)
        self.step()
        return written

    def save(self, checkpoint: Any) -> None:
        self.step()
        super().save(checkpoint)
        self.step()

    def rename(self, old: str, new: str) -> int:
        self.step()
        moved = super().rename(old, new)
        self.step()
        return moved

    def forget(self, name: str) -> None:
        self.step()
        super().forget(name)

    def remove(self, ids: Any) -> int:
        self.step()
        return super().remove(ids)


def happen(world: World, made: Change) -> None:
    """Let a change happen at GitHub."""
    world.clock.advance(made.seconds)
    repositories = world.corpus.repositories()
    repository = repositories[made.which % len(repositories)]
    name, numbers = repository.full_name, sorted(repository.entries)
    if made.what == "rename":
        owner, _, short = name.partition("/")
        world.corpus.rename(name, f"{owner}/{short}-x" if len(short) < 12 else f"{owner}/{short[:4]}")
        return
    if made.what == "add":
        number = max(numbers, default=0) + 1
        origin = next(one for one in REPOS if name.startswith(one[:8]))
        record = pull(origin, number, world.clock.now())
        repository.put(record)
        return
    if not numbers or made.what == "tick":
        return
    number = numbers[made.which % len(numbers)]
    if made.what in ("close", "merge"):
        world.corpus.close(name, number, merged=made.what == "merge")
    elif made.what == "label":
        world.corpus.update(name, number, labels=[{"name": f"label {made.which}"}])
    else:
        old = world.corpus.pull(name, number)
        assert old is not None
        title = f"{old['title'][:40]}+{made.which}"
        if made.what == "edit late":
            # A server writes a change some minutes after the time that it notes for it.
            moment = max(old["updated_at"], iso(world.clock.now() - 0.8 * world.settings["overlap_seconds"]))
            world.corpus.update(name, number, title=title, updated_at=moment)
            return
        for _ in range(2 if made.what == "edit twice" else 1):
            world.corpus.update(name, number, title=title)


def check_history(
    store: Store, counts: tuple[int, ...], ties: bool, runs: list[Run], size: int, overlap: int
) -> bool:
    """Run it all; whether one of the runs died."""
    died = False
    world = World(store, settings={"page_size": size, "overlap_seconds": overlap}, rest_per_page=size)
    for repo, count in zip(REPOS, counts, strict=False):
        world.fill(repo, count, step=0 if ties else 700.0)
    names = ",".join(REPOS[: len(counts)])
    for one in runs:
        for made in one.first:
            happen(world, made)
        pending = list(one.changes)

        def before(number: int, request: Any, pending: list[Any] = pending) -> None:
            for made in pending.pop(0) if pending else ():
                happen(world, made)

        world.standin.before = before
        step = Steps(one.dies_at)

        def transport(request: Any, authorization: str, timeout: float, step: Steps = step) -> Any:
            step()
            reply = world.transport(request, authorization, timeout)
            step()
            return reply

        try:
            world.fetch(
                names,
                store=MortalStore(store, step),
                transport=transport,
                github_api=one.api,
                full_resync=one.resync,
            )
        except Killed:
            died = True
    world.standin.before = None
    world.fetch(names)
    assert world.stored() == world.expected()
    return died


def histories(count: int) -> Any:
    return settings(
        max_examples=count,
        derandomize=True,
        # Shrinking a failure takes minutes, longer than a test may: SHRINK=1 asks for it.
        phases=tuple(Phase) if os.environ.get("SHRINK") else (Phase.explicit, Phase.generate),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


given_history = given(
    counts=st.lists(st.integers(0, 14), min_size=1, max_size=3).map(tuple),
    ties=st.booleans(),
    runs=st.lists(run, min_size=1, max_size=4),
    size=st.integers(1, 5),
    overlap=st.sampled_from((2, 30, 300)),
)


@histories(30)
@given_history
def test_after_any_history_the_store_equals_github(
    shared_store: Store, counts: tuple[int, ...], ties: bool, runs: list[Run], size: int, overlap: int
) -> None:
    check_history(shared_store, counts, ties, runs, size, overlap)


@pytest.mark.long
@pytest.mark.timeout(3_600)
@histories(int(os.environ.get("HISTORIES", "1000")))
@given_history
def test_after_any_of_a_thousand_histories_the_store_equals_github(
    shared_store: Store, counts: tuple[int, ...], ties: bool, runs: list[Run], size: int, overlap: int
) -> None:
    check_history(shared_store, counts, ties, runs, size, overlap)


# --- every single place, one after another --------------------------------------------------------

APIS = pytest.mark.parametrize("api", ["graphql", "rest"])
SPACED = tuple(Change("edit", 10, which) for which in (3, 1, 4, 2))
"""Edits further apart than the overlap: what is lost once is not found again by chance."""


def die_at_every(store: Store, api: str, stride: int) -> None:
    last = 0
    for step in range(0, 150, stride):
        runs = [Run(api, (), (), None), Run(api, SPACED, (), step), Run(api, (), (), None)]
        if not check_history(store, (6,), False, runs, 1, 2):
            break
        last = step
    assert 15 < last < 149 - stride, "it died at every step until there was none left"


@APIS
def test_a_death_at_any_other_step_of_a_run_loses_nothing(shared_store: Store, api: str) -> None:
    die_at_every(shared_store, api, 2)


@pytest.mark.long
@APIS
def test_a_death_at_any_step_of_a_run_loses_nothing(shared_store: Store, api: str) -> None:
    die_at_every(shared_store, api, 1)


@APIS
def test_an_edit_between_any_two_requests_is_not_lost_nor_is_another(shared_store: Store, api: str) -> None:
    for request in range(1, 9):
        for which in (0, 4):
            edit = ((),) * request + ((Change("edit", 10, which),),)
            runs = [Run(api, (), (), None), Run(api, SPACED, edit, None)]
            check_history(shared_store, (6,), False, runs, 1, 2)


@APIS
def test_a_change_that_github_shows_late_is_found_by_the_overlap(shared_store: Store, api: str) -> None:
    edits = tuple(Change("edit", 30, which) for which in (0, 1, 2))
    late = (Change("edit late", 0, 5),)
    runs = [Run(api, (), (), None), Run(api, edits, (), None), Run(api, late, (), None)]
    check_history(shared_store, (6,), False, runs, 1, 300)
