"""Documents as read, to checked ones or to the quarantine. Runs in Spark's Python workers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from pr_features.documents import check
from pr_features.facts import Facts
from pr_features.history import author_key, epoch_second, month_of, repo_key
from pr_features.norms import norm_bins
from pyspark.sql import types as t

from .extended_json import parse

CHECKED = t.StructType(
    [
        # Of an unusable document only these two are set: why, and what it was.
        t.StructField("reason", t.StringType()),
        t.StructField("raw", t.StringType()),
        t.StructField("pr_id", t.LongType()),
        t.StructField("repo_name", t.StringType()),
        t.StructField("repo_key", t.StringType()),  # pr_features.history.repo_key
        t.StructField("number", t.IntegerType()),
        t.StructField("title", t.StringType()),
        t.StructField("author", t.StringType()),  # pr_features.history.author_key
        t.StructField("created", t.LongType()),  # seconds since 1970
        t.StructField("merged", t.LongType()),  # seconds since 1970
        t.StructField("month", t.IntegerType()),  # of created, months since year 0
        t.StructField("created_at", t.LongType()),  # milliseconds since 1970
        t.StructField("updated_at", t.LongType()),  # milliseconds since 1970
        t.StructField("fetched_at", t.LongType()),  # milliseconds since 1970
        t.StructField("bins", t.ArrayType(t.IntegerType())),  # norm_bins of an author without a past
        t.StructField("document", t.StringType()),  # the checked document as JSON
    ]
)
ARROW = pa.schema(
    [
        ("reason", pa.string()),
        ("raw", pa.string()),
        ("pr_id", pa.int64()),
        ("repo_name", pa.string()),
        ("repo_key", pa.string()),
        ("number", pa.int32()),
        ("title", pa.string()),
        ("author", pa.string()),
        ("created", pa.int64()),
        ("merged", pa.int64()),
        ("month", pa.int32()),
        ("created_at", pa.int64()),
        ("updated_at", pa.int64()),
        ("fetched_at", pa.int64()),
        ("bins", pa.list_(pa.int32())),
        ("document", pa.string()),
    ]
)
_TIMES = ("created_at", "updated_at", "closed_at", "merged_at", "fetched_at")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def check_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """One column of extended JSON to rows of CHECKED, one for one."""
    for batch in batches:
        rows = [check_one(raw) for raw in batch.column(0).to_pylist()]
        yield pa.RecordBatch.from_pylist(rows, schema=ARROW)


def check_one(raw: str) -> dict[str, Any]:
    """One document to a row of CHECKED; whatever is wrong with it becomes its reason."""
    try:
        document = check(parse(raw))
        return _row(document)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        # UnusablePullRequest is a ValueError; the others are values that nothing foresaw, and one such
        # document must not stop a million others.
        reason = str(error) or type(error).__name__
        return {"reason": reason, "raw": raw}


def read_checked(text: str) -> dict[str, Any]:
    """The column ``document`` back to what ``documents.check`` returned."""
    document: dict[str, Any] = json.loads(text)
    for name in _TIMES:
        if document[name] is not None:
            document[name] = datetime.fromisoformat(document[name])
    return document


def _row(document: Mapping[str, Any]) -> dict[str, Any]:
    created_at = document["created_at"]
    merged_at = document["merged_at"]
    return {
        "pr_id": document["pr_id"],
        "repo_name": document["repo_name"],
        "repo_key": repo_key(document["repo_name"]),
        "number": document["number"],
        "title": document["title"],
        "author": author_key(document),
        "created": epoch_second(created_at),
        "merged": None if merged_at is None else epoch_second(merged_at),
        "month": month_of(created_at),
        "created_at": _milliseconds(created_at),
        "updated_at": _milliseconds(document["updated_at"]),
        "fetched_at": _milliseconds(document["fetched_at"]),
        "bins": norm_bins(Facts(document, 0, 0, 0)),
        "document": json.dumps(document, default=_iso, ensure_ascii=False, separators=(",", ":")),
    }


def _milliseconds(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - _EPOCH) // _MILLISECOND


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
