"""How much each block of features counts: in what training minimises, and in the two errors of a score.

A block's weight is shared by its columns, so that hundreds of text columns do not drown twenty numbers. The strict
and the free error may weigh a block otherwise than training does: who opens a pull request does not follow from
what it says, so the author's free residual is noise, and yet the strict one says the most about spam.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

# Names of a flat parameter (MLflow, card.json) before the block's name.
_PREFIXES = {"learned": "block_weight_", "strict": "strict_weight_", "free": "free_weight_"}


class ColumnWeights(NamedTuple):
    """Weight of each column, all [D] float32, each non-negative with sum 1."""

    learned: np.ndarray
    strict: np.ndarray
    free: np.ndarray

    @classmethod
    def same(cls, weights: np.ndarray) -> ColumnWeights:
        """One set of weights [D] for all three."""
        return cls(weights, weights, weights)


@dataclass(frozen=True)
class BlockWeights:
    """learned: weight of each block in the loss, 1 where not listed; strict, free: those of the errors that differ."""

    learned: Mapping[str, float] = field(default_factory=dict)
    strict: Mapping[str, float] = field(default_factory=dict)
    free: Mapping[str, float] = field(default_factory=dict)

    def columns(self, blocks: Sequence[str]) -> ColumnWeights:
        """Weights of columns whose blocks are named; raises ValueError where nothing weighs anything."""
        return ColumnWeights(
            column_weights(blocks, self.learned),
            column_weights(blocks, {**self.learned, **self.strict}),
            column_weights(blocks, {**self.learned, **self.free}),
        )

    def params(self) -> dict[str, float]:
        """Flat, as MLflow and the model's card show them."""
        return {
            prefix + block: weight
            for name, prefix in _PREFIXES.items()
            for block, weight in getattr(self, name).items()
        }

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> BlockWeights:
        """Back from what ``params`` gave, other parameters among them."""
        return cls(
            **{
                name: {
                    key.removeprefix(prefix): float(value)
                    for key, value in params.items()
                    if key.startswith(prefix)
                }
                for name, prefix in _PREFIXES.items()
            }
        )


def column_weights(blocks: Sequence[str], weights: Mapping[str, float]) -> np.ndarray:
    """Weight of each column: float32 [D], non-negative, sums to 1.

    blocks names the block of each column. A block's weight (1 where not listed) is shared equally by its
    columns. Raises ValueError when nothing has a positive weight.
    """
    sizes = {block: blocks.count(block) for block in blocks}
    raw = np.array([weights.get(block, 1.0) / sizes[block] for block in blocks])
    if not len(raw) or raw.min() < 0 or raw.sum() <= 0:
        raise ValueError(
            f"block weights {dict(weights)} for blocks {sorted(sizes)}: "
            "expected no negative weight and at least one positive one"
        )
    return np.asarray(raw / raw.sum(), dtype=np.float32)
