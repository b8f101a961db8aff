"""Run the load without a page."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import gevent
from locust.env import Environment
from stage_runtime.exits import ServiceUnreachable

from perf.judgement import Result, Route
from perf.pulls import load_pulls
from perf.settings import LoadSettings
from perf.users import Caller, Load


def run_load(settings: LoadSettings, words: Sequence[str] = ()) -> Result:
    """Send for settings.seconds; raises ServiceUnreachable when nothing was answered at all.

    words: what pull requests are written in where they are made up.
    """
    load = Load.of(
        load_pulls(settings.pulls, words),
        settings.list_size,
        settings.github_webhook_secret.get_secret_value(),
    )
    user = type("BoundCaller", (Caller,), {"load": load, "host": settings.host.rstrip("/")})
    environment = Environment(user_classes=[user], catch_exceptions=True)
    runner = environment.create_local_runner()
    # All at once: a ramp would only make the rate of a short run smaller than what was answered.
    begin = time.monotonic()
    runner.start(settings.users, spawn_rate=settings.users)
    # Not one long sleep: gevent counts it from its loop's last look at the clock, which may be seconds ago.
    while (left := begin + settings.seconds - time.monotonic()) > 0:
        gevent.sleep(min(0.1, left))
    seconds = time.monotonic() - begin
    runner.quit()
    runner.greenlet.join()
    stats = environment.stats
    if not stats.total.num_requests or stats.total.num_failures == stats.total.num_requests:
        raise ServiceUnreachable(
            f"{settings.host} answered none of {stats.total.num_requests} requests as expected "
            f"({'; '.join(sorted({str(error.error) for error in stats.errors.values()}))[:300]}). "
            "Check that the service runs there and is ready."
        )
    return Result(
        users=settings.users,
        seconds=round(seconds, 3),
        requests=stats.total.num_requests,
        failures=stats.total.num_failures,
        per_second=round(stats.total.num_requests / seconds, 2),
        flag_rate=load.flagged / load.scored if load.scored else None,
        routes=tuple(_route(entry, seconds) for entry in stats.entries.values()),
        errors={f"{error.name}: {error.error}": error.occurrences for error in stats.errors.values()},
    )


def _route(entry: Any, seconds: float) -> Route:
    return Route(
        entry.name,
        entry.num_requests,
        entry.num_failures,
        round(entry.num_requests / seconds, 2),
        float(entry.median_response_time or 0),
        float(entry.get_response_time_percentile(0.95) or 0),
        float(entry.get_response_time_percentile(0.99) or 0),
    )
