"""Two detectors on the same rows: by how much one finds more, with the interval that chance explains.

Both are scored on the same resampled rows (``measures.Bootstrap``), so what makes a draw of rows easy or hard for
both falls out of their difference: its interval is narrower than those of the two figures suggest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ml_training.quality.measures import INTERVAL, Estimate

ByKind = Mapping[str, Estimate]
"""kind of injected anomaly -> ROC-AUC"""
WORST, MEAN = "worst kind", "mean over kinds"
# By no more than this may a near tie be lost, however wide its interval.
TOLERANCE = 0.01
# The worst kind alone is known less well than the mean of eight: on 237 documents its interval is 0.02 to both sides,
# and 0.01 would refuse every fifth model that is level. For the gate, which must not hang on one corpus's luck.
WORST_TOLERANCE = 0.03


@dataclass(frozen=True)
class Difference:
    """ours - theirs in ROC-AUC, over kinds as ``what`` says; low, high: 95 % interval of the difference.

    kind: which of ours and of theirs is the worst, for WORST.
    """

    what: str
    ours: float
    theirs: float
    low: float
    high: float
    kinds: tuple[str, str] | None = None

    @property
    def value(self) -> float:
        return self.ours - self.theirs

    def holds(self, tolerance: float = TOLERANCE) -> bool:
        """At or above theirs, or below by no more than both the tolerance and what chance explains."""
        return self.value >= 0 or (self.value >= -tolerance and self.high >= 0)

    def __str__(self) -> str:
        ours, theirs = (f" ({kind})" for kind in self.kinds) if self.kinds else ("", "")
        return (
            f"{self.ours:.3f}{ours} against {self.theirs:.3f}{theirs}: {self.value:+.3f}, "
            f"95 % interval [{self.low:+.3f}, {self.high:+.3f}] on the same rows"
        )


def worst_difference(ours: ByKind, theirs: ByKind) -> Difference:
    """Of the worst kinds, whichever these are for each of the two."""
    replicates = np.min(_replicates(ours), axis=0) - np.min(_replicates(theirs), axis=0)
    kinds = _worst(ours), _worst(theirs)
    return _difference(WORST, ours[kinds[0]].value, theirs[kinds[1]].value, replicates, kinds)


def mean_difference(ours: ByKind, theirs: ByKind) -> Difference:
    """Of the means over kinds."""
    replicates = np.mean(_replicates(ours), axis=0) - np.mean(_replicates(theirs), axis=0)
    return _difference(MEAN, _mean(ours), _mean(theirs), replicates)


def _difference(
    what: str, ours: float, theirs: float, replicates: np.ndarray, kinds: tuple[str, str] | None = None
) -> Difference:
    low, high = np.percentile(replicates, INTERVAL)
    return Difference(what, ours, theirs, float(low), float(high), kinds)


def _mean(found: ByKind) -> float:
    return float(np.mean([one.value for one in found.values()]))


def _worst(found: ByKind) -> str:
    return min(found, key=lambda kind: found[kind].value)


def _replicates(found: ByKind) -> np.ndarray:
    """[kinds, replicates]"""
    return np.array([one.replicates for one in found.values()])
