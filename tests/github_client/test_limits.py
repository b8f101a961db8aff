"""limits.py: what the headers say, and nothing where they say nothing."""

import pytest
from github_client import limits

NOW = 1_700_000_000.0


def test_a_reply_without_limit_has_none() -> None:
    assert limits.rate_limit({}, "core", NOW) is None
    assert limits.rate_limit({"x-ratelimit-remaining": "many"}, "core", NOW) is None


def test_the_resource_of_the_reply_counts() -> None:
    headers = {"x-ratelimit-remaining": "3", "x-ratelimit-resource": "search"}
    found = limits.rate_limit(headers, "core", NOW)
    assert found is not None
    assert (found.resource, found.remaining, found.wait_seconds, found.limit) == ("search", 3, None, None)


def test_a_reset_in_the_past_is_no_wait() -> None:
    headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1600000000"}
    found = limits.rate_limit(headers, "core", NOW)
    assert found is not None and found.wait_seconds == 0.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("5", 5.0), (" 60 ", 60.0), ("-3", None), ("soon", None), ("", None), ("Wed, 31 Feb", None)],
)
def test_retry_after_is_a_number_or_a_date(value: str, seconds: float | None) -> None:
    assert limits.retry_after({"retry-after": value}, NOW) == seconds


def test_links_of_odd_shape_are_left_out() -> None:
    assert limits.links({}) == {}
    assert limits.links({"link": "nonsense, <a>; rel=none"}) == {}
    both = '<https://h/?a=1,2&page=2>; rel="next", <https://h/?page=3>; type="x"; rel="last"'
    assert limits.links({"link": both}) == {"next": "https://h/?a=1,2&page=2", "last": "https://h/?page=3"}
