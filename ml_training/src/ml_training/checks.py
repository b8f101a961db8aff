"""What a candidate must show to become champion: each check with what was expected and found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ml_training.quality.comparison import ByKind, Difference, mean_difference

# How far a served score may be from the one that training computed, relative to max(1, score).
SERVED_TOLERANCE = 1e-5
# One pull request in both would prove nothing: another run's documents may share one by chance.
LEAST_COMPARED = 20


@dataclass(frozen=True)
class Check:
    """One question to the candidate and its answer; decides: whether not passing refuses it."""

    name: str
    passed: bool
    expected: str
    found: str
    decides: bool = True

    @property
    def refuses(self) -> bool:
        return self.decides and not self.passed

    def __str__(self) -> str:
        return f"{self.name}: expected {self.expected}, found {self.found}"


def better_than_untrained(candidate: ByKind, untrained: ByKind) -> Check:
    """Training was worth it: better over all kinds together than the same network untrained, by whatever little.

    No tolerance here: a network that learned nothing is level with its untrained twin.
    """
    found = mean_difference(candidate, untrained)
    return Check(
        "better than the untrained network",
        found.value > 0,
        f"a mean ROC-AUC over kinds above {found.theirs:.3f}",
        str(found),
    )


def level_with_pca(found: Difference, tolerance: float) -> Check:
    """Candidate less PCA: not below it, or level with it.

    Level is what the rows cannot tell apart: below by no more than the tolerance, and the interval of the
    difference, both scored on the same resampled rows, reaches 0.
    """
    return Check(
        f"{found.what} against PCA",
        found.holds(tolerance),
        f"ROC-AUC of at least PCA's, or at most {tolerance:g} below where the interval reaches 0",
        str(found),
    )


def against_champion(found: Difference, owed: float, margin: float) -> Check:
    """The candidate's worst kind is not below the best champion's by more than the margin.

    found: of the worst kinds of candidate and champion. owed: how far the champion is below the best one already
    (see ``owed_after``). Without it each new champion could be a margin worse than the one before.
    """
    left = margin - owed
    so_far = f", {margin:.3f} of which {owed:.3f} went to earlier champions" if owed else ""
    return Check(
        "worst kind against the champion",
        found.value >= -left,
        f"ROC-AUC of at least {found.theirs:.3f} - {left:.3f} (champion{so_far})",
        str(found),
    )


def owed_after(found: Difference, owed: float) -> float:
    """How far the worst kind of a candidate, made champion, is below the best champion before it.

    Each difference is measured on documents that both have scored, so they may be added, which figures from
    different documents may not be compared. What is better pays back; nobody gets credit.
    """
    return max(0.0, owed - found.value)


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
    """There are raw documents enough to make anomalies from."""
    return Check(
        "documents to judge on",
        count >= least,
        f"at least {least} raw documents of split later in the run",
        str(count),
    )
