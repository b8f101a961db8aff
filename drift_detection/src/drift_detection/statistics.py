"""Two-sample statistics that know how many rows stand behind each side. Pure functions over arrays.

A population stability index of 0.2 is a large change on ten thousand rows and nothing at all on fifty: its expectation
without any change is (bins - 1)(1/n + 1/m). So each comparison says two things: how unlikely the difference is by
chance (p), and how large it is beyond what chance alone gives.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc, kolmogorov

# Cells in which fewer rows are expected are joined with a neighbour: below, chi-squared is no good approximation.
LEAST_EXPECTED = 5.0
# Values that differ less than this are the same.
LEAST_STD = 1e-3


@dataclass(frozen=True)
class BinComparison:
    """psi: population stability index; psi_by_chance: its expectation without any change; p: of chi-squared."""

    psi: float
    psi_by_chance: float
    p: float

    @property
    def excess(self) -> float:
        """What of the index is beyond chance."""
        return self.psi - self.psi_by_chance


@dataclass(frozen=True)
class ScoreComparison:
    """ks: largest distance of the distribution functions, 0 to 1; p: of Kolmogorov and Smirnov."""

    ks: float
    p: float


def effective_rows(rows: np.ndarray) -> float:
    """How many different rows [n, d] are worth as much as these: n^2 / sum of squared multiplicities (Kish).

    A pull request that is scored ten times says no more than one scored once, and must not make a window
    look larger than it is. NaN equals NaN.
    """
    if not len(rows):
        return 0.0
    content = np.ascontiguousarray(rows, dtype=np.float32) + np.float32(0)  # -0 is 0
    content[np.isnan(content)] = np.nan  # one kind of NaN
    raw = content.view(np.dtype((np.void, content.dtype.itemsize * content.shape[1]))).ravel()
    _, counts = np.unique(raw, return_counts=True)
    return float(len(rows) ** 2 / np.square(counts, dtype=np.float64).sum())


def compare_bins(expected: np.ndarray, found: np.ndarray, effective: float) -> BinComparison:
    """Counts of the reference [bins] against those of a window [bins].

    effective: rows that the window is worth (at most the sum of ``found``). Bins that are nearly empty on
    both sides are joined. Without two bins or without rows nothing differs.
    """
    n_expected, n_found = float(expected.sum()), float(found.sum())
    if not n_expected or not n_found or effective <= 0:
        return BinComparison(0.0, 0.0, 1.0)
    shares = np.array([expected / n_expected, found / n_found])
    # Shares of both sides together, weighted by what each is worth.
    pooled = (shares[0] * n_expected + shares[1] * effective) / (n_expected + effective)
    cells = _joined(pooled * min(n_expected, effective))
    bins = int(cells[-1]) + 1 if len(cells) else 0
    if bins < 2:
        return BinComparison(0.0, 0.0, 1.0)
    p, q = (np.bincount(cells, weights=side, minlength=bins) for side in shares)
    pooled = np.bincount(cells, weights=pooled, minlength=bins)
    spread = 1.0 / n_expected + 1.0 / effective
    chi_squared = float((np.square(p - q) / pooled).sum() / spread)
    return BinComparison(
        psi=_psi(p, q, n_expected, effective),
        psi_by_chance=(bins - 1) * spread,
        p=float(chdtrc(bins - 1, chi_squared)),
    )


def _joined(expected: np.ndarray) -> np.ndarray:
    """Number of the cell [bins] that each bin goes into, so that each cell expects LEAST_EXPECTED rows."""
    cells = np.zeros(len(expected), dtype=np.int64)
    cell, waiting = 0, 0.0
    for position, rows in enumerate(expected):
        cells[position] = cell
        waiting += float(rows)
        if waiting >= LEAST_EXPECTED:
            cell, waiting = cell + 1, 0.0
    # What is left at the end goes into the last full cell.
    return np.minimum(cells, max(cell - 1, 0))


def _psi(p: np.ndarray, q: np.ndarray, n_p: float, n_q: float) -> float:
    """Half a row more in every cell: an empty one is rare, not impossible."""
    cells = len(p)
    a = (p * n_p + 0.5) / (n_p + 0.5 * cells)
    b = (q * n_q + 0.5) / (n_q + 0.5 * cells)
    return float(((b - a) * np.log(b / a)).sum())


def shift(quantiles: np.ndarray, values: np.ndarray) -> float:
    """How far values [n] lie from a reference given by its quantiles [k], in the reference's standard deviations.

    The area between the two quantile functions (Wasserstein's distance). Bins do not tell a step across an edge
    from one across the room: where many rows share a value, as those of one month do that are measured against
    that month's norm, a change in its third digit empties one bin into the next. 0 without values on one side.
    """
    if not len(quantiles) or not len(values):
        return 0.0
    found = np.quantile(values.astype(np.float64), np.linspace(0.0, 1.0, len(quantiles)))
    return float(np.abs(found - quantiles).mean() / max(float(quantiles.std()), LEAST_STD))


def compare_scores(
    quantiles: np.ndarray, reference_rows: int, errors: np.ndarray, effective: float
) -> ScoreComparison:
    """A reference given by its quantiles at evenly spaced ranks [k] against errors of a window [n]."""
    if not len(errors) or effective <= 0:
        return ScoreComparison(0.0, 1.0)
    ordered = np.sort(errors.astype(np.float64))
    reference = np.interp(ordered, quantiles, np.linspace(0.0, 1.0, len(quantiles)), left=0.0, right=1.0)
    n = len(ordered)
    above = np.arange(1, n + 1) / n - reference
    below = reference - np.arange(n) / n
    distance = float(max(above.max(), below.max(), 0.0))
    worth = reference_rows * effective / (reference_rows + effective)
    # Stephens's correction makes the asymptotic formula good from a few rows on.
    root = math.sqrt(worth)
    return ScoreComparison(distance, float(kolmogorov((root + 0.12 + 0.11 / root) * distance)))
