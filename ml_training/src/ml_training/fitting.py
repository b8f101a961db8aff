"""One candidate from rows to a trained network: checkpoints in the data root, epochs to MLflow."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pr_features.preprocessor import Preprocessor
from pr_features.registry import FEATURES
from stage_runtime.logs import get_logger
from stage_runtime.progress import progress
from stage_runtime.signals import StopRequest

from ml_training import __version__
from ml_training.autoencoder import Autoencoder
from ml_training.candidates import Candidate
from ml_training.checkpoint import TrainingState
from ml_training.dataset import FeatureTable, MinibatchSource
from ml_training.split import SplitPlan
from ml_training.storage import Root
from ml_training.trainer import Callbacks, Diverged, EpochResult, Trainer
from ml_training.workers import Workers

CHECKPOINTS = "training-state"
# Rows that usual values and scales are taken from: the first ones, which are a fair sample.
SAMPLE_ROWS = 20_000


@dataclass(frozen=True)
class Fitted:
    """A trained candidate. best_epoch: the epoch that was kept; history: a dict an epoch."""

    candidate: Candidate
    network: Autoencoder
    best_epoch: int
    history: list[dict[str, Any]]
    seconds: float


@dataclass(frozen=True)
class FittingContext:
    """What all candidates of a training share.

    checkpoint_seconds: on a small run epochs take milliseconds, and a checkpoint is to cost less than it saves.
    """

    root: Root
    table: FeatureTable
    preprocessor: Preprocessor
    plan: SplitPlan
    data_hash: str
    seed: int
    threads: int
    device: torch.device
    workers: Workers
    stop: StopRequest
    checkpoint_seconds: float

    def identity(self, candidate: Candidate) -> str:
        """Names a training by everything that its result depends on."""
        parts = {
            "data": self.data_hash,
            "candidate": candidate.params(),
            "seed": self.seed,
            "threads": self.threads,
            "device": self.device.type,
            "processes": self.workers.world_size,
            "version": __version__,
            "torch": torch.__version__,
        }
        text = json.dumps(parts, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:24]


def fit_candidate(
    context: FittingContext,
    candidate: Candidate,
    report: Callable[[EpochResult], None],
) -> Fitted:
    """Train one candidate, going on from its checkpoint where a killed training left one.

    Raises Diverged naming the candidate.
    """
    identity = context.identity(candidate)
    start = time.monotonic()
    weights = candidate.weights.columns(context.preprocessor.blocks)
    network = Autoencoder(candidate.sized(context.table.n_features), weights, context.seed)
    source = MinibatchSource(context.table, context.plan, candidate.options.batch_size, context.seed)
    sample = source.sample(SAMPLE_ROWS)
    network.fit_usual(sample, suspicious_columns(context.preprocessor))
    state = _load_state(context, identity)
    if state.epoch:
        get_logger().info("going on from a checkpoint", candidate=candidate.name, epoch=state.epoch)
    epochs = candidate.options.epochs(context.plan.n_fit)
    trainer = Trainer(candidate.options, context.seed, context.device, context.workers)
    saver = _Saver(context, identity, state)
    with progress(epochs, f"training {candidate.name}", "epochs") as bar:
        bar.update(state.epoch)

        def on_epoch(result: EpochResult) -> None:
            bar.update(1)
            if context.workers.leads:
                report(result)

        def on_batch() -> None:
            bar.update(0)
            saver.between_batches()

        callbacks = Callbacks(on_epoch, saver.after_epoch, on_batch)
        try:
            trainer.fit(network, source, context.plan.n_fit, state, callbacks)
        except Diverged as error:
            if context.workers.leads:
                forget_checkpoint(context, candidate)
            raise Diverged(f"CANDIDATES, candidate {candidate.name!r}: {error}") from None
    network.fit_scales(sample)
    return Fitted(candidate, network, trainer.best_epoch_, trainer.history_, time.monotonic() - start)


def suspicious_columns(preprocessor: Preprocessor) -> np.ndarray:
    """Mask [D] of the columns of features of which only large values are suspicious."""
    return np.array(
        [
            index >= 0 and not name.endswith("_missing") and FEATURES[index].sides != "both"
            for name, index in zip(preprocessor.columns, preprocessor.feature_of_column, strict=True)
        ]
    )


def forget_checkpoint(context: FittingContext, candidate: Candidate) -> None:
    """Delete the checkpoint of a training whose model is registered."""
    context.root.delete(CHECKPOINTS, f"{context.identity(candidate)}.npz")


def _load_state(context: FittingContext, identity: str) -> TrainingState:
    content = context.root.read_bytes(CHECKPOINTS, f"{identity}.npz")
    found = TrainingState.from_bytes(content, identity) if content else None
    return found or TrainingState()


class _Saver:
    """Saves the state of the last whole epoch: every few seconds, at the end, and before a stop."""

    def __init__(self, context: FittingContext, identity: str, state: TrainingState) -> None:
        self.context = context
        self.identity = identity
        self.state = state
        self.saved_at = time.monotonic()

    def after_epoch(self, last: bool) -> None:
        """Save when it is time to, and stop here if that was asked for (of any process)."""
        stopping = self.context.workers.any(self.context.stop.requested)
        if last or stopping or time.monotonic() - self.saved_at >= self.context.checkpoint_seconds:
            self._save()
        if stopping and not last:
            self.context.stop.request("another process was asked to stop")
            self.context.stop.check()

    def between_batches(self) -> None:
        """Stop within an epoch too; several processes can only stop together, after one."""
        if self.context.stop.requested and self.context.workers.world_size == 1:
            if self.state.epoch:
                self._save()
            self.context.stop.check()

    def _save(self) -> None:
        if self.context.workers.leads:
            content = self.state.to_bytes(self.identity)
            self.context.root.write_bytes(content, CHECKPOINTS, f"{self.identity}.npz")
        self.saved_at = time.monotonic()
