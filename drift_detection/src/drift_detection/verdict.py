"""Has the traffic drifted? One score for the alarm, and which features say so. Pure: a window and a reference in.

The score distribution comes first: it is what the model itself sees. Features are the explanation, and an alarm of
their own where many groups of them changed without the score noticing. A difference counts where it is both unlikely by
chance and large enough to matter: the first alone would call every trifle in a large window a drift, the second alone
every small window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drift_detection.reference import Reference
from drift_detection.statistics import (
    BinComparison,
    ScoreComparison,
    compare_bins,
    compare_scores,
    effective_rows,
    shift,
)
from drift_detection.window import Window

# Odds that a window without any change is called drifted: by its scores, and by any of its features.
SCORE_ALPHA = 0.001
FEATURES_ALPHA = 0.01
# Largest distance of the distribution functions that is still no drift.
LEAST_DISTANCE = 0.1
# Population stability index beyond chance that is still no drift; 0.1 is where a change is usually called moderate.
LEAST_EXCESS = 0.1
# Standard deviations by which values must have moved, or share of rows that must have lost or gained a value.
LEAST_SHIFT = 0.1
LEAST_MISSING = 0.1


@dataclass(frozen=True)
class FeatureVerdict:
    """A feature's comparison. shift: in the reference's standard deviations; shares of missing values on both sides."""

    name: str
    group: str
    drifted: bool
    bins: BinComparison
    shift: float
    missing: float
    reference_missing: float


@dataclass(frozen=True)
class Verdict:
    """drift_score: 1 where the scores drifted, else the share of drifted groups; None with too few rows."""

    rows: int
    effective_rows: float
    drift_score: float | None
    score_drifted: bool
    score: ScoreComparison
    groups: dict[str, bool]
    features: tuple[FeatureVerdict, ...]

    def alarm(self, threshold: float) -> bool:
        """Whether the scores drifted, or as large a share of the groups; with more than all of them only the former."""
        return self.drift_score is not None and (self.score_drifted or self.drift_score >= threshold)


def judge(window: Window, reference: Reference, *, min_rows: int) -> Verdict:
    """Compare a window with the reference of the model that scored it."""
    window = window.without_floods()
    effective = effective_rows(window.rows)
    score = compare_scores(reference.quantiles, reference.score_rows, window.errors, effective)
    features = _features(window, reference, effective)
    groups: dict[str, bool] = {}
    for feature in features:
        groups[feature.group] = groups.get(feature.group, False) or feature.drifted
    score_drifted = score.p < SCORE_ALPHA and score.ks >= LEAST_DISTANCE
    drift_score: float | None = None
    if effective >= min_rows:
        drift_score = 1.0 if score_drifted else sum(groups.values()) / max(1, len(groups))
    return Verdict(len(window), effective, drift_score, score_drifted, score, groups, features)


def _features(window: Window, reference: Reference, effective: float) -> tuple[FeatureVerdict, ...]:
    """Features with a value on either side; one that nobody ever had says nothing."""
    found = []
    rows = max(1, len(window))
    for position, feature in enumerate(reference.features):
        expected, seen = feature.expected, feature.count(window.values[:, position])
        if not (expected[:-1].sum() or seen[:-1].sum()):
            continue
        bins = compare_bins(expected, seen, effective)
        # Bonferroni: among this many features one is unlikely by chance all the time.
        unlikely = bins.p < FEATURES_ALPHA / len(reference.features)
        values = window.values[:, position]
        moved = shift(feature.quantiles, values[~np.isnan(values)])
        missing = float(seen[-1]) / rows
        reference_missing = float(expected[-1]) / max(1, int(expected.sum()))
        large = moved >= LEAST_SHIFT or abs(missing - reference_missing) >= LEAST_MISSING
        found.append(
            FeatureVerdict(
                name=feature.name,
                group=feature.group,
                drifted=unlikely and bins.excess >= LEAST_EXCESS and large,
                bins=bins,
                shift=moved,
                missing=missing,
                reference_missing=reference_missing,
            )
        )
    return tuple(found)
