"""What a worker serves: the current model, whether it is ready, and scoring with it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from model_serving.model import ServedModel
from model_serving.payloads import LISTS
from model_serving.problems import Problem
from model_serving.settings import Settings

Payload = Mapping[str, Any]
# A checked document, and the history values that the caller gave with it.
Prepared = tuple[Mapping[str, Any], Mapping[str, int] | None]


@dataclass(frozen=True)
class Batch:
    """Scored pull requests: what was sent, the checked documents, the feature rows [n, d] and the score objects."""

    model: ServedModel
    documents: Sequence[Mapping[str, Any]]
    values: Any
    scores: list[dict[str, Any]]


class Service:
    """One worker's state. The model is replaced as a whole, so a request sees one version from start to end."""

    def __init__(self, settings: Settings, model: ServedModel | None = None) -> None:
        self.settings = settings
        self.model = model
        self.draining = False
        self.started = time.time()
        self._author_key = settings.hash_key

    @property
    def ready(self) -> bool:
        """Whether requests should be sent here: a proven model, and not on the way out."""
        return self.model is not None and not self.draining

    def why_not_ready(self) -> str:
        """A sentence for /ready."""
        return "draining after SIGTERM" if self.draining else "no model has proven its golden request yet"

    def score(
        self,
        payloads: Sequence[Payload],
        request_id: str,
        *,
        listed: bool = True,
        model: ServedModel | None = None,
    ) -> Batch:
        """Score pull requests in GitHub's or our form; raises Problem 422 for the first unusable one.

        listed: whether the caller sent a list, so that the problem says which item is at fault.
        model: the one that the caller asked for, where the one served may just be changing.
        """
        model = model or self._proven()
        prepared = [
            self._prepared(model, payload, index if listed else None)
            for index, payload in enumerate(payloads)
        ]
        return _scored(model, prepared, [request_id] * len(prepared))

    def score_apart(
        self, payloads: Sequence[Payload], request_ids: Sequence[str]
    ) -> tuple[Batch, list[Problem | None]]:
        """Score pull requests of different callers in one go: one that is unusable does not touch the others.

        Returns the scores of the usable ones in order, and for each payload its problem or None.
        """
        model = self._proven()
        prepared: list[Prepared] = []
        usable: list[str] = []
        problems: list[Problem | None] = []
        for payload, request_id in zip(payloads, request_ids, strict=True):
            try:
                prepared.append(self._prepared(model, payload, None))
            except Problem as problem:
                problems.append(problem)
            else:
                problems.append(None)
                usable.append(request_id)
        return _scored(model, prepared, usable), problems

    def _proven(self) -> ServedModel:
        if self.model is None:
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "not-ready",
                self.why_not_ready(),
                headers={"Retry-After": "1"},
            )
        return self.model

    def _prepared(self, model: ServedModel, payload: Payload, index: int | None) -> Prepared:
        document = self._document(model, payload, index)
        return document, _overrides(model, payload, index) if payload.get("history") else None

    def _document(self, model: ServedModel, payload: Payload, index: int | None) -> dict[str, Any]:
        shaping = model.documents
        for field, most in LISTS.items():
            entries = payload.get(field)
            if isinstance(entries, list) and len(entries) > most:
                raise _unusable(field, index, f"at most {most} entries", f"{len(entries)} entries")
        try:
            if payload.get("base") is not None:
                document = shaping.from_rest(payload, source="request", require_id=False)
            else:
                document = shaping.check(payload, require_id=False)
        except shaping.UnusablePullRequest as error:
            field = error.field
            if field == "repo_name" and "base" not in payload and payload.get("repo_name") is None:
                field, expected = "repo_name", "repo_name, or base.repo.full_name of GitHub's object"
            else:
                expected = error.expected
            raise _unusable(field, index, expected, error.found) from error
        if self._author_key is not None:
            document = shaping.hash_author(document, self._author_key)
        return document  # type: ignore[no-any-return]


def _unusable(field: str, index: int | None, expected: str, found: str) -> Problem:
    where = f"[{index}]." if index is not None else ""
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "unusable-pull-request",
        f"{where}{field}: expected {expected}, found {found}",
        field=field,
        index=index,
        expected=expected,
        found=found,
    )


def _scored(model: ServedModel, prepared: Sequence[Prepared], request_ids: Sequence[str]) -> Batch:
    documents = [document for document, _ in prepared]
    if not documents:
        return Batch(model, documents, None, [])
    overrides = [given for _, given in prepared]
    scored = model.scorer.run(documents, overrides if any(overrides) else None)
    scores = model.scorer.describe(scored)
    for score, request_id in zip(scores, request_ids, strict=True):
        score["model_version"] = model.version
        score["request_id"] = request_id
    return Batch(model, documents, scored.values, scores)


def _overrides(model: ServedModel, payload: Payload, index: int | None) -> dict[str, int]:
    """The history values that the caller gives; null means the model's own."""
    given = payload["history"]
    unknown = sorted(set(given) - model.overridable)
    if unknown:
        expected = "names among " + ", ".join(sorted(model.overridable))
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "wrong-value",
            f"history: expected {expected}, found another",
            field="history",
            index=index,
            expected=expected,
            found="an unknown name",
        )
    return {name: value for name, value in given.items() if value is not None}
