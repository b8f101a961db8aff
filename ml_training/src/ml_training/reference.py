"""What a served score is compared with: quantiles of training errors, usual values, bins for drift."""

from __future__ import annotations

from typing import Any

import numpy as np
from pr_features.registry import FEATURES

from ml_training.unseen_errors import UnseenErrors

# Rows of split train that usual values and bins are taken from. The table is in hash order, so the first
# rows are a fair sample, and with more of them neither would change in its second digit.
SAMPLE_ROWS = 50_000
ERROR_QUANTILES = 1_001
# Of a feature: how far a distribution has moved, in its own unit, is seen from these.
FEATURE_QUANTILES = 101
# Ten bins of about equal counts, as population stability is usually measured.
DRIFT_BINS = 10
HISTOGRAM_BINS = 60


class TrainingSample:
    """The first SAMPLE_ROWS training rows, collected block by block."""

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = []
        self._rows = 0

    def add(self, values: np.ndarray) -> None:
        """values: [n, features] float32 rows of split train in order, NaN for missing."""
        missing = SAMPLE_ROWS - self._rows
        if missing > 0 and len(values):
            self._parts.append(values[:missing].copy())
            self._rows += len(self._parts[-1])

    @property
    def values(self) -> np.ndarray:
        """[rows, features] float32."""
        return np.concatenate(self._parts)


def make_reference(sample: np.ndarray, train_errors: np.ndarray, unseen: UnseenErrors) -> dict[str, Any]:
    """Content of ``reference.json``.

    sample: [n, features] rows of split train; train_errors: [m] errors of all of them; unseen: errors that
    served scores are compared with.
    """
    usual: dict[str, float] = {}
    features: list[dict[str, Any]] = []
    for position, feature in enumerate(FEATURES):
        column = sample[:, position].astype(np.float64)
        present = column[~np.isnan(column)]
        if len(present):
            usual[feature.name] = float(np.median(present))
        features.append(
            {
                "name": feature.name,
                "group": feature.block,
                **_bins(present),
                "quantiles": _quantiles(present),
                "missing": int(len(column) - len(present)),
            }
        )
    errors = np.sort(train_errors.astype(np.float64))
    ranks = np.linspace(0.0, 1.0, ERROR_QUANTILES)
    return {
        "version": 1,
        "rows": len(sample),
        "error_rows": len(errors),
        "error_quantiles": np.quantile(errors, ranks).tolist(),
        "error_histogram": _histogram(errors),
        "usual": usual,
        "drift": {"score": _score(unseen, ranks), "features": features},
    }


def _score(unseen: UnseenErrors, ranks: np.ndarray) -> dict[str, Any]:
    """Bins and quantiles (at ``ranks``) of the errors of unseen rows, and where they come from."""
    errors = unseen.errors.astype(np.float64)
    quantiles = np.quantile(errors, ranks).tolist()
    return {**_bins(errors), "quantiles": quantiles, "rows": len(errors), "how": unseen.how}


def _bins(values: np.ndarray) -> dict[str, Any]:
    """Inner edges and counts of the bins between: bin i holds edges[i-1] < x <= edges[i].

    Edges lie at the deciles, and at both ends of what was seen: the first and the last bin are empty, for
    values such as training never saw. A value that fills several deciles is one edge, so there may be
    fewer than DRIFT_BINS bins between.
    """
    if not len(values):
        return {"edges": [], "counts": [0]}
    inner = np.quantile(values, np.linspace(0.0, 1.0, DRIFT_BINS + 1)[1:-1], method="lower")
    # Served values are float32: just below the smallest one, in that.
    below = np.float64(np.nextafter(np.float32(values.min()), np.float32(-np.inf)))
    edges = np.unique(np.concatenate([[below], inner, [values.max()]]))
    counts = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)
    return {"edges": edges.tolist(), "counts": counts.tolist()}


def _quantiles(values: np.ndarray) -> list[float]:
    """FEATURE_QUANTILES values at evenly spaced ranks; none where there is no value."""
    if not len(values):
        return []
    found: list[float] = np.quantile(values, np.linspace(0.0, 1.0, FEATURE_QUANTILES)).tolist()
    return found


def _histogram(errors: np.ndarray) -> dict[str, Any]:
    """Counts over bins of equal width on a logarithmic scale, for plots."""
    low, high = max(float(errors[0]), 1e-9), max(float(errors[-1]), 1e-8)
    edges = np.geomspace(low, max(high, low * 1.001), HISTOGRAM_BINS + 1)
    counts, _ = np.histogram(np.clip(errors, edges[0], edges[-1]), edges)
    return {"edges": edges.tolist(), "counts": counts.tolist()}
