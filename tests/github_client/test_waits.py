"""waits.py: every wait is bounded, and so is their number."""

from github_client import errors
from github_client.waits import WaitPolicy
from hypothesis import given
from hypothesis import strategies as st

POLICY = WaitPolicy()


def test_a_named_wait_is_kept_with_a_second_on_top() -> None:
    assert POLICY.wait(errors.SecondaryLimit("", wait_seconds=30), 0, 1) == 31
    assert POLICY.wait(errors.PrimaryLimit("", wait_seconds=1800), 0, 1) == 1801
    assert POLICY.wait(errors.PrimaryLimit("", wait_seconds=10**9), 0, 1) == POLICY.longest_named_seconds


def test_a_limit_without_a_time_waits_a_minute_then_longer() -> None:
    limit = errors.SecondaryLimit("", wait_seconds=None)
    waits = [POLICY.wait(limit, 0, count) for count in (1, 2, 3, 4, 5, 6)]
    assert waits == [60, 120, 240, 480, 900, 900]


def test_failures_back_off_and_end() -> None:
    for kind in (errors.NetworkFailure, errors.BrokenReply, errors.ServerFailure, errors.QueryTooLarge):
        for count in range(1, POLICY.attempts):
            wait = POLICY.wait(kind(""), count, 0)
            assert wait is not None
            assert min(60, 2 ** (count - 1)) / 2 <= wait <= min(60, 2 ** (count - 1))
        assert POLICY.wait(kind(""), POLICY.attempts, 0) is None


def test_what_would_fail_again_is_not_repeated() -> None:
    for error in (
        errors.NotFound(""),
        errors.BadCredentials(""),
        errors.Forbidden(""),
        errors.Blocked(""),
        errors.Gone(""),
        errors.Refused(""),
        errors.Moved("", location="x"),
    ):
        assert POLICY.wait(error, 1, 1) is None


@given(st.integers(1, 100), st.integers(1, 100), st.none() | st.floats(0, 1e12))
def test_no_wait_is_unbounded(failures: int, limits: int, named: float | None) -> None:
    for error in (errors.SecondaryLimit("", wait_seconds=named), errors.ServerFailure("")):
        wait = POLICY.wait(error, failures, limits)
        assert wait is None or 0 <= wait <= 3_900
