"""Document frequencies are those of counting by hand."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from pr_features.documents import check
from pr_features.facts import terms
from pr_features.profile import MIN_DOCUMENTS, CorpusProfile
from pyspark.sql import SparkSession
from spark_preprocess.checking import check_one

from spark_preprocess import frequencies


def test_frequencies(
    spark: SparkSession, documents: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    import json

    def raw(document: dict[str, Any]) -> str:
        return json.dumps(document, default=lambda moment: {"$date": moment.isoformat()})

    texts = [(check_one(raw(document))["document"],) for document in documents]
    frame = spark.createDataFrame(texts, "document string").repartition(3)
    counts = Counter(term for document in documents for term in set(terms(check(document))))
    found = frequencies.document_frequencies(frame)
    expected = CorpusProfile.build(len(documents), counts.items())
    assert CorpusProfile.build(len(documents), found) == expected
    assert len(found) == sum(count >= MIN_DOCUMENTS for count in counts.values()) > 10
