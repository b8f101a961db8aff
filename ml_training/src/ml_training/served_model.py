"""The registered model as MLflow loads it (models-from-code): raw pull requests in, scores out.

This file is copied into the model and must stand alone there: it may import only what the model's
requirements name, and finds feature code and data in the model's own folder. The feature code is loaded
under a name of its own, so that two versions can live in one process.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import sys
import uuid
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd  # type: ignore[import-untyped]
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

WHOLE_NUMBERS = frozenset(
    {
        "_id", "pr_id", "number", "additions", "deletions", "changed_files", "commits_count",
        "assignees_count", "author_id", "schema_version",
    }
)  # fmt: skip
LISTS = frozenset({"labels", "files"})
OUTPUT_COLUMNS = ("reconstruction_error", "threshold", "is_anomaly", "anomaly_score", "reasons")


def load_features(folder: Path) -> ModuleType:
    """The model's own ``pr_features``, whatever the process has imported already."""
    name = f"pr_features_{uuid.uuid4().hex}"
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"expected the package pr_features in {folder}")
    package = importlib.util.module_from_spec(spec)
    sys.modules[name] = package
    spec.loader.exec_module(package)
    return package


class PullRequestAnomalyModel(PythonModel):
    """Scores pull requests given in the names of the document contract (see the model's signature)."""

    def load_context(self, context: Any) -> None:
        """Load feature code, network and state; proves the golden request before anything is served."""
        network = Path(context.artifacts["network.onnx"])
        package = load_features(network.parent.parent / "code" / "pr_features")
        self.documents = importlib.import_module(f"{package.__name__}.documents")
        scoring = importlib.import_module(f"{package.__name__}.scoring")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(network), options, providers=["CPUExecutionProvider"])

        def run_network(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            errors, contributions = session.run(["reconstruction_error", "contributions"], {"features": rows})
            return errors, contributions

        self.scorer = scoring.Scorer.load(network.parent, run_network)
        self.scorer.prove_golden()

    # MLflow makes no signature from this hint, so the declared one stays; without any hint it complains.
    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Score each row of a data frame; a data frame of OUTPUT_COLUMNS, reasons as JSON text."""
        checked = [
            self.documents.check(plain(row), require_id=False)
            for row in model_input.to_dict(orient="records")
        ]
        scores = self.scorer.score(checked)
        frame = pd.DataFrame(scores, columns=list(OUTPUT_COLUMNS))
        frame["reasons"] = [json.dumps(score["reasons"], ensure_ascii=False) for score in scores]
        return frame


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row of a data frame as a document: pandas' substitutes for null and for integers undone."""
    return {str(name): _plain(str(name), value) for name, value in row.items()}


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    elif isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, float):
        if math.isnan(value):
            return None
        # A column with a null in it holds its integers as floats.
        return int(value) if name in WHOLE_NUMBERS and value.is_integer() else value
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime()
    # The Open Inference Protocol has no nested lists: they come as JSON text.
    if name in LISTS and isinstance(value, str):
        return json.loads(value)
    if isinstance(value, (list, dict, str, int, datetime)):
        return value
    return str(value)


set_model(PullRequestAnomalyModel())
