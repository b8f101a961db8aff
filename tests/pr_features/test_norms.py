"""Norms of a repository from histograms."""

import math
import statistics
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pr_features import norms
from pr_features.facts import FLAGS, Facts, is_branch_title, is_default_branch
from pr_features.norms import NO_NORMS, QUANTITIES, norm_bins, norm_of, norms_from_histograms

Histograms = list[dict[int, int]]


def of(name: str, values: list[int]) -> tuple[float, ...]:
    histograms: Histograms = [{} for _ in QUANTITIES]
    histograms[QUANTITIES.index(name)] = {value: values.count(value) for value in values}
    return norms_from_histograms(histograms)


@given(st.lists(st.integers(0, 200), min_size=1, max_size=60))
def test_median_is_the_lower_median(values: list[int]) -> None:
    flat = of("additions", values)
    position = QUANTITIES.index("additions") * norms.NORM_WIDTH
    count, centre, spread = flat[position : position + 3]
    assert count == len(values)
    assert centre == statistics.median_low(values) / norms.BINS_PER_UNIT
    assert spread >= 0
    assert flat[:position] == NO_NORMS[:position], "quantities without a value stay empty"


def test_the_prior_counts_as_much_as_eight_pull_requests() -> None:
    prior = norm_of(NO_NORMS, "newcomer")
    assert prior == (0.0, 0.4, 0.0)
    assert norm_of(of("newcomer", [1] * 8), "newcomer") == (8.0, pytest.approx(0.7), 0.0)
    assert norm_of(of("newcomer", [0] * 10_000), "newcomer").centre == pytest.approx(0.0, abs=1e-3)
    size = norm_of(of("additions", [0] * 8), "additions")
    assert (size.centre, size.spread) == (pytest.approx(1.6), pytest.approx(1.5))


def test_wrong_number_of_histograms() -> None:
    with pytest.raises(ValueError, match=r"expected \d+ histograms, found 1"):
        norms_from_histograms([{}])


def test_bins_of_a_document(pull: Callable[..., dict[str, Any]]) -> None:
    document = pull(additions=6, deletions=0, changed_files=None, body="<!-- x -->\n- [ ] y")
    bins = dict(zip(QUANTITIES, norm_bins(Facts(document, 0, 0, 0)), strict=True))
    assert bins["additions"] == round(12 * math.log(7)) and bins["deletions"] == 0
    assert bins["changed_files"] is None
    assert bins["empty_body"] == 1, "a template is no text of one's own"
    assert (bins["newcomer"], bins["default_branch"], bins["fork"], bins["no_reference"]) == (1, 0, 1, 1)
    regular = norm_bins(Facts(document, 5, 3, 0))
    assert regular[QUANTITIES.index("newcomer")] == regular[QUANTITIES.index("unmerged_author")] == 0


def test_quantities_are_flags_then_sizes() -> None:
    assert QUANTITIES[: len(FLAGS)] == tuple(flag.name for flag in FLAGS)


@pytest.mark.parametrize(
    ("head", "base", "expected"),
    [("master", "develop", True), ("Main", "x", True), ("x", "X", True), ("v1.2.x", "main", True),
     ("release/2.0", "main", True), ("fix", "main", False), ("", "", False)],
)  # fmt: skip
def test_default_branch(head: str, base: str, expected: bool) -> None:
    assert is_default_branch(head, base) is expected


@pytest.mark.parametrize(
    ("title", "head", "expected"),
    [("Fix the parser", "fix-the-parser", True), ("Patch 1", "patch-1", True), ("Fix it", "me/fix-it", True),
     ("Fix it", "other", False), ("", "", False), ("???", "!!!", False)],
)  # fmt: skip
def test_branch_title(title: str, head: str, expected: bool) -> None:
    assert is_branch_title(title, head) is expected


@pytest.mark.parametrize(
    ("title", "expected"),
    [("Update README.md", True), ("create a to b", True), ("Add files via upload", True),
     ("Merge branch 'x' into y", True), ("Update the parser docs", False), ("Merges are odd", False)],
)  # fmt: skip
def test_web_title(title: str, expected: bool, pull: Callable[..., dict[str, Any]]) -> None:
    flags = dict(zip((flag.name for flag in FLAGS), Facts(pull(title=title), 0, 0, 0).flags(), strict=True))
    assert flags["web_title"] is expected
