"""Injected anomalies: of the declared kinds, valid, repeatable, and as strong as declared."""

from typing import Any

import pytest
from ml_training.quality.injection import Injector, declared, kinds
from pr_features.documents import check
from pr_features.history import author_key

Document = dict[str, Any]


@pytest.fixture
def injector(documents: list[Document]) -> Injector:
    return Injector(documents[:300], 1, declared())


def test_the_kinds_that_were_asked_for() -> None:
    assert {
        "mixed",
        "global",
        "local_noise",
        "huge",
        "newcomer_sensitive",
        "foreign_text",
    } <= set(kinds())


@pytest.mark.parametrize("kind", kinds())
def test_every_kind_is_valid_and_repeatable(injector: Injector, documents: list[Document], kind: str) -> None:
    again = Injector(documents[:300], 1, declared())
    made = [injector.inject(kind, position) for position in range(50)]
    assert made == [again.inject(kind, position) for position in range(50)]
    assert made != [Injector(documents[:300], 2, declared()).inject(kind, p) for p in range(50)]
    originals = {(document["repo_name"], document["number"]): document for document in documents}
    for document in made:
        checked = check(document)
        base = originals[document["repo_name"], document["number"]]
        changed = {field for field in base if base[field] != checked[field]}
        assert changed - {"merged_at"}, "an anomaly that changes nothing"
        assert not changed & {"repo_name", "number", "created_at", "pr_id"}


def test_mixed_values_each_occur_in_the_repository(injector: Injector, documents: list[Document]) -> None:
    for position in range(30):
        made = injector.inject("mixed", position)
        own = [one for one in documents[:300] if one["repo_name"] == made["repo_name"]]
        pool = own if len(own) >= 30 else documents[:300]
        for field in ("title", "body", "commits_count", "head_ref", "author_id"):
            assert made[field] in {one[field] for one in pool}


def test_newcomers_are_nobody_and_huge_is_huge(injector: Injector, documents: list[Document]) -> None:
    known = {author_key(document) for document in documents}
    for kind in ("newcomer_sensitive", "drive_by", "mass_deletion"):
        assert all(author_key(injector.inject(kind, p)) not in known for p in range(30))
    at = declared()["huge"]
    for position in range(30):
        made = injector.inject("huge", position)
        for field, (low, high) in at.items():
            assert low <= made[field] <= high


def test_files_are_listed_only_where_files_are_fetched(documents: list[Document]) -> None:
    assert all(document["files"] is None for document in documents)
    without = Injector(documents, 1, declared())
    assert all(without.inject("newcomer_sensitive", p)["files"] is None for p in range(20))
    fetched = [{**document, "files": []} for document in documents]
    made = Injector(fetched, 1, declared()).inject("newcomer_sensitive", 0)
    assert made["files"] and made["changed_files"] == len(made["files"])
    assert made["additions"] == sum(file["additions"] for file in made["files"])


def test_missing_counts_stay_missing(documents: list[Document]) -> None:
    bare = [{**document, "additions": None, "deletions": None} for document in documents]
    made = Injector(bare, 1, declared()).inject("local_noise", 0)
    assert made["additions"] is None and made["changed_files"] >= 1
