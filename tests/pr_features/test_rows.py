"""Rows: every feature within its documented range, for real-looking and for hostile documents."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pr_features import catalogue
from pr_features.documents import check
from pr_features.facts import Facts
from pr_features.history import History
from pr_features.norms import NO_NORMS, QUANTITIES, norm_bins
from pr_features.preprocessor import INDICATED
from pr_features.profile import CorpusProfile
from pr_features.registry import FEATURES, LEAKS, NAMES, PAST
from pr_features.rows import row, rows

Pull = Callable[..., dict[str, Any]]

PROFILE = CorpusProfile.build(100, [("fix", 30), ("the", 90), ("parser", 3), ("file:.py", 50)])
anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=50)
counts = st.one_of(st.none(), st.integers(0, 2**31 - 1))
documents = st.fixed_dictionaries(
    {
        "pr_id": st.integers(1, 2**62), "repo_name": st.just("a/b"), "number": st.integers(1, 10**6),
        "title": st.one_of(st.none(), anything), "body": st.one_of(st.none(), anything),
        "created_at": st.datetimes(datetime(2008, 1, 1), datetime(2026, 1, 1), timezones=st.just(UTC)),
        "additions": counts, "deletions": counts, "changed_files": counts, "commits_count": counts,
        "author_id": st.one_of(st.none(), st.integers(1, 2**62)),
        "author_type": st.sampled_from([None, "User", "Bot", "Organization"]),
        "head_ref": st.one_of(st.none(), names),
        "base_ref": st.sampled_from([None, "main", "x"]),
        "is_cross_repository": st.sampled_from([None, True, False]),
        "files": st.one_of(st.none(), st.lists(st.fixed_dictionaries({
            "path": names,
            "additions": st.integers(0, 9), "deletions": st.integers(0, 9)}), max_size=4)),
    }
)  # fmt: skip
histories = st.builds(
    History, st.integers(0, 9999), st.integers(0, 9999), st.integers(0, 99), st.just(NO_NORMS)
)


def value(document: dict[str, Any], name: str, history: History | None = None) -> float:
    return float(row(document, history or History(), PROFILE).values[NAMES.index(name)])


@settings(max_examples=100)
@given(documents, histories)
def test_every_value_is_in_its_range_and_missing_only_where_it_may_be(
    raw: dict[str, Any], history: History
) -> None:
    document = check(raw)
    values = row(document, history, PROFILE).values
    assert values.dtype == np.float32
    described = {
        name: None if math.isnan(found) else found for name, found in zip(NAMES, values.tolist(), strict=True)
    }
    jsonschema.validate(described, catalogue.json_schema())


@settings(max_examples=30)
@given(st.lists(st.tuples(documents, histories), min_size=1, max_size=5))
def test_rows_made_together_are_those_made_alone(raw: list[tuple[dict[str, Any], History]]) -> None:
    pairs = [(check(document | {"title": "fix parser"}), history) for document, history in raw]
    together = rows(pairs, PROFILE)
    alone = [row(document, history, PROFILE) for document, history in pairs]
    assert together.values.tobytes() == b"".join([one.values.tobytes() for one in alone])
    entries = [
        (place, index, weight)
        for place, one in enumerate(alone)
        for index, weight in zip(one.text_indices, one.text_values, strict=True)
    ]
    found = (together.text_rows, together.text_indices, together.text_values)
    assert list(zip(*[part.tolist() for part in found], strict=True)) == entries


@settings(max_examples=50)
@given(documents, histories)
def test_nothing_that_a_maintainer_does_later_is_seen(raw: dict[str, Any], history: History) -> None:
    later = {
        "state": "closed", "merged_at": "2026-02-01T00:00:00Z", "closed_at": "2026-02-01T00:00:00Z",
        "updated_at": "2026-02-02T00:00:00Z", "labels": ["spam"], "author_association": "MEMBER",
        "assignees_count": 3, "is_draft": True, "fetched_at": "2026-02-03T00:00:00Z",
    }  # fmt: skip
    first, after = row(check(raw), history, PROFILE), row(check(raw | later), history, PROFILE)
    assert first.values.tobytes() == after.values.tobytes()
    assert first.text_indices == after.text_indices and first.text_values == after.text_values


AUTHORS_PAST = {feature.name for feature in FEATURES if "past" in feature.leaks}


def test_a_deleted_account_is_no_newcomer(pull: Pull) -> None:
    """GitHub forgets who it was: that is known later only, and says nothing of the author's past."""
    files = [{"path": "setup.py", "additions": 1, "deletions": 0}]
    ghost = pull(author_login=None, author_id=None, author_type=None, files=files)
    stranger = pull(author_login="new", author_id=43, files=files)
    unknown, new = row(ghost, History(), PROFILE).values, row(stranger, History(), PROFILE).values
    without = {name for name, found in zip(NAMES, unknown, strict=True) if math.isnan(found)}
    assert without == AUTHORS_PAST | {"account_age"}
    assert not np.isnan(new[[NAMES.index(name) for name in AUTHORS_PAST]]).any()
    assert value(stranger, "newcomer") > 0 and value(stranger, "stranger_sensitive") > 0
    # Neither does it count among the repository's newcomers.
    bins = norm_bins(Facts(ghost, 0, 0, 0))
    assert [bins[QUANTITIES.index(name)] for name in ("newcomer", "unmerged_author")] == [None, None]
    assert None not in norm_bins(Facts(stranger, 0, 0, 0))
    # No indicator says so: GitHub forgets an author later.
    indicated = {NAMES[index] for index in INDICATED}
    assert "account_age" in indicated and not indicated & AUTHORS_PAST
    # A past that a request brings along is known, whoever it is of.
    assert not math.isnan(value(ghost, "author_failed", History(3, 2, 1)))


def test_every_feature_says_what_could_leak() -> None:
    assert {leak for feature in FEATURES for leak in feature.leaks} == set(LEAKS)
    for feature in FEATURES:
        assert feature.leaks, feature.name
        # Whatever is held against the repository's habits must say of when these are.
        assert ("norms" in feature.leaks) == (feature.norm is not None), feature.name
        assert ("past" in feature.leaks) == (PAST in feature.source), feature.name
        assert ("pushed" in feature.leaks) == (feature.block in {"size", "files"}), feature.name


def test_names_are_unique_and_the_readme_shows_the_table(repository: Path) -> None:
    assert len(set(NAMES)) == len(FEATURES)
    assert catalogue.markdown() in (repository / "libs" / "pr_features" / "README.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("branch_unrelated", {"head_ref": "fix-parsing", "title": "Fixed the parser"}, 0.0),
        ("branch_unrelated", {"head_ref": "patch-1"}, 1.0),
        ("branch_unrelated", {"head_ref": "fix-parsing", "title": "Typo", "body": "in the parser"}, 0.5),
        ("branch_unrelated", {"head_ref": "1.0"}, 1.0),
        ("branch_untitled", {"head_ref": "fix-parsing", "title": "Typo", "body": "in the parser"}, 1.0),
        ("branch_untitled", {"head_ref": "fix-parsing", "title": "Prefix of parsers"}, 0.5),
        ("title_unrelated", {"head_ref": "fix-it", "title": "Fix old parser", "body": "It parses"}, 1 / 3),
        ("title_unrelated", {"head_ref": "patch-1", "title": "Update README.md", "body": None}, 1.0),
        ("title_unrelated", {"title": "1.0"}, 1.0),
        ("lines", {"additions": 3, "deletions": 4}, math.log(8)),
        ("lines", {"additions": None}, math.nan),
        ("lines_per_file", {"additions": 9, "deletions": 0, "changed_files": 0}, math.log(10)),
        ("balance", {"additions": 9, "deletions": 0}, 0.9),
        ("title_capitals", {"title": "FIX it"}, 0.6),
        ("title_capitals", {"title": "123"}, 1.0),
        ("foreign_letters", {"title": "исправить", "body": None}, math.log(101)),
        ("files_sensitive", {"files": [{"path": ".github/workflows/x.yml"}, {"path": "a.py"}]}, 0.5),
        ("stranger_sensitive", {"files": [{"path": "setup.py"}, {"path": "evil.exe"}]}, math.log(3)),
        ("files_tests", {"files": [{"path": "tests/test_a.py"}, {"path": "contest.py"}]}, 0.5),
        ("files_docs", {"files": []}, math.nan),
        ("empty_body", {"body": None}, math.sqrt(-2 * math.log(0.25))),
        ("empty_body", {"body": "x"}, 0.0),
        ("body_unusual", {"body": "the the"}, math.log(101 / 89)),
        ("body_unusual", {"body": "zebra"}, math.log(101)),
        ("account_age", {"author_id": 10_360_000, "created_at": datetime(2016, 1, 1, tzinfo=UTC)}, 0.0),
        ("account_age", {"author_id": 2**61}, math.nan),
    ],
)
def test_value(name: str, changes: dict[str, Any], expected: float, pull: Pull) -> None:
    assert value(pull(**changes), name) == pytest.approx(expected, abs=2e-3, nan_ok=True)


def test_author_history_in_values(pull: Pull) -> None:
    stranger, regular = History(0, 0, 0), History(9, 6, 0)
    assert value(pull(), "newcomer", stranger) > 0 == value(pull(), "newcomer", regular)
    assert value(pull(), "author_opened", regular) == pytest.approx(-math.log(10))
    assert value(pull(), "author_failed", regular) == pytest.approx(1 - 7.8 / 12)
    assert value(pull(), "burst", History(4, 0, 3)) == pytest.approx(math.log(4))
    assert value(pull(), "burst", History(4, 1, 3)) == 0.0
    sensitive = pull(files=[{"path": "setup.py"}])
    assert value(sensitive, "stranger_sensitive", regular) == 0.0


def test_a_newcomer_is_no_surprise_where_all_are(pull: Pull) -> None:
    newcomers = [0.0] * len(NO_NORMS)
    newcomers[0:2] = [1000.0, 1.0]
    assert value(pull(), "newcomer", History(norms=newcomers)) < 0.1 < value(pull(), "newcomer")


def test_tf_idf_is_sorted_and_of_length_one(pull: Pull) -> None:
    found = row(pull(title="parser fix fix"), History(), PROFILE)
    assert found.text_indices == [0, 1]
    assert [PROFILE.columns[index] for index in found.text_indices] == ["fix", "parser"]
    assert math.hypot(*found.text_values) == pytest.approx(1.0)
    fix = (1 + math.log(2)) * (math.log(101 / 31) + 1)
    parser = math.log(101 / 4) + 1
    assert found.text_values[0] / found.text_values[1] == pytest.approx(fix / parser)


def test_the_order_of_a_set_does_not_reach_the_bits(pull: Pull) -> None:
    import subprocess
    import sys

    code = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "from datetime import datetime, UTC\n"
        "from pr_features.history import History\n"
        "from pr_features.profile import CorpusProfile\n"
        "from pr_features.rows import row\n"
        "body = ' '.join(a + b for a in 'abcdefgh' for b in ('one', 'two', 'three', 'four'))\n"
        "profile = CorpusProfile.build(1000, [(a + 'one', 3 + i) for i, a in enumerate('abcdefgh')])\n"
        "d = dict(title=body, body=body, created_at=datetime(2024, 1, 1, tzinfo=UTC))\n"
        "print(row(d, History(), profile).values.tobytes().hex())\n"
    )
    results = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(results) == 1
