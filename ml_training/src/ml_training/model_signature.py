"""What the registered model takes and gives, for MLflow: raw pull requests in the contract's names.

Nullable numbers, lists and nested values are declared as ``AnyType``: MLflow's numeric columns refuse
nulls (pandas turns such a column into floats) and its ``double`` refuses integers. The feature code checks
every value itself and says what is wrong.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from mlflow.models import ModelSignature
from mlflow.types.schema import AnyType, ColSpec, DataType, Schema, TensorSpec

REQUIRED = ("repo_name", "created_at")
TEXTS = (
    "title",
    "body",
    "state",
    "updated_at",
    "closed_at",
    "merged_at",
    "author_association",
    "author_login",
    "author_type",
    "head_ref",
    "base_ref",
)
NUMBERS = (
    "number",
    "additions",
    "deletions",
    "changed_files",
    "commits_count",
    "assignees_count",
    "author_id",
    "pr_id",
)
FLAGS = ("is_draft", "is_cross_repository")
LISTS = ("labels", "files")
# What scoring needs, in the versions it was proved with here; MLflow adds itself.
PACKAGES = ("numpy", "onnxruntime", "pandas")


def signature() -> ModelSignature:
    """Times are ISO 8601 text. A column that is absent counts as null, save REQUIRED ones."""
    columns: list[ColSpec | TensorSpec] = [ColSpec(DataType.string, name, required=True) for name in REQUIRED]
    columns += [ColSpec(DataType.string, name, required=False) for name in TEXTS]
    anything = AnyType()  # type: ignore[no-untyped-call]
    columns += [ColSpec(anything, name, required=False) for name in (*NUMBERS, *FLAGS, *LISTS)]
    outputs: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.double, "reconstruction_error"),
        ColSpec(DataType.double, "threshold"),
        ColSpec(DataType.boolean, "is_anomaly"),
        ColSpec(DataType.double, "anomaly_score"),
        ColSpec(DataType.string, "reasons"),
    ]
    return ModelSignature(inputs=Schema(columns), outputs=Schema(outputs))


def input_example() -> list[dict[str, Any]]:
    """Two made-up pull requests; the second lacks what GitHub did not say in 2015."""
    return [
        {
            "repo_name": "golden/client",
            "number": 7,
            "created_at": "2024-05-14T09:26:53Z",
            "title": "Close the connection when the server says goodbye",
            "body": "Fixes #5.",
            "author_login": "golden-author",
            "author_id": 4242,
            "author_type": "User",
            "additions": 48,
            "deletions": 12,
            "changed_files": 3,
            "commits_count": 2,
            "head_ref": "close-socket",
            "base_ref": "main",
            "is_draft": False,
            "is_cross_repository": True,
            "labels": ["bug"],
        },
        {
            "repo_name": "golden/client",
            "number": 2,
            "created_at": "2015-01-01T00:30:00Z",
            "title": "Update README.md",
            "body": None,
            "author_login": "golden-newcomer",
            "author_id": 31337,
            "author_type": "User",
            "additions": 1,
            "deletions": None,
            "changed_files": None,
            "commits_count": None,
            "head_ref": "patch-1",
            "base_ref": "master",
            "is_draft": None,
            "is_cross_repository": None,
            "labels": None,
        },
    ]


def requirements() -> list[str]:
    """Exact versions of PACKAGES and of MLflow as installed here; nothing is inferred and pip is not asked."""
    return [f"{name}=={version(name)}" for name in ("mlflow", *PACKAGES)]
