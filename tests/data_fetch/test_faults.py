"""Failures of every kind: the store is complete in the end, and nothing waits without bound."""

from __future__ import annotations

import pytest
from data_fetch.budget import BudgetSpent
from fetch_harness import World
from local_setup.github_standin import FAULTS, TRANSIENT, Faults
from stage_runtime.exits import ExitCode, StageError, WrongSettings

HOUR = 3600.0
PASSING = sorted({*TRANSIENT, "slow"})
LASTING = sorted(set(FAULTS) - set(PASSING))


def fill(world: World) -> None:
    world.fill("acme/widget", 40)
    world.fill("acme/gadget", 3)
    world.corpus.add_repository("acme/empty")


def finish(world: World, runs: int = 5, **more: object) -> int:
    """Run until a run is through; how many it took."""
    for count in range(1, runs + 1):
        try:
            world.fetch(**more)
        except StageError as error:
            assert error.exit_code == ExitCode.UNEXPECTED, error
            continue
        return count
    raise AssertionError(f"not through after {runs} runs")


@pytest.mark.parametrize("name", PASSING)
def test_one_kind_in_every_fifth_request(world: World, name: str) -> None:
    fill(world)
    world.standin.faults = Faults({name: 0.2}, seed=1)
    start = world.clock.now()
    api = "rest" if FAULTS[name].where == "rest" else "graphql"
    finish(world, github_api=api, page_size=5)
    assert world.stored() == world.expected()
    assert world.store.rejected.count_documents({}) == 0
    assert world.standin.faults.happened[name] >= 1
    assert world.clock.now() - start < 6 * HOUR


@pytest.mark.parametrize("api", ["graphql", "rest"])
@pytest.mark.parametrize("seed", (0, 1, 3))
def test_five_percent_of_all_kinds_together(world: World, api: str, seed: int) -> None:
    fill(world)
    fitting = [name for name in PASSING if FAULTS[name].where in ("any", api)]
    world.standin.faults = Faults(dict.fromkeys(fitting, 0.05 / len(fitting)), seed=seed)
    start, calls = world.clock.now(), world.standin.log.calls
    finish(world, github_api=api, page_size=1)
    assert world.stored() == world.expected()
    assert sum(world.standin.faults.happened.values()) >= 1
    assert world.clock.now() - start < 2 * HOUR
    assert world.standin.log.calls - calls < 200


@pytest.mark.parametrize("name", LASTING)
def test_a_lasting_failure_is_a_clear_ending_and_loses_nothing(world: World, name: str) -> None:
    fill(world)
    api = "rest" if FAULTS[name].where == "rest" else "graphql"
    world.standin.faults.script([None, None, None] + [name] * 12)
    try:
        world.fetch(github_api=api, page_size=5)
    except StageError as error:
        assert isinstance(error, WrongSettings)
        assert "GITHUB_" in str(error)
    assert world.standin.faults.happened[name] >= 1
    world.standin.faults = Faults()
    world.fetch(github_api=api)
    assert world.stored() == world.expected()


def test_the_page_gets_smaller_where_github_gives_up_and_that_is_remembered(world: World) -> None:
    world.fill("acme/widget", 120)
    world.standin.latency = type(world.standin.latency)(fixed=0.2, per_pull=0.7)
    world.fetch()
    assert world.stored() == world.expected()
    size = world.store.checkpoint("acme/widget").page_size
    assert size is not None and 5 <= size <= 14
    failed = world.standin.log.statuses[502]
    assert 1 <= failed <= 8
    world.fetch(full_resync=True)
    assert world.standin.log.statuses[502] - failed <= 4
    world.standin.latency = type(world.standin.latency)()
    world.fetch(full_resync=True)
    assert (world.store.checkpoint("acme/widget").page_size or 0) > size


def test_a_spent_budget_of_points_ends_with_4_and_the_next_run_goes_on(world: World) -> None:
    fill(world)
    runs = 0
    while True:
        runs += 1
        try:
            world.fetch(page_size=5, max_points=3)
            break
        except BudgetSpent as error:
            assert error.exit_code == ExitCode.STOPPED_EARLY
            assert "run again" in str(error)
            assert world.budget.points <= 4
    assert 3 <= runs <= 12
    assert world.stored() == world.expected()


def test_a_spent_budget_of_time_ends_in_time(world: World) -> None:
    world.fill("acme/widget", 200)
    world.standin.latency = type(world.standin.latency)(fixed=3.0)
    start = world.clock.now()
    with pytest.raises(BudgetSpent):
        world.fetch(page_size=5, max_duration="30s")
    assert 30 <= world.clock.now() - start <= 36
    done = len(world.stored())
    assert done >= 30
    world.fetch()
    assert world.stored() == world.expected()


def test_a_wait_that_outlasts_the_budget_is_not_begun(world: World) -> None:
    fill(world)
    world.standin.faults = Faults({"graphql-rate-limit": 1.0})
    start = world.clock.now()
    with pytest.raises(BudgetSpent, match="asks to wait 121 s"):
        world.fetch(max_duration="60s")
    assert world.clock.now() - start < 5


def test_an_exhausted_token_waits_for_its_reset_and_goes_on(world: World) -> None:
    world.fill("acme/widget", 60)
    from dataclasses import replace

    caller = next(iter(world.standin._callers.values()))
    caller.limits = replace(caller.limits, graphql=7)
    caller.buckets["graphql"].limit = 7
    start = world.clock.now()
    world.fetch(page_size=5)
    assert world.stored() == world.expected()
    assert HOUR <= world.clock.now() - start <= 3 * HOUR
    assert world.standin.log.statuses[403] == 0  # it never ran into the limit
