"""Document to row: one array of float32 values and its sparse text columns. The only implementation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import log, sqrt
from typing import Any, NamedTuple

import numpy as np

from .facts import Facts
from .history import History
from .observation import Observation
from .profile import CorpusProfile
from .registry import FEATURES

_VALUES = tuple(feature.value for feature in FEATURES)


class Row(NamedTuple):
    """values [len(FEATURES)] float32 with NaN for missing; TF-IDF of profile.columns, sparse and sorted.

    text_values has length 1 by the Euclidean norm, or is empty where no column's term occurs.
    """

    values: np.ndarray
    text_indices: list[int]
    text_values: list[float]


def row(document: Mapping[str, Any], history: History, profile: CorpusProfile) -> Row:
    """The features of one document as of its creation.

    document: as ``documents.check`` returns it. Scalars are computed one by one with ``math``, never in
    vectors, so that a batch of Spark and a single request give the same bits.
    """
    facts = Facts(document, history.author_opened, history.author_merged, history.author_day)
    observation = Observation(facts, history.norms, profile)
    values = np.array([value(observation) for value in _VALUES], dtype=np.float32)
    indices, weights = _tf_idf(facts.title_words + facts.body_words, profile)
    return Row(values, indices, weights)


def _tf_idf(found: list[str], profile: CorpusProfile) -> tuple[list[int], list[float]]:
    column_index = profile.column_index
    counts = Counter(index for word in found if (index := column_index.get(word)) is not None)
    if not counts:
        return [], []
    idf = profile.idf
    indices = sorted(counts)
    weights = [(1.0 + log(counts[index])) * idf[index] for index in indices]
    length = sqrt(sum(weight * weight for weight in weights))
    return indices, [float(np.float32(weight / length)) for weight in weights]
