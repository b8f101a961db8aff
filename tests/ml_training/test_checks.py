"""What the gate asks, at its borders."""

import numpy as np

from ml_training import checks


def test_the_worst_kind_may_be_below_the_champions_by_the_margin() -> None:
    champion = {"a": 0.9, "b": 0.7}
    assert checks.against_champion({"a": 0.68, "b": 0.95}, champion, 0.03).passed
    refused = checks.against_champion({"a": 0.66, "b": 0.99}, champion, 0.03)
    assert not refused.passed
    assert "0.660 (a)" in str(refused)


def test_better_means_better_over_all_kinds() -> None:
    assert checks.beats("PCA", {"a": 0.6, "b": 0.9}, {"a": 0.7, "b": 0.7}).passed
    assert not checks.beats("PCA", {"a": 0.7}, {"a": 0.7}).passed


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
