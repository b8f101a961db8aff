"""One pass of the finished network over every row of the run: errors, the extremes, and a file of scores."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from ml_training.autoencoder import Autoencoder
from ml_training.dataset import Block, FeatureTable, prefetched
from ml_training.reference import TrainingSample
from ml_training.split import in_split

MOST_ANOMALOUS = 20
SCORE_COLUMNS = ("pr_id", "repo_name", "number", "split")
# Rows for the parity proof of the export.
PROOF_ROWS = 512


@dataclass(frozen=True, order=True)
class Extreme:
    """A row with a large error. keys: its key columns; values [features]; contributions [D]."""

    error: float
    position: int
    keys: dict[str, Any] = field(compare=False)
    values: np.ndarray = field(compare=False)
    contributions: np.ndarray = field(compare=False)


@dataclass(frozen=True)
class PassResult:
    """train_errors [n], later_errors [m]: float32, in the order of the rows. most_anomalous: largest first.

    sample: [rows, features] values of training rows. proof_rows: [k, D] network input of the first rows.
    """

    train_errors: np.ndarray
    later_errors: np.ndarray
    most_anomalous: list[Extreme]
    sample: np.ndarray
    proof_rows: np.ndarray


def score_table(network: Autoencoder, table: FeatureTable, scores_path: Path) -> PassResult:
    """Score every row with torch; writes SCORE_COLUMNS and reconstruction_error to ``scores_path``."""
    network.eval()
    device = network.weights.device
    # One array for all rows, not one a block: small arrays that stay would pin the heap (see trainer.py).
    errors = np.empty(table.n_rows, dtype=np.float32)
    training = np.empty(table.n_rows, dtype=bool)
    extremes: list[Extreme] = []
    sample = TrainingSample()
    proof_rows: np.ndarray | None = None
    position = 0
    writer: pq.ParquetWriter | None = None
    try:
        for block in prefetched(table.blocks):
            with torch.no_grad():
                parts = network.contributions(torch.from_numpy(block.matrix).to(device)).cpu()
            contributions = parts.numpy()
            here = slice(position, position + len(contributions))
            errors[here] = parts.sum(dim=1).numpy()
            training[here] = in_split(block.keys, "train")
            sample.add(block.values[training[here]])
            _keep_extremes(extremes, block, errors[here], contributions, position)
            position = here.stop
            if proof_rows is None:
                proof_rows = block.matrix[:PROOF_ROWS].copy()
            scores = block.keys.select(list(SCORE_COLUMNS)).append_column(
                "reconstruction_error", pa.array(errors[here], pa.float32())
            )
            writer = writer or pq.ParquetWriter(scores_path, scores.schema)
            writer.write_table(scores)
    finally:
        if writer is not None:
            writer.close()
    if proof_rows is None:
        proof_rows = np.empty((0, table.n_features), dtype=np.float32)
    return PassResult(
        train_errors=errors[training],
        later_errors=errors[~training],
        most_anomalous=sorted(extremes, reverse=True),
        sample=sample.values,
        proof_rows=proof_rows,
    )


def _keep_extremes(
    extremes: list[Extreme],
    block: Block,
    errors: np.ndarray,
    contributions: np.ndarray,
    position: int,
) -> None:
    """Keep the MOST_ANOMALOUS largest seen so far; of equal errors the earlier row stays."""
    order = np.argsort(-errors, kind="stable")[:MOST_ANOMALOUS]
    for row in order.tolist():
        if len(extremes) == MOST_ANOMALOUS and errors[row] <= extremes[0].error:
            break
        keys = block.keys.slice(row, 1).to_pylist()[0]
        found = Extreme(
            float(errors[row]),
            -(position + row),
            keys,
            block.values[row].copy(),
            contributions[row].copy(),
        )
        if len(extremes) < MOST_ANOMALOUS:
            heapq.heappush(extremes, found)
        else:
            heapq.heapreplace(extremes, found)
