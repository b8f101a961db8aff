"""Comparisons are judged by what they are for: their rate of false alarms, at any size of either side."""

import numpy as np
import pytest
from drift_detection.statistics import compare_bins, compare_scores, effective_rows, few_copies, shift
from scipy import stats


def counts(rng: np.random.Generator, n: int, shares: np.ndarray) -> np.ndarray:
    return rng.multinomial(n, shares)


@pytest.mark.parametrize(("reference", "window"), [(100, 100), (300, 500), (5_000, 200), (50_000, 5_000)])
def test_bins_of_one_distribution_differ_by_chance_as_often_as_p_says(reference: int, window: int) -> None:
    rng = np.random.default_rng(1)
    shares = np.full(12, 1 / 12)
    found = [
        compare_bins(counts(rng, reference, shares), counts(rng, window, shares), window) for _ in range(1000)
    ]
    p = np.array([one.p for one in found])
    assert 0.02 < (p < 0.05).mean() < 0.08
    # What chance alone gives is what was expected of it, so nothing is left.
    assert abs(np.mean([one.excess for one in found])) < 0.25 * found[0].psi_by_chance


def test_a_plain_index_would_call_a_small_window_drifted() -> None:
    """Why the index alone decides nothing: 0.2 is usually called a large change."""
    rng = np.random.default_rng(2)
    shares = np.full(10, 0.1)
    found = [compare_bins(counts(rng, 500, shares), counts(rng, 60, shares), 60) for _ in range(300)]
    assert np.mean([one.psi > 0.2 for one in found]) > 0.2
    assert np.mean([one.excess > 0.1 and one.p < 0.001 for one in found]) < 0.01


def test_a_real_change_is_found_and_its_index_does_not_depend_on_the_rows() -> None:
    rng = np.random.default_rng(3)
    before, after = np.full(10, 0.1), np.array([0.06] * 5 + [0.14] * 5)
    excess = []
    for n in (1_000, 10_000, 100_000):
        found = compare_bins(counts(rng, n, before), counts(rng, n, after), n)
        assert found.p < 1e-6
        excess.append(found.excess)
    assert max(excess) - min(excess) < 0.25 * np.mean(excess)


def test_chi_squared_is_scipy_s() -> None:
    a, b = np.array([30, 50, 20, 40]), np.array([60, 40, 30, 30])
    expected = stats.chi2_contingency(np.array([a, b]), correction=False)
    assert compare_bins(a, b, b.sum()).p == pytest.approx(expected.pvalue, rel=1e-9)


def test_nearly_empty_bins_are_joined() -> None:
    """One row where the reference has none is no drift; a fifth of the rows is."""
    reference = np.array([0, 500, 500, 0, 0])
    assert compare_bins(reference, np.array([1, 250, 249, 0, 0]), 500).p > 0.01
    assert compare_bins(reference, np.array([0, 200, 200, 0, 100]), 500).p < 1e-9


@pytest.mark.parametrize(
    ("reference", "window"), [([0, 0], [5, 5]), ([5, 5], [0, 0]), ([100, 0], [100, 0]), ([100], [50])]
)
def test_nothing_to_compare_is_no_difference(reference: list[int], window: list[int]) -> None:
    assert compare_bins(np.array(reference), np.array(window), sum(window)).p == 1.0


def test_rows_that_come_again_count_as_one() -> None:
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(50, 3)).astype(np.float32)
    rows[:10, 1] = np.nan
    assert effective_rows(rows) == 50
    assert effective_rows(np.repeat(rows, 4, axis=0)) == pytest.approx(50)
    one_often = np.concatenate([rows, np.repeat(rows[:1], 50, axis=0)])
    assert effective_rows(one_often) == pytest.approx(100**2 / (49 + 51**2))
    assert effective_rows(rows[:0]) == 0


@pytest.mark.parametrize(
    ("copies", "kept"),
    [
        ([1] * 50, 50),
        ([1] * 80 + [20], 81),  # of 81 rows a hundredth is one
        ([1] * 400 + [100], 405),
        ([1] * 100 + [900], 102),
        ([500], 1),
        ([3, 2, 1], 3),
        ([10] * 100, 1000),
    ],
)
def test_no_row_is_more_than_a_hundredth_of_those_kept(copies: list[int], kept: int) -> None:
    rng = np.random.default_rng(9)
    rows = np.repeat(rng.normal(size=(len(copies), 3)).astype(np.float32), copies, axis=0)
    rows = rows[rng.permutation(len(rows))]
    found = few_copies(rows)
    assert found.sum() == kept
    # Of equal rows the first stay, and what is kept is kept again.
    assert few_copies(rows[found]).all()
    limited = few_copies(rows, 2)
    assert limited.sum() == np.minimum(copies, 2).sum() and limited[:1].all()


@pytest.mark.parametrize("pool", [60, 200, 1_000])
def test_windows_drawn_with_replacement_keep_the_rate(pool: int) -> None:
    """500 draws from few rows are worth fewer: without that count a small pool would alarm half of the time."""
    rng = np.random.default_rng(5)
    ranks = np.linspace(0, 1, 1001)
    honest, naive = [], []
    for _ in range(300):
        quantiles = np.quantile(rng.lognormal(size=800), ranks)
        window = rng.choice(rng.lognormal(size=pool).astype(np.float32), 500)
        honest.append(compare_scores(quantiles, 800, window, effective_rows(window[:, None])).p)
        naive.append(compare_scores(quantiles, 800, window, 500).p)
    assert (np.array(honest) < 0.05).mean() < 0.1
    if pool == 60:
        assert (np.array(naive) < 0.05).mean() > 0.3


def test_the_score_test_is_scipy_s() -> None:
    rng = np.random.default_rng(6)
    reference, window = rng.lognormal(size=1001), rng.lognormal(0.15, size=700)
    ours = compare_scores(np.sort(reference), 1001, window, 700)
    theirs = stats.ks_2samp(reference, window, method="asymp")
    assert ours.ks == pytest.approx(theirs.statistic, abs=0.003)
    assert ours.p == pytest.approx(theirs.pvalue, rel=0.25)


@pytest.mark.parametrize("off", [0.0, 1e-6, -1e-6])
def test_ties_are_no_difference(off: float) -> None:
    """Robots' pull requests share an error: the reference and the window jump at the same place by the same share."""
    rng = np.random.default_rng(10)
    alike = np.float32(0.7312345)
    reference = np.where(rng.random(3_000) < 0.4, alike, rng.lognormal(size=3_000))
    window = np.where(rng.random(800) < 0.4, alike * np.float32(1 + off), rng.lognormal(size=800))
    quantiles = np.quantile(reference, np.linspace(0, 1, 1001))
    found = compare_scores(quantiles, 3_000, window, 800)
    assert found.ks == pytest.approx(
        stats.ks_2samp(reference, np.where(window == alike * np.float32(1 + off), alike, window)).statistic,
        abs=0.004,
    )
    assert found.p > 0.01
    # A jump where the reference has none is one.
    assert compare_scores(quantiles, 3_000, window * 1.01, 800).ks > 0.3
    assert compare_scores(quantiles, 3_000, window * 0.99, 800).ks > 0.3


def test_smaller_errors_are_a_change_too() -> None:
    rng = np.random.default_rng(7)
    quantiles = np.quantile(rng.lognormal(size=1000), np.linspace(0, 1, 1001))
    assert compare_scores(quantiles, 1000, rng.lognormal(-0.8, size=300), 300).p < 1e-6


def test_how_far_values_moved() -> None:
    rng = np.random.default_rng(8)
    reference = rng.normal(3, 2, size=20_000)
    quantiles = np.quantile(reference, np.linspace(0, 1, 101))
    assert shift(quantiles, rng.normal(3, 2, size=2_000)) < 0.1
    assert shift(quantiles, rng.normal(4, 2, size=2_000)) == pytest.approx(0.5, abs=0.06)
    assert shift(quantiles, rng.normal(3, 4, size=2_000)) > 0.5
    assert shift(np.array([]), np.array([1.0])) == shift(quantiles, np.array([])) == 0.0


def test_bins_alone_take_a_step_across_an_edge_for_a_journey() -> None:
    """Many rows share one value, and all of them move by a thousandth."""
    reference = np.repeat([0.0, 0.500, 1.0], [300, 500, 200])
    edges = np.array([-0.001, 0.0, 0.500, 1.0])
    count = [
        np.bincount(np.searchsorted(edges, side), minlength=5) for side in (reference, reference + 0.001)
    ]
    found = compare_bins(count[0], count[1], 1_000)
    assert found.p < 1e-9 and found.excess > 0.2
    assert shift(np.quantile(reference, np.linspace(0, 1, 101)), reference + 0.001) < 0.01
