"""What people would take instead: the baselines, each fitted on training rows and scored on the same rows.

The z-distance, PCA, isolation forest, ECOD and kNN see the network's input columns but for the sparse text columns;
PCA and kNN see each column scaled by the root of its weight in the loss, so that all agree on what matters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

NEIGHBOURS = 10
HUGE_LINES = 5_000


@dataclass(frozen=True)
class Rows:
    """n rows to be scored. matrix: [n, D] network input; additions, lines: [n] raw counts, 0 where unknown."""

    matrix: np.ndarray
    additions: np.ndarray
    lines: np.ndarray


Detector = Callable[[Rows], np.ndarray]
"""Rows to scores [n], higher is more anomalous."""


def lines_added(rows: Rows) -> np.ndarray:
    """Lines added, alone."""
    return np.asarray(rows.additions, dtype=np.float64)


def huge_size(rows: Rows) -> np.ndarray:
    """Whether more than HUGE_LINES lines changed: a rule of thumb, with two scores only."""
    return np.asarray(rows.lines > HUGE_LINES, dtype=np.float64)


def z_distance(dense: np.ndarray) -> Detector:
    """Squared length of a row: columns are standardised. dense: [D] mask of the columns that are no text."""
    return lambda rows: np.asarray(np.square(rows.matrix[:, dense], dtype=np.float64).sum(axis=1))


class Pca:
    """Squared distance from the subspace of the ``width`` largest principal components."""

    def __init__(self, train: np.ndarray, width: int) -> None:
        """train: [n, d] scaled columns."""
        self.mean = train.mean(axis=0, dtype=np.float64)
        _, _, components = np.linalg.svd(train - self.mean, full_matrices=False)
        self.components = components[:width]

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        centred = rows - self.mean
        rest = centred - (centred @ self.components.T) @ self.components
        return np.asarray((rest**2).sum(axis=1))


class Ecod:
    """ECOD (Li et al., 2022): the sum over columns of -ln(share of the training rows that are as far out).

    What PyOD's ``decision_function`` gives for a row that it is asked about alone, to which a test holds it. Asked
    about many at once PyOD ranks them among the training rows, and anomalies make each other ordinary.
    """

    def __init__(self, train: np.ndarray) -> None:
        """train: [n, d] columns."""
        # A constant column has no distribution to be in the tail of.
        self.varying = train.std(axis=0) > 0
        self.columns = np.sort(train[:, self.varying], axis=0).T
        centred = train[:, self.varying] - train[:, self.varying].mean(axis=0, dtype=np.float64)
        self.skewed = np.sign((centred**3).mean(axis=0))

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        scores = np.zeros(len(rows))
        size = self.columns.shape[1] + 1
        for column, values, skewed in zip(self.columns, rows[:, self.varying].T, self.skewed, strict=True):
            # The row itself is one of those that are as far out.
            left = -np.log((np.searchsorted(column, values, side="right") + 1) / size)
            right = -np.log((size - np.searchsorted(column, values, side="left")) / size)
            # The tail that the column is skewed to; both where it is to neither.
            tail = left * (skewed < 0) + right * (skewed > 0) + (left + right) * (skewed == 0)
            scores += np.maximum(np.maximum(left, right), tail)
        return scores


def pca_detector(train: np.ndarray, weights: np.ndarray, dense: np.ndarray, width: int) -> Detector:
    """PCA of the same width as the network's bottleneck; needs no package beyond numpy."""
    view = _View(weights, dense)
    fitted = Pca(view(train), width)
    return lambda rows: fitted(view(rows.matrix))


def standard_detectors(
    train: np.ndarray, weights: np.ndarray, dense: np.ndarray, width: int, seed: int
) -> tuple[dict[str, Detector], list[str]]:
    """(detectors by name, names of those whose package is not installed).

    train: [n, D] network input of training rows; weights: [D] in the error; dense: [D] mask of the columns
    that are no text.
    """
    view = _View(weights, dense)
    plain = train[:, dense]
    detectors: dict[str, Detector] = {
        "lines added": lines_added,
        "size > 5,000": huge_size,
        "z-distance": z_distance(dense),
        "PCA": pca_detector(train, weights, dense, width),
    }
    ecod = Ecod(plain)
    detectors["ECOD"] = lambda rows: ecod(rows.matrix[:, dense])
    absent: list[str] = []
    makers: dict[str, Callable[[], Callable[[np.ndarray], np.ndarray]]] = {
        "isolation forest": lambda: _isolation_forest(plain, seed),
        "kNN": lambda: _neighbours(view(train)),
    }
    for name, make in makers.items():
        try:
            score = make()
        except ImportError:
            absent.append(name)
            continue
        detectors[name] = _on(score, view if name == "kNN" else (lambda matrix: matrix[:, dense]))
    return detectors, absent


class _View:
    """Columns that are no text, scaled by the root of their weight (mean weight 1)."""

    def __init__(self, weights: np.ndarray, dense: np.ndarray) -> None:
        chosen = weights[dense].astype(np.float64)
        self.dense = dense
        self.scale = np.sqrt(chosen / chosen.mean())

    def __call__(self, matrix: np.ndarray) -> np.ndarray:
        return np.asarray(matrix[:, self.dense] * self.scale)


def _on(score: Callable[[np.ndarray], np.ndarray], view: Callable[[np.ndarray], np.ndarray]) -> Detector:
    return lambda rows: score(view(rows.matrix))


def _isolation_forest(train: np.ndarray, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    from sklearn.ensemble import IsolationForest

    forest = IsolationForest(n_estimators=200, random_state=seed).fit(train)
    return lambda rows: -np.asarray(forest.score_samples(rows))


def _neighbours(train: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    from sklearn.neighbors import NearestNeighbors

    index = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(train))).fit(train)
    return lambda rows: np.asarray(index.kneighbors(rows)[0].mean(axis=1))


def scores_of(detectors: Mapping[str, Detector], rows: Rows) -> dict[str, np.ndarray]:
    """Scores of every detector for the same rows."""
    return {name: np.asarray(score(rows), dtype=np.float64) for name, score in detectors.items()}
