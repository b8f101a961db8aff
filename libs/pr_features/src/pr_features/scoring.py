"""Document to score: the one path that serving, the pyfunc model and the gate all take.

The network itself comes in as a function, so that training may run torch, serving ONNX Runtime, and this
package needs neither.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile

import numpy as np

from . import documents as pull_requests
from .history import History, HistoryState
from .preprocessor import Preprocessor
from .reasons import batch_reasons
from .rows import rows

T = TypeVar("T")

RunNetwork = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""[n, D] float32 -> (reconstruction_error [n], contributions [n, D]), both float32."""

# How far a score may be from the one stored with the model: other CPUs round the last bits otherwise.
RELATIVE_TOLERANCE = 1e-5
OVERRIDABLE = frozenset({"author_opened", "author_merged", "author_day"})


class BrokenModel(ValueError):
    """The artifact is incomplete, or its golden request does not get its stored score."""


@dataclass(frozen=True)
class Scored:
    """A batch with everything that is derived from it; n documents.

    values [n, features] float32 rows with NaN for missing; reconstruction_error [n]; contributions [n, D].
    """

    documents: Sequence[Mapping[str, Any]]
    histories: Sequence[History]
    values: np.ndarray
    reconstruction_error: np.ndarray
    contributions: np.ndarray


@dataclass(frozen=True)
class Scorer:
    """A loaded model. threshold is in the unit of the reconstruction error.

    error_quantiles [q]: errors of the training rows at q evenly spaced ranks, ascending.
    usual: {feature: median over the training rows}.
    """

    preprocessor: Preprocessor
    history: HistoryState
    threshold: float
    error_quantiles: np.ndarray
    usual: Mapping[str, float]
    golden: Mapping[str, Any]
    run_network: RunNetwork

    @classmethod
    def load(cls, folder: str | Path, run_network: RunNetwork) -> Scorer:
        """Read an artifact folder; raises BrokenModel that names the file at fault."""
        folder = Path(folder)
        threshold = _read(folder / "threshold.json", lambda path: float(_json(path)["threshold"]))
        reference = _read(folder / "reference.json", _reference)
        return cls(
            preprocessor=_read(folder / "preprocessor.json", Preprocessor.load),
            history=_read(folder / "history.npz", HistoryState.load),
            threshold=threshold,
            error_quantiles=reference["error_quantiles"],
            usual=reference["usual"],
            golden=_read(folder / "golden.json", _golden),
            run_network=run_network,
        )

    def run(
        self,
        documents: Sequence[Mapping[str, Any]],
        overrides: Sequence[Mapping[str, int] | None] | None = None,
    ) -> Scored:
        """Score checked documents; ``overrides`` replaces single history values of a document."""
        histories = [self.history.lookup(document) for document in documents]
        if overrides is not None:
            histories = [
                overridden(history, changed) if changed else history
                for history, changed in zip(histories, overrides, strict=True)
            ]
        profile = self.preprocessor.profile
        found = rows(zip(documents, histories, strict=True), profile)
        errors, contributions = self.run_network(self.preprocessor.matrix(*found))
        return Scored(documents, histories, found.values, errors, contributions)

    def score(
        self,
        documents: Sequence[Mapping[str, Any]],
        overrides: Sequence[Mapping[str, int] | None] | None = None,
    ) -> list[dict[str, Any]]:
        """One score object a document, in order (DESIGN section 3, without version and request id)."""
        return self.describe(self.run(documents, overrides)) if documents else []

    def describe(self, scored: Scored) -> list[dict[str, Any]]:
        """The score objects of a batch."""
        ranks = np.interp(scored.reconstruction_error, self.error_quantiles, self._ranks)
        reasons = batch_reasons(
            [document["repo_name"] for document in scored.documents],
            scored.values,
            [history.norms for history in scored.histories],
            scored.contributions,
            self.preprocessor,
            self.usual,
        )
        return [
            {
                "repo_name": document["repo_name"],
                "number": document["number"],
                "reconstruction_error": float(error),
                "threshold": self.threshold,
                "is_anomaly": bool(error > self.threshold),
                "anomaly_score": round(float(rank), 6),
                "reasons": why,
            }
            for document, error, rank, why in zip(
                scored.documents, scored.reconstruction_error.tolist(), ranks.tolist(), reasons, strict=True
            )
        ]

    @cached_property
    def _ranks(self) -> np.ndarray:
        return np.linspace(0, 1, len(self.error_quantiles))

    def prove_golden(self) -> float:
        """Score the golden request; returns the error, raises BrokenModel where it is not the stored one."""
        document = pull_requests.from_rest(self.golden["request"], require_id=False)
        found = float(self.run([document]).reconstruction_error[0])
        expected = float(self.golden["reconstruction_error"])
        if not abs(found - expected) <= RELATIVE_TOLERANCE * max(1.0, abs(expected)):
            raise BrokenModel(f"golden request scored {found!r}, the model was stored with {expected!r}")
        return found


def overridden(history: History, changed: Mapping[str, int]) -> History:
    """The history with single values of OVERRIDABLE replaced."""
    return History(
        changed.get("author_opened", history.author_opened),
        changed.get("author_merged", history.author_merged),
        changed.get("author_day", history.author_day),
        history.norms,
    )


def _read(path: Path, reader: Callable[[Path], T]) -> T:
    try:
        return reader(path)
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        raise BrokenModel(f"{path} of the model cannot be read: {type(error).__name__}: {error}") from error


def _json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def _reference(path: Path) -> dict[str, Any]:
    stored = _json(path)
    quantiles = np.array(stored["error_quantiles"], dtype=np.float64)
    if quantiles.ndim != 1 or len(quantiles) < 2 or not (np.diff(quantiles) >= 0).all():
        raise ValueError("error_quantiles: expected two or more ascending numbers")
    return {"error_quantiles": quantiles, "usual": dict(stored["usual"])}


def _golden(path: Path) -> dict[str, Any]:
    stored = _json(path)
    return {"request": stored["request"], "reconstruction_error": float(stored["reconstruction_error"])}
