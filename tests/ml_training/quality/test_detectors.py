"""The baselines find what they are known to find."""

import sys

import numpy as np
import pytest
from ml_training.quality.detectors import Rows, scores_of, standard_detectors
from ml_training.quality.measures import measure


def rows_of(matrix: np.ndarray) -> Rows:
    count = len(matrix)
    return Rows(matrix.astype(np.float32), np.arange(count) * 10, np.arange(count) * 100)


@pytest.fixture
def train() -> np.ndarray:
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(400, 2))
    return np.c_[hidden @ rng.normal(size=(2, 6)) + 0.1 * rng.normal(size=(400, 6)), np.zeros(400)].astype(
        np.float32
    )


def test_each_baseline_finds_far_away_rows(train: np.ndarray) -> None:
    pytest.importorskip("pyod")
    dense = np.array([True] * 6 + [False])
    detectors, absent = standard_detectors(train[:300], np.full(7, 1 / 7), dense, 2, seed=0)
    assert absent == []
    far = np.c_[np.random.default_rng(1).normal(size=(50, 6)) * 6, np.zeros(50)]
    ordinary = scores_of(detectors, rows_of(train[300:]))
    strange = scores_of(detectors, rows_of(far))
    for name in ("z-distance", "PCA", "isolation forest", "ECOD", "kNN"):
        assert measure(ordinary[name], strange[name])["roc_auc"] > 0.9, name


def test_pca_alone_sees_a_broken_relation(train: np.ndarray) -> None:
    dense = np.array([True] * 6 + [False])
    detectors, _ = standard_detectors(train[:300], np.full(7, 1 / 7), dense, 2, seed=0)
    rng = np.random.default_rng(2)
    mixed = np.stack([rng.permutation(train[:, i]) for i in range(7)], axis=1)
    ordinary, strange = rows_of(train[300:]), rows_of(mixed)
    pca = measure(detectors["PCA"](ordinary), detectors["PCA"](strange))["roc_auc"]
    assert pca > 0.9


def test_rules_of_thumb_look_at_raw_sizes(train: np.ndarray) -> None:
    detectors, _ = standard_detectors(train, np.full(7, 1 / 7), np.full(7, True), 2, seed=0)
    found = scores_of(detectors, rows_of(train[:100]))
    assert found["lines added"].tolist() == [10.0 * i for i in range(100)]
    assert found["size > 5,000"].tolist() == [float(100 * i > 5000) for i in range(100)]


def test_without_the_extra_packages_the_rest_still_works(
    train: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pyod.models.ecod", "sklearn.ensemble", "sklearn.neighbors"):
        monkeypatch.setitem(sys.modules, name, None)
    detectors, absent = standard_detectors(train, np.full(7, 1 / 7), np.full(7, True), 2, seed=0)
    assert absent == ["isolation forest", "ECOD", "kNN"]
    assert list(detectors) == ["lines added", "size > 5,000", "z-distance", "PCA"]
