"""Several processes on one training (``torchrun``), or just this one.

Every process walks the same minibatches and works on its share of each group of them; gradients are
summed before every step, so all hold the same network throughout.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True)
class Workers:
    """This process's rank among world_size; rank 0 alone writes anything."""

    rank: int = 0
    world_size: int = 1

    @classmethod
    def alone(cls) -> Workers:
        """One process."""
        return cls()

    @classmethod
    def from_environment(cls, device: torch.device) -> Workers:
        """Join the others where ``torchrun`` started this process; NCCL on CUDA, Gloo elsewhere."""
        if int(os.environ.get("WORLD_SIZE", "1")) < 2:
            return cls.alone()
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def leads(self) -> bool:
        """Whether this process writes checkpoints, metrics and the model."""
        return self.rank == 0

    def share(self, batches: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """This process's minibatches; an empty one where the last group is short, so that all step alike."""
        if self.world_size == 1:
            yield from batches
            return
        group: list[np.ndarray] = []
        for rows in batches:
            group.append(rows)
            if len(group) == self.world_size:
                yield group[self.rank]
                group = []
        if group:
            yield group[self.rank] if self.rank < len(group) else group[0][:0]

    def average_gradients(self, network: nn.Module, n_rows: Tensor) -> None:
        """Divide summed gradients by the number of rows, both summed over all processes first."""
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        if self.world_size > 1:
            flat = torch.cat([n_rows.reshape(1), *[gradient.reshape(-1) for gradient in gradients]])
            dist.all_reduce(flat)
            n_rows, position = flat[0], 1
            for gradient in gradients:
                gradient.copy_(flat[position : position + gradient.numel()].view_as(gradient))
                position += gradient.numel()
        divisor = n_rows.clamp(min=1.0)
        for gradient in gradients:
            gradient.div_(divisor)

    def gather(self, values: np.ndarray) -> np.ndarray:
        """Values of all processes, one after the other; in every process."""
        if self.world_size == 1:
            return values
        parts: list[object] = [None] * self.world_size
        dist.all_gather_object(parts, values)
        return np.concatenate([np.asarray(part) for part in parts])

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process; the same answer in all of them."""
        if self.world_size == 1:
            return flag
        flags: list[object] = [None] * self.world_size
        dist.all_gather_object(flags, flag)
        return any(flags)

    def leave(self) -> None:
        """Say goodbye to the others."""
        if self.world_size > 1:
            dist.destroy_process_group()
