"""The column ``split``: the newest 20 % of each repository are ``later``, the others ``train``.

A repository with at least 50 pull requests is cut by itself, all smaller ones together. The cut is exact:
days are counted first, and only the day in which the cut falls is looked at row by row.
"""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as f

TRAIN, LATER = "train", "later"
OWN_CUT = 50
ONE_IN = 5
_DAY_SECONDS = 86_400
_TOGETHER = ""


def with_split(pulls: DataFrame) -> DataFrame:
    """pulls (pr_id, repo_key, created, ...) with the column ``split``; the same rows.

    Of n pull requests the n // 5 newest by (created, pr_id) are later.
    """
    own = pulls.groupBy("repo_key").count().where(f.col("count") >= OWN_CUT)
    large = own.select("repo_key", f.lit(True).alias("large"))
    grouped = (
        pulls.join(f.broadcast(large), "repo_key", "left")
        .withColumn("cut_group", f.when(f.col("large"), f.col("repo_key")).otherwise(_TOGETHER))
        .withColumn("day", f.expr(f"CAST(created DIV {_DAY_SECONDS} AS int)"))
        .drop("large")
    )
    placed = grouped.join(f.broadcast(cut_days(grouped)), "cut_group", "left")
    # Without a cut (fewer than 5 in the group) everything is train.
    whole = placed.where("cut_day IS NULL OR day != cut_day").withColumn(
        "split", f.when(f.col("day") > f.col("cut_day"), LATER).otherwise(TRAIN)
    )
    newest_first = Window.partitionBy("cut_group").orderBy(f.desc("created"), f.desc("pr_id"))
    day_of_cut = placed.where("day = cut_day").withColumn(
        "split", f.when(f.row_number().over(newest_first) <= f.col("of_day"), LATER).otherwise(TRAIN)
    )
    return whole.unionByName(day_of_cut).drop("cut_group", "day", "cut_day", "of_day")


def cut_days(grouped: DataFrame) -> DataFrame:
    """cut_group, cut_day, of_day: the day of the oldest later row, and how many of that day are later."""
    newest_first = Window.partitionBy("cut_group").orderBy(f.desc("day"))
    up_to = newest_first.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    return (
        grouped.groupBy("cut_group", "day")
        .count()
        .withColumn("seen", f.sum("count").over(up_to))
        .withColumn("later", f.expr(f"sum(count) OVER (PARTITION BY cut_group) DIV {ONE_IN}"))
        .where("later > 0 AND seen >= later AND seen - count < later")
        .select(
            "cut_group",
            f.col("day").alias("cut_day"),
            (f.col("later") - (f.col("seen") - f.col("count"))).alias("of_day"),
        )
    )
