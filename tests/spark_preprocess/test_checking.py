"""Documents as read become checked rows, or are put aside with their reason."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pr_features.documents import check
from pr_features.history import author_key, epoch_second, month_of
from spark_preprocess.checking import ARROW, CHECKED, check_batches, check_one, read_checked


def as_read(document: dict[str, Any]) -> str:
    """What the connector hands over."""
    return json.dumps(document, default=lambda moment: {"$date": moment.isoformat()})


def test_a_checked_document_survives_the_way_through_spark(documents: list[dict[str, Any]]) -> None:
    for document in documents[:200]:
        row = check_one(as_read(document))
        assert "reason" not in row
        assert read_checked(row["document"]) == check(document)
        assert row["created"] == epoch_second(document["created_at"])
        assert row["month"] == month_of(document["created_at"])
        assert row["author"] == author_key(document)


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_survives(title: str, body: str) -> None:
    document = {
        "pr_id": 1, "repo_name": "a/b", "number": 1, "title": title, "body": body,
        "created_at": datetime.fromisoformat("2020-02-03T04:05:06.789Z"),
    }  # fmt: skip
    (batch,) = check_batches(iter([pa.RecordBatch.from_pydict({"document": [as_read(document)]})]))
    assert read_checked(batch.column("document")[0].as_py()) == check(document)


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("additions", "12", "additions"),
        ("additions", 3.0, "additions"),
        ("additions", {"$numberDouble": "NaN"}, "additions"),
        ("additions", -1, "additions"),
        ("additions", {"$numberDecimal": "5"}, "additions"),
        ("title", 5, "title"),
        ("title", {"a": "b"}, "title"),
        ("body", ["a"], "body"),
        ("body", "x" * 2**20 + "x", "body"),
        ("labels", "bug", "labels"),
        ("labels", ["l"] * 1_000_000, "labels"),
        ("created_at", None, "created_at"),
        ("created_at", 1577836800000, "created_at"),
        ("created_at", {"$date": {"$numberLong": "999999999999999999"}}, "created_at"),
        ("merged_at", {"$date": "1960-01-01T00:00:00Z"}, "merged_at"),
        ("repo_name", None, "repo_name"),
        ("pr_id", None, "pr_id"),
        ("is_draft", "yes", "is_draft"),
        ("author_id", {"$oid": "507f1f77bcf86cd799439011"}, "author_id"),
    ],
)
def test_a_wrong_value_is_put_aside_with_its_reason(
    documents: list[dict[str, Any]], field: str, value: Any, named: str
) -> None:
    document = dict(documents[0], **{field: value})
    if field == "pr_id":
        document["_id"] = {"$oid": "507f1f77bcf86cd799439011"}
    raw = as_read(document)
    row = check_one(raw)
    assert set(row) == {"reason", "raw"}
    assert named in row["reason"] and len(row["reason"]) < 300
    assert row["raw"] == raw  # nothing is lost


@pytest.mark.parametrize("raw", ["", "nothing", "[1]", "7", "null", "[" * 100_000])
def test_what_is_no_document_stops_nothing(raw: str) -> None:
    assert check_one(raw)["reason"]


def test_spark_and_arrow_agree_on_the_columns() -> None:
    assert CHECKED.fieldNames() == ARROW.names
