"""How long to wait before asking again, and when to give up. Pure apart from the jitter."""

from __future__ import annotations

import random
from dataclasses import dataclass

from github_client.errors import (
    BrokenReply,
    GitHubError,
    NetworkFailure,
    PrimaryLimit,
    SecondaryLimit,
    ServerFailure,
)


@dataclass(frozen=True)
class WaitPolicy:
    """Seconds to wait by kind of failure. All are bounded, and so is the number of attempts.

    Failures: `first_seconds`, doubled each time up to `longest_seconds`. Limits without a time of
    their own: `limit_seconds` (GitHub: at least a minute), doubled each time up to
    `longest_limit_seconds`. A time that GitHub names is kept, `longest_named_seconds` at most:
    the longest it may name is the hour of the primary limit.
    """

    attempts: int = 7
    limit_attempts: int = 12
    first_seconds: float = 1.0
    longest_seconds: float = 60.0
    limit_seconds: float = 60.0
    longest_limit_seconds: float = 900.0
    longest_named_seconds: float = 3_900.0

    def wait(self, error: GitHubError, failures: int, limits: int) -> float | None:
        """Seconds before the next attempt, None to give up.

        `failures` and `limits` count how often this one request failed in each way, this time
        included.
        """
        if isinstance(error, (PrimaryLimit, SecondaryLimit)):
            if limits > self.limit_attempts:
                return None
            if error.wait_seconds is not None:
                # One more second: GitHub's times are whole seconds.
                return min(error.wait_seconds + 1.0, self.longest_named_seconds)
            return min(self.limit_seconds * 2.0 ** (limits - 1), self.longest_limit_seconds)
        if isinstance(error, (NetworkFailure, BrokenReply, ServerFailure)):
            if failures >= self.attempts:
                return None
            wait = min(self.first_seconds * 2.0 ** (failures - 1), self.longest_seconds)
            # Several fetchers that failed together must not come back together.
            return wait * random.uniform(0.5, 1.0)  # noqa: S311 - not a secret
        return None
