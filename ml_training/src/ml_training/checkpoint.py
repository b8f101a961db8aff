"""State of a training between two epochs as bytes: arrays and JSON in one .npz, nothing that runs code."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor, nn


@dataclass
class TrainingState:
    """Everything the next epoch needs. Noise and shuffling follow from seed and epoch, so no generator is kept.

    epoch: epochs done. weights, best: name -> array of the network now and at its best. optimizer:
    Adam's moments and step by parameter. best_loss, best_epoch, bad_epochs: early stopping.
    trim_cut: error beyond which rows are left out of the next epoch. history: one dict an epoch.
    """

    epoch: int = 0
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    best: dict[str, np.ndarray] = field(default_factory=dict)
    optimizer: dict[str, np.ndarray] = field(default_factory=dict)
    best_loss: float = float("inf")
    best_epoch: int = 0
    bad_epochs: int = 0
    trim_cut: float | None = None
    history: list[dict[str, Any]] = field(default_factory=list)

    def to_bytes(self, identity: str) -> bytes:
        """As one .npz; identity says which training it belongs to."""
        arrays = {
            f"{group}/{name}": array
            for group in ("weights", "best", "optimizer")
            for name, array in getattr(self, group).items()
        }
        scalars = {
            "identity": identity,
            "epoch": self.epoch,
            "best_loss": self.best_loss,
            "best_epoch": self.best_epoch,
            "bad_epochs": self.bad_epochs,
            "trim_cut": self.trim_cut,
            "history": self.history,
        }
        buffer = io.BytesIO()
        text = np.frombuffer(json.dumps(scalars).encode(), dtype=np.uint8)
        np.savez(buffer, allow_pickle=False, **{"state.json": text, **arrays})
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes, identity: str) -> TrainingState | None:
        """None for a checkpoint of another training or one that cannot be read: then it starts afresh."""
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                scalars = json.loads(arrays["state.json"].tobytes())
                if scalars.pop("identity") != identity:
                    return None
                state = cls(**scalars)
                for key in arrays.files:
                    group, _, name = key.partition("/")
                    if name:
                        getattr(state, group)[name] = arrays[key]
        except (ValueError, KeyError, OSError, TypeError, EOFError, BadZipFile):
            return None
        return state


def weights_of(network: nn.Module) -> dict[str, np.ndarray]:
    """Parameters and buffers by name, copied to the host."""
    return {name: value.detach().cpu().numpy().copy() for name, value in network.state_dict().items()}


def load_weights(network: nn.Module, weights: dict[str, np.ndarray]) -> None:
    """The reverse of ``weights_of``."""
    network.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in weights.items()})


def moments_of(optimizer: torch.optim.Optimizer) -> dict[str, np.ndarray]:
    """Adam's state by the parameter's position: ``0/exp_avg`` and so on."""
    return {
        f"{position}/{name}": value.detach().cpu().numpy().copy()
        for position, moments in optimizer.state_dict()["state"].items()
        for name, value in moments.items()
    }


def load_moments(optimizer: torch.optim.Optimizer, moments: dict[str, np.ndarray]) -> None:
    """The reverse of ``moments_of``."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in moments.items():
        position, _, name = key.partition("/")
        state.setdefault(int(position), {})[name] = torch.from_numpy(value.copy())
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
