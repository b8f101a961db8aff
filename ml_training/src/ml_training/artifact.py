"""The model's folder: everything a score needs, as named files without any pickle.

artifacts/network.onnx       input features [n, D]; outputs reconstruction_error [n], contributions [n, D]
artifacts/preprocessor.json  as Spark fitted it
artifacts/history.npz        authors' and repositories' past, looked up by time
artifacts/threshold.json     where unusual begins, on which rows, how many lie beyond
artifacts/reference.json     quantiles of training errors, usual values, bins for drift
artifacts/golden.json        a request and its score: who loads the model proves it first
artifacts/card.json          what a person wants to know about this model
code/pr_features/            the feature code it was trained with
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pr_features
import pyarrow.parquet as pq
from pr_features.documents import from_rest
from pr_features.history import HistoryState
from pr_features.scoring import Scorer
from stage_runtime.exits import UnusableInput

from ml_training.export import OnnxNetwork
from ml_training.feature_code import load_features
from ml_training.runs import Run

ARTIFACT_FILES = (
    "network.onnx",
    "preprocessor.json",
    "history.npz",
    "threshold.json",
    "reference.json",
    "golden.json",
    "card.json",
)
GOLDEN_TOLERANCE = 1e-5

# Made up: an ordinary pull request in GitHub's REST form that touches every block of features. Its author has no id and
# so gets the same score where authors are hidden: a hash has no account age, and nobody here is known in either form.
GOLDEN_REQUEST: dict[str, Any] = {
    "number": 7,
    "title": "Close the connection when the server says goodbye",
    "body": "Fixes #5.\n\nThe client kept the socket open, see https://example.org/notes.\n\n- [x] tests\n",
    "state": "open",
    "created_at": "2024-05-14T09:26:53Z",
    "updated_at": "2024-05-14T10:01:02Z",
    "closed_at": None,
    "merged_at": None,
    "draft": False,
    "user": {"login": "golden-author", "type": "User"},
    "labels": [],
    "assignees": [],
    "additions": 48,
    "deletions": 12,
    "changed_files": 3,
    "commits": 2,
    "head": {"ref": "close-socket", "repo": {"full_name": "golden-author/client"}},
    "base": {"ref": "main", "repo": {"full_name": "golden/client"}},
}


def write_json(path: Path, content: Any) -> None:
    """Readable, sorted and without NaN: a value that JSON cannot hold is an error here, not at the reader."""
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def pack_history(run: Run, path: Path) -> None:
    """Pack the run's history tables into ``history.npz``."""
    HistoryState.pack(
        _rows(run.files("history/authors"), ("repo_key", "author_key", "opened", "merged")),
        _rows(run.files("history/repositories"), ("repo_key", "month", "norms")),
    ).save(path)


def pack_code(folder: Path) -> Path:
    """Copy ``pr_features`` as it is imported here: its source files and nothing else."""
    source = Path(pr_features.__file__).parent
    target = folder / "pr_features"
    target.mkdir(parents=True)
    for path in sorted(source.rglob("*.py")):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    return target


def write_golden(folder: Path, run_network: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]) -> float:
    """Score GOLDEN_REQUEST with the folder's own files and ``run_network`` (torch); store and return the error."""
    # The scorer wants the file to be there before it can say what belongs into it.
    write_json(folder / "golden.json", {"request": GOLDEN_REQUEST, "reconstruction_error": 0.0})
    scorer = Scorer.load(folder, run_network)
    document = from_rest(GOLDEN_REQUEST, require_id=False)
    error = float(scorer.run([document]).reconstruction_error[0])
    write_json(
        folder / "golden.json",
        {"request": GOLDEN_REQUEST, "reconstruction_error": error, "tolerance": GOLDEN_TOLERANCE},
    )
    return error


class LoadedModel:
    """A registered model in use, with the feature code that it brought.

    scorer, documents: its own ``pr_features.scoring.Scorer`` and module ``documents``.
    """

    def __init__(self, folder: Path) -> None:
        """Raises UnusableInput where it does not load or its golden request scores differently."""
        try:
            package = load_features(folder / "code" / "pr_features")
            self.documents = importlib.import_module(f"{package.__name__}.documents")
            scoring = importlib.import_module(f"{package.__name__}.scoring")
            artifacts = folder / "artifacts"
            self.network = OnnxNetwork(artifacts / "network.onnx")
            self.scorer = scoring.Scorer.load(artifacts, self.network)
            self.scorer.prove_golden()
        except Exception as error:  # code of another version may fail in any way
            raise UnusableInput(
                f"model in {folder}: expected one that loads and proves its golden request, "
                f"found {type(error).__name__}: {error}. Train again."
            ) from error

    def matrix(self, documents: Sequence[Any]) -> np.ndarray:
        """Network input [n, D] of documents in contract form, as this model's features make it."""
        kept: list[np.ndarray] = []

        def keep(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            kept.append(rows)
            return np.zeros(len(rows), dtype=np.float32), np.zeros_like(rows)

        checked = [self.documents.check(document, require_id=False) for document in documents]
        dataclasses.replace(self.scorer, run_network=keep).run(checked)
        return kept[0]

    def errors(self, matrix: np.ndarray) -> np.ndarray:
        """Reconstruction errors [n] of rows of ``matrix``."""
        return self.network(matrix)[0]


def _rows(files: Sequence[Path], columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    for path in files:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=list(columns)):
                yield from zip(*(batch.column(name).to_pylist() for name in columns), strict=True)
