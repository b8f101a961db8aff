"""A simulated drift: rows are recorded as if the traffic had changed, so that the loop can be shown.

Only what is recorded changes, never an answer: the feature rows, and the error that the model has for them. Off unless
SIMULATE_DRIFT is set. The kind lies in the workers' shared folder, so all workers of one service follow.

    numerical_shift     every number lies one standard deviation (of the training rows) higher
    category_mismatch   every yes/no fact is the other way round; a yes that training never saw is a rare one
    drop_column         sizes and description are missing, as if the fields were no longer delivered
"""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model_serving.service import Batch

KINDS = ("numerical_shift", "category_mismatch", "drop_column")
NONE = "none"
# What a yes is worth that one pull request in a hundred has: sqrt(-2 ln 0.01).
RARE = math.sqrt(-2.0 * math.log(0.01))
DROPPED_BLOCKS = frozenset({"size", "body"})


class Simulation:
    """The kind of drift that is simulated now, for all workers that share the folder (None: this process only)."""

    def __init__(self, folder: Path | None = None) -> None:
        self._file = folder / "simulated-drift.json" if folder is not None else None
        self._kind = NONE

    @property
    def kind(self) -> str:
        """One of KINDS, or NONE."""
        if self._file is not None:
            try:
                self._kind = json.loads(self._file.read_text("utf-8"))["drift_type"]
            except FileNotFoundError:
                self._kind = NONE
        return self._kind

    def set(self, kind: str) -> None:
        """From now on rows are recorded with this drift; NONE ends it."""
        self._kind = kind
        if self._file is not None:
            unfinished = self._file.with_suffix(".new")
            unfinished.write_text(json.dumps({"drift_type": kind}), "utf-8")
            unfinished.replace(self._file)

    def changed(self, batch: Batch) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """What to record of a batch instead: values [n, features], errors [n], flags [n]; None for no change."""
        kind = self.kind
        if kind == NONE:
            return None
        scorer = batch.model.scorer
        package = batch.model.documents.__name__.rpartition(".")[0]
        rows = importlib.import_module(f"{package}.rows")
        features = importlib.import_module(f"{package}.registry").FEATURES
        # The words of a pull request stay as they are; a history that the caller gave is not known here.
        made = rows.rows(
            ((document, scorer.history.lookup(document)) for document in batch.documents),
            scorer.preprocessor.profile,
        )
        values = drifted(made.values, kind, features, np.array(scorer.preprocessor.std, dtype=np.float32))
        errors, _ = scorer.run_network(scorer.preprocessor.matrix(*made._replace(values=values)))
        return values, errors, errors > scorer.threshold


def drifted(values: np.ndarray, kind: str, features: Sequence[Any], std: np.ndarray) -> np.ndarray:
    """Rows [n, features] with a simulated drift; std [features] over the training rows.

    features: entries of the registry, with ``sides`` ("surprise" for a yes/no fact) and ``block``.
    """
    changed = values.astype(np.float32, copy=True)
    facts = np.array([feature.sides == "surprise" for feature in features])
    if kind == "numerical_shift":
        changed[:, ~facts] += std[~facts]
    elif kind == "category_mismatch":
        changed[:, facts] = np.where(values[:, facts] == 0, np.float32(RARE), np.float32(0))
    elif kind == "drop_column":
        changed[:, [feature.block in DROPPED_BLOCKS for feature in features]] = np.nan
    else:
        raise ValueError(f"drift_type: expected one of {', '.join(KINDS)}, found {kind!r}")
    return changed
