"""Extended JSON back to Python values in their own types."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from spark_preprocess.extended_json import parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ('{"$numberInt": "7"}', 7),
        ('{"$numberLong": "9007199254740993"}', 9007199254740993),
        ("7.0", 7.0),
        ('{"$numberDouble": "Infinity"}', math.inf),
        ('{"$date": "2020-01-02T03:04:05.678Z"}', datetime(2020, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)),
        ('{"$date": {"$numberLong": "-1"}}', datetime(1969, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)),
        # No Python value for these: they stay objects, which every check refuses.
        ('{"$date": {"$numberLong": "999999999999999999"}}', {"$date": 999999999999999999}),
        ('{"$oid": "507f1f77bcf86cd799439011"}', {"$oid": "507f1f77bcf86cd799439011"}),
        ('{"$numberDecimal": "1.5"}', {"$numberDecimal": "1.5"}),
        ('"{\\"$numberInt\\": \\"7\\"}"', '{"$numberInt": "7"}'),
        ("[1, null, {}]", [1, None, {}]),
    ],
)
def test_value_keeps_its_type(text: str, value: Any) -> None:
    found = parse(text)
    assert found == value
    assert type(found) is type(value)


def test_what_is_no_json_is_an_error() -> None:
    with pytest.raises(ValueError, match="Expecting"):
        parse("{")
