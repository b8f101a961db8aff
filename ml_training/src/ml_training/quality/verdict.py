"""Is the model worth running: at or above the best baseline, on the worst injected kind and on the mean over kinds."""

from __future__ import annotations

from dataclasses import dataclass

from ml_training.quality.assessment import OURS, UNTRAINED, Assessment
from ml_training.quality.comparison import ByKind, Difference, mean_difference, worst_difference


@dataclass(frozen=True)
class Line:
    """One comparison: with which baseline, by how much, and whether that is good enough."""

    baseline: str
    difference: Difference
    passed: bool

    def __str__(self) -> str:
        word = "passed" if self.passed else "FAILED"
        return f"{self.difference.what}: {word} beside {self.baseline}: {self.difference}"


def verdict(made: Assessment) -> list[Line]:
    """Beside the best baseline by worst kind and by mean, and beside the untrained network; none without injections.

    A near tie with a baseline that learned something is none lost (``Difference.holds``). The untrained network
    must be beaten, by whatever little.
    """
    if not made.table:
        return []
    ours = _by_kind(made, OURS)
    others = {name: _by_kind(made, name) for name in made.detectors if name != OURS}
    lines = []
    for compare in (worst_difference, mean_difference):
        found = {name: compare(ours, theirs) for name, theirs in others.items() if name != UNTRAINED}
        if found:
            best = max(found, key=lambda name: found[name].theirs)
            lines.append(Line(best, found[best], found[best].holds()))
    if UNTRAINED in others:
        difference = mean_difference(ours, others[UNTRAINED])
        lines.append(Line(UNTRAINED, difference, difference.value > 0))
    return lines


def _by_kind(made: Assessment, detector: str) -> ByKind:
    return {kind: row[detector]["roc_auc"] for kind, row in made.table.items()}
