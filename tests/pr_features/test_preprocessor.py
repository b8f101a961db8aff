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
from pr_features.preprocessor import Preprocessor, WrongPreprocessor, squashed
from pr_features.profile import CorpusProfile
from pr_features.registry import FEATURES, NAMES, NO_PAST
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


def fitted_on(preprocessor: Preprocessor, deleted: float, no_age: float) -> Preprocessor:
    """The same, fitted on rows of which these shares have a deleted author, and no account's age for any reason."""
    missing = [
        {"account_age": no_age}.get(feature.name, deleted if feature.missing == NO_PAST else 0.0)
        for feature in FEATURES
    ]
    return Preprocessor(preprocessor.profile, preprocessor.mean, preprocessor.std, missing)


@pytest.mark.parametrize(
    ("deleted", "no_age"), [(0.0, 0.0), (0.25, 0.25), (0.25, 0.5), (0.25, 1.0), (0.0, 1.0), (1.0, 1.0)]
)
def test_a_deletion_that_came_later_shows_nowhere(
    preprocessor: Preprocessor, pull: Pull, deleted: float, no_age: float
) -> None:
    fitted = fitted_on(preprocessor, deleted, no_age)
    ghost = pull(author_login=None, author_id=None, author_type=None)
    hashed, robot = pull(author_id=2**60), pull(author_type="Bot")
    gone, person, *aged = fitted.rows_matrix(
        [row(one, History(), fitted.profile) for one in (ghost, pull(), hashed, robot)]
    )
    author = [index for index, feature in enumerate(FEATURES) if feature.block == "author"]
    indicator = fitted.columns.index("account_age_missing")
    assert gone[[*author, indicator]].tolist() == [0.0] * (len(author) + 1)
    # The others are held against people whom GitHub knows: so many of these have no age.
    usual = (no_age - deleted) / (1 - deleted) if deleted < 1 else 0.0
    scale = max(math.sqrt(usual * (1 - usual)), 0.1)
    for one, missing in ((person, 0.0), *((one, 1.0) for one in aged)):
        # Where training knew no author, it is not held against anything.
        expected = squashed(np.array([(missing - usual) / scale]))[0] if deleted < 1 else 0.0
        assert one[indicator] == pytest.approx(expected, rel=1e-6)
    if deleted == no_age < 1:
        assert person[indicator] == 0.0 < aged[0][indicator], "of those whom GitHub knows each has an age"
    # All else is as with the author.
    rest = [i for i in range(len(fitted.columns)) if i not in {*author, indicator}]
    assert gone[rest].tobytes() == person[rest].tobytes()


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
