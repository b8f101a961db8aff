"""The training loop: knows rows, network and optimiser; reports through callbacks.

Same rows, options and seed give the same network on one kind of CPU, killed and resumed or not: threads
are fixed, algorithms deterministic, and all randomness follows from (seed, epoch).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from stage_runtime.exits import WrongSettings
from torch import Tensor

from ml_training.autoencoder import Autoencoder
from ml_training.checkpoint import (
    TrainingState,
    load_moments,
    load_weights,
    moments_of,
    weights_of,
)
from ml_training.workers import Workers

# Validation rows count without their worst twentieth: one freak must not decide when to stop.
VALIDATION_KEPT = 0.95
# The learning rate rises for a tenth of the steps, then falls along half a cosine to this share of its height.
WARM_UP = 0.1
LAST_RATE = 0.01
LEAST_IMPROVEMENT = 1e-4


@dataclass(frozen=True)
class TrainingOptions:
    """How the network is trained; sizes are the architecture's.

    noise_std: of the Gaussian noise on the input, in standard deviations of a feature. drop_share:
    inputs set to the mean at random. trim_share: rows of the highest error left out of each epoch once
    trim_from of the training is over. min_steps and max_steps: epochs are more on few rows and fewer on
    many, but at least 3. patience: share of the epochs without improvement that ends the training.
    """

    max_epochs: int = 80
    min_steps: int = 500
    max_steps: int = 10_000
    batch_size: int = 256
    learning_rate: float = 3e-3
    weight_decay: float = 1e-4
    noise_std: float = 0.1
    drop_share: float = 0.1
    trim_share: float = 0.02
    trim_from: float = 0.25
    patience: float = 0.3
    mixed_precision: bool = False

    def epochs(self, n_rows: int) -> int:
        """Epochs for so many rows to fit."""
        steps = self.steps(n_rows)
        wanted = max(self.max_epochs, math.ceil(self.min_steps / steps))
        return max(min(3, self.max_epochs), min(wanted, self.max_steps // steps))

    def steps(self, n_rows: int) -> int:
        """Steps of one process in an epoch of so many rows."""
        return math.ceil(n_rows / self.batch_size)


class Diverged(WrongSettings):
    """The loss is no number any more: the same rows and options would end there again."""


class Source(Protocol):
    """Where minibatches come from (dataset.MinibatchSource, or arrays in a test)."""

    def fitting(self, epoch: int) -> Iterator[np.ndarray]:
        """Shuffled minibatches of an epoch: [<= batch_size, D]."""

    def validation(self) -> Iterator[np.ndarray]:
        """Rows that early stopping looks at; may be none."""


@dataclass(frozen=True)
class EpochResult:
    """Losses are weighted mean squared errors; None without validation rows."""

    epoch: int
    epochs: int
    loss: float
    validation_loss: float | None
    learning_rate: float
    rows_left_out: int

    def to_json(self) -> dict[str, Any]:
        """As kept in the history."""
        return dict(self.__dict__)


@dataclass(frozen=True)
class Callbacks:
    """What the loop tells the outside; each may raise, which ends the training.

    on_epoch: after each epoch. on_state: the state is that of a whole epoch and may be saved; says
    whether it is the last one. on_batch: after each minibatch; the state is still that of before.
    """

    on_epoch: Callable[[EpochResult], None] = lambda result: None
    on_state: Callable[[bool], None] = lambda last: None
    on_batch: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Schedule:
    """How long a training of so many rows lasts, and its learning rate at every step."""

    n_rows: int
    epochs: int
    steps: int
    patience: int

    @classmethod
    def of(cls, options: TrainingOptions, n_rows: int, world_size: int) -> Schedule:
        """For n_rows rows shared by world_size processes."""
        epochs = options.epochs(n_rows)
        steps = math.ceil(options.steps(n_rows) / world_size)
        return cls(n_rows, epochs, steps, max(3, round(options.patience * epochs)))

    def rate(self, epoch: int, step: int) -> float:
        """Share of the highest learning rate, from LAST_RATE to 1."""
        done = (epoch * self.steps + step) / (self.epochs * self.steps)
        if done < WARM_UP:
            return LAST_RATE + (1.0 - LAST_RATE) * done / WARM_UP
        falling = (done - WARM_UP) / (1.0 - WARM_UP)
        return LAST_RATE + (1.0 - LAST_RATE) * 0.5 * (1.0 + math.cos(math.pi * falling))


def prepare_torch(threads: int) -> torch.device:
    """Make torch repeatable for the whole process and say where to compute: CUDA where there is one."""
    # cuBLAS is deterministic only with a workspace of a fixed size, set before it starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(threads)
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


class Trainer:
    """Fits a network.

    After ``fit``: history_ (a dict an epoch), best_epoch_ and the network at its best epoch.
    """

    history_: list[dict[str, Any]]
    best_epoch_: int

    def __init__(
        self,
        options: TrainingOptions,
        seed: int,
        device: torch.device | None = None,
        workers: Workers | None = None,
    ) -> None:
        self.options = options
        self.seed = seed
        self.device = device or torch.device("cpu")
        self.workers = workers or Workers.alone()

    def fit(
        self,
        network: Autoencoder,
        source: Source,
        n_rows: int,
        state: TrainingState | None = None,
        callbacks: Callbacks | None = None,
    ) -> Trainer:
        """Train ``network`` in place on n_rows rows, going on from ``state`` where one is given.

        Raises Diverged where the loss is no finite number.
        """
        callbacks = callbacks or Callbacks()
        state = state or TrainingState()
        network.to(self.device)
        optimizer = torch.optim.AdamW(
            network.parameters(),
            lr=self.options.learning_rate,
            weight_decay=self.options.weight_decay,
        )
        if state.epoch:
            load_weights(network, state.weights)
            load_moments(optimizer, state.optimizer)
        schedule = Schedule.of(self.options, n_rows, self.workers.world_size)
        while state.epoch < schedule.epochs and state.bad_epochs < schedule.patience:
            result = self._epoch(network, optimizer, source, state, schedule, callbacks)
            self._judge(network, state, result)
            state.weights, state.optimizer = weights_of(network), moments_of(optimizer)
            state.history.append(result.to_json())
            callbacks.on_epoch(result)
            last = state.epoch >= schedule.epochs or state.bad_epochs >= schedule.patience
            callbacks.on_state(last)
        load_weights(network, state.best)
        self.history_ = state.history
        self.best_epoch_ = state.best_epoch
        return self

    def _epoch(
        self,
        network: Autoencoder,
        optimizer: torch.optim.Optimizer,
        source: Source,
        state: TrainingState,
        schedule: Schedule,
        callbacks: Callbacks,
    ) -> EpochResult:
        epoch = state.epoch
        rank_seed = np.random.SeedSequence((self.seed, epoch, self.workers.rank)).generate_state(1)
        noise = torch.Generator(self.device).manual_seed(int(rank_seed[0]))
        cut = state.trim_cut
        # One array for the whole epoch: thousands of small ones between the large ones that come and go
        # would pin the heap and make memory grow with the rows.
        errors = np.empty(schedule.n_rows, dtype=np.float32)
        filled = 0
        network.train()
        for step, rows in enumerate(self.workers.share(source.fitting(epoch))):
            rate = self.options.learning_rate * schedule.rate(epoch, step)
            for group in optimizer.param_groups:
                group["lr"] = rate
            errors[filled : filled + len(rows)] = self._step(network, optimizer, rows, cut, noise)
            filled += len(rows)
            callbacks.on_batch()
        seen = self.workers.gather(errors[:filled])
        # In every process, since all have gathered the same. Trimming would leave such rows out unseen.
        if not np.isfinite(seen).all():
            raise Diverged(
                f"the training diverged in epoch {epoch + 1} of {schedule.epochs}: expected finite losses, found "
                f"{int((~np.isfinite(seen)).sum())} of {len(seen)} rows without one. Choose a learning_rate below "
                f"{self.options.learning_rate:g}"
                + (", or no MIXED_PRECISION." if self.options.mixed_precision else ".")
            )
        if self.options.trim_share and epoch + 1 >= self.options.trim_from * schedule.epochs:
            state.trim_cut = float(np.quantile(seen, 1.0 - self.options.trim_share))
        kept = seen if cut is None else seen[seen <= cut]
        return EpochResult(
            epoch=epoch + 1,
            epochs=schedule.epochs,
            loss=float(kept.mean()) if len(kept) else 0.0,
            validation_loss=self._validation_loss(network, source),
            learning_rate=rate,
            rows_left_out=len(seen) - len(kept),
        )

    def _step(
        self,
        network: Autoencoder,
        optimizer: torch.optim.Optimizer,
        rows: np.ndarray,
        cut: float | None,
        noise: torch.Generator,
    ) -> np.ndarray:
        """One step on [n, D] rows; returns the rows' errors [n] before it."""
        clean = torch.from_numpy(np.ascontiguousarray(rows)).to(self.device)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.options.mixed_precision):
            losses = network.member_losses(clean, self._noisy(network, clean, noise)).float()
        errors = losses.detach().mean(dim=0)
        keep = torch.ones_like(errors) if cut is None else (errors <= cut).float()
        optimizer.zero_grad()
        # Summed over members, so that each learns as if it were alone.
        (losses * keep).sum().backward()  # type: ignore[no-untyped-call]
        self.workers.average_gradients(network, keep.sum())
        optimizer.step()
        return errors.cpu().numpy()

    def _noisy(self, network: Autoencoder, rows: Tensor, noise: torch.Generator) -> Tensor:
        """What the members see: [M, n, D], each with noise of its own, or the rows as they are."""
        options = self.options
        if not options.noise_std and not options.drop_share:
            return rows
        shape = (network.architecture.members, *rows.shape)
        seen = rows.expand(shape)
        if options.noise_std:
            seen = seen + options.noise_std * torch.randn(shape, generator=noise, device=self.device)
        if options.drop_share:
            kept = torch.rand(shape, generator=noise, device=self.device) >= options.drop_share
            seen = seen * kept
        return seen

    def _validation_loss(self, network: Autoencoder, source: Source) -> float | None:
        errors = [self._losses(network, rows) for rows in source.validation()]
        found = np.sort(np.concatenate(errors)) if errors else np.empty(0)
        if not found.size:
            return None
        return float(found[: max(1, int(VALIDATION_KEPT * found.size))].mean())

    def _losses(self, network: Autoencoder, rows: np.ndarray) -> np.ndarray:
        """Loss of rows [n, D] without noise, averaged over members: [n]."""
        network.eval()
        clean = torch.from_numpy(np.ascontiguousarray(rows)).to(self.device)
        with torch.no_grad():
            return network.member_losses(clean, clean).mean(dim=0).cpu().numpy()

    def _judge(self, network: Autoencoder, state: TrainingState, result: EpochResult) -> None:
        state.epoch = result.epoch
        loss = result.loss if result.validation_loss is None else result.validation_loss
        if loss < state.best_loss * (1.0 - LEAST_IMPROVEMENT):
            state.best_loss, state.best_epoch, state.bad_epochs = loss, result.epoch, 0
            state.best = weights_of(network)
        else:
            state.bad_epochs += 1
