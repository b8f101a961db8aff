"""Norms of a repository from histograms."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pr_features import norms
from pr_features.norms import NO_NORMS, QUANTITIES, norm_bins, norms_from_histograms, shrunk


def of_size(values: list[int]) -> tuple[float, float, float]:
    histogram = {value: values.count(value) for value in values}
    flat = norms_from_histograms([histogram, *({} for _ in QUANTITIES[1:])])
    assert flat[3:] == NO_NORMS[3:], "quantities without a value stay empty"
    return flat[0], flat[1], flat[2]


@given(st.lists(st.integers(0, 200), min_size=1, max_size=60))
def test_median_is_the_lower_median(values: list[int]) -> None:
    count, centre, spread = of_size(values)
    assert count == len(values)
    assert centre == statistics.median_low(values) / norms.BINS_PER_DOUBLING
    assert spread >= 0


def test_spread_of_quartiles() -> None:
    _, centre, spread = of_size([0, 8, 16, 24])
    assert centre == 1.0
    assert spread == pytest.approx((2.0 - 0.0) / 1.349)


def test_a_share_is_a_share() -> None:
    histograms: list[dict[int, int]] = [{} for _ in QUANTITIES]
    position = [quantity.name for quantity in QUANTITIES].index("newcomer")
    histograms[position] = {0: 3, 1: 1}
    norm = shrunk(norms_from_histograms(histograms), [0.0] * len(NO_NORMS), "newcomer")
    assert norm.pulls == 4
    assert norm.centre == pytest.approx(0.25 * 4 / 24), "four pull requests weigh 4 of 24 against the corpus"


def test_bins_of_a_document() -> None:
    document = {
        "additions": 6, "deletions": 1, "changed_files": 0, "title": " Fix ", "body": "<!-- x -->\n- [ ] y",
        "head_ref": "topic", "base_ref": "main", "is_cross_repository": True, "author_type": None,
    }  # fmt: skip
    bins = dict(zip((q.name for q in QUANTITIES), norm_bins(document, 0), strict=True))
    assert bins["lines"] == 24 and bins["files"] == 0 and bins["title_length"] == 16
    assert bins["body_length"] == 0 and bins["body_empty"] == 1, "a template is no text of one's own"
    assert bins["newcomer"] == 1 and bins["head_default"] == 0 and bins["from_fork"] == 1
    assert bins["bot"] is None
    unknown = dict.fromkeys(document)
    assert norm_bins(unknown, None)[0] is None and norm_bins(unknown, None)[4] is None


@pytest.mark.parametrize(
    ("head", "base", "expected"),
    [
        ("master", "develop", True),
        ("Main", "x", True),
        ("x", "x", True),
        ("fix", "main", False),
        (None, "x", None),
    ],
)
def test_head_is_default(head: str | None, base: str, expected: bool | None) -> None:
    assert norms.head_is_default({"head_ref": head, "base_ref": base}) is expected
