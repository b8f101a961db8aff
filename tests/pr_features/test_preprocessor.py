"""Rows to network input."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pr_features.history import History
from pr_features.preprocessor import Preprocessor, WrongPreprocessor
from pr_features.profile import CorpusProfile
from pr_features.registry import NAMES
from pr_features.rows import row

Pull = Callable[..., dict[str, Any]]


def test_columns_blocks_and_features_are_of_one_length(preprocessor: Preprocessor) -> None:
    width = len(preprocessor.columns)
    assert len(preprocessor.blocks) == len(preprocessor.feature_of_column) == width
    assert len(set(preprocessor.columns)) == width
    for column, feature in zip(preprocessor.columns, preprocessor.feature_of_column, strict=True):
        assert (feature == -1) == column.startswith("text:")
        assert feature == -1 or column.removesuffix("_missing") == NAMES[feature]


def one_value(preprocessor: Preprocessor, name: str, value: float) -> np.ndarray:
    values = np.full((1, len(NAMES)), 1.0, dtype=np.float32)
    values[0, NAMES.index(name)] = value
    none = np.array([], dtype=np.int64)
    return preprocessor.matrix(values, none, none, none.astype(np.float32))[0]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("balance", 3.0, 1.0),
        ("balance", -3.0, -2.0),
        ("balance", 1.0 + 2 * 3, 3.0),
        ("balance", 1.0 + 2 * 1003, 3.0 + math.log1p(1000)),
        ("balance", 1.0 - 2 * 1003, -3.0 - math.log1p(1000)),
        ("title_short", 3.0, 1.0),
        ("title_short", -1.0, -0.3),
    ],
)
def test_scaled_with_a_harmless_side_and_a_logarithmic_tail(
    preprocessor: Preprocessor, name: str, value: float, expected: float
) -> None:
    assert one_value(preprocessor, name, value)[NAMES.index(name)] == pytest.approx(expected, rel=1e-6)


def test_a_missing_value_is_neutral_and_has_an_indicator(preprocessor: Preprocessor) -> None:
    known, unknown = (one_value(preprocessor, "lines_per_file", value) for value in (3.0, math.nan))
    indicator = preprocessor.columns.index("additions_here_missing")
    assert known[NAMES.index("lines_per_file")] > 0 == unknown[NAMES.index("lines_per_file")]
    assert known[indicator] == unknown[indicator] < 0, "sizes are missing together: the first one tells"
    assert one_value(preprocessor, "additions_here", math.nan)[indicator] > 0


def test_what_training_never_saw_says_nothing(preprocessor: Preprocessor) -> None:
    blind = Preprocessor(
        preprocessor.profile, preprocessor.mean, preprocessor.std, [float(n == "files_docs") for n in NAMES]
    )
    assert one_value(blind, "files_docs", 9.0)[NAMES.index("files_docs")] == 0.0
    assert one_value(preprocessor, "files_docs", 9.0)[NAMES.index("files_docs")] > 0.0


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
        row(pull(additions=n, title="x" * n), History(n, 0, 1), preprocessor.profile) for n in range(1, 40)
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
    one, other = CorpusProfile.build(20, pairs), CorpusProfile.build(20, pairs[::-1])
    assert list(one.terms) == list(other.terms) == ["c", "a", "b"]
