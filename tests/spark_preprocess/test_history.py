"""Windows in Spark give what serving looks up by time in the packed state."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from pr_features.documents import check
from pr_features.facts import Facts
from pr_features.history import DAY_SECONDS, History, HistoryState, author_key, epoch_second, month_of
from pr_features.norms import NO_NORMS, QUANTITIES, norm_bins, norms_from_histograms
from pyspark.sql import DataFrame, SparkSession
from spark_preprocess.checking import ARROW, CHECKED, check_one

from spark_preprocess import history

COLUMNS = ("pr_id", "repo_key", "author", "created", "merged", "month", "bins")


@pytest.fixture(scope="module")
def checked(documents: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    return {document["pr_id"]: check(document) for document in documents}


@pytest.fixture(scope="module")
def known(spark: SparkSession, documents: list[dict[str, Any]]) -> DataFrame:
    import json

    def raw(document: dict[str, Any]) -> str:
        return json.dumps(document, default=lambda moment: {"$date": moment.isoformat()})

    assert CHECKED.fieldNames() == ARROW.names
    rows = [tuple(check_one(raw(document))[name] for name in COLUMNS) for document in documents]
    schema = (
        "pr_id long, repo_key string, author string, created long, merged long, month int, bins array<int>"
    )
    pulls = spark.createDataFrame(rows, schema).repartition(5)
    return history.with_author_history(pulls).cache()


def brute_force(documents: dict[int, dict[str, Any]], one: dict[str, Any]) -> History:
    """The rule itself, by looking at every document."""
    key, second = author_key(one), epoch_second(one["created_at"])
    theirs = [
        other
        for other in documents.values()
        if key is not None
        and author_key(other) == key
        and other["repo_name"].lower() == one["repo_name"].lower()
    ]
    opened = [epoch_second(other["created_at"]) for other in theirs]
    merged = [epoch_second(other["merged_at"]) for other in theirs if other["merged_at"]]
    return History(
        sum(at < second for at in opened),
        sum(at < second for at in merged),
        sum(second - DAY_SECONDS <= at < second for at in opened),
    )


def test_author_history_is_the_rule(known: DataFrame, checked: dict[int, dict[str, Any]]) -> None:
    rows = known.collect()
    assert len(rows) == len(checked)
    for row in rows:
        found = History(row["author_opened"], row["author_merged"], row["author_day"])
        assert found == brute_force(checked, checked[row["pr_id"]]), row["pr_id"]
    assert any(row["author_day"] for row in rows) and any(row["author_merged"] for row in rows)


def test_bins_hold_the_flags_of_history(known: DataFrame, checked: dict[int, dict[str, Any]]) -> None:
    for row in known.collect():
        facts = Facts(checked[row["pr_id"]], row["author_opened"], row["author_merged"], row["author_day"])
        assert tuple(row["bins"]) == norm_bins(facts), row["pr_id"]


def test_state_gives_the_same_history(known: DataFrame, checked: dict[int, dict[str, Any]]) -> None:
    norms = history.monthly_norms(known).cache()
    before = {(row["repo_key"], row["month"]): row["before"] for row in norms.collect()}
    state = HistoryState.pack(
        [tuple(row) for row in history.author_state(known).collect()],
        [tuple(row) for row in history.repository_state(norms).collect()],
    )
    seen = 0
    for row in known.collect():
        document = checked[row["pr_id"]]
        usual = before[row["repo_key"], row["month"]]
        expected = History(row["author_opened"], row["author_merged"], row["author_day"], usual or NO_NORMS)
        found = state.lookup(document)
        assert found[:3] == expected[:3]
        assert list(found.norms) == list(expected.norms)
        seen += usual is not None
    assert seen > 100


def test_norms_are_those_of_the_months_before(known: DataFrame, checked: dict[int, dict[str, Any]]) -> None:
    bins = {row["pr_id"]: row["bins"] for row in known.collect()}
    for row in history.monthly_norms(known).where("repo_key = 'big/half'").collect():
        earlier = [
            bins[pr_id]
            for pr_id, document in checked.items()
            if document["repo_name"].lower() == "big/half" and month_of(document["created_at"]) < row["month"]
        ]
        columns = [Counter(b[q] for b in earlier if b[q] is not None) for q in range(len(QUANTITIES))]
        expected = norms_from_histograms(columns) if earlier else None
        assert (row["before"] and tuple(row["before"])) == expected
