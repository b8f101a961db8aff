"""The rows that every detector is judged on: documents of split ``later`` and anomalies made from them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pr_features.documents import UnusablePullRequest, check
from pr_features.history import HistoryState
from pr_features.preprocessor import Preprocessor
from pr_features.rows import row
from stage_runtime.logs import get_logger

from ml_training.quality.detectors import Rows
from ml_training.quality.injection import Injector, declared, kinds

Document = Mapping[str, Any]
Draws = Literal["seeds", "choosing_seeds"]
"""Those of the report and the gate, or those for choosing among candidates."""
# Fewer documents say nothing about a detector; the report then says that instead.
LEAST_DOCUMENTS = 20


def read_documents(path: Path) -> list[dict[str, Any]]:
    """Raw documents of split ``later``, checked; those that the feature code refuses are left out, and counted."""
    found = []
    refused = 0
    first = ""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            try:
                found.append(check(json.loads(line), require_id=False))
            except UnusablePullRequest as error:
                refused += 1
                first = first or str(error)
    if refused:
        get_logger().warning("documents left out of the quality report", count=refused, first=first)
    return found


@dataclass(frozen=True)
class DocumentSet:
    """Raw documents: ordinary ones, and anomalies by kind, one list a draw.

    ordinary_weight: how many ordinary documents each stands for, so that anomalies are as rare beside them as declared.
    """

    ordinary: list[dict[str, Any]]
    injected: dict[str, list[list[dict[str, Any]]]]
    ordinary_weight: float

    @classmethod
    def make(cls, documents: Sequence[Document], draws: Draws = "seeds") -> DocumentSet:
        """Draw the declared anomalies from the documents; draws: which of the declared seeds."""
        settings = declared()
        chosen = settings["set"]
        count = max(int(chosen["least"]), round(chosen["share"] * len(documents)))
        injectors = [Injector(documents, seed, settings) for seed in chosen[draws]]
        injected = {
            kind: [
                # Checked like any other document: an anomaly is unusual, never invalid.
                [check(injector.inject(kind, i), require_id=False) for i in range(count)]
                for injector in injectors
            ]
            for kind in kinds()
        }
        weight = count / (chosen["share"] * len(documents))
        return cls([dict(document) for document in documents], injected, weight)


@dataclass(frozen=True)
class EvaluationSet:
    """The same as rows. ordinary [n]; injected: by kind, one Rows a draw."""

    ordinary: Rows
    injected: dict[str, list[Rows]]
    ordinary_weight: float

    @classmethod
    def make(
        cls, documents: DocumentSet, matrix: Callable[[Sequence[Document]], np.ndarray]
    ) -> EvaluationSet:
        """matrix: documents to network input [n, D], with whatever feature code is to be judged."""

        def rows(found: Sequence[Document]) -> Rows:
            return Rows(
                matrix(found),
                np.array([document["additions"] or 0 for document in found]),
                np.array([(document["additions"] or 0) + (document["deletions"] or 0) for document in found]),
            )

        injected = {kind: [rows(found) for found in draws] for kind, draws in documents.injected.items()}
        return cls(rows(documents.ordinary), injected, documents.ordinary_weight)


def own_matrix(
    preprocessor: Preprocessor, history: HistoryState
) -> Callable[[Sequence[Document]], np.ndarray]:
    """Documents to network input with this version's feature code."""

    def matrix(documents: Sequence[Document]) -> np.ndarray:
        profile = preprocessor.profile
        return preprocessor.rows_matrix(
            [row(document, history.lookup(document), profile) for document in documents]
        )

    return matrix
