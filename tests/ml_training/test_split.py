"""Fitting and validation rows are cut by time, each large repository by itself."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from ml_training.split import SplitPlan
from stage_runtime.exits import UnusableInput

START = datetime(2024, 1, 1, tzinfo=UTC)


def keys(rows: list[tuple[str, int, str]]) -> pa.Table:
    """(repository, day, split) as key columns."""
    return pa.table(
        {
            "repo_name": [repo for repo, _, _ in rows],
            "created_at": pa.array(
                [START + timedelta(days=day) for _, day, _ in rows], pa.timestamp("us", tz="UTC")
            ),
            "split": [split for _, _, split in rows],
        }
    )


def plan(rows: list[tuple[str, int, str]]) -> SplitPlan:
    return SplitPlan.from_keys(iter(keys(rows).to_batches(max_chunksize=7)))


def test_the_newest_tenth_of_each_repository_validates() -> None:
    old = [("big/old", day, "train") for day in range(100)]
    new = [("big/new", day, "train") for day in range(1000, 1060)]
    later = [("big/old", 5000, "later")]
    made = plan([*new, *later, *old])
    assert made.counts() == {"train": 160, "fit": 144, "validation": 16, "later": 1}
    parts = made.parts(keys(old))
    assert parts["fit"].tolist() == [True] * 90 + [False] * 10
    assert parts["validation"].tolist() == [False] * 90 + [True] * 10
    assert not any(mask.any() for mask in made.parts(keys(later)).values())


def test_a_repository_in_two_spellings_is_one() -> None:
    rows = [("big/one" if day % 2 else "Big/One", day, "train") for day in range(60)]
    made = plan(rows)
    assert made.cuts.keys() == {"big/one"}
    assert made.parts(keys(rows))["validation"].tolist() == [False] * 54 + [True] * 6


def test_small_repositories_are_cut_together() -> None:
    rows = [(f"small/{day % 20}", day, "train") for day in range(100)]
    made = plan(rows)
    assert made.cuts == {}
    assert made.parts(keys(rows))["validation"].tolist() == [False] * 90 + [True] * 10


def test_counts_and_masks_agree_whatever_the_order() -> None:
    rng = np.random.default_rng(0)
    rows = [
        (f"r/{int(rng.integers(4))}", int(rng.integers(50)), "train" if rng.random() < 0.8 else "later")
        for _ in range(500)
    ]
    made, turned = plan(rows), plan(rows[::-1])
    assert made == turned or made.cuts == turned.cuts
    masks = made.parts(keys(rows))
    assert int(masks["fit"].sum()) == made.n_fit
    assert int(masks["validation"].sum()) == made.n_validation
    assert not (masks["fit"] & masks["validation"]).any()


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(UnusableInput, match="at least 10 rows of split train, found 3"):
        plan([("a/b", day, "train") for day in range(3)])
