"""Two detectors on the same resampled rows."""

import numpy as np
import pytest
from ml_training.quality.comparison import Difference, mean_difference, worst_difference
from ml_training.quality.measures import Bootstrap, Estimate, estimate


def scored(noise: float, seed: int) -> dict[str, Estimate]:
    """ROC-AUC of a detector that sees a common signal with a little noise of its own, on two kinds."""
    common = np.random.default_rng(1)
    own = np.random.default_rng(seed)

    def seen(shift: float, count: int) -> np.ndarray:
        return common.normal(size=count) + shift + noise * own.normal(size=count)

    ordinary = seen(0.0, 300)
    bootstrap = Bootstrap(300)
    return {
        kind: estimate(ordinary, [seen(shift, 100), seen(shift, 100)], bootstrap, kind)["roc_auc"]
        for kind, shift in (("easy", 2.0), ("hard", 0.5))
    }


def test_a_difference_is_known_better_than_either_figure() -> None:
    ours, theirs = scored(0.05, 2), scored(0.05, 3)
    for difference in (worst_difference(ours, theirs), mean_difference(ours, theirs)):
        assert difference.low < difference.value < difference.high
        assert difference.high - difference.low < 0.4 * (ours["hard"].high - ours["hard"].low)
    assert worst_difference(ours, theirs).kinds == ("hard", "hard")
    assert "(hard) against" in str(worst_difference(ours, theirs))


def test_the_same_scores_differ_by_nothing() -> None:
    found = worst_difference(scored(0.1, 2), scored(0.1, 2))
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("value", "high", "holds"),
    [
        (0.001, 0.02, True),
        (0.0, 0.0, True),
        (-0.005, 0.004, True),
        (-0.005, -0.001, False),  # little, and yet beyond what chance explains
        (-0.011, 0.05, False),  # chance may explain it, and yet too much
    ],
)
def test_a_near_tie_is_none_lost(value: float, high: float, holds: bool) -> None:
    assert Difference("worst kind", 0.7 + value, 0.7, -0.1, high).holds() is holds
