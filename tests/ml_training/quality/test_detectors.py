"""The baselines find what they are known to find."""

import sys

import numpy as np
import pytest
from ml_training.quality.detectors import Ecod, Rows, scores_of, standard_detectors
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
    pytest.importorskip("sklearn")
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


@pytest.fixture
def skewed() -> np.ndarray:
    """[300, 4]: skewed to the right, to the left, many ties, constant."""
    rng = np.random.default_rng(3)
    right = rng.exponential(size=300)
    return np.c_[right, -rng.permutation(right), rng.poisson(1.0, 300), np.ones(300)].astype(np.float32)


def test_ecod_is_that_of_pyod_for_a_row_by_itself(skewed: np.ndarray) -> None:
    reference = pytest.importorskip("pyod.models.ecod").ECOD()
    reference.fit(skewed[:, :3])
    far = np.array([[9.0, 3.0, 30.0, 1.0], [-5.0, -20.0, -1.0, 1.0], [0.5, -0.5, 1.0, 1.0]], dtype=np.float32)
    rows = np.concatenate([far, skewed[:20], (skewed[20:40] + skewed[40:60]) / 2])
    alone = [reference.decision_function(row[None, :3])[0] for row in rows]
    assert Ecod(skewed)(rows) == pytest.approx(np.array(alone), rel=1e-6)


def test_ecod_does_not_make_anomalies_ordinary_by_their_number(skewed: np.ndarray) -> None:
    found = Ecod(skewed)
    far = np.tile(np.array([[9.0, -20.0, 30.0, 1.0]], dtype=np.float32), (100, 1))
    assert (found(far) == found(far[:1])).all()
    assert found(far[:1]) > found(skewed).max()


def test_rules_of_thumb_look_at_raw_sizes(train: np.ndarray) -> None:
    detectors, _ = standard_detectors(train, np.full(7, 1 / 7), np.full(7, True), 2, seed=0)
    found = scores_of(detectors, rows_of(train[:100]))
    assert found["lines added"].tolist() == [10.0 * i for i in range(100)]
    assert found["size > 5,000"].tolist() == [float(100 * i > 5000) for i in range(100)]


def test_without_the_extra_packages_the_rest_still_works(
    train: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("sklearn.ensemble", "sklearn.neighbors"):
        monkeypatch.setitem(sys.modules, name, None)
    detectors, absent = standard_detectors(train, np.full(7, 1 / 7), np.full(7, True), 2, seed=0)
    assert absent == ["isolation forest", "kNN"]
    assert list(detectors) == ["lines added", "size > 5,000", "z-distance", "PCA", "ECOD"]
