"""How well scores separate anomalies from the ordinary: three measures and their bootstrap intervals.

All are computed from counts by tie group, so equal scores share their fate: a detector that gives every
row the same score gets ROC-AUC 0.5 and the base rate as precision, whatever the order of the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MEASURES = ("roc_auc", "average_precision", "precision_at_1_percent")
TOP_SHARE = 0.01
REPLICATES = 200
INTERVAL = (2.5, 97.5)


@dataclass(frozen=True)
class Estimate:
    """value with the bounds of its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


def measure(ordinary: np.ndarray, anomalous: np.ndarray) -> dict[str, float]:
    """Measures of scores (higher is more anomalous) of ordinary rows [n] and anomalies [m]."""
    groups = _Groups(ordinary, anomalous)
    return groups.measures(np.ones((1, len(ordinary))), np.ones((1, len(anomalous))))[0]


def estimate(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], seed: int = 0, replicates: int = REPLICATES
) -> dict[str, Estimate]:
    """Mean over (ordinary, anomalous) pairs of scores, one a draw of anomalies, with bootstrap intervals.

    A replicate draws rows of both sorts anew, with replacement, in every pair.
    """
    rng = np.random.default_rng(seed)
    points: dict[str, list[float]] = {name: [] for name in MEASURES}
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in MEASURES}
    for ordinary, anomalous in pairs:
        groups = _Groups(ordinary, anomalous)
        exact = groups.measures(np.ones((1, len(ordinary))), np.ones((1, len(anomalous))))[0]
        resampled = groups.measures(
            _resampled(rng, len(ordinary), replicates), _resampled(rng, len(anomalous), replicates)
        )
        for name in MEASURES:
            points[name].append(exact[name])
            drawn[name].append(np.array([one[name] for one in resampled]))
    found = {}
    for name in MEASURES:
        low, high = np.percentile(np.mean(drawn[name], axis=0), INTERVAL)
        found[name] = Estimate(float(np.mean(points[name])), float(low), float(high))
    return found


class _Groups:
    """Rows grouped by equal score, highest first."""

    def __init__(self, ordinary: np.ndarray, anomalous: np.ndarray) -> None:
        scores = np.concatenate([ordinary, anomalous]).astype(np.float64)
        if not len(ordinary) or not len(anomalous) or not np.isfinite(scores).all():
            raise ValueError("expected finite scores of at least one ordinary row and one anomaly")
        self._order = np.argsort(-scores, kind="stable")
        ranked = scores[self._order]
        self._starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
        self._anomaly = (np.arange(len(scores)) >= len(ordinary))[self._order]

    def measures(self, ordinary: np.ndarray, anomalous: np.ndarray) -> list[dict[str, float]]:
        """One object for each row of weights: ordinary [replicates, n], anomalous [replicates, m]."""
        weights = np.concatenate([ordinary, anomalous], axis=1)[:, self._order]
        hits = np.add.reduceat(weights * self._anomaly, self._starts, axis=1)
        falls = np.add.reduceat(weights * ~self._anomaly, self._starts, axis=1)
        all_hits, all_falls = hits.sum(axis=1), falls.sum(axis=1)
        hits_above = np.cumsum(hits, axis=1)
        seen = np.cumsum(hits + falls, axis=1)
        falls_below = all_falls[:, None] - np.cumsum(falls, axis=1)
        auc = (hits * (falls_below + 0.5 * falls)).sum(axis=1) / (all_hits * all_falls)
        precision = np.divide(hits_above, seen, out=np.zeros_like(seen), where=seen > 0)
        average = (precision * hits).sum(axis=1) / all_hits
        top = self._top_precision(hits_above, seen)
        return [
            dict(zip(MEASURES, (float(a), float(b), float(c)), strict=True))
            for a, b, c in zip(auc, average, top, strict=True)
        ]

    def _top_precision(self, hits_above: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """Share of anomalies among the highest 1 %; a tie at the border counts by its share."""
        found = np.empty(len(seen))
        for row in range(len(seen)):
            wanted = max(1.0, TOP_SHARE * seen[row, -1])
            position = int(np.searchsorted(seen[row], wanted))
            before = (hits_above[row, position - 1], seen[row, position - 1]) if position else (0.0, 0.0)
            group = seen[row, position] - before[1]
            share = (wanted - before[1]) / group if group else 0.0
            found[row] = (before[0] + share * (hits_above[row, position] - before[0])) / wanted
        return found


def _resampled(rng: np.random.Generator, rows: int, replicates: int) -> np.ndarray:
    """How often each row is drawn: [replicates, rows]."""
    return rng.multinomial(rows, np.full(rows, 1.0 / rows), size=replicates).astype(np.float64)
