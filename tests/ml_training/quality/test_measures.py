"""Measures against scikit-learn and by hand."""

import numpy as np
import pytest
from ml_training.quality.measures import Bootstrap, Estimate, estimate, measure


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
        anomalous = rng.normal(size=n) + 1
        ordinary = rng.normal(size=n * 10)
        found = estimate(ordinary, [anomalous, anomalous], Bootstrap(n * 10))["roc_auc"]
        assert found.low < found.value < found.high
        return found.high - found.low

    assert width(400) < 0.6 * width(40)


def test_estimates_repeat() -> None:
    ordinary, anomalous = np.arange(50.0), np.arange(25.0, 60.0)
    first, again = (estimate(ordinary, [anomalous], Bootstrap(50), "huge") for _ in range(2))
    assert first == again
    assert np.array_equal(first["roc_auc"].replicates, again["roc_auc"].replicates)


def test_intervals_are_as_wide_as_the_estimate_varies() -> None:
    """Ordinary rows stand beside every draw of anomalies: drawn anew beside each, they would count several times."""
    rng = np.random.default_rng(3)
    found: list[Estimate] = []
    for _ in range(60):
        # Few ordinary rows: most of what the estimate varies by is theirs.
        ordinary = rng.normal(size=60)
        draws = [rng.normal(size=300) + 0.5 for _ in range(3)]
        found.append(estimate(ordinary, draws, Bootstrap(60))["roc_auc"])
    truth = np.mean([one.value for one in found])
    covered = np.mean([one.low <= truth <= one.high for one in found])
    widths = np.mean([one.high - one.low for one in found])
    assert widths == pytest.approx(2 * 1.96 * np.std([one.value for one in found]), rel=0.2)
    assert covered >= 0.88


def test_a_sample_of_ordinary_rows_stands_for_all() -> None:
    rng = np.random.default_rng(4)
    ordinary, anomalous = np.sort(rng.normal(size=20_000)), rng.normal(size=50) + 2
    tenth = ordinary[5::10]
    whole = measure(ordinary, anomalous)
    sample = measure(tenth, anomalous, ordinary_weight=10.0)
    unweighted = measure(tenth, anomalous)
    for name in ("average_precision", "precision_at_1_percent"):
        assert sample[name] == pytest.approx(whole[name], rel=0.2), name
        assert unweighted[name] > 1.5 * whole[name], name
    assert sample["roc_auc"] == pytest.approx(unweighted["roc_auc"])
    interval = estimate(tenth, [anomalous], Bootstrap(2_000), ordinary_weight=10.0)
    assert interval["average_precision"].low < whole["average_precision"] < interval["average_precision"].high


def test_scores_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        measure(np.array([np.nan]), np.ones(1))
    with pytest.raises(ValueError, match="at least one"):
        measure(np.ones(3), np.empty(0))
