"""The network: a few small denoising autoencoders side by side, and one weighted error for all of them.

Design choices, each of which was measured (NOTES.md):

- The input is what ``pr_features.Preprocessor`` gives: standardised, softly clipped numbers with
  indicators for what is missing, and sparse text columns. Nothing is scaled here.
- Every column has a weight, so that a block of hundreds of text columns does not drown twenty
  numbers: one in the loss, and one in each of the two errors (weights.py).
- The reconstruction y of a row x is read twice. The *free* residual x - y finds values that do not fit
  together. The *strict* residual x - clamp(y) holds the reconstruction within what is usual for the
  column: a network may learn to write a suspicious value back, but that does not excuse it. The error is
  a mixture of both, each divided by its mean over training rows, so an ordinary row has about 1.
- Members differ in their initial weights and their noise only. They are trained together as one
  batched matrix product, which costs little more than one of them, and their errors are averaged.

Hyper-parameters come in, tensors come out: no files, no MLflow, no seeds set globally.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ml_training.weights import ColumnWeights


@dataclass(frozen=True)
class Architecture:
    """Sizes of the network.

    n_features: width of the input (D). hidden: widths from the input to the bottleneck; the decoder
    mirrors them. bottleneck: width between the two, without an activation. members: autoencoders in
    the ensemble (M). strict_share: of the strict residual in the error; the rest is the free one's.
    """

    n_features: int
    hidden: tuple[int, ...] = (128, 64)
    bottleneck: int = 6
    members: int = 3
    strict_share: float = 0.65

    def layer_widths(self) -> list[int]:
        """All widths in order: input, hidden, bottleneck, hidden mirrored, output."""
        encoder = [self.n_features, *self.hidden]
        return [*encoder, self.bottleneck, *reversed(encoder)]


# Quantiles of the training rows that hold a column's usual values. Where only large values are suspicious
# nothing above the lower quartile may be written back, and whatever is below.
USUAL = (0.1, 0.9)
LEAST_SUSPICIOUS = 0.25
LEAST_SCALE = 1e-6
SLICE_ROWS = 2_048


class Autoencoder(nn.Module):
    """M autoencoders over the same D features.

    Attributes:
        weights, strict_weights, free_weights: [D] buffers, weight of each feature in the loss and in the
            two errors (saved, not learned by gradient).
        low, high: [D] buffers, what is usual for each feature (see ``fit_usual``).
        scales: [2] buffer, mean strict and free error over training rows (see ``fit_scales``).
        kernels, biases: for each layer [M, fan_in, fan_out] and [M, 1, fan_out].
    """

    weights: Tensor
    strict_weights: Tensor
    free_weights: Tensor
    low: Tensor
    high: Tensor
    scales: Tensor

    def __init__(self, architecture: Architecture, weights: ColumnWeights, seed: int) -> None:
        super().__init__()
        if any(given.shape != (architecture.n_features,) for given in weights):
            raise ValueError(
                f"column weights: expected shape ({architecture.n_features},), "
                f"found {[given.shape for given in weights]}"
            )
        self.architecture = architecture
        self.register_buffer("weights", torch.tensor(weights.learned, dtype=torch.float32))
        self.register_buffer("strict_weights", torch.tensor(weights.strict, dtype=torch.float32))
        self.register_buffer("free_weights", torch.tensor(weights.free, dtype=torch.float32))
        self.register_buffer("low", torch.full((architecture.n_features,), -math.inf))
        self.register_buffer("high", torch.full((architecture.n_features,), math.inf))
        self.register_buffer("scales", torch.ones(2))
        self.kernels = nn.ParameterList()
        self.biases = nn.ParameterList()
        generator = torch.Generator().manual_seed(seed)
        widths = architecture.layer_widths()
        members = architecture.members
        for fan_in, fan_out in itertools.pairwise(widths):
            # Glorot's uniform initialisation, drawn from our own generator.
            bound = math.sqrt(6.0 / (fan_in + fan_out))
            kernel = torch.empty(members, fan_in, fan_out)
            self.kernels.append(nn.Parameter(kernel.uniform_(-bound, bound, generator=generator)))
            self.biases.append(nn.Parameter(torch.zeros(members, 1, fan_out)))

    def fit_usual(self, rows: np.ndarray, suspicious: np.ndarray) -> None:
        """Set what is usual from rows to fit [n, D]; suspicious: [D] mask of columns where only large is odd."""
        low, high = np.quantile(rows, USUAL, axis=0)
        least = np.quantile(rows, LEAST_SUSPICIOUS, axis=0)
        self.low.copy_(torch.as_tensor(np.where(suspicious, -math.inf, low)))
        self.high.copy_(torch.as_tensor(np.where(suspicious, least, high)))

    def fit_scales(self, rows: np.ndarray) -> None:
        """Set the means that the two errors are divided by, from rows to fit [n, D]."""
        sums = [0.0, 0.0]
        with torch.no_grad():
            # In slices: every row is held once for each member and residual.
            for start in range(0, len(rows), SLICE_ROWS):
                part = torch.from_numpy(rows[start : start + SLICE_ROWS]).to(self.weights.device)
                strict, free = self._residuals(part)
                sums[0] += float((strict * self.strict_weights).sum())
                sums[1] += float((free * self.free_weights).sum())
        means = torch.tensor(sums) / len(rows)
        self.scales.copy_(means.clamp(min=LEAST_SCALE))

    def forward(self, rows: Tensor) -> Tensor:
        """Reconstruct rows [n, D] (or [M, n, D] when each member sees its own noise): [M, n, D]."""
        members = self.architecture.members
        hidden = rows if rows.dim() == 3 else rows.unsqueeze(0).expand(members, -1, -1)
        linear = {len(self.architecture.hidden), len(self.kernels) - 1}
        for position, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            hidden = torch.baddbmm(bias, hidden, kernel)
            if position not in linear:
                hidden = torch.tanh(hidden)
        return hidden

    def contributions(self, rows: Tensor) -> Tensor:
        """Weighted error of each feature, both residuals mixed and averaged over members: [n, D]."""
        share = self.architecture.strict_share
        strict, free = self._residuals(rows)
        strict_factor = self.strict_weights * (share / self.scales[0])
        return strict * strict_factor + free * (self.free_weights * ((1.0 - share) / self.scales[1]))

    def reconstruction_error(self, rows: Tensor) -> Tensor:
        """Error of each row: [n], not negative, about 1 for an ordinary row."""
        return self.contributions(rows).sum(dim=1)

    def member_losses(self, rows: Tensor, noisy: Tensor) -> Tensor:
        """What training minimises: weighted squared free residual of each member and row: [M, n].

        noisy: what the network sees in place of rows (denoising), [n, D] or [M, n, D].
        """
        residual: Tensor = self(noisy) - rows
        return (residual.square() * self.weights).sum(dim=2)

    def _residuals(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Squared strict and free residuals, averaged over members: both [n, D]."""
        reconstruction = self(rows)
        usual = torch.minimum(torch.maximum(reconstruction, self.low), self.high)
        strict = (usual - rows).square().mean(dim=0)
        return strict, (reconstruction - rows).square().mean(dim=0)
