"""How many training documents use a term: counted in the workers, added up by Spark."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pyarrow as pa
from pr_features.facts import terms
from pr_features.profile import MAX_TERMS, MIN_DOCUMENTS
from pyspark.sql import DataFrame
from pyspark.sql import functions as f

from .arrow_map import map_in_arrow
from .checking import read_checked

# A worker hands its counts on before they grow large: some 30 MB.
_TERMS_AT_ONCE = 200_000
_ARROW = pa.schema([("term", pa.string()), ("documents", pa.int64())])


def document_frequencies(documents: DataFrame) -> list[tuple[str, int]]:
    """(term, documents that use it) of the terms that a profile may keep, from the column ``document``.

    At most MAX_TERMS pairs reach the driver: the most used, ties by the term, which is the profile's rule.
    """
    counted = (
        map_in_arrow(documents.select("document"), _count, "term string, documents long")
        .groupBy("term")
        .agg(f.sum("documents").alias("documents"))
        .where(f.col("documents") >= MIN_DOCUMENTS)
        .orderBy(f.desc("documents"), "term")
        .limit(MAX_TERMS)
    )
    return [(row["term"], row["documents"]) for row in counted.collect()]


def _count(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    counts: Counter[str] = Counter()
    for batch in batches:
        for text in batch.column(0).to_pylist():
            counts.update(set(terms(read_checked(text))))
        if len(counts) > _TERMS_AT_ONCE:
            yield _batch(counts)
            counts.clear()
    yield _batch(counts)


def _batch(counts: Counter[str]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [pa.array(counts.keys(), pa.string()), pa.array(counts.values(), pa.int64())], schema=_ARROW
    )
