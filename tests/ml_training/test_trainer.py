"""That it learns, that the result depends on rows, options and seed alone, and that a killed training resumes."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from ml_training.autoencoder import Architecture, Autoencoder
from ml_training.checkpoint import TrainingState
from ml_training.quality.measures import measure
from ml_training.trainer import Callbacks, Diverged, EpochResult, Schedule, Trainer, TrainingOptions
from ml_training.weights import ColumnWeights

OPTIONS = TrainingOptions(max_epochs=40, min_steps=0, batch_size=64, noise_std=0.1, drop_share=0.1)


class Arrays:
    """A source over arrays; 570 rows to fit are no multiple of the batch size."""

    def __init__(self, rows: np.ndarray, validation: np.ndarray | None = None) -> None:
        self.rows = rows
        self.held_out = validation
        self.seen: list[int] = []

    def fitting(self, epoch: int) -> Iterator[np.ndarray]:
        order = np.random.default_rng(epoch).permutation(len(self.rows))
        for start in range(0, len(order), 64):
            batch = self.rows[order[start : start + 64]]
            self.seen.append(len(batch))
            yield batch

    def validation(self) -> Iterator[np.ndarray]:
        return iter([] if self.held_out is None else [self.held_out])


def fresh(rows: np.ndarray, seed: int = 0) -> Autoencoder:
    width = rows.shape[1]
    architecture = Architecture(width, hidden=(16,), bottleneck=3, members=2)
    return Autoencoder(architecture, ColumnWeights.same(np.full(width, 1 / width, dtype=np.float32)), seed)


def fitted(
    rows: np.ndarray, options: TrainingOptions = OPTIONS, seed: int = 0
) -> tuple[Autoencoder, Trainer]:
    network = fresh(rows, seed)
    trainer = Trainer(options, seed).fit(network, Arrays(rows[:570], rows[570:]), 570)
    return network, trainer


def errors(network: Autoencoder, rows: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return np.asarray(network.reconstruction_error(torch.from_numpy(rows)).numpy())


def test_loss_falls_to_a_fraction(rows: np.ndarray) -> None:
    _, trainer = fitted(rows)
    losses = [entry["loss"] for entry in trainer.history_]
    held_out = [entry["validation_loss"] for entry in trainer.history_]
    assert losses[-1] < 0.4 * losses[0]
    assert held_out[-1] < 0.4 * held_out[0]


@pytest.mark.parametrize("trimmed", [False, True])
def test_a_training_that_diverges_says_so(rows: np.ndarray, trimmed: bool) -> None:
    wild = replace(OPTIONS, learning_rate=1e30, trim_from=0.0 if trimmed else 1.0)
    with pytest.raises(Diverged, match=r"diverged in epoch \d+ of 40.*learning_rate below 1e\+30") as caught:
        fitted(rows, wild)
    assert caught.value.exit_code == 2


def test_every_layer_is_trained(rows: np.ndarray) -> None:
    """A frozen layer or a gradient that does not arrive leaves its parameters where they were."""
    before = fresh(rows).state_dict()
    after = fitted(rows)[0].state_dict()
    for name in before:
        if name.startswith(("kernels", "biases")):
            moved = (after[name] - before[name]).abs().amax(dim=(1, 2))
            assert (moved > 1e-3).all(), name


def test_scores_are_not_constant_and_find_broken_relations(rows: np.ndarray) -> None:
    """Columns swapped between rows: each value ordinary, their relation not. Untrained it is guesswork."""
    network, _ = fitted(rows)
    rng = np.random.default_rng(3)
    mixed = np.stack([rng.permutation(rows[:, i]) for i in range(rows.shape[1])], axis=1)[:200]
    ordinary = errors(network, rows[570:])
    assert len(np.unique(ordinary)) > 100
    trained = measure(ordinary, errors(network, mixed))["roc_auc"]
    untrained = fresh(rows)
    guess = measure(errors(untrained, rows[570:]), errors(untrained, mixed))["roc_auc"]
    assert trained > 0.9
    assert trained > guess + 0.2


def test_same_seed_same_network_another_seed_another(rows: np.ndarray) -> None:
    one, two, other = fitted(rows)[0], fitted(rows)[0], fitted(rows, seed=1)[0]
    assert np.array_equal(errors(one, rows), errors(two, rows))
    assert not np.array_equal(errors(one, rows), errors(other, rows))


class Killed(Exception):
    """The process ends here."""


def test_a_killed_training_resumes_to_the_undisturbed_result(rows: np.ndarray) -> None:
    undisturbed, whole = fitted(rows)
    state, saved = TrainingState(), b""

    def die(result: EpochResult) -> None:
        if result.epoch == 18:
            raise Killed

    def save(last: bool) -> None:
        nonlocal saved
        saved = state.to_bytes("id")

    source = Arrays(rows[:570], rows[570:])
    with pytest.raises(Killed):
        Trainer(OPTIONS, 0).fit(fresh(rows), source, 570, state, Callbacks(die, save))
    found = TrainingState.from_bytes(saved, "id")
    assert found is not None and found.epoch == 17
    resumed = fresh(rows)
    epochs: list[int] = []
    callbacks = Callbacks(lambda result: epochs.append(result.epoch))
    second = Trainer(OPTIONS, 0).fit(resumed, Arrays(rows[:570], rows[570:]), 570, found, callbacks)
    assert epochs[0] == 18
    assert second.history_ == whole.history_
    for name, value in undisturbed.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_the_last_short_batch_counts(rows: np.ndarray) -> None:
    source = Arrays(rows[:570])
    Trainer(TrainingOptions(max_epochs=1, min_steps=0), 0).fit(fresh(rows), source, 570)
    assert source.seen[-1] == 570 % 64
    assert sum(source.seen) == 570


def test_fewer_rows_than_a_batch_train_too(rows: np.ndarray) -> None:
    source = Arrays(rows[:11])
    trainer = Trainer(TrainingOptions(max_epochs=5, min_steps=0), 0).fit(fresh(rows), source, 11)
    assert len(trainer.history_) == 5
    assert trainer.history_[-1]["validation_loss"] is None


def test_rows_of_highest_error_are_left_out(rows: np.ndarray) -> None:
    spoilt = rows[:570].copy()
    spoilt[:20] = 30.0
    options = TrainingOptions(max_epochs=12, min_steps=0, trim_share=0.05, trim_from=0.25)
    trainer = Trainer(options, 0).fit(fresh(rows), Arrays(spoilt), 570)
    left_out = [entry["rows_left_out"] for entry in trainer.history_]
    assert left_out[:3] == [0, 0, 0]
    assert all(20 <= count <= 80 for count in left_out[4:])
    # What stays is learned as if the spoilt rows were not there.
    assert trainer.history_[-1]["loss"] < 1.0


def test_early_stopping_keeps_the_best_epoch(rows: np.ndarray) -> None:
    """Validation rows of another kind get worse as the training goes on."""
    other = np.random.default_rng(5).normal(size=(80, 12)).astype(np.float32) * 0.01
    options = TrainingOptions(max_epochs=60, min_steps=0, patience=0.1)
    network = fresh(rows)
    trainer = Trainer(options, 0).fit(network, Arrays(rows[:570], other), 570)
    held_out = [entry["validation_loss"] for entry in trainer.history_]
    assert len(held_out) < 60
    assert trainer.best_epoch_ == int(np.argmin(held_out)) + 1


def test_epochs_follow_from_rows() -> None:
    options = TrainingOptions(max_epochs=80, min_steps=600, max_steps=30_000, batch_size=256)
    assert options.epochs(1_000) == 150  # four steps an epoch
    assert options.epochs(100_000) == 76
    assert options.epochs(10_000_000) == 3
    assert TrainingOptions(max_epochs=1, min_steps=0).epochs(10) == 1


def test_learning_rate_rises_then_falls() -> None:
    schedule = Schedule(n_rows=100, epochs=10, steps=10, patience=3)
    rates = [schedule.rate(epoch, step) for epoch in range(10) for step in range(10)]
    assert max(rates) == pytest.approx(1.0)
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 0.02


# Not a skipped test where there is no such device: there is nothing to install that would make it run.
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.mark.parametrize("device", DEVICES)
def test_mixed_precision_learns_what_full_precision_learns(rows: np.ndarray, device: str) -> None:
    losses: list[list[float]] = []
    for mixed in (False, True):
        ours = fresh(rows)
        options = replace(OPTIONS, mixed_precision=mixed)
        trainer = Trainer(options, 0, torch.device(device)).fit(ours, Arrays(rows[:570]), 570)
        assert {parameter.dtype for parameter in ours.parameters()} == {torch.float32}
        losses.append([epoch["loss"] for epoch in trainer.history_])
    full, half = np.array(losses)
    # Not the same numbers, or nothing was computed in bfloat16.
    assert (full != half).any()
    np.testing.assert_allclose(half, full, rtol=0.1)
    assert half[-1] < 0.5 * half[0]
