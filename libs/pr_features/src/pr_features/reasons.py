"""Why a pull request is unusual, in words: the features with the largest share of the error."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .norms import norm_of
from .observation import LEAST_SPREAD
from .preprocessor import Preprocessor
from .registry import FEATURES, NAMES, Feature, Show

REASONS = 3
# Below this share of the error a feature explains nothing.
LEAST_SHARE = 0.02
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
        _reason(FEATURES[index], float(shares[index]), repo_name, values, norms, usual)
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
    usual: Mapping[str, float],
) -> dict[str, Any]:
    value = float(values[_POSITION[feature.name]])
    scope = "in all repositories"
    expected: str | None
    if feature.norm is None:
        shown, expected = _shown(feature.show, value), _shown(feature.show, usual.get(feature.name))
    else:
        norm = norm_of(norms, feature.norm)
        scope = f"in {repo_name}" if norm.pulls else scope
        if feature.sides == "surprise":
            shown, expected = _shown("flag", value), f"{norm.centre:.0%} of pull requests"
        else:
            size = value * max(norm.spread, LEAST_SPREAD) + norm.centre
            shown, expected = _shown("count", size), _shown("count", norm.centre)
    shown = shown or "not known"
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


def _shown(show: Show, value: float | None) -> str | None:
    """A stored value as a person reads it: logarithms become counts again."""
    if value is None or math.isnan(value):
        return None
    match show:
        case "flag":
            return "yes" if value > 0 else "no"
        case "count":
            return f"{round(math.expm1(min(value, 40.0))):,}"
        case "negative count":
            return f"{round(math.expm1(min(-value, 40.0))):,}"
        case "share":
            return f"{value:.0%}"
        case "negative years":
            years = math.exp(-value)
            return f"{years:.1f} years" if years >= 1 else f"{years * 365:.0f} days"
        case "information":
            return f"{value:.1f} nats a word"
        case _:
            return f"{value:.2f}"
