"""What a run measured, and whether that is good enough."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stage_runtime.exits import GateRefused
from stage_runtime.logs import get_logger

from perf.settings import LoadSettings

SINGLE, LIST, BAD, WEBHOOK = "one pull request", "list", "bad input", "webhook"


@dataclass(frozen=True)
class Route:
    """Figures of one kind of request; times in milliseconds."""

    name: str
    requests: int
    failures: int
    per_second: float
    median_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Result:
    """Figures of a run."""

    users: int
    seconds: float
    requests: int
    failures: int
    per_second: float
    flag_rate: float | None
    routes: tuple[Route, ...]
    errors: dict[str, int]

    @property
    def failure_ratio(self) -> float:
        """Share of failed requests."""
        return self.failures / self.requests if self.requests else 1.0


def complaints(result: Result, settings: LoadSettings) -> list[str]:
    """What is out of bounds, one sentence each."""
    found = []
    if result.per_second < settings.least_requests_per_second:
        found.append(
            f"{result.per_second:.1f} requests/s, expected at least {settings.least_requests_per_second:g}"
        )
    # One time-out among thousands is the network's, not the service's.
    if result.failures > max(1, settings.most_failures * result.requests):
        found.append(
            f"{result.failures} of {result.requests} requests failed ({result.failure_ratio:.2%}), expected at most "
            f"{settings.most_failures:.2%}: {result.errors}"
        )
    bounds = {
        SINGLE: settings.most_p95_single_ms,
        LIST: settings.most_p95_list_ms,
        BAD: settings.most_p95_other_ms,
        WEBHOOK: settings.most_p95_other_ms,
    }
    for route in result.routes:
        most = bounds.get(route.name, settings.most_p95_other_ms)
        if route.p95_ms > most:
            found.append(f"{route.name}: 95th percentile {route.p95_ms:.0f} ms, expected at most {most:g}")
    return found


def report(result: Result, out: Path, host: str) -> None:
    """Log the figures beside those of the run before, and put them in its place."""
    before: dict[str, Any] = {}
    try:
        before = json.loads(out.read_text("utf-8"))
    except FileNotFoundError:
        pass
    except ValueError:
        get_logger().warning("The result before cannot be read and is replaced", file=str(out))
    old = {route["name"]: route for route in before.get("routes", [])}
    for route in result.routes:
        previous = old.get(route.name, {})
        get_logger().info(
            route.name,
            requests=route.requests,
            failures=route.failures,
            per_second=route.per_second,
            p95_ms=route.p95_ms,
            p95_ms_before=previous.get("p95_ms"),
            per_second_before=previous.get("per_second"),
        )
    get_logger().info(
        "load",
        host=host,
        requests=result.requests,
        failures=result.failures,
        per_second=result.per_second,
        per_second_before=before.get("per_second"),
        flag_rate=result.flag_rate,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_suffix(".new")
    unfinished.write_text(json.dumps(asdict(result), indent=1) + "\n", encoding="utf-8")
    unfinished.replace(out)


def judge(found: list[str]) -> None:
    """Raise GateRefused for any complaint."""
    if found:
        raise GateRefused("Load test refused: " + "; ".join(found) + ".")
