"""A trained network to the model's folder: threshold, export with its proof, history, reference, golden request."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stage_runtime.logs import get_logger

from ml_training.artifact import pack_history, write_golden, write_json
from ml_training.card import make_card
from ml_training.export import export_onnx, prove_parity
from ml_training.fitting import Fitted, FittingContext
from ml_training.reference import make_reference
from ml_training.runs import Run
from ml_training.scoring_pass import PassResult, score_table
from ml_training.threshold import Rule, Threshold, fit_threshold
from ml_training.unseen_errors import unseen_errors


@dataclass(frozen=True)
class Finished:
    """A model folder that is complete, and what was found on the way.

    folder: the artifact files; scores_path: Parquet with every row's error.
    """

    folder: Path
    scores_path: Path
    fitted: Fitted
    rows: PassResult
    threshold: Threshold
    reference: dict[str, Any]
    card: dict[str, Any]

    def add_quality(self, quality: dict[str, Any]) -> None:
        """Put the quality report's table into the card."""
        self.card["quality"] = quality
        write_json(self.folder / "card.json", self.card)


def finish(
    context: FittingContext, run: Run, fitted: Fitted, rule: Rule, model_name: str, work: Path
) -> Finished:
    """Score every row with torch, then write and prove the model's files in ``work/model``."""
    folder = work / "model"
    folder.mkdir()
    rows = score_table(fitted.network, context.table, work / "scores.parquet")
    unseen = unseen_errors(context, fitted, rows.train_errors)
    threshold = fit_threshold(rows.train_errors, rows.later_errors, rule)
    network = fitted.network.cpu()
    export_onnx(network, folder / "network.onnx")
    difference = prove_parity(network, folder / "network.onnx", rows.proof_rows)
    get_logger().info("exported", largest_difference=difference, rows=len(rows.proof_rows))
    shutil.copyfile(run.preprocessor_path, folder / "preprocessor.json")
    pack_history(run, folder / "history.npz")
    stored = threshold.to_json(run.run_id)
    write_json(folder / "threshold.json", stored)
    reference = make_reference(rows.sample, rows.train_errors, unseen)
    write_json(folder / "reference.json", reference)

    def run_torch(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with torch.no_grad():
            contributions = network.contributions(torch.from_numpy(matrix))
        return contributions.sum(dim=1).numpy(), contributions.numpy()

    write_golden(folder, run_torch)
    card = make_card(
        model_name=model_name,
        run_id=run.run_id,
        manifest=run.manifest,
        params={**fitted.candidate.params(), **fitted.network.architecture.__dict__},
        rows=context.plan.counts(),
        threshold=stored,
        error_histogram=reference["error_histogram"],
        best_epoch=fitted.best_epoch,
        quality=None,
        preprocessor_hash=context.preprocessor.hash,
        data_hash=run.data_hash,
    )
    write_json(folder / "card.json", card)
    return Finished(folder, work / "scores.parquet", fitted, rows, threshold, reference, card)
