from dataclasses import replace

import numpy as np
import pytest
from drift_detection.reference import Reference
from drift_detection.verdict import Verdict, judge
from drift_detection.window import Window
from made_up import NAMES, errors_of, rows


def window(values: np.ndarray, errors: np.ndarray | None = None) -> Window:
    found = errors_of(values) if errors is None else errors
    return Window(values, found, found > 4, np.arange(len(values)))


def verdict(reference: Reference, values: np.ndarray, errors: np.ndarray | None = None) -> Verdict:
    return judge(window(values, errors), reference, min_rows=100)


@pytest.mark.parametrize("n", [100, 500, 5_000])
def test_unchanged_traffic_is_no_alarm(reference: Reference, n: int) -> None:
    found = [verdict(reference, rows(np.random.default_rng(seed), n)) for seed in range(60)]
    assert sum(one.alarm(0.3) for one in found) <= 1


def test_a_drifted_score_is_one_whatever_the_groups(reference: Reference, rng: np.random.Generator) -> None:
    values = rows(rng, 500)
    found = verdict(reference, values, errors_of(values) * 1.5)
    assert found.score_drifted and found.drift_score == 1.0
    assert not any(found.groups.values())


def test_groups_without_the_score(reference: Reference, rng: np.random.Generator) -> None:
    """The share of drifted groups; one of three is 0.33 and just an alarm."""
    values = rows(rng, 500)
    values[:, 4] += 2
    found = verdict(reference, values)
    assert not found.score_drifted
    assert found.groups == {"author": False, "size": False, "title": True}
    assert found.drift_score == pytest.approx(1 / 3) and found.alarm(0.3) and not found.alarm(0.34)


def test_a_value_never_seen_before(reference: Reference, rng: np.random.Generator) -> None:
    """Beyond every bin of the reference."""
    values = rows(rng, 300)
    values[:60, 1] = 50
    (opened,) = [one for one in verdict(reference, values).features if one.name == "opened"]
    assert opened.drifted


def test_a_column_that_vanishes(reference: Reference, rng: np.random.Generator) -> None:
    values = rows(rng, 300)
    values[:, 0] = np.nan
    found = {one.name: one for one in verdict(reference, values).features}
    assert found["newcomer"].drifted and found["newcomer"].missing == 1.0
    assert not found["words"].drifted  # often missing in the reference too
    assert found["words"].reference_missing == pytest.approx(0.3, abs=0.05)


def test_too_few_rows_are_no_verdict(reference: Reference, rng: np.random.Generator) -> None:
    changed = rows(rng, 99, shift=5)
    assert verdict(reference, changed).drift_score is None
    assert not verdict(reference, changed).alarm(0.3)
    # The same rows again and again are no more than they were.
    assert verdict(reference, np.repeat(changed, 10, axis=0)).drift_score is None
    assert verdict(reference, rows(rng, 101, shift=5)).alarm(0.3)
    assert verdict(reference, rows(rng, 0)).drift_score is None


def flooded(values: np.ndarray, share: float) -> np.ndarray:
    """Rows of which this share is one and the same; it comes at all times."""
    copies = np.random.default_rng(0).permutation(len(values))[: int(share * len(values))]
    values[copies] = values[copies[0]]
    return values


@pytest.mark.parametrize("share", [0.11, 0.2, 0.5])
def test_one_row_again_and_again_silences_nothing(reference: Reference, share: float) -> None:
    """It neither hides that the others have changed nor is a change."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        assert verdict(reference, flooded(rows(rng, 500, shift=2), share)).alarm(0.3)
        assert verdict(reference, flooded(rows(rng, 500), share)).drift_score == 0.0


def test_a_flood_of_one_strange_pull_request_is_no_drift(reference: Reference) -> None:
    for seed in range(20):
        values = rows(np.random.default_rng(seed), 1_000)
        values[100:] = 9.0
        found = verdict(reference, values)
        assert (found.rows, found.drift_score) == (102, 0.0)
        # Alone it is no verdict: nothing is known of what else would be sent.
        assert verdict(reference, values[100:]).drift_score is None


def test_a_trifle_in_a_large_window_is_no_drift(reference: Reference) -> None:
    """Unlikely by chance, but far too small to matter."""
    values = rows(np.random.default_rng(1), 50_000)
    values[:, 1] += 0.15
    found = verdict(reference, values, errors_of(values) * 1.03)
    (opened,) = [one for one in found.features if one.name == "opened"]
    assert opened.bins.p < 1e-4 and found.score.p < 0.05
    assert not found.alarm(0.3) and not any(found.groups.values())


def test_a_feature_that_nobody_has_says_nothing(reference: Reference, rng: np.random.Generator) -> None:
    files = reference.features[3]
    absent = replace(files, edges=np.array([]), counts=np.array([0]), missing=2_000)
    changed = replace(reference, features=(*reference.features[:3], absent, reference.features[4]))
    values = rows(rng, 300)
    values[:, 3] = np.nan
    assert [one.name for one in verdict(changed, values).features] == [n for n in NAMES if n != "files"]
    values[:, 3] = 1.0
    found = {one.name: one for one in verdict(changed, values).features}
    assert found["files"].drifted  # now somebody has it


def test_values_that_hardly_moved_are_no_drift(reference: Reference, rng: np.random.Generator) -> None:
    """A feature of few values, each of them a thousandth larger: every bin changes and nothing has happened."""
    opened = reference.features[1]
    values = np.array([0.0, 1.0, 2.0])
    made = replace(
        opened,
        edges=np.array([-1e-6, 0.0, 1.0, 2.0]),
        counts=np.array([0, 700, 700, 600, 0]),
        quantiles=np.quantile(np.repeat(values, [700, 700, 600]), np.linspace(0, 1, 101)),
        missing=0,
    )
    changed = replace(reference, features=(reference.features[0], made, *reference.features[2:]))
    served = rows(rng, 500)
    served[:, 1] = rng.choice(values, 500) + 0.001
    (found,) = [one for one in verdict(changed, served).features if one.name == "opened"]
    assert found.bins.p < 1e-9 and found.bins.excess > 0.1
    assert not found.drifted and found.shift < 0.1
    served[:, 1] += 0.3
    assert {one.name: one.drifted for one in verdict(changed, served).features}["opened"]
