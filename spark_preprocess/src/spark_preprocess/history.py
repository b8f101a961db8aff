"""What was known of author and repository when each pull request was opened, by windows.

Everything is partitioned finely enough that a repository with half of all rows is no single task:
author counts by (repository, author), norms by histograms that are first added up by (repository,
month). Integers throughout, so neither order nor partitioning of the input changes a value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pyarrow as pa
from pr_features.history import DAY_SECONDS
from pr_features.norms import QUANTITIES, norms_from_histograms
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as f

from .arrow_map import map_in_arrow

# The two flags of facts.FLAGS that only the author's history tells: the column that must be 0.
_FLAGS_OF_HISTORY = {"newcomer": "author_opened", "unmerged_author": "author_merged"}
_NORMS = "repo_key string, month int, before array<double>, after array<double>"
_ARROW_NORMS = pa.schema(
    [
        ("repo_key", pa.string()),
        ("month", pa.int32()),
        ("before", pa.list_(pa.float64())),
        ("after", pa.list_(pa.float64())),
    ]
)


def with_author_history(pulls: DataFrame) -> DataFrame:
    """pulls with author_opened, author_merged, author_day, and these facts' flags put into ``bins``.

    pulls: pr_id, repo_key, author, created, merged, bins, ... Counts are as of just before ``created``:
    nothing of the very same second counts. Of an author whom GitHub no longer knows they are 0 and the flags null.
    """
    unknown = pulls.where("author IS NULL")
    for name in ("author_opened", "author_merged", "author_day"):
        unknown = unknown.withColumn(name, f.lit(0))
    counted = _author_counts(pulls.where("author IS NOT NULL"))
    return counted.unionByName(unknown).withColumn("bins", f.transform("bins", _filled))


def _author_counts(pulls: DataFrame) -> DataFrame:
    """pulls with the three counts; openings and merges pass through one window as events in time."""
    opened = pulls.withColumn("at", f.col("created")).withColumn("opening", f.lit(True))
    merged = pulls.where("merged IS NOT NULL").select(
        "repo_key", "author", f.col("merged").alias("at"), f.lit(False).alias("opening")
    )
    opening = f.col("opening")
    by_time = Window.partitionBy("repo_key", "author").orderBy("at")
    before = by_time.rangeBetween(Window.unboundedPreceding, -1)
    # Frames that start at the beginning are counted on; one that slides would be counted anew for each
    # row, and an author can open half a million pull requests in a day.
    day_ago = by_time.rangeBetween(Window.unboundedPreceding, -DAY_SECONDS - 1)
    return (
        opened.unionByName(merged, allowMissingColumns=True)
        .withColumn("author_opened", f.count(f.when(opening, 1)).over(before).cast("int"))
        .withColumn("author_merged", f.count(f.when(~opening, 1)).over(before).cast("int"))
        .withColumn("days_before", f.count(f.when(opening, 1)).over(day_ago).cast("int"))
        .where(opening)
        .withColumn("author_day", f.col("author_opened") - f.col("days_before"))
        .drop("at", "opening", "days_before")
    )


def _filled(value: Column, position: Column) -> Column:
    """A bin, or for a flag of history 1 where its count is 0 and 0 otherwise, null without an author."""
    filled = value
    for name, count in _FLAGS_OF_HISTORY.items():
        flag = f.when(f.col("author").isNotNull(), (f.col(count) == 0).cast("int"))
        filled = f.when(position == QUANTITIES.index(name), flag).otherwise(filled)
    return filled


def bin_counts(pulls: DataFrame, *keys: str) -> DataFrame:
    """keys, quantity (its index), bin, count: the histograms of the norms' quantities."""
    return (
        pulls.select(*keys, f.posexplode("bins").alias("quantity", "bin"))
        .where("bin IS NOT NULL")
        .groupBy(*keys, "quantity", "bin")
        .agg(f.count(f.lit(1)).alias("count"))
    )


def monthly_norms(pulls: DataFrame) -> DataFrame:
    """repo_key, month, before, after: norms as of the start and the end of each month with pull requests.

    pulls: repo_key, month, bins. ``before`` is null in a repository's first month.
    """
    months = (
        bin_counts(pulls, "repo_key", "month")
        .groupBy("repo_key", "month")
        .agg(f.collect_list(f.struct("quantity", "bin", "count")).alias("cells"))
    )
    ordered = months.repartition("repo_key").sortWithinPartitions("repo_key", "month")
    return map_in_arrow(ordered, _add_up, _NORMS)


def author_state(pulls: DataFrame) -> DataFrame:
    """repo_key, author_key, opened, merged: sorted seconds, for looking up by time when serving."""
    return (
        pulls.where("author IS NOT NULL")
        .groupBy("repo_key", f.col("author").alias("author_key"))
        .agg(
            f.array_sort(f.collect_list("created")).alias("opened"),
            f.array_sort(f.collect_list("merged")).alias("merged"),
        )
    )


def repository_state(norms: DataFrame) -> DataFrame:
    """repo_key, month, norms: what is usual from the start of ``month`` on."""
    return norms.select("repo_key", (f.col("month") + 1).alias("month"), f.col("after").alias("norms"))


def _add_up(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Running histograms of one repository after the other; its months come in order."""
    repo_key: str | None = None
    histograms: list[Counter[int]] = []
    norms: tuple[float, ...] | None = None
    for batch in batches:
        rows = []
        for month in batch.to_pylist():
            if month["repo_key"] != repo_key:
                repo_key, norms = month["repo_key"], None
                histograms = [Counter() for _ in QUANTITIES]
            before = norms
            for cell in month["cells"]:
                histograms[cell["quantity"]][cell["bin"]] += cell["count"]
            norms = norms_from_histograms(histograms)
            rows.append({"repo_key": repo_key, "month": month["month"], "before": before, "after": norms})
        yield pa.RecordBatch.from_pylist(rows, schema=_ARROW_NORMS)
