"""Which training rows are fitted and which say when to stop: the newest tenth, by repository.

Spark has set split ``later`` aside by time; this cuts the rest once more in the same way, so that early
stopping judges the network on rows newer than those it has seen, and never on ``later``.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from stage_runtime.exits import UnusableInput

VALIDATION_SHARE = 0.1
# Smaller repositories are cut together, as in DESIGN section 2.
OWN_CUT_FROM = 50
# Too few to say anything, but enough that a first small corpus ends with scores.
LEAST_TRAINING_ROWS = 10
PLAN_COLUMNS = ("repo_name", "created_at", "split")


@dataclass(frozen=True)
class SplitPlan:
    """cuts: last moment that is still fitted, microseconds, by repository's key; other_cut for all the others.

    n_fit, n_validation, n_later: rows of each part.
    """

    cuts: dict[str, int]
    other_cut: int
    n_fit: int
    n_validation: int
    n_later: int

    @classmethod
    def from_keys(cls, batches: Iterator[pa.RecordBatch]) -> SplitPlan:
        """Read PLAN_COLUMNS once; takes twelve bytes a row. Raises UnusableInput for too few rows."""
        repositories: dict[str, int] = {}
        groups, moments, n_later = array("i"), array("q"), 0
        for batch in batches:
            training = pc.equal(batch.column("split"), "train")
            n_later += batch.num_rows - (pc.sum(training).as_py() or 0)
            chosen = batch.filter(training)
            if not chosen.num_rows:
                continue
            names = _repo_keys(chosen.column("repo_name")).dictionary_encode()
            numbers = [
                repositories.setdefault(name, len(repositories)) for name in names.dictionary.to_pylist()
            ]
            groups.frombytes(np.array(numbers, dtype=np.int32)[names.indices.to_numpy()].tobytes())
            moments.frombytes(_microseconds(chosen.column("created_at")).tobytes())
        n_train = len(groups)
        if n_train < LEAST_TRAINING_ROWS:
            raise UnusableInput(
                f"feature table: expected at least {LEAST_TRAINING_ROWS} rows of split train, found {n_train}. "
                "Fetch more pull requests, then run spark_preprocess again."
            )
        return cls._cut(list(repositories), np.array(groups), np.array(moments), n_later)

    @classmethod
    def _cut(cls, names: list[str], groups: np.ndarray, moments: np.ndarray, n_later: int) -> SplitPlan:
        sizes = np.bincount(groups, minlength=len(names))
        # Rows sorted by group, then by time: each group is one slice.
        order = np.lexsort((moments, groups))
        ends = np.cumsum(sizes)
        cuts = {
            names[group]: _cut_of(moments[order[ends[group] - sizes[group] : ends[group]]])
            for group in np.flatnonzero(sizes >= OWN_CUT_FROM)
        }
        small = sizes[groups] < OWN_CUT_FROM
        other_cut = _cut_of(np.sort(moments[small])) if small.any() else 0
        cut_of_group = np.array([cuts.get(name, other_cut) for name in names])
        n_fit = int((moments <= cut_of_group[groups]).sum())
        return cls(cuts, other_cut, n_fit, len(groups) - n_fit, n_later)

    def counts(self) -> dict[str, int]:
        """Rows of each part; train is fit and validation together."""
        return {
            "train": self.n_fit + self.n_validation,
            "fit": self.n_fit,
            "validation": self.n_validation,
            "later": self.n_later,
        }

    def parts(self, keys: pa.Table) -> dict[str, np.ndarray]:
        """Masks [n] of the rows of ``keys``: ``fit`` and ``validation``, disjoint, both of split ``train``."""
        names = _repo_keys(keys.column("repo_name").combine_chunks()).dictionary_encode()
        cuts = np.array(
            [self.cuts.get(name, self.other_cut) for name in names.dictionary.to_pylist()],
            dtype=np.int64,
        )
        training = in_split(keys, "train")
        old = _microseconds(keys.column("created_at")) <= cuts[names.indices.to_numpy()]
        return {"fit": training & old, "validation": training & ~old}


def in_split(keys: pa.Table, split: str) -> np.ndarray:
    """Mask [n] of the rows of one split."""
    return np.asarray(pc.equal(keys.column("split"), split).to_numpy(zero_copy_only=False), dtype=bool)


def _repo_keys(names: pa.Array) -> pa.Array:
    """``pr_features.history.repo_key`` of each name."""
    return pc.ascii_lower(names)


def _cut_of(moments: np.ndarray) -> int:
    """The moment that (about) nine tenths of these sorted ones do not exceed."""
    return int(moments[max(0, int(len(moments) * (1 - VALIDATION_SHARE)) - 1)])


def _microseconds(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    return np.asarray(column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy())
