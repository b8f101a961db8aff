"""Every rule against its formula, and the rates that follow."""

import numpy as np
import pytest
from ml_training.threshold import RULES, fit_threshold


def test_the_contract_is_mean_plus_two_population_deviations() -> None:
    errors = np.array([1.0, 2.0, 3.0, 4.0, 10.0])
    found = fit_threshold(errors, np.array([11.0, 1.0]), "mean_std")
    assert found.mean == pytest.approx(4.0)
    assert found.std == pytest.approx(np.sqrt(10.0))
    assert found.value == pytest.approx(4.0 + 2 * np.sqrt(10.0))
    assert found.flag_rates == {"train": 0.0, "later": 0.5}
    stored = found.to_json("run-1")
    assert stored["threshold"] == found.value
    assert (stored["factor"], stored["ddof"]) == (2.0, 0)
    assert stored["computed_on"] == {"run_id": "run-1", "split": "train", "rows": 5}
    assert set(stored["variants"]) == set(RULES)


def test_robust_rules_by_hand() -> None:
    errors = np.array([1.0, 2.0, 3.0, 4.0, 100.0])
    variants = fit_threshold(errors, errors, "mean_std").variants
    logs = np.log(errors)
    assert variants["log_mean_std"]["threshold"] == pytest.approx(np.exp(logs.mean() + 2 * logs.std()))
    assert variants["median_mad"]["threshold"] == pytest.approx(3.0 + 3 * 1.4826 * 1.0)
    assert variants["quantile"]["threshold"] == pytest.approx(np.quantile(errors, 0.98))
    assert variants["median_mad"]["flag_rate"]["train"] == pytest.approx(0.2)


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_can_be_chosen(rule: str) -> None:
    errors = np.random.default_rng(0).lognormal(size=1000)
    found = fit_threshold(errors, np.empty(0), rule)  # type: ignore[arg-type]
    assert found.value == found.variants[rule]["threshold"]
    assert found.flag_rates["later"] is None


def test_a_threshold_itself_is_not_beyond_it() -> None:
    found = fit_threshold(np.full(10, 0.5), np.full(3, 0.5), "mean_std")
    assert found.flag_rates == {"train": 0.0, "later": 0.0}


def test_errors_that_are_no_numbers_are_refused() -> None:
    for errors in (np.empty(0), np.array([1.0, np.nan])):
        with pytest.raises(ValueError, match="finite errors"):
            fit_threshold(errors, errors, "mean_std")
