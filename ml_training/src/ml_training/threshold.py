"""Where unusual begins: mean + 2 standard deviations by contract, robust rules beside it.

A rule gives one number in the unit of ``reconstruction_error``. How many rows lie beyond it is not a
property of the rule but of the data, so the implied flag rates are published with every model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

Rule = Literal["mean_std", "log_mean_std", "median_mad", "quantile"]
RULES: tuple[Rule, ...] = get_args(Rule)

FACTOR = 2.0
# Of the population of training rows, which is all of them: no correction for a sample.
DDOF = 0
# A normal distribution's standard deviation in median absolute deviations.
MAD_TO_STD = 1.4826
MAD_FACTOR = 3.0
QUANTILE = 0.98
# Errors below are the same as none; keeps the logarithm finite.
SMALLEST_ERROR = 1e-12


@dataclass(frozen=True)
class Threshold:
    """The chosen rule's number and everything needed to judge it.

    value, mean and std are in the unit of reconstruction_error; mean and std (ddof 0) are over the
    rows of split ``train``. flag_rates are shares of rows beyond the value, by split; variants hold
    value and flag rates of every rule.
    """

    rule: Rule
    value: float
    mean: float
    std: float
    n_rows: int
    flag_rates: dict[str, float | None]
    variants: dict[str, dict[str, Any]]

    def to_json(self, run_id: str) -> dict[str, Any]:
        """As stored in ``threshold.json`` of the model."""
        return {
            "threshold": self.value,
            "rule": self.rule,
            "mean": self.mean,
            "std": self.std,
            "factor": FACTOR,
            "ddof": DDOF,
            "computed_on": {"run_id": run_id, "split": "train", "rows": self.n_rows},
            "flag_rate": self.flag_rates,
            "variants": self.variants,
        }


def mean_std(errors: np.ndarray) -> float:
    """mean + 2 std (ddof 0) of the errors."""
    return float(errors.mean() + FACTOR * errors.std(ddof=DDOF))


def log_mean_std(errors: np.ndarray) -> float:
    """mean + 2 std of the logarithms, as an error again: less moved by the longest tail."""
    logs = np.log(np.maximum(errors, SMALLEST_ERROR))
    return float(np.exp(logs.mean() + FACTOR * logs.std(ddof=DDOF)))


def median_mad(errors: np.ndarray) -> float:
    """median + 3 robust standard deviations (1.4826 times the median absolute deviation)."""
    median = np.median(errors)
    return float(median + MAD_FACTOR * MAD_TO_STD * np.median(np.abs(errors - median)))


def quantile(errors: np.ndarray) -> float:
    """The error that 98 % of the rows do not exceed."""
    return float(np.quantile(errors, QUANTILE))


_RULES: dict[Rule, Callable[[np.ndarray], float]] = {
    "mean_std": mean_std,
    "log_mean_std": log_mean_std,
    "median_mad": median_mad,
    "quantile": quantile,
}


def fit_threshold(train_errors: np.ndarray, later_errors: np.ndarray, rule: Rule) -> Threshold:
    """Compute every rule on the errors of the training rows [n] and choose one.

    later_errors [m] are of the rows of split ``later`` and may be empty; then their flag rate is None.
    Raises ValueError for no training rows or errors that are not finite.
    """
    errors = np.asarray(train_errors, dtype=np.float64)
    later = np.asarray(later_errors, dtype=np.float64)
    if not errors.size or not np.isfinite(errors).all():
        raise ValueError(f"threshold: expected finite errors of at least one row, found {errors.size}")
    variants: dict[str, dict[str, Any]] = {}
    for name, compute in _RULES.items():
        value = compute(errors)
        variants[name] = {
            "threshold": value,
            "flag_rate": {"train": _rate(errors, value), "later": _rate(later, value)},
        }
    chosen = variants[rule]
    return Threshold(
        rule=rule,
        value=chosen["threshold"],
        mean=float(errors.mean()),
        std=float(errors.std(ddof=DDOF)),
        n_rows=int(errors.size),
        flag_rates=chosen["flag_rate"],
        variants=variants,
    )


def _rate(errors: np.ndarray, value: float) -> float | None:
    return float((errors > value).mean()) if errors.size else None
