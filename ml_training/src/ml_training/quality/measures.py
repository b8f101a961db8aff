"""How well scores separate anomalies from the ordinary: three measures and their bootstrap intervals.

All are computed from counts by tie group, so equal scores share their fate: a detector that gives every
row the same score gets ROC-AUC 0.5 and the base rate as precision, whatever the order of the rows.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

MEASURES = ("roc_auc", "average_precision", "precision_at_1_percent")
TOP_SHARE = 0.01
REPLICATES = 200
INTERVAL = (2.5, 97.5)


@dataclass(frozen=True)
class Estimate:
    """value with the bounds of its 95 % bootstrap interval.

    replicates: [REPLICATES] the value on resampled rows; the same rows for every detector, so that two detectors'
    replicates may be subtracted from each other.
    """

    value: float
    low: float
    high: float
    replicates: np.ndarray = field(repr=False, compare=False)


class Bootstrap:
    """How often each replicate takes each row: the same for whatever detector scored them.

    Ordinary rows are drawn once a replicate: they stand beside every kind and every draw of anomalies, and drawn
    anew beside each they would seem to be as many independent samples. Anomalies are drawn for each kind and draw.
    """

    def __init__(self, n_ordinary: int, seed: int = 0, replicates: int = REPLICATES) -> None:
        self.seed = seed
        self.replicates = replicates
        self.ordinary = _resampled(np.random.default_rng(seed), n_ordinary, replicates)

    def anomalous(self, kind: str, draw: int, rows: int) -> np.ndarray:
        """[replicates, rows] for the anomalies of one draw of a kind."""
        rng = np.random.default_rng([self.seed, zlib.crc32(kind.encode()), draw])
        return _resampled(rng, rows, self.replicates)


def measure(ordinary: np.ndarray, anomalous: np.ndarray, ordinary_weight: float = 1.0) -> dict[str, float]:
    """Measures of scores (higher is more anomalous) of ordinary rows [n] and anomalies [m].

    ordinary_weight: how many ordinary rows each given one stands for, where they are a sample and anomalies are not.
    """
    groups = _Groups(ordinary, anomalous)
    return groups.measures(np.full((1, len(ordinary)), ordinary_weight), np.ones((1, len(anomalous))))[0]


def estimate(
    ordinary: np.ndarray,
    draws: Sequence[np.ndarray],
    bootstrap: Bootstrap,
    kind: str = "",
    ordinary_weight: float = 1.0,
) -> dict[str, Estimate]:
    """Mean over draws of anomalies of one kind, each beside the same ordinary rows, with bootstrap intervals."""
    points: dict[str, list[float]] = {name: [] for name in MEASURES}
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in MEASURES}
    for number, anomalous in enumerate(draws):
        exact = measure(ordinary, anomalous, ordinary_weight)
        resampled = _Groups(ordinary, anomalous).measures(
            bootstrap.ordinary * ordinary_weight, bootstrap.anomalous(kind, number, len(anomalous))
        )
        for name in MEASURES:
            points[name].append(exact[name])
            drawn[name].append(np.array([one[name] for one in resampled]))
    found = {}
    for name in MEASURES:
        replicates = np.mean(drawn[name], axis=0)
        low, high = np.percentile(replicates, INTERVAL)
        found[name] = Estimate(float(np.mean(points[name])), float(low), float(high), replicates)
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
