"""Errors as rows get them that the network was not fitted to: what the drift job compares served scores with.

A network reconstructs the rows that it was fitted to better than others, and on a small corpus much better: with 200
rows the median error of unseen rows was a third above that of fitted ones, with 1,600 rows as good as the same
(NOTES.md). Held against the errors of the fitted rows, ordinary traffic would look drifted. So on a small corpus the
rows to fit are cross-fitted: a fold's errors come from a network like the final one that was fitted to the other
folds. The final network itself still learns from all rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from stage_runtime.logs import get_logger

from ml_training.autoencoder import Autoencoder
from ml_training.fitting import Fitted, FittingContext, suspicious_columns
from ml_training.trainer import Callbacks, Trainer

FOLDS = 5
# So many rows make a reference; more folds than that takes are not trained.
ENOUGH_ROWS = 1_000
# Above, what fitting takes off the errors is far below the smallest difference that is called drift.
MOST_ROWS = 5_000


@dataclass(frozen=True)
class UnseenErrors:
    """errors [n] float32; how: "cross-fitted" or "training rows" (of which there are enough)."""

    errors: np.ndarray
    how: str


def unseen_errors(context: FittingContext, fitted: Fitted, train_errors: np.ndarray) -> UnseenErrors:
    """Errors that stand for rows of split ``train`` which the network has not seen.

    train_errors [n]: of all rows of split ``train``. Rows that early stopping looked at were not fitted; they
    come from the final network, in the same proportion as in the split.
    """
    if not FOLDS <= context.plan.n_fit <= MOST_ROWS:
        return UnseenErrors(train_errors, "training rows")
    rows, validation = _parts(context)
    folds = np.arange(len(rows)) % FOLDS
    found: list[np.ndarray] = []
    used = 0
    while used < FOLDS and sum(map(len, found)) < ENOUGH_ROWS:
        network = _fit_without(context, fitted, rows[folds != used], validation)
        found.append(_errors(network, rows[folds == used]))
        used += 1
    # The rows are in the order of a hash, so the first ones are a fair sample.
    share = sum(map(len, found)) / len(rows)
    found.append(_errors(fitted.network, validation[: round(share * len(validation))]))
    errors = np.concatenate(found)
    get_logger().info(
        "cross-fitted",
        folds=used,
        rows=len(errors),
        median_error=float(np.median(errors)),
        median_error_of_fitted_rows=float(np.median(train_errors)),
    )
    return UnseenErrors(errors, "cross-fitted")


@dataclass(frozen=True)
class _Rows:
    """Minibatches from arrays; see trainer.Source."""

    rows: np.ndarray
    held_back: np.ndarray
    batch_size: int
    seed: int

    def fitting(self, epoch: int) -> Iterator[np.ndarray]:
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.rows))
        for start in range(0, len(order), self.batch_size):
            yield self.rows[order[start : start + self.batch_size]]

    def validation(self) -> Iterator[np.ndarray]:
        return iter([self.held_back] if len(self.held_back) else [])


def _parts(context: FittingContext) -> tuple[np.ndarray, np.ndarray]:
    """Network input of the rows to fit [n, D] and of those that early stopping looks at [m, D]."""
    found: dict[str, list[np.ndarray]] = {"fit": [], "validation": []}
    for block in context.table.blocks():
        for name, chosen in context.plan.parts(block.keys).items():
            found[name].append(block.matrix[chosen])
    return np.concatenate(found["fit"]), np.concatenate(found["validation"])


def _fit_without(
    context: FittingContext, fitted: Fitted, rows: np.ndarray, validation: np.ndarray
) -> Autoencoder:
    candidate = fitted.candidate
    weights = candidate.weights.columns(context.preprocessor.blocks)
    network = Autoencoder(candidate.sized(context.table.n_features), weights, context.seed)
    network.fit_usual(rows, suspicious_columns(context.preprocessor))
    source = _Rows(rows, validation, candidate.options.batch_size, context.seed)
    stopping = Callbacks(on_batch=context.stop.check)
    Trainer(candidate.options, context.seed, context.device).fit(
        network, source, len(rows), callbacks=stopping
    )
    network.fit_scales(rows)
    return network


def _errors(network: Autoencoder, rows: np.ndarray) -> np.ndarray:
    network.eval()
    device = network.weights.device
    with torch.no_grad():
        return network.contributions(torch.from_numpy(rows).to(device)).sum(dim=1).cpu().numpy()
