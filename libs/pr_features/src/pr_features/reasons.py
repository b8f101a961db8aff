"""Why a pull request is unusual, in words: the features with the largest share of the error."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .facts import LEAST_SPREAD
from .norms import QUANTITIES, shrunk
from .preprocessor import Preprocessor
from .registry import FEATURES, NAMES, Feature

REASONS = 3
# Below this share of the error a feature explains nothing.
LEAST_SHARE = 0.02
_KIND = {quantity.name: quantity.kind for quantity in QUANTITIES}
_POSITION = {name: index for index, name in enumerate(NAMES)}


def reasons(
    repo_name: str,
    values: np.ndarray,
    norms: Sequence[float],
    contributions: np.ndarray,
    preprocessor: Preprocessor,
    usual: Mapping[str, float],
) -> list[dict[str, Any]]:
    """The REASONS features that explain most of the error, largest first.

    values: [len(FEATURES)] the row; contributions: [len(columns)] each column's part of the error;
    usual: {feature: median over the training rows}. A feature and its missing indicator count together,
    the text columns count as one.
    """
    total = float(contributions.sum())
    if not total > 0 or not math.isfinite(total):
        return []
    feature_of_column = np.array(preprocessor.feature_of_column)
    of_features = feature_of_column >= 0
    shares = np.bincount(feature_of_column[of_features], contributions[of_features], len(FEATURES)) / total
    found = [
        _reason(FEATURES[index], float(shares[index]), repo_name, values, norms, preprocessor, usual)
        for index in np.argsort(-shares, kind="stable")[:REASONS]
        if shares[index] >= LEAST_SHARE
    ]
    wording = contributions[~of_features]
    if wording.size and (share := float(wording.sum()) / total) >= LEAST_SHARE:
        terms = [preprocessor.profile.columns[index] for index in np.argsort(-wording, kind="stable")[:3]]
        found.append(
            {
                "feature": "text",
                "share": round(share, 4),
                "value": ", ".join(terms),
                "usual": None,
                "text": f"unusual wording around: {', '.join(terms)}",
            }
        )
    return sorted(found, key=lambda reason: -reason["share"])[:REASONS]


def _reason(
    feature: Feature,
    share: float,
    repo_name: str,
    values: np.ndarray,
    norms: Sequence[float],
    preprocessor: Preprocessor,
    usual: Mapping[str, float],
) -> dict[str, Any]:
    value = float(values[_POSITION[feature.name]])
    scope = "in all repositories"
    shown: str | None
    if math.isnan(value):
        shown, expected = "not known", _shown(feature.show, usual.get(feature.name))
    elif feature.norm is None:
        shown, expected = _shown(feature.show, value), _shown(feature.show, usual.get(feature.name))
    else:
        norm = shrunk(norms, preprocessor.profile.norms, feature.norm)
        if norm.pulls:
            scope = f"in {repo_name}"
        if _KIND[feature.norm] == "share":
            shown = _shown("flag", float(values[_POSITION[feature.norm]]))
            expected = f"yes for {_shown('share', norm.centre)}"
        else:
            if feature.show == "spreads":
                value = value * max(norm.spread, LEAST_SPREAD) + norm.centre
            shown, expected = _shown("count", value), _shown("count", norm.centre)
    text = f"{feature.label}: {shown}"
    if expected is not None:
        text += f" (usual {scope}: {expected})"
    return {
        "feature": feature.name,
        "share": round(share, 4),
        "value": shown,
        "usual": expected,
        "text": text,
    }


def _shown(show: str, value: float | None) -> str | None:
    """A stored value as a person reads it; sizes are stored in doublings and shown as plain numbers."""
    if value is None or math.isnan(value):
        return None
    match show:
        case "count" | "length":
            return f"{round(2.0 ** min(value, 60.0) - 1.0):,}"
        case "share":
            return f"{value:.0%}"
        case "flag":
            return "yes" if value >= 0.5 else "no"
        case "days":
            hours = 2.0 ** min(value, 30.0) - 1.0
            return f"{hours / 24:,.0f} days" if hours >= 48 else f"{hours:.0f} hours"
        case "bits":
            return f"{value:.1f} bits"
        case _:
            return f"{value:.2f}"
