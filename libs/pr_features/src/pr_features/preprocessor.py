"""Row to network input: scaling, missing indicators and the dense text block, from fitted statistics.

``preprocessor.json`` is written by Spark and read by training and serving; its hash says which
preprocessor a model was trained with.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .profile import CorpusProfile
from .registry import ACCOUNT_AGE, AUTHOR_PAST, FEATURES, MISSING_BLOCK, NAMES, TEXT_BLOCK, UNINDICATED
from .rows import Row

# Rises with whatever gives another row or network input for the same document: 2 since a deleted account sets no
# indicator and names of repositories ignore case.
VERSION = 2
# On its harmless side a feature counts this much: many earlier merges are unusual, and no reason to look.
HARMLESS_SIDE = 0.3
# Beyond this many standard deviations a value grows by its logarithm: one wild column must not drown the rest.
LINEAR_UP_TO = 3.0
# A column that hardly varied in training would turn the least change into a huge one. Surprises are on a scale
# of their own, where differences under this mean nothing.
LEAST_STD = 0.01
LEAST_STD_OF_SURPRISE = 0.3
LEAST_STD_OF_MISSING = 0.1

_HARMLESS = np.array(
    [HARMLESS_SIDE if feature.sides == "high" else 1.0 for feature in FEATURES], dtype=np.float32
)
_LEAST_STD = np.array(
    [LEAST_STD_OF_SURPRISE if feature.sides == "surprise" else LEAST_STD for feature in FEATURES],
    dtype=np.float32,
)
# Features that are missing for the same reason share one indicator column, named after the first of them.
_REASONS = tuple(
    dict.fromkeys(
        feature.missing for feature in FEATURES if feature.missing and feature.missing not in UNINDICATED
    )
)
INDICATED = np.array(
    [next(i for i, feature in enumerate(FEATURES) if feature.missing == reason) for reason in _REASONS]
)
_NO_ACCOUNT_AGE = INDICATED.tolist().index(ACCOUNT_AGE)


class WrongPreprocessor(ValueError):
    """``preprocessor.json`` does not fit this feature code."""


@dataclass(frozen=True)
class Preprocessor:
    """Fitted state: the corpus profile, and for each feature its mean and std over the training rows.

    mean, std [len(FEATURES)] over the rows where the feature is present (ddof 0); missing [len(FEATURES)]
    the share of training rows without it.
    """

    profile: CorpusProfile
    mean: Sequence[float]
    std: Sequence[float]
    missing: Sequence[float]

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of the network's inputs: features, ``NAME_missing`` indicators, ``text:TERM``."""
        indicators = [NAMES[index] + "_missing" for index in INDICATED]
        return (*NAMES, *indicators, *("text:" + term for term in self.profile.columns))

    @cached_property
    def blocks(self) -> tuple[str, ...]:
        """The block of each column; indicators and text columns have blocks of their own."""
        return (
            *(feature.block for feature in FEATURES),
            *([MISSING_BLOCK] * len(INDICATED)),
            *([TEXT_BLOCK] * len(self.profile.columns)),
        )

    @cached_property
    def feature_of_column(self) -> tuple[int, ...]:
        """Position in FEATURES of each column, -1 for a text column."""
        return (*range(len(FEATURES)), *INDICATED.tolist(), *([-1] * len(self.profile.columns)))

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON of names and fitted state."""
        return hashlib.sha256(_canonical(self._content()).encode()).hexdigest()

    def rows_matrix(self, rows: Sequence[Row]) -> np.ndarray:
        """Rows to network input [n, len(columns)] float32."""
        return self.matrix(
            np.array([row.values for row in rows]),
            np.array([index for index, row in enumerate(rows) for _ in row.text_indices], dtype=np.int64),
            np.array([index for row in rows for index in row.text_indices], dtype=np.int64),
            np.array([value for row in rows for value in row.text_values], dtype=np.float32),
        )

    def matrix(
        self, values: np.ndarray, text_rows: np.ndarray, text_indices: np.ndarray, text_values: np.ndarray
    ) -> np.ndarray:
        """Network input [n, len(columns)] float32.

        values: [n, len(FEATURES)] float32, NaN for missing. text_rows, text_indices, text_values [m]: row,
        column and TF-IDF weight of each text entry.
        """
        n, d = values.shape
        first_text = d + len(INDICATED)
        # In place and squashed once: for a single row each of these calls costs more than its numbers.
        matrix = np.zeros((n, len(self.columns)), dtype=np.float32)
        missing = np.isnan(values)
        scaled = matrix[:, :d]
        np.subtract(values, self._mean, out=scaled)
        np.divide(scaled, self._scale, out=scaled)
        # Of a negative number the smaller part is the larger number.
        np.maximum(scaled, scaled * _HARMLESS, out=scaled)
        # Never seen in training: nothing is known of what is usual, so it says nothing.
        scaled[missing if self._all_seen else missing | self._never_seen] = 0.0
        indicators = matrix[:, d:first_text]
        np.subtract(missing.take(INDICATED, axis=1), self._missing_mean, out=indicators)
        np.divide(indicators, self._missing_scale, out=indicators)
        # An account is deleted after the opening, when it always was there: nothing of that may show.
        indicators[missing[:, AUTHOR_PAST], _NO_ACCOUNT_AGE] = 0.0
        dense = matrix[:, :first_text]
        if (done := squashed(dense)) is not dense:
            dense[:] = done
        if len(text_rows):
            matrix[text_rows, first_text + text_indices] = text_values
        return matrix

    def to_json(self) -> dict[str, Any]:
        return {**self._content(), "hash": self.hash}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Preprocessor:
        """Raises WrongPreprocessor where version, feature names or hash are not those expected."""
        if stored.get("version") != VERSION:
            raise WrongPreprocessor(f"preprocessor version {stored.get('version')}, expected {VERSION}")
        if tuple(stored["features"]) != NAMES:
            difference = sorted(set(stored["features"]) ^ set(NAMES)) or "another order"
            raise WrongPreprocessor(f"preprocessor was fitted for other features: {difference}")
        fitted = cls(
            CorpusProfile.from_json(stored["profile"]), stored["mean"], stored["std"], stored["missing"]
        )
        if fitted.hash != stored.get("hash"):
            raise WrongPreprocessor(f"preprocessor hash {stored.get('hash')}, content has {fitted.hash}")
        return fitted

    @classmethod
    def load(cls, path: str | Path) -> Preprocessor:
        return cls.from_json(json.loads(Path(path).read_text("utf-8")))

    def _content(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "features": list(NAMES),
            "columns": list(self.columns),
            "mean": list(self.mean),
            "std": list(self.std),
            "missing": list(self.missing),
            "profile": self.profile.to_json(),
        }

    @cached_property
    def _mean(self) -> np.ndarray:
        return np.array(self.mean, dtype=np.float32)

    @cached_property
    def _scale(self) -> np.ndarray:
        return np.asarray(np.maximum(np.array(self.std, dtype=np.float32), _LEAST_STD))

    @cached_property
    def _never_seen(self) -> np.ndarray:
        return np.asarray(np.array(self.missing) >= 1.0)

    @cached_property
    def _all_seen(self) -> bool:
        return not self._never_seen.any()

    @cached_property
    def _missing_mean(self) -> np.ndarray:
        shares = np.array(self.missing)
        # Of the authors who are known, as it is set for them alone: else it would tell them from the others.
        known = 1.0 - shares[AUTHOR_PAST]
        shares[ACCOUNT_AGE] = (shares[ACCOUNT_AGE] - shares[AUTHOR_PAST]) / known if known > 0 else 0.0
        return np.asarray(shares[INDICATED], dtype=np.float32)

    @cached_property
    def _missing_scale(self) -> np.ndarray:
        share = self._missing_mean
        scale = np.maximum(np.sqrt(share * (1 - share)), np.float32(LEAST_STD_OF_MISSING))
        if self.missing[AUTHOR_PAST] >= 1.0:
            # Training knew no author, so it says nothing of whose account's age is missing.
            scale[_NO_ACCOUNT_AGE] = np.inf
        return np.asarray(scale)


def squashed(scaled: np.ndarray) -> np.ndarray:
    """Linear up to LINEAR_UP_TO standard deviations, logarithmic beyond, with the sign kept."""
    size = np.abs(scaled)
    if not size.size or size.max() <= LINEAR_UP_TO:
        return scaled
    beyond = np.maximum(size - np.float32(LINEAR_UP_TO), 0)
    return np.asarray(np.sign(scaled) * (np.minimum(size, np.float32(LINEAR_UP_TO)) + np.log1p(beyond)))


def _canonical(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
