"""MongoDB's extended JSON back to Python values, each in the type that it has in the database.

The connector hands a document over as one string of relaxed extended JSON (``mongodb.read_raw`` says why).
https://www.mongodb.com/docs/manual/reference/mongodb-extended-json/
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse(text: str) -> Any:
    """The document; wrapped types without a Python equal (ObjectId, binary, ...) stay objects.

    Raises ValueError for what is no JSON, RecursionError for one nested too deeply.
    """
    return json.loads(text, object_hook=_unwrap)


def _unwrap(found: dict[str, Any]) -> Any:
    if len(found) != 1:
        return found
    ((key, value),) = found.items()
    read = _WRAPPED.get(key)
    if read is None:
        return found
    try:
        return read(value)
    except (ValueError, TypeError, OverflowError):
        return found  # e.g. a date beyond the year 9999: whoever checks the value refuses an object


def _date(value: Any) -> datetime:
    if isinstance(value, str):
        return datetime.fromisoformat(value)
    return _EPOCH + timedelta(milliseconds=value)


_WRAPPED: dict[str, Callable[[Any], Any]] = {
    "$numberInt": int,
    "$numberLong": int,
    "$numberDouble": float,
    "$date": _date,
}
