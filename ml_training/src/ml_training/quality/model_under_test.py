"""A model folder and the run it is judged on, as detectors and rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from pr_features.history import HistoryState, repo_key
from pr_features.preprocessor import Preprocessor, WrongPreprocessor
from pr_features.registry import NAMES, TEXT_BLOCK
from stage_runtime.exits import UnusableInput

from ml_training.autoencoder import Architecture, Autoencoder
from ml_training.dataset import FeatureTable
from ml_training.export import OnnxNetwork
from ml_training.quality.assessment import (
    OURS,
    UNTRAINED,
    Assessment,
    KnownRows,
    assess,
)
from ml_training.quality.detectors import Detector, Rows, standard_detectors
from ml_training.quality.evaluation_set import (
    LEAST_DOCUMENTS,
    DocumentSet,
    Draws,
    EvaluationSet,
    own_matrix,
    read_documents,
)
from ml_training.quality.labels import read_labels
from ml_training.runs import Run
from ml_training.split import in_split
from ml_training.weights import BlockWeights, ColumnWeights

# What baselines are fitted on: the first training rows, which are a fair sample in hash order.
TRAINING_ROWS = 10_000
# Rows beside the known anomalies, all splits: a fair sample in hash order that stands for the rest.
# Known anomalies are all taken.
KNOWN_ROWS = 20_000


@dataclass(frozen=True)
class ModelUnderTest:
    """A model of this version's features, from its folder of artifacts.

    weights: [D] of the columns in what it learned, which PCA and kNN get too.
    """

    preprocessor: Preprocessor
    history: HistoryState
    network: OnnxNetwork
    weights: np.ndarray
    twin: Autoencoder

    @classmethod
    def load(cls, artifacts: Path, seed: int) -> ModelUnderTest:
        """Read the artifact files; the untrained twin has the same sizes, weights and usual values.

        Raises UnusableInput for a model of other feature code.
        """
        card = json.loads((artifacts / "card.json").read_text("utf-8"))
        path = artifacts / "network.onnx"
        constants = {
            tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer
        }
        try:
            preprocessor = Preprocessor.load(artifacts / "preprocessor.json")
        except WrongPreprocessor as error:
            raise UnusableInput(
                f"model, artifacts/preprocessor.json: {error}. It was trained by other feature code than this stage's: "
                "run spark_preprocess and train once more."
            ) from error
        weights = BlockWeights.from_params(card["network"]).columns(preprocessor.blocks)
        return cls(
            preprocessor=preprocessor,
            history=HistoryState.load(artifacts / "history.npz"),
            network=OnnxNetwork(path),
            weights=weights.learned,
            twin=_untrained(constants, card["network"], weights, seed),
        )

    def score(self, rows: Rows) -> np.ndarray:
        """Reconstruction errors [n]."""
        return self.network(rows.matrix)[0]

    @property
    def dense(self) -> np.ndarray:
        """Mask [D] of the columns that are no text."""
        return np.array([block != TEXT_BLOCK for block in self.preprocessor.blocks])

    @property
    def bottleneck(self) -> int:
        """Width that PCA gets too."""
        return self.twin.architecture.bottleneck

    def untrained(self, train: np.ndarray) -> Detector:
        """The untrained twin as a detector, its errors scaled on training rows [n, D] like ours."""
        self.twin.fit_scales(train)
        return lambda rows: _torch_errors(self.twin, rows.matrix)

    def detectors(self, train: np.ndarray, seed: int) -> tuple[dict[str, Detector], list[str]]:
        """Ours first, then the baselines fitted on ``train`` [n, D]; and the names of absent ones."""
        others, absent = standard_detectors(train, self.weights, self.dense, self.bottleneck, seed)
        return {OURS: self.score, UNTRAINED: self.untrained(train), **others}, absent


def assess_model(artifacts: Path, run: Run, seed: int, labels: str) -> Assessment:
    """The quality report's content for the model in a folder of artifacts, on the rows of a run."""
    model = ModelUnderTest.load(artifacts, seed)
    table = FeatureTable(run.files("features"), model.preprocessor)
    known_labels = read_labels(Path(labels)) if labels else {}
    train, known = _table_rows(table, known_labels)
    detectors, absent = model.detectors(train, seed)
    documents = documents_of(run)
    evaluation = None
    if documents is not None:
        matrix = own_matrix(model.preprocessor, model.history)
        evaluation = EvaluationSet.make(documents, matrix)
    made = assess(detectors, evaluation, known if known.anomalies else None, absent)
    if documents is None:
        made.notes.append(f"Fewer than {LEAST_DOCUMENTS} pull requests of split later: nothing was injected.")
    if known_labels and not known.anomalies:
        made.notes.append("None of the labelled pull requests is in this run.")
    return made


def later_documents(run: Run) -> list[dict[str, Any]]:
    """Raw documents of split ``later``; none where the run has none."""
    return read_documents(run.evaluation_path) if run.evaluation_path else []


def documents_of(run: Run, draws: Draws = "seeds") -> DocumentSet | None:
    """Ordinary documents and injected ones; None where the run has too few to say anything."""
    documents = later_documents(run)
    return DocumentSet.make(documents, draws) if len(documents) >= LEAST_DOCUMENTS else None


def training_rows(table: FeatureTable) -> np.ndarray:
    """Network input of the first training rows, which are a fair sample: [<= TRAINING_ROWS, D]."""
    return _table_rows(table, {})[0]


def _table_rows(table: FeatureTable, labels: Mapping[tuple[str, int], str]) -> tuple[np.ndarray, KnownRows]:
    """Training rows for the baselines [<= TRAINING_ROWS, D], and rows with the known anomalies among them."""
    train: list[np.ndarray] = []
    kept: list[tuple[np.ndarray, np.ndarray]] = []
    anomalies: dict[int, str] = {}
    n_train = n_kept = 0
    for block in table.blocks():
        if n_train < TRAINING_ROWS:
            train.append(block.matrix[in_split(block.keys, "train")][: TRAINING_ROWS - n_train])
            n_train += len(train[-1])
        elif not labels:
            break
        if labels:
            keys = zip(
                map(repo_key, block.keys.column("repo_name").to_pylist()),
                block.keys.column("number").to_pylist(),
                strict=True,
            )
            found = [labels.get(key) for key in keys]
            wanted = [
                position
                for position, label in enumerate(found)
                if label is not None or n_kept + position < KNOWN_ROWS
            ]
            for place, position in enumerate(wanted):
                label = found[position]
                if label is not None:
                    anomalies[n_kept + place] = label
            kept.append((block.matrix[wanted], block.values[wanted]))
            n_kept += len(wanted)
    # Every anomaly is there but of the ordinary rows a sample only: unweighted, precision would be too high.
    sampled = n_kept - len(anomalies)
    weight = (table.n_rows - len(anomalies)) / sampled if sampled else 1.0
    return np.concatenate(train), KnownRows(_rows_of_table(kept), anomalies, weight)


def _rows_of_table(kept: Sequence[tuple[np.ndarray, np.ndarray]]) -> Rows:
    """Rows from the table; raw counts follow from the features ``lines`` and ``balance``."""
    if not kept:
        empty = np.empty(0)
        return Rows(np.empty((0, 0), dtype=np.float32), empty, empty)
    values = np.concatenate([values for _, values in kept]).astype(np.float64)
    lines = np.expm1(np.nan_to_num(values[:, NAMES.index("lines")]))
    balance = np.nan_to_num(values[:, NAMES.index("balance")])
    # balance = (added - removed) / (lines + 1)
    additions = (lines + balance * (lines + 1.0)) / 2.0
    return Rows(np.concatenate([matrix for matrix, _ in kept]), additions, lines)


def _untrained(
    constants: Mapping[str, np.ndarray], params: Mapping[str, Any], weights: ColumnWeights, seed: int
) -> Autoencoder:
    """The network of the file with fresh initial weights: what training started from."""
    kernels = [constants[f"kernel_{i}"] for i in range(len(constants)) if f"kernel_{i}" in constants]
    widths = [kernel.shape[2] for kernel in kernels]
    middle = len(kernels) // 2 - 1
    architecture = Architecture(
        n_features=kernels[0].shape[1],
        hidden=tuple(widths[:middle]),
        bottleneck=widths[middle],
        members=kernels[0].shape[0],
        strict_share=float(params["strict_share"]),
    )
    network = Autoencoder(architecture, weights, seed)
    network.low.copy_(torch.tensor(constants["low"]))
    network.high.copy_(torch.tensor(constants["high"]))
    return network


def _torch_errors(network: Autoencoder, matrix: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return np.asarray(network.reconstruction_error(torch.from_numpy(matrix)).numpy())
