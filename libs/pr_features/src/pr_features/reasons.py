"""Why a pull request is unusual, in words: the features with the largest share of the error."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from .norms import LEAST_SPREAD, norm_of
from .preprocessor import INDICATED, Preprocessor
from .registry import FEATURES, TEXT_BLOCK, Feature

REASONS = 3
# Below this share of the error a feature explains nothing.
LEAST_SHARE = 0.02
# For each feature the column of its missing indicator, and 1; those without one get any column, and 0.
_INDICATOR = np.zeros(len(FEATURES), dtype=np.int64)
_INDICATOR[INDICATED] = len(FEATURES) + np.arange(len(INDICATED))
_INDICATED = (_INDICATOR > 0).astype(np.float32)


def reasons(
    repo_name: str,
    values: np.ndarray,
    norms: Sequence[float],
    contributions: np.ndarray,
    preprocessor: Preprocessor,
    usual: Mapping[str, float],
) -> list[dict[str, Any]]:
    """The REASONS features that explain most of one row's error, largest first.

    values: [len(FEATURES)] the row; contributions: [len(columns)] each column's part of the error;
    usual: {feature: median over the training rows}.
    """
    return batch_reasons([repo_name], values[None], [norms], contributions[None], preprocessor, usual)[0]


def batch_reasons(
    repo_names: Sequence[str],
    values: np.ndarray,
    norms: Sequence[Sequence[float]],
    contributions: np.ndarray,
    preprocessor: Preprocessor,
    usual: Mapping[str, float],
) -> list[list[dict[str, Any]]]:
    """The same for n rows: values [n, len(FEATURES)], contributions [n, len(columns)].

    A feature and its missing indicator count together, the text columns count as one. A row whose error is
    0 or not finite has no reasons.
    """
    grouped = contributions[:, : len(FEATURES)] + contributions.take(_INDICATOR, axis=1) * _INDICATED
    largest = (-grouped).argsort(axis=1, kind="stable")[:, :REASONS].tolist()
    wording = contributions[:, len(FEATURES) + len(INDICATED) :]
    of_wording = np.add.reduce(wording, axis=1, dtype=np.float64).tolist()
    totals = np.add.reduce(contributions, axis=1, dtype=np.float64).tolist()
    found: list[list[dict[str, Any]]] = []
    for row, total in enumerate(totals):
        if not (total > 0 and math.isfinite(total)):
            found.append([])
            continue
        named = [
            _reason(FEATURES[index], share, repo_names[row], values.item(row, index), norms[row], usual)
            for index in largest[row]
            if (share := grouped.item(row, index) / total) >= LEAST_SHARE
        ]
        if (share := of_wording[row] / total) >= LEAST_SHARE and (
            len(named) < REASONS or share > named[-1]["share"]
        ):
            named.append(_wording(wording[row], share, preprocessor))
            named.sort(key=_by_share)
        found.append(named[:REASONS])
    return found


def _by_share(reason: Mapping[str, Any]) -> float:
    return -float(reason["share"])


def _wording(contributions: np.ndarray, share: float, preprocessor: Preprocessor) -> dict[str, Any]:
    """The reason for all text columns, contributions [text columns], together."""
    order = np.argsort(-contributions, kind="stable")[:3].tolist()
    terms = ", ".join([preprocessor.profile.columns[index] for index in order])
    return {
        "feature": TEXT_BLOCK,
        "share": round(share, 4),
        "value": terms,
        "usual": None,
        "text": f"unusual wording around: {terms}",
    }


def _reason(
    feature: Feature,
    share: float,
    repo_name: str,
    value: float,
    norms: Sequence[float],
    usual: Mapping[str, float],
) -> dict[str, Any]:
    scope = "in all repositories"
    if feature.norm is None:
        shown, expected = _shown(feature.show, value), _shown(feature.show, usual.get(feature.name))
    else:
        norm = norm_of(norms, feature.norm)
        scope = f"in {repo_name}" if norm.pulls else scope
        if feature.sides == "surprise":
            shown, expected = _shown("flag", value), _shown("share of pull requests", norm.centre)
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


def _shown(show: str, value: float | None) -> str | None:
    """A stored value as a person reads it; None where there is none."""
    return None if value is None or math.isnan(value) else _printed(show, value)


# The same few values come again and again: flags, shares of 0, what is usual.
@lru_cache(maxsize=8_192)
def _printed(show: str, value: float) -> str:
    """Logarithms become counts again."""
    match show:
        case "flag":
            return "yes" if value > 0 else "no"
        case "count":
            return f"{round(math.expm1(min(value, 40.0))):,}"
        case "negative count":
            return f"{round(math.expm1(min(-value, 40.0))):,}"
        case "percent":
            return f"{math.expm1(value):.0f}%"
        case "share":
            return f"{value:.0%}"
        case "share of pull requests":
            return f"{value:.0%} of pull requests"
        case "negative years":
            years = math.exp(-value)
            return f"{years:.1f} years" if years >= 1 else f"{years * 365:.0f} days"
        case "information":
            return f"{value:.1f} nats a word"
        case _:
            return f"{value:.2f}"
