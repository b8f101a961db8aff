"""The body of a request -> pull requests, or a problem that says what is wrong with it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from model_serving.payloads import GithubPullRequest, PullRequestDocument, decode_body
from model_serving.problems import Problem

_KNOWN = frozenset(GithubPullRequest.__annotations__) | frozenset(PullRequestDocument.__annotations__)
_PLACE = re.compile(r" - at `(\$[^`]*)`$")
_INDEX = re.compile(r"^\$\[(\d+)\]\.?")
# Beyond this a wrong value is not looked for: its body would have to be read once more, as a whole.
FOUND_BYTES = 1_000_000
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
# msgspec says Python's names; callers know JSON's.
_TYPE_NAMES = {"int": "integer", "str": "text", "bool": "true or false", "float": "number"}
_TYPES = re.compile(r"\b(int|str|bool|float)\b")
# Of a number like 1e999: not what was expected, as all its other messages say.
_BEYOND = "Number out of range"
_any_json = msgspec.json.Decoder().decode
# Names alone: a value that nobody reads may be anything.
_names = msgspec.json.Decoder(dict[str, msgspec.Raw] | list[dict[str, msgspec.Raw]]).decode


def read_json(environ: Mapping[str, Any]) -> bytes:
    """The body, if it says that it is JSON and nothing has packed it; raises Problem 415 otherwise."""
    check_json(environ.get("CONTENT_TYPE", ""), environ.get("HTTP_CONTENT_ENCODING"))
    stream = environ["wsgi.input"]
    if environ.get("wsgi.input_terminated"):
        body: bytes = stream.read()
    else:
        body = stream.read(int(environ.get("CONTENT_LENGTH") or 0))
    return body


def check_json(kind: str, encoding: str | None) -> None:
    """Raises Problem 415 for a Content-Type other than JSON and for any Content-Encoding."""
    if kind != "application/json":
        _check_kind(kind)
    if encoding and encoding.strip().lower() != "identity":
        # Unpacking would let a few kilobytes become gigabytes; no caller of ours needs it.
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "packed-body",
            f"Content-Encoding: expected none, found {encoding[:40]!r}",
            headers={"Accept-Encoding": "identity"},
            field="Content-Encoding",
        )


def _check_kind(header: str) -> None:
    kind = header.partition(";")[0].strip().lower()
    if kind and kind != "application/json" and not kind.endswith("+json"):
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "not-json",
            f"Content-Type: expected application/json, found {kind[:80]!r}",
            headers={"Accept": "application/json"},
            field="Content-Type",
        )


def pull_requests(
    body: bytes, *, refuse_unknown: bool, most: int
) -> tuple[Sequence[Mapping[str, Any]], bool]:
    """The pull requests of a body and whether they came as a list.

    Raises Problem: 400 for what is no JSON, 413 for too many items, 422 for a value of a wrong type.
    """
    decoded = decode(decode_body, body)
    listed = isinstance(decoded, list)
    items: Sequence[Mapping[str, Any]] = decoded if listed else [decoded]
    if len(items) > most:
        raise Problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "too-many-items",
            f"expected at most {most} pull requests in one request, found {len(items)}",
            expected=f"at most {most} items",
            found=f"{len(items)} items",
        )
    if refuse_unknown:
        _refuse_unknown(decode(_names, body), items, listed)
    return items, listed


def decode(decoder: Any, body: bytes) -> Any:
    """Run a msgspec decoder; its errors become Problems."""
    try:
        return decoder(body)
    except msgspec.ValidationError as error:
        raise _wrong_value(str(error), body) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        said = f"the body is no valid JSON in UTF-8: {error}" if body else "the body is empty, expected JSON"
        raise Problem(HTTPStatus.BAD_REQUEST, "no-json", said) from error
    except RecursionError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, "no-json", "the body is nested too deeply") from error


def _wrong_value(message: str, body: bytes) -> Problem:
    place = _PLACE.search(message)
    path = place.group(1) if place else "$"
    # Of a mapping's values and keys the message does not say which one.
    found = None if "..." in path or "`key in" in message else _found(body, path)
    text = _PLACE.sub("", message).replace("`", "")
    index = None
    if found_index := _INDEX.match(path):
        index = int(found_index.group(1))
        path = path[found_index.end() :]
    # A value of a mapping goes by the mapping's name; a whole item or body by none: `body` is a pull request's text.
    field = path.removeprefix("$").lstrip(".").replace("[...]", "") or None
    expected, separator, kind = text.removeprefix("Expected ").partition(", got ")
    expected = "a number in range" if text == _BEYOND else _in_json_s_words(expected)
    found = found or (_in_json_s_words(kind) if separator else None)
    places = [f"[{index}]"] if index is not None else []
    where = ".".join([*places, field] if field else places) or "the body"
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "wrong-value",
        f"{where}: expected {expected}" + (f", found {found}" if found else ""),
        field=field,
        index=index,
        expected=expected,
        found=found,
    )


def _in_json_s_words(text: str) -> str:
    return _TYPES.sub(lambda name: _TYPE_NAMES[name.group()], text)


def _found(body: bytes, path: str) -> str | None:
    """The value at a place of the body, in a few words; None where it cannot be had for little."""
    if len(body) > FOUND_BYTES:
        return None
    try:
        value = _any_json(body)
        for name, number in _STEP.findall(path):
            value = value[int(number)] if number else value[name]
    except (msgspec.MsgspecError, RecursionError, UnicodeError, LookupError, TypeError):
        return None
    if isinstance(value, str):
        return f"text {value[:40]!r}" + ("…" if len(value) > 40 else "")
    if isinstance(value, (list, dict)):
        return "an array" if isinstance(value, list) else "an object"
    return json.dumps(value)[:40]


def _refuse_unknown(named: Any, items: Sequence[Mapping[str, Any]], listed: bool) -> None:
    """named: the items once more, with all their names."""
    for index, (names, item) in enumerate(zip(named if listed else [named], items, strict=True)):
        # GitHub adds names to its own object at any time, so only ours can be closed.
        unknown = [] if item.get("base") is not None else sorted(set(names) - _KNOWN)
        if unknown:
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "unknown-field",
                f"{unknown[0][:80]}: no field of a pull request (UNKNOWN_FIELDS=ignore accepts it)",
                field=unknown[0][:80],
                index=index if listed else None,
                expected="a field of the schema PullRequestDocument",
                found="an unknown name",
            )
