"""Rows to network input."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pr_features.history import History
from pr_features.preprocessor import CLIP, Preprocessor, WrongPreprocessor
from pr_features.profile import CorpusProfile
from pr_features.registry import FEATURES, NAMES
from pr_features.rows import row

Pull = Callable[..., dict[str, Any]]


def test_columns_blocks_and_features_are_of_one_length(preprocessor: Preprocessor) -> None:
    width = len(preprocessor.columns)
    assert len(preprocessor.blocks) == len(preprocessor.feature_of_column) == width
    assert len(set(preprocessor.columns)) == width
    for column, feature in zip(preprocessor.columns, preprocessor.feature_of_column, strict=True):
        assert (feature == -1) == column.startswith("text:")
        assert feature == -1 or column.removesuffix("_missing") == NAMES[feature]


def test_values_are_scaled_and_clipped_and_missing_ones_become_an_indicator(
    preprocessor: Preprocessor,
) -> None:
    may_miss = next(i for i, feature in enumerate(FEATURES) if feature.missing)
    values = np.full((2, len(NAMES)), 3.0, dtype=np.float32)
    values[0, may_miss] = np.nan
    values[1, 0] = 1e6
    none = np.array([], dtype=np.int64)
    matrix = preprocessor.matrix(values, none, none, none.astype(np.float32))
    indicator = preprocessor.columns.index(NAMES[may_miss] + "_missing")
    assert matrix.dtype == np.float32
    assert matrix[1, 1] == (3 - 1) / 2
    assert matrix[1, 0] == CLIP
    assert matrix[0, may_miss] == 0.0, "a missing value is at the mean, where it says nothing"
    assert matrix[0, indicator] > 0 > matrix[1, indicator]


def test_text_columns(preprocessor: Preprocessor, pull: Pull) -> None:
    filled = preprocessor.rows_matrix(
        [
            row(pull(), History(), preprocessor.profile),
            row(pull(title="?", body=""), History(), preprocessor.profile),
        ]
    )
    first = preprocessor.columns.index("text:fix")
    assert preprocessor.columns[first:] == ("text:fix", "text:parser"), "known, and in at most half of all"
    assert np.linalg.norm(filled[0, first:]) == pytest.approx(1.0)
    assert not filled[1, first:].any()


def test_one_row_and_a_batch_give_the_same_bits(preprocessor: Preprocessor, pull: Pull) -> None:
    rows = [
        row(pull(additions=n, title="x" * n), History(n, 0, n), preprocessor.profile) for n in range(1, 40)
    ]
    batch = preprocessor.rows_matrix(rows)
    for index, one in enumerate(rows):
        assert preprocessor.rows_matrix([one]).tobytes() == batch[index].tobytes()


def test_json_and_back(preprocessor: Preprocessor) -> None:
    stored = json.loads(json.dumps(preprocessor.to_json()))
    assert Preprocessor.from_json(stored).to_json() == preprocessor.to_json()


@pytest.mark.parametrize("change", ["version", "features", "mean"])
def test_what_does_not_fit_is_refused(preprocessor: Preprocessor, change: str) -> None:
    stored = copy.deepcopy(preprocessor.to_json())
    stored[change] = {"version": 99, "features": stored["features"][::-1], "mean": [0.5] * len(NAMES)}[change]
    with pytest.raises(WrongPreprocessor, match={"mean": "hash"}.get(change, change)):
        Preprocessor.from_json(stored)


def test_profile_does_not_depend_on_the_order_of_its_terms() -> None:
    pairs = [("b", 5), ("a", 5), ("c", 9), ("d", 2)]
    one, other = CorpusProfile.build(20, pairs, [0.0]), CorpusProfile.build(20, pairs[::-1], [0.0])
    assert list(one.terms) == list(other.terms) == ["c", "a", "b"]
