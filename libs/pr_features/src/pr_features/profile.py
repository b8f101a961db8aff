"""How many training documents use a term: what makes a word unusual, and the TF-IDF columns.

Fitted by Spark on the rows of split ``train`` and stored in ``preprocessor.json``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

# A term that fewer documents use counts as seen in one. With 1 here each training document would know its
# own words, and every later one would look stranger than it is.
MIN_DOCUMENTS = 3
MAX_TERMS = 50_000
# More of them change no score and cost most of the network's time (ml_training/NOTES.md).
TEXT_COLUMNS = 64


@dataclass(frozen=True)
class CorpusProfile:
    """n_documents training documents; terms {term: documents that use it}; columns: the TF-IDF terms."""

    n_documents: int
    terms: Mapping[str, int]
    columns: Sequence[str]

    @classmethod
    def build(cls, n_documents: int, frequencies: Iterable[tuple[str, int]]) -> CorpusProfile:
        """From (term, documents) pairs in any order: the MAX_TERMS most used; ties by the term itself.

        Columns are the most used words of at most half of the documents.
        """
        known = [(term, count) for term, count in frequencies if count >= MIN_DOCUMENTS]
        known.sort(key=lambda pair: (-pair[1], pair[0]))
        known = known[:MAX_TERMS]
        columns = [term for term, count in known if count <= n_documents / 2 and not term.startswith("file:")]
        return cls(n_documents, dict(known), columns[:TEXT_COLUMNS])

    @cached_property
    def column_index(self) -> dict[str, int]:
        return {term: index for index, term in enumerate(self.columns)}

    @cached_property
    def information(self) -> dict[str, float]:
        """Nats of information in meeting a known term: ln((n + 1) / (df - 1)).

        One use of it is taken to be the document's own, so that training rows and later ones are alike.
        """
        return {term: math.log((self.n_documents + 1) / (count - 1)) for term, count in self.terms.items()}

    @cached_property
    def information_of_unknown(self) -> float:
        return math.log(self.n_documents + 1)

    @cached_property
    def idf(self) -> np.ndarray:
        """Smoothed inverse document frequencies [columns] float64: ln((1 + n) / (1 + df)) + 1."""
        n = 1 + self.n_documents
        return np.array(
            [math.log(n / (1 + self.terms[term])) + 1.0 for term in self.columns], dtype=np.float64
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "n_documents": self.n_documents,
            "terms": dict(self.terms),
            "columns": list(self.columns),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> CorpusProfile:
        return cls(stored["n_documents"], stored["terms"], stored["columns"])
