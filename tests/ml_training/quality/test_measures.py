"""Measures against scikit-learn and by hand."""

import numpy as np
import pytest
from ml_training.quality.measures import estimate, measure


@pytest.mark.parametrize("ties", [False, True])
def test_equal_scikit_learns(ties: bool) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(1)
    ordinary, anomalous = rng.normal(size=400), rng.normal(size=60) + 0.8
    if ties:
        ordinary, anomalous = np.round(ordinary), np.round(anomalous)
    found = measure(ordinary, anomalous)
    truth = np.r_[np.zeros(400), np.ones(60)]
    scores = np.r_[ordinary, anomalous]
    assert found["roc_auc"] == pytest.approx(metrics.roc_auc_score(truth, scores))
    expected = metrics.average_precision_score(truth, scores)
    assert found["average_precision"] == pytest.approx(expected)


def test_precision_in_the_highest_hundredth() -> None:
    ordinary, anomalous = np.arange(190.0), np.array([500.0, 100.5] + [-1.0] * 8)
    assert measure(ordinary, anomalous)["precision_at_1_percent"] == pytest.approx(0.5)


def test_the_same_score_for_all_is_guessing() -> None:
    found = measure(np.zeros(90), np.zeros(10))
    assert found == {
        "roc_auc": pytest.approx(0.5),
        "average_precision": pytest.approx(0.1),
        "precision_at_1_percent": pytest.approx(0.1),
    }


def test_perfect_and_upside_down() -> None:
    assert measure(np.zeros(5), np.ones(5))["roc_auc"] == 1.0
    assert measure(np.ones(5), np.zeros(5))["roc_auc"] == 0.0


def test_intervals_hold_the_value_and_shrink_with_rows() -> None:
    rng = np.random.default_rng(2)

    def width(n: int) -> float:
        pair = (rng.normal(size=n * 10), rng.normal(size=n) + 1)
        found = estimate([pair, pair])["roc_auc"]
        assert found.low < found.value < found.high
        return found.high - found.low

    assert width(400) < 0.6 * width(40)


def test_estimates_repeat() -> None:
    pair = (np.arange(50.0), np.arange(25.0, 60.0))
    assert estimate([pair]) == estimate([pair])


def test_scores_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        measure(np.array([np.nan]), np.ones(1))
    with pytest.raises(ValueError, match="at least one"):
        measure(np.ones(3), np.empty(0))
