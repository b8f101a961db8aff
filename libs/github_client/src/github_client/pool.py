"""Which token asks next: one request at a time per token, none that has to wait.

GitHub's limits are per identity, and its advice is to ask serially. A credential is left out while
it waits for its reset (each resource by itself), for good once it was refused, and for one
repository once it was told "not found" there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy

from github_client.clock import Clock
from github_client.credentials import Credential
from github_client.errors import BadCredentials, NoCredential
from github_client.messages import RateLimit

_LOOK_AGAIN_SECONDS = 1.0


class Member:
    """One credential and what is known of it. Times are the clock's monotonic seconds."""

    def __init__(self, credential: Credential) -> None:
        self.credential = credential
        self.name = credential.name
        self.busy = 0
        self.refused: BadCredentials | None = None
        self.blocked: dict[str, float] = {}
        self.remaining: dict[str, int] = {}
        self.blind: set[str] = set()
        self.sees: set[str] = set()  # repositories of which it was given something
        self.limits_in_a_row = 0

    def free_at(self, resource: str) -> float:
        """When it may ask again; a secondary limit holds for every resource."""
        return max(self.blocked.get(resource, 0.0), self.blocked.get("", 0.0))


class TokenPool:
    """Hands out credentials. Raises ValueError when there is none at all."""

    def __init__(self, credentials: Sequence[Credential], clock: Clock, *, side_by_side: int = 1) -> None:
        if not credentials:
            raise ValueError("expected at least one credential, found none")
        self._members = [Member(credential) for credential in credentials]
        self._clock = clock
        self._side_by_side = side_by_side
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._members)

    def apart(self) -> list[TokenPool]:
        """A pool for each member alone; what is known of a member stays known to all."""
        alone = [copy(self) for _ in self._members]
        for pool, member in zip(alone, self._members, strict=True):
            pool._members = [member]
        return alone

    @contextmanager
    def lease(
        self, resource: str, scope: str = "", before_wait: Callable[[float], None] = lambda seconds: None
    ) -> Iterator[Member]:
        """A member that may ask now; waits for one. `scope` is the repository.

        `before_wait` hears how many seconds a wait will last and may raise to avoid it. Raises
        NoCredential when every member was refused, here or for this scope.
        """
        member = self._take(resource, scope, before_wait)
        try:
            yield member
        finally:
            with self._changed:
                member.busy -= 1
                self._changed.notify()

    def _take(self, resource: str, scope: str, before_wait: Callable[[float], None]) -> Member:
        while True:
            with self._changed:
                able = [m for m in self._members if not m.refused and scope not in m.blind]
                if not able:
                    raise NoCredential(
                        f"no credential is left{f' for {scope}' if scope else ''}",
                        tuple(m.refused for m in self._members if m.refused),
                    )
                now = self._clock.monotonic()
                ready = [m for m in able if m.free_at(resource) <= now]
                idle = [m for m in ready if m.busy < self._side_by_side]
                if idle:
                    best = max(idle, key=lambda m: m.remaining.get(resource, 1 << 30))
                    best.busy += 1
                    return best
                if ready:
                    self._changed.wait(_LOOK_AGAIN_SECONDS)
                wait = 0.0 if ready else min(m.free_at(resource) for m in able) - now
            before_wait(wait)
            if wait > 0:
                self._clock.sleep(wait)

    def refuse(self, member: Member, reason: BadCredentials) -> None:
        """Never use it again: the token is wrong or expired."""
        with self._changed:
            member.refused = reason
            self._changed.notify_all()

    def blind(self, member: Member, scope: str) -> bool:
        """It cannot see this repository. True when another member may still be asked."""
        with self._changed:
            member.blind.add(scope)
            return any(not m.refused and scope not in m.blind for m in self._members)

    def see_again(self, scope: str) -> None:
        """Forget who could not see this repository."""
        with self._changed:
            for member in self._members:
                member.blind.discard(scope)

    def block(self, member: Member, resource: str, seconds: float) -> None:
        """Do not use it for this resource ("" = for any) for so long."""
        until = self._clock.monotonic() + seconds
        with self._changed:
            member.blocked[resource] = max(until, member.blocked.get(resource, 0.0))

    def note(self, member: Member, rate: RateLimit, asked: str) -> None:
        """Remember what is left; at nothing, block until the reset instead of running into it."""
        with self._changed:
            member.remaining[asked] = rate.remaining
        if rate.remaining == 0 and rate.wait_seconds is not None:
            self.block(member, asked, rate.wait_seconds + 1.0)

    def points_left(self, resource: str) -> int | None:
        """Points of all members together, None while nothing is known."""
        with self._changed:
            known = [m.remaining[resource] for m in self._members if resource in m.remaining]
        return sum(known) if known else None
