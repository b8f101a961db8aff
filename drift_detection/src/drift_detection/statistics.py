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
# Of a window, that one row may be at most.
LARGEST_SHARE = 0.01
# Errors that differ by less than this share are of the same pull request.
SAME_ERROR = 1e-4


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
    _, counts = np.unique(_contents(rows), return_counts=True)
    return float(len(rows) ** 2 / np.square(counts, dtype=np.float64).sum())


def few_copies(rows: np.ndarray, most: int | None = None) -> np.ndarray:
    """Which rows [n, d] to keep so that none is there more than ``most`` times, the first ones: [n] of bool.

    Without ``most``: as often as lets no row be more than LARGEST_SHARE of those kept. One row that comes again and
    again would else decide the window's distribution and, by Kish's number, whether there is a verdict at all.
    """
    if not len(rows):
        return np.zeros(0, dtype=bool)
    _, groups, counts = np.unique(_contents(rows), return_inverse=True, return_counts=True)
    order = np.argsort(groups, kind="stable")
    copy = np.empty(len(rows), dtype=np.int64)
    copy[order] = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    kept: np.ndarray = copy < (_most_copies(counts) if most is None else most)
    return kept


def _most_copies(counts: np.ndarray) -> int:
    """The largest number of copies that is no more than its share of what is kept with it; one always is."""
    most = 1
    while most < counts.max() and most + 1 <= math.ceil(LARGEST_SHARE * np.minimum(counts, most + 1).sum()):
        most += 1
    return most


def _contents(rows: np.ndarray) -> np.ndarray:
    """Rows [n, d] as opaque values [n] that are equal where the rows are; NaN equals NaN."""
    content = np.ascontiguousarray(rows, dtype=np.float32) + np.float32(0)  # -0 is 0
    content[np.isnan(content)] = np.nan  # one kind of NaN
    return content.view(np.dtype((np.void, content.dtype.itemsize * content.shape[1]))).ravel()


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
    values, counts = np.unique(errors.astype(np.float64), return_counts=True)
    share = np.cumsum(counts) / len(errors)
    # Where many rows share an error both functions jump, and are compared before and after. The same pull request's
    # error differs in the last digits between training and serving: that far a jump may lie from its counterpart.
    slack = SAME_ERROR * np.abs(values)
    above = share - _at_most(quantiles, values + slack)
    below = _less_than(quantiles, values - slack) - (share - counts / len(errors))
    distance = float(max(above.max(), below.max(), 0.0))
    worth = reference_rows * effective / (reference_rows + effective)
    # Stephens's correction makes the asymptotic formula good from a few rows on.
    root = math.sqrt(worth)
    return ScoreComparison(distance, float(kolmogorov((root + 0.12 + 0.11 / root) * distance)))


def _at_most(quantiles: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Share of a reference, given by its quantiles [k], up to and with each value [n]."""
    ranks = np.linspace(0.0, 1.0, len(quantiles))
    found: np.ndarray = np.interp(values, quantiles, ranks, left=0.0, right=1.0)
    return found


def _less_than(quantiles: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The same without the value itself, which makes a difference where quantiles are equal."""
    return 1.0 - _at_most(-quantiles[::-1], -values)
