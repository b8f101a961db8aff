"""What is usual over the training rows: how many documents use a term, and the corpus's own norms.

Fitted by Spark on the rows of split ``train``, stored in ``preprocessor.json``; a row needs it because
some features say how unusual a text is *here*.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .norms import NO_NORMS

# A term counts as known once this many training documents use it. At 1 each training document would
# know its own words, and every later one would look stranger than it is.
MIN_DOCUMENTS = 3
MAX_TERMS = 20_000
TEXT_COLUMNS = 256


@dataclass(frozen=True)
class CorpusProfile:
    """n_documents training documents; terms {term: documents that use it}; columns: the TF-IDF terms.

    norms: the flat norms of the whole corpus, laid out as in ``norms.py``.
    """

    n_documents: int
    terms: Mapping[str, int]
    columns: Sequence[str]
    norms: Sequence[float] = NO_NORMS

    @classmethod
    def build(
        cls, n_documents: int, frequencies: Iterable[tuple[str, int]], norms: Sequence[float]
    ) -> CorpusProfile:
        """From (term, documents) pairs in any order: the MAX_TERMS most used; ties by the term itself.

        Columns are the most used words of at most half of the documents.
        """
        known = [(term, count) for term, count in frequencies if count >= MIN_DOCUMENTS]
        known.sort(key=lambda pair: (-pair[1], pair[0]))
        known = known[:MAX_TERMS]
        columns = [term for term, count in known if count <= n_documents / 2 and not term.startswith("file:")]
        return cls(n_documents, dict(known), columns[:TEXT_COLUMNS], tuple(norms))

    @cached_property
    def column_index(self) -> dict[str, int]:
        return {term: index for index, term in enumerate(self.columns)}

    @cached_property
    def surprise(self) -> dict[str, float]:
        """Bits of surprise at meeting a term: log2 of one over the share of documents that use it."""
        return {term: math.log2((self.n_documents + 1) / (count + 1)) for term, count in self.terms.items()}

    @cached_property
    def surprise_of_unknown(self) -> float:
        return math.log2(self.n_documents + 1)

    @cached_property
    def idf(self) -> list[float]:
        """Smoothed inverse document frequencies of the columns: ln((1 + n) / (1 + df)) + 1."""
        return [math.log((1 + self.n_documents) / (1 + self.terms[term])) + 1.0 for term in self.columns]

    def to_json(self) -> dict[str, Any]:
        return {
            "n_documents": self.n_documents,
            "terms": dict(self.terms),
            "columns": list(self.columns),
            "norms": list(self.norms),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> CorpusProfile:
        return cls(stored["n_documents"], stored["terms"], stored["columns"], stored["norms"])
