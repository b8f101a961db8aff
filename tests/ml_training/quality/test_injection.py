"""Injected anomalies: of the declared kinds, valid, repeatable, and as strong as declared."""

import math
import re
from typing import Any

import pytest
from ml_training.quality.injection import Injector, declared, kinds
from pr_features.accounts import account_years
from pr_features.documents import check, hash_author
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


def test_as_many_files_are_listed_as_are_changed(documents: list[Document]) -> None:
    listed = [
        {"path": "src/a.py", "additions": 1, "deletions": 0},
        {"path": "b.md", "additions": 2, "deletions": 0},
    ]
    fetched = [{**document, "files": listed, "changed_files": 2} for document in documents]
    injector = Injector(fetched, 1, declared())
    for kind in kinds():
        for position in range(20):
            made = check(injector.inject(kind, position))
            assert len(made["files"]) == min(made["changed_files"], 3_000), kind
            paths = [file["path"] for file in made["files"]]
            assert len(set(paths)) == len(paths)


@pytest.mark.parametrize("kind", kinds())
def test_what_the_base_is_missing_stays_missing(documents: list[Document], kind: str) -> None:
    """Half of the corpus was taken from lists, which have no sizes, and from an export without branches."""
    fields = ("additions", "deletions", "changed_files", "commits_count", "head_ref", "is_cross_repository")
    half = [
        {**document, **dict.fromkeys(fields)} if document["number"] % 2 else document
        for document in documents[:300]
    ]
    injector = Injector(half, 1, declared())
    originals = {(document["repo_name"], document["number"]): document for document in half}
    made = [injector.inject(kind, position) for position in range(60)]
    assert {document["number"] % 2 for document in made} == {0, 1}
    for document in made:
        base = originals[document["repo_name"], document["number"]]
        for field in fields:
            assert (document[field] is None) == (base[field] is None), field


STRANGERS = ("global", "newcomer_sensitive", "drive_by", "mass_deletion")


@pytest.mark.parametrize("kind", STRANGERS)
def test_strangers_are_hashed_where_authors_are(documents: list[Document], kind: str) -> None:
    hashed = [hash_author(document, b"0123456789abcdef") for document in documents[:300]]
    known = {author_key(document) for document in hashed}
    injector = Injector(hashed, 1, declared())
    made = [injector.inject(kind, position) for position in range(40)]
    assert any(author_key(document) not in known for document in made)
    for document in made:
        assert re.fullmatch(r"author-[0-9a-f]{32}", document["author_login"])
        assert math.isnan(account_years(document["author_id"], document["created_at"]))
        assert check(document)


@pytest.mark.parametrize("kind", STRANGERS)
@pytest.mark.parametrize("absent", ["author_login", "author_id", "author_type"])
def test_strangers_lack_what_authors_lack(documents: list[Document], kind: str, absent: str) -> None:
    corpus = [{**document, absent: None} for document in documents[:300]]
    injector = Injector(corpus, 1, declared())
    assert all(injector.inject(kind, position)[absent] is None for position in range(40))


def test_nobody_is_made_up_where_no_author_is_named(documents: list[Document]) -> None:
    nobody = dict.fromkeys(("author_login", "author_id", "author_type"))
    injector = Injector([{**document, **nobody} for document in documents[:300]], 1, declared())
    for kind in STRANGERS:
        assert all(author_key(injector.inject(kind, position)) is None for position in range(20))
    # An account that was deleted is replaced by a stranger like any other author.
    some = [
        {**document, **nobody} if document["number"] % 9 == 0 else document for document in documents[:300]
    ]
    injector = Injector(some, 1, declared())
    assert all(injector.inject("drive_by", position)["author_id"] for position in range(60))


def test_local_noise_leaves_missing_counts_alone(documents: list[Document]) -> None:
    bare = [{**document, "additions": None, "deletions": None} for document in documents]
    made = Injector(bare, 1, declared()).inject("local_noise", 0)
    assert made["additions"] is None and made["changed_files"] >= 1
