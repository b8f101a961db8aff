"""Documents with their history to rows of features, by ``pr_features.rows`` on Arrow batches."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from pr_features.history import History
from pr_features.norms import NO_NORMS
from pr_features.profile import CorpusProfile
from pr_features.registry import NAMES
from pr_features.rows import rows
from pyspark.sql import DataFrame
from pyspark.sql import functions as f

from .arrow_map import map_in_arrow
from .checking import read_checked

INPUT = (
    "pr_id",
    "repo_name",
    "number",
    "title",
    "created_at",
    "split",
    "document",
    "author_opened",
    "author_merged",
    "author_day",
    "norms",
)
_ARROW = pa.schema(
    [
        ("pr_id", pa.int64()),
        ("repo_name", pa.string()),
        ("number", pa.int32()),
        ("title", pa.string()),
        ("created_at", pa.timestamp("us", tz="UTC")),
        ("split", pa.string()),
        *((name, pa.float32()) for name in NAMES),
        ("text_indices", pa.list_(pa.int32())),
        ("text_values", pa.list_(pa.float32())),
    ]
)
SCHEMA = ", ".join(
    [
        "pr_id long, repo_name string, number int, title string, created_at timestamp, split string",
        *(f"{name} float" for name in NAMES),
        "text_indices array<int>, text_values array<float>",
    ]
)
COLUMNS: list[dict[str, str]] = [{"name": field.name, "type": str(field.type)} for field in _ARROW]


def feature_rows(documents: DataFrame, profile: CorpusProfile) -> DataFrame:
    """documents (columns INPUT) to rows of SCHEMA, one for one; null is missing, NaN never occurs."""
    return map_in_arrow(documents.select(*INPUT), _mapper(json.dumps(profile.to_json())), SCHEMA)


def in_order(rows: DataFrame, partitions: int) -> DataFrame:
    """Rows ordered by a hash of pr_id (then pr_id) over all partitions; files take their order.

    The hash is cut into ``partitions`` equal ranges, so the sequence of all rows is the same for any
    number of them and for any order of the input.
    """
    place = order_key()
    part = f.shiftright(f.shiftright(place, 32) * f.lit(partitions).cast("long"), 31).cast("int")
    return rows.repartitionById(partitions, part).sortWithinPartitions(order_key(), "pr_id")


def order_key() -> Any:
    """63 bits of xxhash64 of pr_id: the same on every machine, and unlike the id's own order."""
    return f.shiftrightunsigned(f.xxhash64("pr_id"), 1)


def _mapper(profile_json: str) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def to_rows(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        profile = CorpusProfile.from_json(json.loads(profile_json))
        for batch in batches:
            if batch.num_rows:
                yield _batch(batch, profile)

    return to_rows


def _batch(batch: pa.RecordBatch, profile: CorpusProfile) -> pa.RecordBatch:
    columns = {name: batch.column(name) for name in INPUT}
    found = rows(
        [
            (read_checked(text), History(opened, merged, day, norms or NO_NORMS))
            for text, opened, merged, day, norms in zip(
                *(columns[name].to_pylist() for name in INPUT[6:]), strict=True
            )
        ],
        profile,
    )
    values = found.values
    missing = np.isnan(values)
    # Where each row's text entries begin; they come row by row.
    bounds = np.searchsorted(found.text_rows, np.arange(len(values) + 1)).astype(np.int32)
    milliseconds = columns["created_at"].cast(pa.timestamp("ms", tz="UTC"))
    return pa.RecordBatch.from_arrays(
        [
            *(columns[name] for name in ("pr_id", "repo_name", "number", "title")),
            milliseconds.cast(pa.timestamp("us", tz="UTC")),
            columns["split"],
            *(pa.array(np.ascontiguousarray(values[:, i]), mask=missing[:, i]) for i in range(len(NAMES))),
            pa.ListArray.from_arrays(bounds, found.text_indices.astype(np.int32)),
            pa.ListArray.from_arrays(bounds, found.text_values),
        ],
        schema=_ARROW,
    )


__all__ = ["COLUMNS", "INPUT", "SCHEMA", "feature_rows", "in_order", "order_key"]
