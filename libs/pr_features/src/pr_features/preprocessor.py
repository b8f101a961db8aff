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
from .registry import FEATURES, NAMES, TEXT_BLOCK
from .rows import Row

VERSION = 1
# Beyond this many standard deviations a value is only "far off": one wild column must not drown the rest.
CLIP = 8.0
# A column that hardly varied in training would turn the least change into a huge one.
LEAST_STD = 0.05
MAY_BE_MISSING = np.array([feature.missing is not None for feature in FEATURES])


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
        indicators = [name + "_missing" for name, may in zip(NAMES, MAY_BE_MISSING, strict=True) if may]
        return (*NAMES, *indicators, *("text:" + term for term in self.profile.columns))

    @cached_property
    def blocks(self) -> tuple[str, ...]:
        """The block of each column; an indicator belongs to its feature's block."""
        indicators = [feature.block for feature in FEATURES if feature.missing is not None]
        return (
            *(feature.block for feature in FEATURES),
            *indicators,
            *([TEXT_BLOCK] * len(self.profile.columns)),
        )

    @cached_property
    def feature_of_column(self) -> tuple[int, ...]:
        """Position in FEATURES of each column, -1 for a text column."""
        return (
            *range(len(FEATURES)),
            *np.flatnonzero(MAY_BE_MISSING).tolist(),
            *([-1] * len(self.profile.columns)),
        )

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON of names and fitted state."""
        return hashlib.sha256(_canonical(self._content()).encode()).hexdigest()

    def rows_matrix(self, rows: Sequence[Row]) -> np.ndarray:
        """Rows to network input [n, len(columns)] float32."""
        lengths = [len(row.text_indices) for row in rows]
        return self.matrix(
            np.stack([row.values for row in rows]),
            np.repeat(np.arange(len(rows)), lengths),
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
        matrix = np.zeros((n, len(self.columns)), dtype=np.float32)
        missing = np.isnan(values)
        scaled = (values - self._mean) / self._scale
        scaled[missing] = 0.0
        np.clip(scaled, -CLIP, CLIP, out=matrix[:, :d])
        indicators = (missing[:, MAY_BE_MISSING] - self._missing_mean) / self._missing_scale
        first_text = d + indicators.shape[1]
        np.clip(indicators, -CLIP, CLIP, out=matrix[:, d:first_text])
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
        return np.maximum(np.array(self.std, dtype=np.float32), np.float32(LEAST_STD))

    @cached_property
    def _missing_mean(self) -> np.ndarray:
        share: np.ndarray = np.array(self.missing, dtype=np.float32)[MAY_BE_MISSING]
        return share

    @cached_property
    def _missing_scale(self) -> np.ndarray:
        share = self._missing_mean
        scale: np.ndarray = np.maximum(np.sqrt(share * (1 - share)), np.float32(LEAST_STD))
        return scale


def _canonical(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
