"""Document to row: float32 values and sparse text columns. The only implementation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from math import log
from typing import Any, NamedTuple

import numpy as np

from .facts import Facts
from .history import History
from .observation import Observation
from .profile import CorpusProfile
from .registry import FEATURES
from .text import MAX_WORDS

_VALUES = tuple(feature.value for feature in FEATURES)
# 1 + ln(n) for n uses of a term; a document has at most the words of its title and of its body.
_USES = np.array([0.0, *[1.0 + log(uses) for uses in range(1, 2 * MAX_WORDS + 1)]])


class Row(NamedTuple):
    """values [len(FEATURES)] float32 with NaN for missing; TF-IDF of profile.columns, sparse and sorted.

    text_values has length 1 by the Euclidean norm, or is empty where no column's term occurs.
    """

    values: np.ndarray
    text_indices: list[int]
    text_values: list[float]


class Rows(NamedTuple):
    """Many rows: values [n, len(FEATURES)]; text_rows, text_indices, text_values [m] their text entries in order."""

    values: np.ndarray
    text_rows: np.ndarray
    text_indices: np.ndarray
    text_values: np.ndarray


def row(document: Mapping[str, Any], history: History, profile: CorpusProfile) -> Row:
    """The features of one document as of its creation; document: as ``documents.check`` returns it."""
    one = rows([(document, history)], profile)
    return Row(one.values[0], one.text_indices.tolist(), one.text_values.tolist())


def rows(pairs: Iterable[tuple[Mapping[str, Any], History]], profile: CorpusProfile) -> Rows:
    """The same for many documents with their histories.

    Values are computed one by one with ``math``; what is computed in vectors are products, quotients, square roots
    and sums in a fixed order, which IEEE 754 defines to the last bit. So a batch of Spark and a single request agree.
    """
    values: list[list[float]] = []
    texts: list[list[str]] = []
    for document, (opened, merged, day, norms) in pairs:
        facts = Facts(document, opened, merged, day)
        observation = Observation(facts, norms, profile)
        values.append([value(observation) for value in _VALUES])
        texts.append(facts.all_words)
    return Rows(np.array(values, dtype=np.float32).reshape(-1, len(FEATURES)), *_tf_idf(texts, profile))


def _tf_idf(
    texts: Sequence[Sequence[str]], profile: CorpusProfile
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, column and weight float32 of each text entry, by row and column."""
    width = len(profile.columns)
    column = profile.column_index.get
    # Column `width` is that of all other words.
    places: list[int] = []
    for words in texts:
        places += map(column, words, repeat(width))
    firsts = np.arange(0, len(texts) * (width + 1), width + 1)
    cells = np.array(places, dtype=np.int64) + np.repeat(firsts, [len(words) for words in texts])
    uses = np.bincount(cells, minlength=len(texts) * (width + 1)).reshape(len(texts), width + 1)[:, :width]
    text_rows, columns = uses.nonzero()
    weights = _USES[uses[text_rows, columns]] * profile.idf[columns]
    squares = np.bincount(text_rows, weights=weights * weights, minlength=len(texts))
    return text_rows, columns, (weights / np.sqrt(squares)[text_rows]).astype(np.float32)
