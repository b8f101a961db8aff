"""Which of several trained candidates is the best: the one with the highest worst kind of injected anomaly.

Anomalies are drawn with other seeds than those of the report and the gate: the best of several on one draw is partly
the luckiest on it. The documents that they are made from are the same, so the report of a searched model is still a
little too good, by what luck with the documents is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pr_features.history import HistoryState

from ml_training.artifact import pack_history
from ml_training.fitting import Fitted, FittingContext
from ml_training.quality.assessment import roc_auc_by_kind
from ml_training.quality.comparison import MEAN, WORST
from ml_training.quality.detectors import Detector, Rows
from ml_training.quality.evaluation_set import EvaluationSet, own_matrix
from ml_training.quality.model_under_test import documents_of
from ml_training.runs import Run

# Differences below are noise of the draw; then the mean over kinds decides.
WORST_STEP = 0.01


@dataclass(frozen=True)
class Judged:
    """A candidate with its mean ROC-AUC by kind; empty where nothing could be injected."""

    fitted: Fitted
    by_kind: dict[str, float]

    def metrics(self) -> dict[str, float]:
        """For MLflow; not under the names of the quality report, whose draws are others."""
        found = {f"choosing/{kind}/roc_auc": value for kind, value in self.by_kind.items()}
        if self.by_kind:
            found[f"choosing/{WORST.replace(' ', '_')}/roc_auc"] = min(self.by_kind.values())
            found[f"choosing/{MEAN.replace(' ', '_')}/roc_auc"] = float(np.mean(list(self.by_kind.values())))
        return found

    @property
    def rank(self) -> tuple[float, float]:
        """Worst kind in steps of WORST_STEP, then the mean over kinds."""
        if not self.by_kind:
            return 0.0, 0.0
        values = list(self.by_kind.values())
        return round(min(values) / WORST_STEP), float(np.mean(values))


def judge(context: FittingContext, run: Run, trained: Sequence[Fitted], work: Path) -> list[Judged]:
    """Every candidate on the same injected anomalies, in the order given."""
    documents = documents_of(run, "choosing_seeds")
    if documents is None:
        return [Judged(fitted, {}) for fitted in trained]
    pack_history(run, work / "history.npz")
    history = HistoryState.load(work / "history.npz")
    evaluation = EvaluationSet.make(documents, own_matrix(context.preprocessor, history))
    return [Judged(fitted, roc_auc_by_kind(_detector(fitted), evaluation)) for fitted in trained]


def best(judged: Sequence[Judged]) -> Judged:
    """The highest rank; of equal ones the first declared."""
    return max(judged, key=lambda one: one.rank)


def _detector(fitted: Fitted) -> Detector:
    network = fitted.network

    def score(rows: Rows) -> np.ndarray:
        matrix = torch.from_numpy(rows.matrix).to(network.weights.device)
        with torch.no_grad():
            return np.asarray(network.reconstruction_error(matrix).cpu().numpy())

    return score
