"""Sums without rounding: the same whatever the order, and refused where a value is absurd."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pr_features.registry import FEATURES, NAMES
from pyspark.errors import PythonException
from pyspark.sql import DataFrame, SparkSession
from spark_preprocess.statistics import InvalidRows, Statistics, check_ranges, exact_sums, statistics

SMALL = st.floats(-(2.0**19), 2.0**19, width=32)


@given(st.lists(SMALL, max_size=50))
def test_sums_are_exact(values: list[float]) -> None:
    total, squares = exact_sums(np.array(values, dtype=np.float64))
    steps = [round(Fraction(value) * 2**24) for value in values]
    assert total == sum(steps)
    assert squares == sum(step * step for step in steps)


def test_the_largest_sums_do_not_overflow() -> None:
    for value in (2.0**19, -(2.0**19)):
        total, squares = exact_sums(np.full(1 << 16, value))
        assert total == int(value) << 40
        assert squares == (1 << 16) * (1 << 86)


Table = Callable[[list[tuple[str, list[float | None]]]], DataFrame]


@pytest.fixture(scope="module")
def table(spark: SparkSession) -> Table:
    schema = "split string, " + ", ".join(f"{name} float" for name in NAMES)

    def make(rows: list[tuple[str, list[float | None]]]) -> DataFrame:
        return spark.createDataFrame([(split, *values) for split, values in rows], schema)

    return make


def test_of_train_alone_and_of_what_is_there(table: Table) -> None:
    random = Random(3)
    rows: list[tuple[str, list[float | None]]] = []
    for i in range(300):
        values = [None if random.random() < 0.2 else random.uniform(0, 1) for _ in NAMES]
        rows.append(("train" if i % 3 else "later", values))
    found = statistics(table(rows).repartition(4))
    shuffled = random.sample(rows, len(rows))
    assert statistics(table(shuffled).repartition(1)) == found
    assert (found.rows, found.train_rows) == (300, 200)
    for position in range(len(NAMES)):
        train = [values[position] for split, values in rows if split == "train"]
        there = np.array([np.float32(value) for value in train if value is not None], dtype=np.float64)
        assert found.mean[position] == pytest.approx(there.mean(), abs=1e-7)
        assert found.std[position] == pytest.approx(there.std(), abs=1e-7)
        assert found.missing[position] == (200 - len(there)) / 200
        everywhere = [np.float32(v[position]) for _, v in rows if v[position] is not None]
        assert (found.low[position], found.high[position]) == (min(everywhere), max(everywhere))


def test_a_feature_that_is_never_there(table: Table) -> None:
    found = statistics(table([("train", [None] * len(NAMES))] * 2))
    assert set(found.mean) == set(found.std) == {0.0}
    assert set(found.missing) == {1.0}
    check_ranges(found)


@pytest.mark.parametrize("wild", [math.nan, math.inf, 1e30])
def test_absurd_values_are_refused(table: Table, wild: float) -> None:
    with pytest.raises(PythonException, match=f"InvalidRows: Feature {NAMES[2]}"):
        statistics(table([("later", [0.0, 0.0, wild, *[0.0] * (len(NAMES) - 3)])]))


def test_a_value_out_of_its_range_is_refused() -> None:
    position = next(i for i, feature in enumerate(FEATURES) if feature.low == 0)
    nothing: tuple[float | None, ...] = (None,) * len(NAMES)
    zeros = (0.0,) * len(NAMES)
    found = Statistics(1, 1, zeros, zeros, zeros, nothing, nothing)
    check_ranges(found)
    low = (*nothing[:position], -0.5, *nothing[position + 1 :])
    with pytest.raises(InvalidRows, match=f"Feature {NAMES[position]}"):
        check_ranges(replace(found, low=low))
