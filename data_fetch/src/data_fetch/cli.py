"""From arguments to a finished run."""

from __future__ import annotations

from collections.abc import Sequence

from github_client.clock import SystemClock
from stage_runtime.exits import ExitCode
from stage_runtime.logs import get_logger
from stage_runtime.main import closing_counts
from stage_runtime.settings import load_settings
from stage_runtime.signals import StopRequest, stop_on_sigterm

from data_fetch.budget import Budget, BudgetSpent, StoppableClock
from data_fetch.fetch import Fetch
from data_fetch.from_file import import_files
from data_fetch.github import make_client
from data_fetch.settings import Settings
from data_fetch.shaping import Shaper
from data_fetch.store import Store


def main(argv: Sequence[str]) -> ExitCode:
    """Run the stage. Raises StageError."""
    settings = load_settings(Settings, argv, "data_fetch")
    stop = stop_on_sigterm()
    store = Store(settings.mongo_uri.get_secret_value(), settings.mongo_db, settings.mongo_collection)
    try:
        if settings.from_file:
            return _from_file(settings, store, stop)
        return _from_github(settings, store, stop)
    finally:
        store.close()


def _from_file(settings: Settings, store: Store, stop: StopRequest) -> ExitCode:
    shaper = Shaper(hash_key=settings.hash_key)
    done = import_files(
        settings.from_file, store, shaper, stop, max_rejected_share=settings.max_rejected_share
    )
    closing_counts(**vars(done))
    return ExitCode.DONE


def _from_github(settings: Settings, store: Store, stop: StopRequest) -> ExitCode:
    clock = StoppableClock(stop, SystemClock())
    budget = Budget(
        clock,
        stop,
        max_points=settings.max_points,
        max_seconds=settings.max_seconds,
        request_seconds=settings.request_timeout_seconds,
    )
    fetch = Fetch(settings, make_client(settings, clock, budget), store, clock, budget)
    try:
        fetch.run()
    except BudgetSpent as ending:
        if settings.spent_exit_code:
            raise
        get_logger().info(str(ending))
    finally:
        summary = fetch.summary
        closing_counts(
            repositories=summary.repositories,
            unchanged=summary.unchanged,
            failed=len(summary.failed),
            **vars(summary.outcome),
            calls=budget.calls,
            points=budget.points,
        )
    return ExitCode.DONE
