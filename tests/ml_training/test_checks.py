"""What the gate asks, at its borders."""

import numpy as np
import pytest
from ml_training.quality.comparison import Difference, mean_difference, worst_difference
from ml_training.quality.measures import Estimate

from ml_training import checks


def by_kind(spread: float, **values: float) -> dict[str, Estimate]:
    """Estimates whose replicates lie evenly within ``spread`` around their value."""
    around = np.linspace(-spread, spread, 101)
    return {
        kind: Estimate(value, value - spread, value + spread, value + around)
        for kind, value in values.items()
    }


def below(difference: float) -> Difference:
    return Difference("worst kind", 0.7 - difference, 0.7, -0.1, 0.1, ("mixed", "huge"))


def test_the_worst_kind_may_be_below_the_champions_by_the_margin() -> None:
    assert checks.against_champion(below(0.02), 0.0, 0.03).passed
    assert checks.against_champion(below(-0.2), 0.0, 0.03).passed
    refused = checks.against_champion(below(0.04), 0.0, 0.03)
    assert not refused.passed
    assert "0.660 (mixed) against 0.700 (huge): -0.040" in str(refused)


def test_the_margin_is_not_given_anew_to_each_champion() -> None:
    owed = 0.0
    passed = []
    for _ in range(10):
        passed.append(checks.against_champion(below(0.02), owed, 0.03).passed)
        if passed[-1]:
            owed = checks.owed_after(below(0.02), owed)
    assert passed == [True] + [False] * 9
    assert "0.020 went to earlier champions" in str(checks.against_champion(below(0.02), owed, 0.03))
    # What is better pays back, and nobody gets credit.
    assert checks.owed_after(below(-0.015), 0.02) == pytest.approx(0.005)
    assert checks.owed_after(below(-0.5), 0.02) == 0.0


def test_level_with_pca_is_what_the_rows_cannot_tell_apart() -> None:
    pca = by_kind(0.0, a=0.7, b=0.9)

    def worst(spread: float, a: float, b: float = 0.95, tolerance: float = 0.01) -> checks.Check:
        return checks.level_with_pca(worst_difference(by_kind(spread, a=a, b=b), pca), tolerance)

    level = worst(0.01, 0.695)
    assert level.passed and level.name == "worst kind against PCA"
    assert "-0.005, 95 % interval [-0.015, +0.005]" in level.found
    # The same difference where the rows are many.
    assert not worst(0.001, 0.695).passed
    # And one that no interval excuses.
    assert not worst(0.2, 0.685).passed
    assert not worst(0.01, 0.695, tolerance=0.0).passed
    # The mean counts by itself.
    low = mean_difference(by_kind(0.0, a=0.75, b=0.8), pca)
    assert not checks.level_with_pca(low, 0.01).passed
    assert worst(0.0, 0.75, 0.8).passed


def test_there_is_no_near_tie_with_the_untrained_network() -> None:
    untrained = by_kind(0.0, a=0.7, b=0.9)
    assert checks.better_than_untrained(by_kind(0.1, a=0.6, b=1.0001), untrained).passed
    assert not checks.better_than_untrained(by_kind(0.1, a=0.7, b=0.9), untrained).passed
    assert not checks.better_than_untrained(by_kind(0.1, a=0.7, b=0.8999), untrained).passed


def test_too_few_documents_are_counted() -> None:
    refused = checks.enough_documents(19, 20)
    assert not refused.passed and refused.found == "19"


def test_constant_scores_are_refused() -> None:
    assert not checks.distinct_scores(np.full(100, 0.3), 50).passed
    assert checks.distinct_scores(np.arange(50.0), 50).passed


def test_flag_rate_has_two_sides() -> None:
    errors = np.arange(100.0)
    assert checks.flag_rate(errors, 94.5, 0.01, 0.1).passed
    assert not checks.flag_rate(errors, 50.0, 0.01, 0.1).passed
    assert not checks.flag_rate(errors, 1000.0, 0.01, 0.1).passed
    assert not checks.flag_rate(np.empty(0), 1.0, 0.01, 0.1).passed


def test_served_scores_are_those_of_training() -> None:
    offline = {1: 0.5, 2: 200.0, **dict.fromkeys(range(100, 120), 1.0)}
    assert checks.offline_equals_served(offline, {**offline, 1: 0.500009, 2: 200.001, 3: 7.0}).passed
    assert not checks.offline_equals_served(offline, {**offline, 1: 0.50002}).passed
    assert not checks.offline_equals_served(offline, {3: 1.0}).passed
    assert not checks.offline_equals_served(offline, {}).passed
    # Two in common among thirty are no proof.
    assert not checks.offline_equals_served({1: 0.5, 2: 200.0}, dict.fromkeys(range(1, 31), 0.5)).passed
