"""Mean, spread and missing share of each feature over the training rows, exact and so order-free.

Sums of floating-point numbers depend on their order in the last bits. Here each float32 is counted in
steps of 2**-24 as an integer, sums of integers are exact, and the one division comes at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import sqrt
from typing import Any

import numpy as np
import pyarrow as pa
from pr_features.registry import FEATURES, NAMES
from pyspark.sql import DataFrame
from stage_runtime.exits import StageError

from .arrow_map import map_in_arrow
from .split import TRAIN

STEP_BITS = 24
# Features are logarithms, shares and small counts. Beyond this the integers below would overflow.
LARGEST = 2.0**19
_HALF_BITS = 22
_HALF = 1 << _HALF_BITS
_OUT = (
    "rows long, train long, feature int, present long, total string, squares string, low double, high double"
)
_ARROW = pa.schema(
    [
        ("rows", pa.int64()),
        ("train", pa.int64()),
        ("feature", pa.int32()),
        ("present", pa.int64()),
        ("total", pa.string()),
        ("squares", pa.string()),
        ("low", pa.float64()),
        ("high", pa.float64()),
    ]
)
# Sums of halves stay below 2**63 up to this many rows.
_ROWS_AT_ONCE = 1 << 16


class InvalidRows(StageError):
    """The rows that were written are not what was meant to be written: a fault of the code, not of data."""


@dataclass(frozen=True)
class Statistics:
    """rows in all and in split train; for each feature its mean, std (ddof 0) and missing share in train.

    low, high: the least and greatest value of each feature over all rows, None where it is never there.
    """

    rows: int
    train_rows: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    missing: tuple[float, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]


def statistics(features: DataFrame) -> Statistics:
    """Of the written feature table. Raises InvalidRows for NaN, infinite or absurdly large values."""
    parts = map_in_arrow(features.select("split", *NAMES), _sums, _OUT).collect()
    rows = sum(part["rows"] for part in parts if part["feature"] == 0)
    train = sum(part["train"] for part in parts if part["feature"] == 0)
    by_feature: list[list[Any]] = [[] for _ in NAMES]
    for part in parts:
        by_feature[part["feature"]].append(part)
    moments = [_moments(found) for found in by_feature]
    return Statistics(
        rows,
        train,
        tuple(mean for mean, _, _ in moments),
        tuple(std for _, std, _ in moments),
        tuple((train - present) / train if train else 0.0 for _, _, present in moments),
        tuple(_extreme(min, found, "low") for found in by_feature),
        tuple(_extreme(max, found, "high") for found in by_feature),
    )


def check_ranges(found: Statistics) -> None:
    """Every feature within the range that its registry entry promises. Raises InvalidRows."""
    for feature, low, high in zip(FEATURES, found.low, found.high, strict=True):
        too_low = low is not None and feature.low is not None and low < feature.low
        too_high = high is not None and feature.high is not None and high > feature.high
        if too_low or too_high:
            raise InvalidRows(
                f"Feature {feature.name}: expected values from {feature.low} to {feature.high}, found {low} to "
                f"{high}. Nothing was published; correct pr_features.registry."
            )


def _extreme(choose: Any, found: list[Any], name: str) -> float | None:
    values = [part[name] for part in found if part[name] is not None]
    return choose(values) if values else None


def _moments(found: list[Any]) -> tuple[float, float, int]:
    """Mean, std (0.0 and 0.0 where the feature is never there) and how often it is there."""
    present = sum(part["present"] for part in found)
    if not present:
        return 0.0, 0.0, 0
    total = sum(int(part["total"]) for part in found)
    squares = sum(int(part["squares"]) for part in found)
    step = Fraction(1, 1 << STEP_BITS)
    mean = Fraction(total, present) * step
    variance = Fraction(squares * present - total * total, present * present) * step * step
    return float(mean), sqrt(variance), present


def _sums(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """One row a feature for the whole partition, so that the driver's share does not grow with the data."""
    sums: list[dict[str, Any]] | None = None
    for batch in batches:
        for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
            more = _sums_of(batch.slice(start, _ROWS_AT_ONCE))
            sums = more if sums is None else [_joined(*pair) for pair in zip(sums, more, strict=True)]
    if sums is not None:
        texts = [{**row, "total": str(row["total"]), "squares": str(row["squares"])} for row in sums]
        yield pa.RecordBatch.from_pylist(texts, schema=_ARROW)


def _joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    added = {name: one[name] + other[name] for name in ("rows", "train", "present", "total", "squares")}
    extremes = {"low": _extreme(min, [one, other], "low"), "high": _extreme(max, [one, other], "high")}
    return {"feature": one["feature"], **added, **extremes}


def _sums_of(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    train = np.array([split == TRAIN for split in batch.column("split").to_pylist()], dtype=bool)
    rows = []
    for position, name in enumerate(NAMES):
        column = batch.column(name)
        there = column.is_valid().to_numpy(zero_copy_only=False)
        values = column.to_numpy(zero_copy_only=False).astype(np.float64)
        _refuse_wild(name, values[there])
        total, squares = exact_sums(values[there & train])
        rows.append(
            {
                "feature": position,
                "rows": batch.num_rows,
                "train": int(train.sum()),
                "present": int((there & train).sum()),
                "total": total,
                "squares": squares,
                "low": float(values[there].min()) if there.any() else None,
                "high": float(values[there].max()) if there.any() else None,
            }
        )
    return rows


def exact_sums(values: np.ndarray) -> tuple[int, int]:
    """The sum of values and of their squares in steps of 2**-24 and 2**-48, as exact integers.

    values: at most 2**16 numbers, none beyond LARGEST.
    """
    steps = np.rint(values * (1 << STEP_BITS)).astype(np.int64)
    # (upper * 2**22 + lower)**2 in three sums, none of which can overflow.
    upper, lower = np.divmod(steps, _HALF)
    squares = (
        (int((upper * upper).sum()) << (2 * _HALF_BITS))
        + (int((upper * lower).sum()) << (_HALF_BITS + 1))
        + int((lower * lower).sum())
    )
    return int(steps.sum()), squares


def _refuse_wild(name: str, values: np.ndarray) -> None:
    wild = ~(np.abs(values) <= LARGEST)
    if wild.any():
        raise InvalidRows(
            f"Feature {name}: expected finite values up to {LARGEST:g}, found {values[wild][0]}. Nothing was "
            "published; correct pr_features.registry."
        )
