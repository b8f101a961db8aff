"""The newest fifth of each large repository, and of all small ones together."""

from __future__ import annotations

from collections import defaultdict
from random import Random

from pyspark.sql import SparkSession
from spark_preprocess.split import with_split

Pull = tuple[int, str, int]  # pr_id, repo_key, created
DAY = 86_400


def expected(pulls: list[Pull]) -> dict[int, str]:
    """The rule by sorting."""
    sizes: dict[str, int] = defaultdict(int)
    for _, repo, _ in pulls:
        sizes[repo] += 1
    groups: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for pr_id, repo, created in pulls:
        groups[repo if sizes[repo] >= 50 else ""].append((created, pr_id))
    found = {}
    for members in groups.values():
        newest_first = sorted(members, reverse=True)
        later = len(members) // 5
        found |= {pr_id: "later" if i < later else "train" for i, (_, pr_id) in enumerate(newest_first)}
    return found


def check(spark: SparkSession, pulls: list[Pull]) -> None:
    frame = spark.createDataFrame(pulls, "pr_id long, repo_key string, created long")
    rows = with_split(frame.repartition(3)).collect()
    assert len(rows) == len(pulls)
    assert {row["pr_id"]: row["split"] for row in rows} == expected(pulls)
    assert set(frame.columns) | {"split"} == set(rows[0].asDict())


def test_large_and_small_repositories(spark: SparkSession) -> None:
    random = Random(1)
    repositories = ["a/big"] * 12 + ["b/fifty"] + [f"c/small{i}" for i in range(9)]
    pulls = [(i, random.choice(repositories), random.randrange(40 * DAY)) for i in range(1, 900)]
    # One of exactly 50 and one of 49: the first is cut by itself.
    pulls += [(2_000 + i, "d/exactly50", i * 3_600) for i in range(50)]
    pulls += [(3_000 + i, "e/49", 39 * DAY + i) for i in range(49)]
    check(spark, pulls)


def test_ties_are_cut_by_id(spark: SparkSession) -> None:
    check(spark, [(i, "a/b", 5 * DAY + 7) for i in range(1, 64)])


def test_too_few_to_cut(spark: SparkSession) -> None:
    check(spark, [(i, f"a/{i}", i) for i in range(1, 5)])
