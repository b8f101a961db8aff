"""GitHub's objects -> documents ready to store, or the reason why not. Pure apart from the clock."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from pr_features.documents import SCHEMA_VERSION, UnusablePullRequest, from_graphql, from_rest, hash_author

Document = dict[str, Any]
NOT_GIVEN = "pull request"  # the field of what is missing as a whole


@dataclass(frozen=True)
class Rejection:
    """Something that could not be shaped. `place` says where it came from, for a person."""

    key: str
    repo_name: str | None
    number: int | None
    field: str
    reason: str
    source: str
    place: str
    found_at: datetime | None = None

    def to_document(self) -> Document:
        """As a MongoDB document; the same object is rejected under the same `_id` every time."""
        return {"_id": self.key, **{k: v for k, v in asdict(self).items() if k != "key"}}


class Shaper:
    """Shapes objects of any source under one privacy setting. Safe to share between threads."""

    def __init__(self, *, files: bool = False, hash_key: bytes | None = None) -> None:
        self.files = files
        self._hash_key = hash_key

    @property
    def shape(self) -> str:
        """What decides how a document looks. When it changes, everything is fetched anew."""
        authors = "plain"
        if self._hash_key is not None:
            # Of the key only a fingerprint may be stored.
            authors = hashlib.sha256(b"fingerprint:" + self._hash_key).hexdigest()[:12]
        return f"version {SCHEMA_VERSION}, files {'yes' if self.files else 'no'}, authors {authors}"

    def graphql(
        self, node: Mapping[str, Any], repo_name: str, files: Sequence[Any] | None, fetched_at: datetime
    ) -> Document | Rejection:
        """Shape a GraphQL node."""
        try:
            return self._hidden(from_graphql(node, repo_name=repo_name, files=files, fetched_at=fetched_at))
        except UnusablePullRequest as error:
            return self._rejected(error, node, repo_name, "graphql", fetched_at)

    def rest(
        self, pull: Any, repo_name: str, files: Sequence[Any] | None, fetched_at: datetime
    ) -> Document | Rejection:
        """Shape a REST object of the API; `repo_name` counts where it does not say itself whose it is."""
        try:
            return self._hidden(from_rest(pull, files=files, fetched_at=fetched_at))
        except UnusablePullRequest as error:
            return self._rejected(error, pull, _base_name(pull) or repo_name, "rest", fetched_at)

    def line(self, pull: Any, place: str, key: str) -> Document | Rejection:
        """Shape a REST object of a file; when it was fetched is not known."""
        try:
            return self._hidden(from_rest(pull, source="file"))
        except UnusablePullRequest as error:
            return Rejection(key, None, None, error.field, self._reason(error), "file", place)

    @staticmethod
    def not_given(
        repo_name: str, number: int, source: str, found_at: datetime, reason: str = "not found when asked for"
    ) -> Rejection:
        """What GitHub lists and then does not give."""
        key, text = f"{repo_name}#{number}", f"GitHub lists it but did not give it: {reason}"
        return Rejection(key, repo_name, number, NOT_GIVEN, text, source, f"pull request {key}", found_at)

    def _hidden(self, document: Document) -> Document:
        return document if self._hash_key is None else hash_author(document, self._hash_key)

    def _rejected(
        self, error: UnusablePullRequest, pull: Any, repo_name: str, source: str, found_at: datetime
    ) -> Rejection:
        number = pull.get("number") if isinstance(pull, Mapping) else None
        if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 2**31:
            number = None
        known = number or hashlib.sha256(repr(pull).encode()).hexdigest()[:16]
        place = f"pull request {repo_name}#{known}"
        return Rejection(
            f"{repo_name}#{known}",
            repo_name,
            number,
            error.field,
            self._reason(error),
            source,
            place,
            found_at,
        )

    def _reason(self, error: UnusablePullRequest) -> str:
        if self._hash_key is not None and error.field.startswith(("user", "author")):
            return f"{error.field}: expected {error.expected}"  # what was found could be a name
        return str(error)


def _base_name(pull: Any) -> str | None:
    """The name of the repository as a REST object has it: not that by which it was asked for."""
    for key in ("base", "repo", "full_name"):
        pull = pull.get(key) if isinstance(pull, Mapping) else None
    return pull if isinstance(pull, str) else None
