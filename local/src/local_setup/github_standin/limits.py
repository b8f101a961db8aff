"""Who asks, and how much is left: tokens, hourly points, and the limits for too much at once."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any

HOUR = 3600.0
MINUTE = 60.0
WINDOWS = {"core": HOUR, "graphql": HOUR, "search": MINUTE}


@dataclass(frozen=True)
class Limits:
    """Points a window for each resource, and the secondary limits of GitHub's documentation."""

    core: int = 5000
    graphql: int = 5000
    search: int = 30
    anonymous_core: int = 60
    rest_a_minute: int = 900
    graphql_a_minute: int = 2000
    concurrent: int = 100
    retry_after: int = 60


@dataclass
class _Bucket:
    """Points of one resource in one window; the window starts with its first request."""

    limit: int
    window: float
    used: int = 0
    reset: float = 0.0

    def roll(self, now: float) -> None:
        """Begin a new window where the old one is over."""
        if now >= self.reset:
            self.used, self.reset = 0, now + self.window

    def facts(self, now: float) -> dict[str, int]:
        """As `/rate_limit` shows it."""
        self.roll(now)
        remaining = max(0, self.limit - self.used)
        reset = math.ceil(self.reset)
        return {"limit": self.limit, "used": self.used, "remaining": remaining, "reset": reset}


@dataclass
class Caller:
    """One token (or nobody): its points and its recent requests."""

    user_id: int
    login: str
    limits: Limits
    scopes: str = "read:org, repo"
    anonymous: bool = False
    expires: float | None = None
    running: int = 0
    buckets: dict[str, _Bucket] = field(default_factory=dict)
    recent: dict[str, deque[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for resource, window in WINDOWS.items():
            limit = getattr(self.limits, resource)
            if self.anonymous and resource == "core":
                limit = self.limits.anonymous_core
            self.buckets[resource] = _Bucket(limit, window)

    def exhausted(self, resource: str, now: float) -> bool:
        """Whether the window's points are used up. GitHub lets the last query overdraw."""
        bucket = self.buckets[resource]
        bucket.roll(now)
        return bucket.used >= bucket.limit

    def spend(self, resource: str, points: int, now: float) -> None:
        """Take points."""
        bucket = self.buckets[resource]
        bucket.roll(now)
        bucket.used += points

    def too_fast(self, resource: str, now: float) -> bool:
        """Count this request; whether it is one too many within a minute or at the same time."""
        if self.running > self.limits.concurrent:
            return True
        kind = "graphql" if resource == "graphql" else "rest"
        moments = self.recent.setdefault(kind, deque())
        while moments and moments[0] <= now - MINUTE:
            moments.popleft()
        most = self.limits.graphql_a_minute if kind == "graphql" else self.limits.rest_a_minute
        if len(moments) >= most:
            return True
        moments.append(now)
        return False

    def headers(self, resource: str, now: float) -> dict[str, str]:
        """The rate-limit headers of a reply."""
        facts = self.buckets[resource].facts(now)
        named = {f"X-RateLimit-{key.capitalize()}": str(value) for key, value in facts.items()}
        return {**named, "X-RateLimit-Resource": resource, "X-OAuth-Scopes": self.scopes}

    def overview(self, now: float) -> dict[str, Any]:
        """The body of `/rate_limit`."""
        resources = {name: bucket.facts(now) for name, bucket in self.buckets.items()}
        return {"resources": resources, "rate": resources["core"]}
