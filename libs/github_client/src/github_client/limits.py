"""The headers of a reply: rate limit, Retry-After, clock and paging links. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from github_client.messages import RateLimit

_LINK = re.compile(r'<([^<>]+)>\s*;[^,]*?\brel="(\w+)"')


def server_time(headers: Mapping[str, str]) -> float | None:
    """GitHub's clock in epoch seconds, from `Date`."""
    return _epoch(headers.get("date"))


def rate_limit(headers: Mapping[str, str], resource: str, now: float) -> RateLimit | None:
    """What the reply says about the limit. `now` stands in for a missing `Date`.

    Both ends of the wait are read from the same reply, so a wrong clock here does not matter.
    """
    remaining = _integer(headers.get("x-ratelimit-remaining"))
    if remaining is None:
        return None
    reset = _integer(headers.get("x-ratelimit-reset"))
    clock = server_time(headers)
    wait = None if reset is None else max(0.0, reset - (now if clock is None else clock))
    name = headers.get("x-ratelimit-resource", resource)
    return RateLimit(name, _integer(headers.get("x-ratelimit-limit")), remaining, wait)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait: `Retry-After` is a number or a date."""
    value = headers.get("retry-after")
    if value is None:
        return None
    seconds = _integer(value)
    if seconds is None:
        date, clock = _epoch(value), server_time(headers)
        return None if date is None else max(0.0, date - (now if clock is None else clock))
    return float(seconds)


def links(headers: Mapping[str, str]) -> dict[str, str]:
    """`Link` as relation -> address."""
    return {relation: url for url, relation in _LINK.findall(headers.get("link", ""))}


def _integer(value: str | None) -> int | None:
    text = (value or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


def _epoch(value: str | None) -> float | None:
    try:
        return parsedate_to_datetime(value).timestamp() if value else None
    except (ValueError, OverflowError):
        return None
