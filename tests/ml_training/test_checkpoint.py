"""State to bytes and back."""

import numpy as np
from ml_training.checkpoint import TrainingState


def state() -> TrainingState:
    return TrainingState(
        epoch=3,
        weights={"kernels.0": np.arange(6, dtype=np.float32).reshape(2, 3)},
        best={"kernels.0": np.ones((2, 3), dtype=np.float32)},
        optimizer={"0/exp_avg": np.zeros(2, dtype=np.float32), "0/step": np.float32(7)},  # type: ignore[dict-item]
        best_loss=0.25,
        best_epoch=2,
        bad_epochs=1,
        trim_cut=4.5,
        history=[{"epoch": 1, "loss": 0.5, "validation_loss": None}],
    )


def test_round_trip() -> None:
    before = state()
    after = TrainingState.from_bytes(before.to_bytes("a"), "a")
    assert after is not None
    for group in ("weights", "best", "optimizer"):
        for name, value in getattr(before, group).items():
            assert np.array_equal(getattr(after, group)[name], value)
    assert (after.epoch, after.best_loss, after.best_epoch) == (3, 0.25, 2)
    assert (after.bad_epochs, after.trim_cut, after.history) == (1, 4.5, before.history)


def test_another_training_or_damage_starts_afresh() -> None:
    content = state().to_bytes("a")
    assert TrainingState.from_bytes(content, "b") is None
    assert TrainingState.from_bytes(content[:100], "a") is None
    assert TrainingState.from_bytes(b"", "a") is None


def test_no_checkpoint_loss_is_kept_as_infinite() -> None:
    fresh = TrainingState.from_bytes(TrainingState().to_bytes("a"), "a")
    assert fresh is not None and fresh.best_loss == float("inf")
