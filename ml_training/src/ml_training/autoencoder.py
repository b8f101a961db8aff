"""The network: a few small autoencoders side by side, and one weighted error for all of them.

Design choices, each of which was measured (NOTES.md):

- The input is what ``pr_features.Preprocessor`` gives: standardised, softly clipped numbers with
  indicators for what is missing, and sparse text columns. Nothing is scaled here.
- Every feature has a weight, so that a block of hundreds of text columns does not drown twenty
  numbers. Weights of a block's features add up to the block's weight, all weights to 1.
- The decoder is bounded: it can only write what is usual for a feature, the range between two quantiles
  of the training rows. Without that a bottleneck that is wide enough to be useful copies outliers too.
- Members differ in their initial weights and their noise only. They are trained together as one
  batched matrix product, which costs little more than one of them, and their errors are averaged.

Hyper-parameters come in, tensors come out: no files, no MLflow, no seeds set globally.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Architecture:
    """Sizes of the network.

    n_features: width of the input (D). hidden: widths from the input to the bottleneck; the decoder
    mirrors them. bottleneck: width between the two, without an activation. members: autoencoders in
    the ensemble (M). bound_quantile: outputs stay within the training rows' quantiles q and 1 - q; None
    leaves them free. residual_cap: the squared difference of one feature counts at most this much;
    None counts it whole.
    """

    n_features: int
    hidden: tuple[int, ...] = (32,)
    bottleneck: int = 8
    members: int = 3
    bound_quantile: float | None = 0.1
    residual_cap: float | None = None

    def layer_widths(self) -> list[int]:
        """All widths in order: input, hidden, bottleneck, hidden mirrored, output."""
        encoder = [self.n_features, *self.hidden]
        return [*encoder, self.bottleneck, *reversed(encoder)]


# Half the width of a feature's range is at least this: a range of one point has no slope to learn from.
LEAST_HALF_WIDTH = 1e-3


def feature_weights(blocks: Sequence[str], block_weights: Mapping[str, float]) -> np.ndarray:
    """Weight of each feature in the error: float32 [D], non-negative, sums to 1.

    blocks names the block of each feature. A block's weight (1 where not listed) is shared equally by
    its features. Raises ValueError when nothing has a positive weight.
    """
    sizes = {block: blocks.count(block) for block in blocks}
    raw = np.array([block_weights.get(block, 1.0) / sizes[block] for block in blocks])
    if not len(raw) or raw.min() < 0 or raw.sum() <= 0:
        raise ValueError(
            f"block weights {dict(block_weights)} for blocks {sorted(sizes)}: "
            "expected no negative weight and at least one positive one"
        )
    return (raw / raw.sum()).astype(np.float32)


class Autoencoder(nn.Module):
    """M autoencoders over the same D features.

    Attributes:
        weights: [D] weight of each feature in the error (a buffer: saved, not learned by gradient).
        centre, half_width: [D] buffers, the range that outputs stay in (see ``fit_bounds``).
        kernels, biases: for each layer [M, fan_in, fan_out] and [M, 1, fan_out].
    """

    weights: Tensor
    centre: Tensor
    half_width: Tensor

    def __init__(self, architecture: Architecture, weights: np.ndarray, seed: int) -> None:
        super().__init__()
        if weights.shape != (architecture.n_features,):
            raise ValueError(
                f"feature weights: expected shape ({architecture.n_features},), found {weights.shape}"
            )
        self.architecture = architecture
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float32))
        self.register_buffer("centre", torch.zeros(architecture.n_features))
        self.register_buffer("half_width", torch.ones(architecture.n_features))
        self.kernels = nn.ParameterList()
        self.biases = nn.ParameterList()
        generator = torch.Generator().manual_seed(seed)
        widths = architecture.layer_widths()
        members = architecture.members
        for fan_in, fan_out in zip(widths[:-1], widths[1:], strict=True):
            # Glorot's uniform initialisation, drawn from our own generator.
            bound = math.sqrt(6.0 / (fan_in + fan_out))
            kernel = torch.empty(members, fan_in, fan_out)
            self.kernels.append(nn.Parameter(kernel.uniform_(-bound, bound, generator=generator)))
            self.biases.append(nn.Parameter(torch.zeros(members, 1, fan_out)))

    def fit_bounds(self, rows: np.ndarray) -> None:
        """Set the range of the outputs from rows to fit [n, D]; does nothing for an unbounded network."""
        q = self.architecture.bound_quantile
        if q is None:
            return
        low, high = np.quantile(rows, [q, 1.0 - q], axis=0)
        self.centre.copy_(torch.as_tensor((low + high) / 2.0))
        self.half_width.copy_(torch.as_tensor((high - low) / 2.0 + LEAST_HALF_WIDTH))

    def forward(self, rows: Tensor) -> Tensor:
        """Reconstruct rows [n, D] (or [M, n, D] when each member sees its own noise): [M, n, D]."""
        members = self.architecture.members
        hidden = rows if rows.dim() == 3 else rows.unsqueeze(0).expand(members, -1, -1)
        linear = {len(self.architecture.hidden), len(self.kernels) - 1}
        for position, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            hidden = torch.baddbmm(bias, hidden, kernel)
            if position not in linear:
                hidden = torch.tanh(hidden)
        if self.architecture.bound_quantile is None:
            return hidden
        return self.centre + self.half_width * torch.tanh((hidden - self.centre) / self.half_width)

    def contributions(self, rows: Tensor, noisy: Tensor | None = None) -> Tensor:
        """Weighted squared difference of each feature, averaged over members: [n, D].

        noisy, where given, is what the network sees in place of rows (denoising).
        """
        residual = (self(rows if noisy is None else noisy) - rows).square()
        if self.architecture.residual_cap is not None:
            residual = residual.clamp(max=self.architecture.residual_cap)
        return residual.mean(dim=0) * self.weights

    def reconstruction_error(self, rows: Tensor) -> Tensor:
        """Weighted mean squared error of each row: [n], not negative."""
        return self.contributions(rows).sum(dim=1)

    def member_losses(self, rows: Tensor, noisy: Tensor) -> Tensor:
        """Weighted squared error of each member and row, uncapped as gradients need it: [M, n]."""
        return ((self(noisy) - rows).square() * self.weights).sum(dim=2)
