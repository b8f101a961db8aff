"""The blueprint's way of preprocessing: the whole collection through one process, pandas, scikit-learn's TF-IDF.

    python blueprint_preprocess.py MONGO_URI OUT.parquet

1,000 dense text columns beside the raw sizes, as its training reads them. Prints nothing; ends with 0, or as the kernel
ends it.
"""

from __future__ import annotations

import sys

import pandas as pd
from pymongo import MongoClient
from sklearn.feature_extraction.text import TfidfVectorizer

SIZES = ["additions", "deletions", "changed_files", "assignees_count", "commits_count"]


def main(uri: str, out: str) -> None:
    """Read, vectorise, write."""
    collection = MongoClient(uri)["mlops_db"]["pull_requests"]
    pulls = pd.DataFrame(list(collection.find()))
    pulls["text"] = pulls["title"].fillna("") + " " + pulls["body"].fillna("")
    matrix = TfidfVectorizer(max_features=1_000, stop_words="english").fit_transform(pulls["text"])
    columns = [f"tfidf_{number}" for number in range(matrix.shape[1])]
    text = pd.DataFrame(matrix.toarray(), columns=columns)
    table = pd.concat([pulls[["pr_id", "repo_name", *SIZES]].reset_index(drop=True), text], axis=1)
    table.to_parquet(out)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
