"""One repository with half of all rows, at a size where it would show: no task gets its rows alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pr_features.norms import QUANTITIES
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f
from spark_preprocess.pipeline import _with_history
from spark_preprocess.split import with_split

from spark_preprocess import history

ROWS = 60_000
PARTITIONS = 8
# An even share is 0.125; all rows of the large repository would be 0.5.
LARGEST_SHARE = 0.3
START = 1_577_836_800  # 2020-01-01


@pytest.fixture(scope="module")
def pulls(spark: SparkSession) -> Iterator[DataFrame]:
    """Over two years; the large repository has 3,000 authors and a bot that opens every tenth of its pull requests."""
    # So few bytes would be put together again; a million rows would not.
    ours = {
        "spark.sql.shuffle.partitions": str(PARTITIONS),
        "spark.sql.adaptive.coalescePartitions.enabled": "false",
    }
    before = {name: spark.conf.get(name) for name in ours}
    for name, value in ours.items():
        spark.conf.set(name, value)
    made = spark.range(ROWS, numPartitions=PARTITIONS).selectExpr(
        "id AS pr_id",
        "IF(id % 2 = 0, 'big/half', concat('small/repo', (id * 7919) % 400)) AS repo_key",
        "IF(id % 20 = 0, 'bot', CAST(xxhash64(id) % 3000 AS string)) AS author",
        f"{START} + id * 1050 AS created",
        f"IF(id % 3 = 0, {START} + id * 1050 + 86400, NULL) AS merged",
        "CAST(24240 + (id * 1050) DIV 2629746 AS int) AS month",
        f"transform(sequence(1, {len(QUANTITIES)}), q -> CAST((id + q) % 5 AS int)) AS bins",
    )
    yield made
    for name, value in before.items():
        spark.conf.set(name, value or "true")


@pytest.fixture(scope="module")
def steps(pulls: DataFrame) -> tuple[DataFrame, DataFrame, DataFrame]:
    """Split, author history and monthly norms of ``pulls``, computed once."""
    split = with_split(pulls).localCheckpoint()
    known = history.with_author_history(split).localCheckpoint()
    return split, known, history.monthly_norms(known).localCheckpoint()


def largest_share(frame: DataFrame) -> float:
    """Of the rows: those that one task ends with."""
    placed = frame.withColumn("task", f.spark_partition_id()).localCheckpoint()
    counts = [row["count"] for row in placed.groupBy("task").count().collect()]
    return float(max(counts) / sum(counts))


def test_no_task_gets_a_large_repository_alone(
    pulls: DataFrame, steps: tuple[DataFrame, DataFrame, DataFrame]
) -> None:
    split, known, norms = steps
    documents = pulls.withColumn("document", f.lit("{}")).select("pr_id", "document").localCheckpoint()
    for name, step in {
        "split": split,
        "author history": history.with_author_history(split),
        "authors' state": history.author_state(split).select(f.explode("opened")),
        "joined": _with_history(documents, known, norms, PARTITIONS),
    }.items():
        assert largest_share(step) <= LARGEST_SHARE, name
    # Norms go by repository, but as histograms: the large one's are no more than a few for each month.
    cells = history.bin_counts(known, "repo_key", "month").where("repo_key = 'big/half'")
    months = cells.select("month").distinct().count()
    assert cells.count() <= months * len(QUANTITIES) * 5 < ROWS // 20
    # By repository alone one task would have it all: what this test is there to see.
    assert largest_share(pulls.repartition(PARTITIONS, "repo_key")) >= 0.5


def test_joined_rows_are_all_there(pulls: DataFrame, steps: tuple[DataFrame, DataFrame, DataFrame]) -> None:
    _, known, norms = steps
    joined = _with_history(pulls.select("pr_id"), known, norms, PARTITIONS)
    assert joined.count() == ROWS
    assert joined.where("author_opened > 2000").count() > 0
