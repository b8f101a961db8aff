"""A small fitted model around a linear network, made by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pr_features.history import HistoryState
from pr_features.preprocessor import Preprocessor
from pr_features.profile import CorpusProfile
from pr_features.registry import FEATURES, NAMES
from pr_features.scoring import Scorer

Pull = Callable[..., dict[str, Any]]


@pytest.fixture
def pull() -> Pull:
    """A made-up document; keywords replace fields."""

    def make(**changes: Any) -> dict[str, Any]:
        document = {
            "_id": 1, "pr_id": 1, "repo_name": "acme/tool", "number": 7,
            "title": "Fix the parser", "body": "It failed on empty input, see #3.", "state": "open",
            "created_at": datetime(2024, 5, 4, 13, 30, tzinfo=UTC), "updated_at": None,
            "closed_at": None, "merged_at": None, "additions": 12, "deletions": 3,
            "changed_files": 2, "commits_count": 1, "assignees_count": 0, "labels": [],
            "author_association": None, "author_login": "someone", "author_id": 42,
            "author_type": "User", "head_ref": "fix-parser", "base_ref": "main", "is_draft": False,
            "is_cross_repository": True, "files": None, "fetched_at": None, "source": "file",
            "schema_version": 1,
        }  # fmt: skip
        return {**document, **changes}

    return make


@pytest.fixture
def preprocessor() -> Preprocessor:
    """Mean 1 and std 2 for each feature, a third of the rows without it where it can be missing."""
    profile = CorpusProfile.build(100, [("fix", 30), ("the", 90), ("parser", 3), ("rare", 2)])
    missing = [1 / 3 if feature.missing else 0.0 for feature in FEATURES]
    return Preprocessor(profile, [1.0] * len(NAMES), [2.0] * len(NAMES), missing)


def squares(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A network that reconstructs zero: the error of a column is its square."""
    parts = matrix * matrix
    return parts.sum(axis=1), parts


@pytest.fixture
def artifact(tmp_path: Path, preprocessor: Preprocessor) -> Path:
    """A complete artifact folder but for the network."""
    request = {
        "id": 5, "number": 5, "title": "Golden", "body": None, "created_at": "2024-05-04T13:30:00Z",
        "user": {"login": "g", "id": 9, "type": "User"}, "additions": 1, "deletions": 1,
        "changed_files": 1, "commits": 1, "head": {"ref": "x", "sha": "0", "repo": None},
        "base": {"ref": "main", "repo": {"full_name": "acme/tool", "id": 1}},
    }  # fmt: skip
    files = {
        "preprocessor.json": preprocessor.to_json(),
        "threshold.json": {"threshold": 30.0},
        "reference.json": {"error_quantiles": [0.0, 10.0, 20.0], "usual": dict.fromkeys(NAMES, 1.0)},
        "golden.json": {"request": request, "reconstruction_error": 0.0},
    }
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    HistoryState.pack([("acme/tool", "42", [0], [])], []).save(tmp_path / "history.npz")
    scorer = Scorer.load(tmp_path, squares)
    from pr_features.documents import from_rest

    error = float(scorer.run([from_rest(request)]).reconstruction_error[0])
    golden = {"request": request, "reconstruction_error": error}
    (tmp_path / "golden.json").write_text(json.dumps(golden))
    return tmp_path
