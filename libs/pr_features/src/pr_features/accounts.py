"""How old an account was, from its id: GitHub numbers accounts in the order of registration."""

from __future__ import annotations

import math
from bisect import bisect_right
from datetime import datetime

# (id, year) of public profiles at the turn of years; linear in between, by the last slope behind the end.
_REGISTERED: tuple[tuple[int, float], ...] = (
    (1, 2007.80), (40_000, 2009.0), (170_000, 2010.0), (530_000, 2011.0), (1_280_000, 2012.0),
    (3_150_000, 2013.0), (6_300_000, 2014.0), (10_360_000, 2015.0), (16_500_000, 2016.0),
    (24_800_000, 2017.0), (34_900_000, 2018.0), (46_200_000, 2019.0), (59_300_000, 2020.0),
    (76_700_000, 2021.0), (96_900_000, 2022.0), (121_700_000, 2023.0), (155_200_000, 2024.0),
    (193_200_000, 2025.0), (252_000_000, 2026.0),
)  # fmt: skip
_IDS = [account for account, _ in _REGISTERED]
SECONDS_PER_YEAR = 31_556_952.0
# A week: the ids say no more than that.
LEAST_YEARS = 0.02
# GitHub counts accounts in hundreds of millions; a larger number is a keyed hash, which says nothing.
GREATEST_ID = 10_000_000_000


def account_years(account: int | None, moment: datetime) -> float:
    """Years between registration and ``moment``, at least LEAST_YEARS; NaN for no id or a hashed one."""
    if account is None or account > GREATEST_ID:
        return math.nan
    index = min(max(bisect_right(_IDS, account), 1), len(_IDS) - 1)
    (low, low_year), (high, high_year) = _REGISTERED[index - 1], _REGISTERED[index]
    registered = low_year + (account - low) * (high_year - low_year) / (high - low)
    return max(1970.0 + moment.timestamp() / SECONDS_PER_YEAR - registered, LEAST_YEARS)
