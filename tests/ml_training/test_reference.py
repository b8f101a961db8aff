"""Quantiles, usual values and bins that later scores and rows are compared with."""

import json

import numpy as np
from ml_training.reference import DRIFT_BINS, SAMPLE_ROWS, TrainingSample, make_reference
from ml_training.unseen_errors import UnseenErrors
from pr_features.registry import FEATURES


def test_reference_over_a_sample() -> None:
    rng = np.random.default_rng(0)
    sample = rng.normal(size=(1000, len(FEATURES))).astype(np.float32)
    sample[:, 1] = 0.0
    sample[:300, 2] = np.nan
    sample[:, 3] = np.nan
    errors = rng.lognormal(size=5000)
    unseen = UnseenErrors(errors[:2000] * 2, "cross-fitted")
    made = make_reference(sample, errors, unseen)
    json.dumps(made, allow_nan=False)
    quantiles = made["error_quantiles"]
    assert quantiles == sorted(quantiles) and len(quantiles) == 1001
    assert quantiles[500] == np.median(errors)
    assert made["usual"][FEATURES[0].name] == float(np.median(sample[:, 0].astype(np.float64)))
    assert FEATURES[3].name not in made["usual"]
    first, constant, missing, absent = made["drift"]["features"][:4]
    assert len(first["counts"]) == DRIFT_BINS + 2 and sum(first["counts"]) == 1000
    between = first["counts"][1:-1]
    assert max(between) <= 102 and min(between) >= 98
    assert first["counts"][0] == first["counts"][-1] == 0  # below and above everything seen
    assert len(first["quantiles"]) == 101 and first["quantiles"] == sorted(first["quantiles"])
    assert absent["quantiles"] == []
    below, zero = constant["edges"]
    assert below < zero == 0.0 and constant["counts"] == [0, 1000, 0]
    assert missing["missing"] == 300 and sum(missing["counts"]) == 700
    assert absent["missing"] == 1000
    score = made["drift"]["score"]
    assert (score["rows"], score["how"], sum(score["counts"])) == (2000, "cross-fitted", 2000)
    assert score["quantiles"][500] == np.median(unseen.errors)
    assert sum(made["error_histogram"]["counts"]) == 5000


def test_two_values_are_two_bins() -> None:
    sample = np.zeros((100, len(FEATURES)), dtype=np.float32)
    sample[:30, 0] = 1.0
    errors = np.linspace(0.1, 1, 100)
    made = make_reference(sample, errors, UnseenErrors(errors, "training rows"))
    assert made["drift"]["features"][0]["edges"][1:] == [0.0, 1.0]
    assert made["drift"]["features"][0]["counts"] == [0, 70, 30, 0]


def test_the_sample_is_bounded() -> None:
    sample = TrainingSample()
    for _ in range(3):
        sample.add(np.ones((30_000, 2), dtype=np.float32))
    assert len(sample.values) == SAMPLE_ROWS
