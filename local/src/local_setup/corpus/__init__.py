"""A seeded generator of a plausible corpus of pull requests, with a known few planted anomalies."""

from local_setup.corpus.generate import CorpusSettings, generate

__all__ = ["CorpusSettings", "generate"]
