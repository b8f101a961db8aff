"""The body of a request -> pull requests, or a problem that says what is wrong with it."""

from __future__ import annotations

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
        raise _wrong_value(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(
            HTTPStatus.BAD_REQUEST, "no-json", f"the body is no valid JSON in UTF-8: {error}"
        ) from error
    except RecursionError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, "no-json", "the body is nested too deeply") from error


def _wrong_value(message: str) -> Problem:
    place = _PLACE.search(message)
    path = place.group(1) if place else "$"
    text = _PLACE.sub("", message)
    index = None
    if found_index := _INDEX.match(path):
        index = int(found_index.group(1))
        path = path[found_index.end() :]
    field = path.removeprefix("$").lstrip(".") or "body"
    expected, _, found = text.removeprefix("Expected ").partition(", got ")
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "wrong-value",
        f"{f'[{index}].' if index is not None else ''}{field}: {text[:1].lower()}{text[1:]}".replace("`", ""),
        field=field,
        index=index,
        expected=expected.replace("`", ""),
        found=found.replace("`", "") or None,
    )


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
