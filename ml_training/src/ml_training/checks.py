"""What a candidate must show to become champion: each check with what was expected and found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

# How far a served score may be from the one that training computed, relative to max(1, score).
SERVED_TOLERANCE = 1e-5
# One pull request in both would prove nothing: another run's documents may share one by chance.
LEAST_COMPARED = 20

ByKind = Mapping[str, float]
"""kind of injected anomaly -> ROC-AUC"""


@dataclass(frozen=True)
class Check:
    """One question to the candidate and its answer."""

    name: str
    passed: bool
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.name}: expected {self.expected}, found {self.found}"


def against_champion(candidate: ByKind, champion: ByKind, margin: float) -> Check:
    """The candidate's worst kind is not below the champion's by more than the margin."""
    ours, theirs = min(candidate.values()), min(champion.values())
    kind = min(candidate, key=lambda name: candidate[name])
    return Check(
        "worst kind against the champion",
        ours >= theirs - margin,
        f"ROC-AUC of at least {theirs:.3f} - {margin:.3f} (champion, worst kind)",
        f"{ours:.3f} ({kind})",
    )


def beats(name: str, candidate: ByKind, other: ByKind, margin: float = 0.0) -> Check:
    """The candidate is better than a baseline over all kinds together."""
    ours, theirs = float(np.mean(list(candidate.values()))), float(np.mean(list(other.values())))
    return Check(
        f"better than {name}",
        ours > theirs - margin,
        f"a mean ROC-AUC over kinds above {theirs - margin:.3f}",
        f"{ours:.3f}",
    )


def distinct_scores(errors: np.ndarray, least: int) -> Check:
    """Scores of the later rows tell rows apart."""
    found = len(np.unique(errors))
    return Check("distinct scores", found >= least, f"at least {least} among the later rows", str(found))


def flag_rate(errors: np.ndarray, threshold: float, low: float, high: float) -> Check:
    """The share of later rows beyond the threshold is one that people can work with."""
    share = float((errors > threshold).mean()) if len(errors) else 0.0
    return Check(
        "flag rate on later rows",
        low <= share <= high,
        f"between {low:.2%} and {high:.2%}",
        f"{share:.2%} of {len(errors)} rows",
    )


def offline_equals_served(offline: Mapping[int, float], served: Mapping[int, float]) -> Check:
    """What training computed from the table is what serving computes from the raw document, by id."""
    both = sorted(offline.keys() & served.keys())
    differences = [abs(served[key] - offline[key]) / max(1.0, abs(offline[key])) for key in both]
    largest = max(differences, default=0.0)
    return Check(
        "offline equals served",
        len(both) >= min(LEAST_COMPARED, len(served)) > 0 and largest <= SERVED_TOLERANCE,
        f"differences of at most {SERVED_TOLERANCE:g} in scores of the same {LEAST_COMPARED} pull requests or more",
        f"{largest:.1e} over {len(both)} of {len(served)} pull requests"
        if both
        else "no pull request in both",
    )


def enough_documents(count: int, least: int) -> Check:
    """There are raw documents to make anomalies from."""
    return Check(
        "documents to judge on",
        count >= least,
        f"at least {least} raw documents of split later in the run",
        str(count),
    )
