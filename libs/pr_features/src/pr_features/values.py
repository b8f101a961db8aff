"""One value of a pull request, read strictly: its type and range are checked, nothing converted.

Each function takes the value and the field's path for the message, returns the value (None where it
is missing) and raises `UnusablePullRequest`. `documents.py` says what the rules are for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

_MAX_ID = 2**63 - 1
_MAX_COUNT = 2**31 - 1  # GraphQL's Int
_MAX_TEXT = 2**20  # GitHub cuts a body at 262,144 bytes
_MAX_NAME = 1_024
_MAX_FILES = 3_000  # GitHub lists no more, by REST or on its pages
_MAX_LIST = 1_000  # GitHub allows 100 labels and 10 assignees
_EARLIEST = datetime(2007, 1, 1, tzinfo=UTC)  # GitHub's first repositories are of October 2007
_ONE_DAY = timedelta(days=1)
_NOTHING: Mapping[str, Any] = {}
_GRAPHQL_STATES = {"OPEN": "open", "CLOSED": "closed", "MERGED": "closed"}


class UnusablePullRequest(ValueError):
    """One value makes the pull request unusable.

    `field` is the path in the object as it was given (`user.id`, `labels[2].name`), `expected` a
    phrase, `found` a description of at most 80 characters of the value.
    """

    def __init__(self, field: str, expected: str, value: object) -> None:
        self.field = field
        self.expected = expected
        self.found = _describe(value)
        super().__init__(f"{field}: expected {expected}, found {self.found}")

    def __reduce__(self) -> tuple[Any, ...]:
        # Spark sends exceptions between processes; the default would call __init__ with one value.
        return _rebuild, (self.field, self.expected, self.found)


def _rebuild(field: str, expected: str, found: str) -> UnusablePullRequest:
    error = UnusablePullRequest(field, expected, None)
    error.found = found
    error.args = (f"{field}: expected {expected}, found {found}",)
    return error


def latest_time() -> datetime:
    """One day from now: GitHub's clock and ours may differ, but not by more."""
    return datetime.now(UTC) + _ONE_DAY


def read_object(value: Any, field: str) -> Mapping[str, Any]:
    if isinstance(value, dict):
        return value
    if value is None and field != "pull request":
        return _NOTHING
    if isinstance(value, Mapping):
        return value
    raise UnusablePullRequest(field, "an object", value)


def read_id(value: Any, field: str, required: bool) -> int | None:
    if value is None and not required:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= _MAX_ID:
        raise UnusablePullRequest(field, "a positive 64-bit integer", value)
    return value


def read_number(value: Any, field: str, required: bool) -> int | None:
    if value is None and not required:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= _MAX_COUNT:
        raise UnusablePullRequest(field, "a positive 32-bit integer", value)
    return value


def read_count(value: Any, field: str) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_COUNT:
        raise UnusablePullRequest(field, f"an integer from 0 to {_MAX_COUNT}", value)
    return value


def read_flag(value: Any, field: str) -> bool | None:
    if value is None or value is True or value is False:
        return value
    raise UnusablePullRequest(field, "true or false", value)


def read_text(value: Any, field: str, limit: int = _MAX_TEXT) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise UnusablePullRequest(field, "text", value)
    if len(value) > limit:
        raise UnusablePullRequest(field, f"at most {limit} characters", value)
    if not value.isascii():
        try:  # "\ud800" is valid JSON, but neither BSON nor Arrow can hold it
            value.encode()
        except UnicodeEncodeError:
            raise UnusablePullRequest(field, "text without lone surrogates", value) from None
    return value


def read_name(value: Any, field: str) -> str | None:
    if value is None:
        return None
    if value == "":
        raise UnusablePullRequest(field, "a non-empty name", value)
    return read_text(value, field, _MAX_NAME)


def read_repo_name(value: Any, field: str) -> str:
    name = read_text(value, field, _MAX_NAME)
    if name is not None:
        owner, _, repository = name.partition("/")
        if owner and repository and "/" not in repository and len(name.split(None, 1)) == 1:
            if name.strip() == name:
                return name
    raise UnusablePullRequest(field, "a repository as owner/name", value)


def read_state(value: Any) -> str | None:
    if value is None or value == "open" or value == "closed":
        return value  # type: ignore[no-any-return]
    raise UnusablePullRequest("state", "open or closed", value)


def read_graphql_state(value: Any) -> str | None:
    if value is None:
        return None
    state = _GRAPHQL_STATES.get(value) if isinstance(value, str) else None
    if state is None:
        raise UnusablePullRequest("state", "OPEN, CLOSED or MERGED", value)
    return state


def read_time(value: Any, field: str, latest: datetime) -> datetime | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        time = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    elif isinstance(value, str):
        try:
            time = datetime.fromisoformat(value)
        except ValueError:
            raise UnusablePullRequest(field, "a time as in 2015-01-31T12:00:00Z", value) from None
        if time.tzinfo is None:
            raise UnusablePullRequest(field, "a time with its offset, such as ...Z", value)
    else:
        raise UnusablePullRequest(field, "a time as in 2015-01-31T12:00:00Z", value)
    if not _EARLIEST <= time <= latest:
        raise UnusablePullRequest(field, "a time from 2007 to one day from now", value)
    if time.tzinfo is not UTC:
        time = time.astimezone(UTC)
    if time.microsecond:
        time = time.replace(microsecond=time.microsecond // 1000 * 1000)
    return time


def read_created_at(value: Any, field: str, latest: datetime) -> datetime:
    time = read_time(value, field, latest)
    if time is None:
        raise UnusablePullRequest(field, "the time of opening", value)
    return time


def read_strings(value: Any, field: str) -> list[str] | None:
    if value is None:
        return None
    names = []
    for position, name in enumerate(read_list(value, field)):
        text = read_text(name, f"{field}[{position}]", _MAX_NAME)
        if text is None:
            raise UnusablePullRequest(f"{field}[{position}]", "text", name)
        names.append(text)
    names.sort()
    return names


def read_label_names(value: Any, field: str) -> list[str] | None:
    if value is None:
        return None
    if not value:  # most pull requests have none
        return read_strings(value, field)
    return read_strings(
        [read_object(label, f"{field}[]").get("name") for label in read_list(value, field)], field
    )


def read_list(value: Any, field: str, limit: int = _MAX_LIST) -> Sequence[Any]:
    if not isinstance(value, (list, tuple)):
        raise UnusablePullRequest(field, "a list", value)
    if len(value) > limit:
        raise _rebuild(field, f"at most {limit} entries", f"{len(value)} entries")
    return value


def _path(file: dict[str, Any]) -> str:
    return str(file["path"])


def read_files(value: Any, field: str, path_key: str) -> list[dict[str, Any]] | None:
    """Sorted by path: REST and GraphQL each have an order of their own."""
    if value is None:
        return None
    files = []
    for position, entry in enumerate(read_list(value, field, _MAX_FILES)):
        where = f"{field}[{position}]"
        entry = read_object(entry, where)
        path = read_name(entry.get(path_key), f"{where}.{path_key}")
        if path is None:
            raise UnusablePullRequest(f"{where}.{path_key}", "a path", path)
        additions = read_count(entry.get("additions"), f"{where}.additions")
        deletions = read_count(entry.get("deletions"), f"{where}.deletions")
        files.append({"path": path, "additions": additions, "deletions": deletions})
    files.sort(key=_path)
    return files


def _describe(value: object) -> str:
    """At most 80 characters, ASCII, so that it can be printed and stored whatever it is."""
    if value is None:
        return "nothing"
    if isinstance(value, str):
        shown = ascii(value[:40])
        return f"text {shown[:50]}" + (f" ({len(value)} characters)" if len(value) > 40 else "")
    if isinstance(value, int) and value.bit_length() > 128:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, (bool, int, float, datetime)):
        return f"{type(value).__name__} {value}"[:80]
    return f"a value of type {type(value).__name__}"[:80]
