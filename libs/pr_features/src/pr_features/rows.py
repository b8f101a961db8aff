"""Document to row: one array of float32 values and its sparse text columns. The only implementation."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
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


class Rows(NamedTuple):
    """Many rows: values [n, len(FEATURES)]; text_rows, text_indices, text_values [m] their text entries."""

    values: np.ndarray
    text_rows: list[int]
    text_indices: list[int]
    text_values: list[float]


def row(document: Mapping[str, Any], history: History, profile: CorpusProfile) -> Row:
    """The features of one document as of its creation.

    document: as ``documents.check`` returns it. Scalars are computed one by one with ``math``, never in
    vectors, so that a batch of Spark and a single request give the same bits.
    """
    values, indices, weights = _row(document, history, profile)
    return Row(np.array(values, dtype=np.float32), indices, weights)


def rows(pairs: Iterable[tuple[Mapping[str, Any], History]], profile: CorpusProfile) -> Rows:
    """The same for many documents with their histories."""
    values: list[list[float]] = []
    text_rows: list[int] = []
    text_indices: list[int] = []
    text_values: list[float] = []
    for document, history in pairs:
        found, indices, weights = _row(document, history, profile)
        text_rows += [len(values)] * len(indices)
        text_indices += indices
        text_values += weights
        values.append(found)
    return Rows(
        np.array(values, dtype=np.float32).reshape(-1, len(FEATURES)), text_rows, text_indices, text_values
    )


def _row(
    document: Mapping[str, Any], history: History, profile: CorpusProfile
) -> tuple[list[float], list[int], list[float]]:
    opened, merged, day, norms = history
    facts = Facts(document, opened, merged, day)
    observation = Observation(facts, norms, profile)
    return [value(observation) for value in _VALUES], *_tf_idf(facts.all_words, profile)


def _tf_idf(found: list[str], profile: CorpusProfile) -> tuple[list[int], list[float]]:
    hits = [index for index in map(profile.column_index.get, found) if index is not None]
    if not hits:
        return [], []
    idf = profile.idf
    indices = sorted(set(hits))
    if len(indices) == len(hits):
        weights = [idf[index] for index in indices]
    else:
        counts = dict.fromkeys(indices, 0)
        for index in hits:
            counts[index] += 1
        weights = [(1.0 + log(counts[index])) * idf[index] for index in indices]
    length = sqrt(sum([weight * weight for weight in weights]))
    # As float32 holds them, which is what Spark stores.
    return indices, array("f", [weight / length for weight in weights]).tolist()
