"""documents.py: one document whatever the way, nothing coerced, everything wrong refused."""

import copy
import gzip
import json
import os
import pickle
import timeit
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pr_features.documents import (
    CONTRACT_FIELDS,
    UnusablePullRequest,
    check,
    from_graphql,
    from_rest,
    hash_author,
)

FETCHED = datetime(2026, 2, 3, 4, 5, 6, 789000, tzinfo=UTC)


def rest_pull(**changes):
    pull = {
        "id": 3_000_000_001,
        "number": 7,
        "title": "Cache the parsed table",
        "body": "It was read twice.\r\n",
        "state": "closed",
        "draft": False,
        "created_at": "2024-05-06T07:08:09Z",
        "updated_at": "2024-05-07T07:08:09Z",
        "closed_at": "2024-05-07T07:08:09Z",
        "merged_at": "2024-05-07T07:08:09Z",
        "additions": 12,
        "deletions": 3,
        "changed_files": 2,
        "commits": 4,
        "assignees": [{"login": "someone"}],
        "labels": [{"name": "speed"}, {"name": "core"}],
        "author_association": "MEMBER",
        "user": {"login": "helper[bot]", "id": 41, "type": "Bot"},
        "head": {"ref": "cache", "sha": "0" * 40, "repo": {"id": 2, "full_name": "fork/widget"}},
        "base": {"ref": "main", "repo": {"id": 1, "full_name": "acme/widget"}},
    }
    pull.update(changes)
    return pull


def graphql_pull(**changes):
    node = {
        "fullDatabaseId": "3000000001",
        "number": 7,
        "title": "Cache the parsed table",
        "body": "It was read twice.\r\n",
        "state": "MERGED",
        "isDraft": False,
        "isCrossRepository": True,
        "createdAt": "2024-05-06T07:08:09Z",
        "updatedAt": "2024-05-07T07:08:09Z",
        "closedAt": "2024-05-07T07:08:09Z",
        "mergedAt": "2024-05-07T07:08:09Z",
        "additions": 12,
        "deletions": 3,
        "changedFiles": 2,
        "commits": {"totalCount": 4},
        "assignees": {"totalCount": 1},
        "labels": {"nodes": [{"name": "core"}, {"name": "speed"}]},
        "authorAssociation": "MEMBER",
        "author": {"__typename": "Bot", "login": "helper", "databaseId": 41},
        "headRefName": "cache",
        "baseRefName": "main",
        "baseRepository": {"nameWithOwner": "acme/widget"},
    }
    node.update(changes)
    return node


def test_rest_gives_every_field_of_the_contract_in_its_order():
    document = from_rest(rest_pull(), fetched_at=FETCHED)
    assert tuple(document) == CONTRACT_FIELDS
    assert document == {
        "_id": 3_000_000_001,
        "pr_id": 3_000_000_001,
        "repo_name": "acme/widget",
        "number": 7,
        "title": "Cache the parsed table",
        "body": "It was read twice.\r\n",
        "state": "closed",
        "created_at": datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC),
        "updated_at": datetime(2024, 5, 7, 7, 8, 9, tzinfo=UTC),
        "closed_at": datetime(2024, 5, 7, 7, 8, 9, tzinfo=UTC),
        "merged_at": datetime(2024, 5, 7, 7, 8, 9, tzinfo=UTC),
        "additions": 12,
        "deletions": 3,
        "changed_files": 2,
        "commits_count": 4,
        "assignees_count": 1,
        "labels": ["core", "speed"],
        "author_association": "MEMBER",
        "author_login": "helper[bot]",
        "author_id": 41,
        "author_type": "Bot",
        "head_ref": "cache",
        "base_ref": "main",
        "is_draft": False,
        "is_cross_repository": True,
        "files": None,
        "fetched_at": FETCHED,
        "source": "rest",
        "schema_version": 1,
    }


def test_graphql_and_rest_and_a_stored_document_are_one():
    rest = from_rest(rest_pull(), fetched_at=FETCHED)
    graphql = from_graphql(graphql_pull(), fetched_at=FETCHED, source="rest")
    assert tuple(graphql) == CONTRACT_FIELDS
    assert graphql == rest
    assert check(rest) == rest
    as_json = json.loads(json.dumps(rest, default=lambda time: time.isoformat()))
    assert check(as_json) == rest
    naive = {
        key: value.replace(tzinfo=None) if isinstance(value, datetime) else value
        for key, value in rest.items()
    }
    assert check(naive) == rest


def test_files_are_the_same_from_rest_graphql_and_an_export():
    files = [
        {"filename": "b.py", "additions": 2, "deletions": 0, "status": "added"},
        {"filename": "a.py", "additions": 1, "deletions": 1},
    ]
    nodes = [{"path": f["filename"], "additions": f["additions"], "deletions": f["deletions"]}
             for f in files]  # fmt: skip
    expected = [
        {"path": "a.py", "additions": 1, "deletions": 1},
        {"path": "b.py", "additions": 2, "deletions": 0},
    ]
    connection = {"nodes": nodes, "pageInfo": {"hasNextPage": False}}
    incomplete = {"nodes": nodes, "pageInfo": {"hasNextPage": True}}
    assert from_rest(rest_pull(), files=files)["files"] == expected
    assert from_rest(rest_pull(files=files))["files"] == expected
    assert from_graphql(graphql_pull(files=connection))["files"] == expected
    assert from_graphql(graphql_pull(files=incomplete), files=nodes)["files"] == expected
    assert from_graphql(graphql_pull(files=incomplete))["files"] is None


def test_a_list_object_without_sizes_has_none_for_them():
    pull = rest_pull()
    for key in ("additions", "deletions", "changed_files", "commits"):
        del pull[key]
    document = from_rest(pull)
    assert [document[key] for key in ("additions", "deletions", "changed_files", "commits_count")] == [
        None
    ] * 4


def test_an_object_of_2015_has_none_for_what_the_interface_lacked():
    pull = rest_pull(assignee={"login": "someone"})
    for key in ("draft", "labels", "author_association", "assignees"):
        del pull[key]
    document = from_rest(pull)
    for key in ("is_draft", "labels", "author_association"):
        assert document[key] is None
    assert document["assignees_count"] == 1
    assert from_rest(rest_pull(assignees=None, assignee=None))["assignees_count"] == 0
    assert from_rest(rest_pull(assignees=None))["assignees_count"] is None


def test_left_out_keys_and_nulls_are_the_same():
    keys = ("body", "closed_at", "merged_at", "user", "labels", "draft", "title", "state")
    with_nulls = rest_pull(**dict.fromkeys(keys))
    without = {key: value for key, value in with_nulls.items() if key not in keys}
    assert from_rest(with_nulls) == from_rest(without)


@pytest.mark.parametrize(
    ("rest", "graphql"),
    [
        ({"body": None}, {"body": ""}),
        ({"user": {"login": "ghost", "id": 10137, "type": "User"}}, {"author": None}),
        ({"user": None}, {"author": None}),
        (
            {"head": {"ref": "cache", "sha": "0" * 40, "repo": None}},
            {"isCrossRepository": True},
        ),
        (
            {"head": {"ref": "cache", "repo": {"id": 1, "full_name": "acme/widget"}}},
            {"isCrossRepository": False},
        ),
        ({"head": {"ref": "cache"}}, {"isCrossRepository": None}),
        ({"state": "open"}, {"state": "OPEN"}),
        ({"state": "closed"}, {"state": "CLOSED"}),
        (
            {"user": {"login": "person", "id": 5, "type": "User"}},
            {"author": {"__typename": "User", "login": "person", "databaseId": 5}},
        ),
        (
            {"user": {"login": "Copilot", "id": 6, "type": "Bot"}},
            {"author": {"__typename": "Bot", "login": "copilot-swe-agent", "databaseId": 6}},
        ),
        (
            {"user": {"login": "Copilot", "id": 6, "type": "Bot"}},
            {"author": {"__typename": "Bot", "login": "copilot-swe-agent[bot]", "databaseId": 6}},
        ),
        ({}, {"fullDatabaseId": None, "databaseId": 3_000_000_001}),
    ],
)
def test_the_two_spellings_of_one_fact_meet(rest, graphql):
    assert from_rest(rest_pull(**rest), source="x") == from_graphql(graphql_pull(**graphql), source="x")


def test_a_fork_is_known_by_name_where_ids_are_missing():
    base = {"ref": "main", "repo": {"full_name": "acme/widget"}}
    same = {"ref": "x", "repo": {"full_name": "Acme/Widget"}}
    other = {"ref": "x", "repo": {"full_name": "fork/widget"}}
    assert from_rest(rest_pull(base=base, head=same))["is_cross_repository"] is False
    assert from_rest(rest_pull(base=base, head=other))["is_cross_repository"] is True


UNUSABLE = [
    ("id", None),
    ("id", "7"),
    ("id", 0),
    ("id", True),
    ("id", 7.0),
    ("id", 2**63),
    ("number", None),
    ("number", -1),
    ("number", "7"),
    ("number", 2**31),
    ("title", 5),
    ("title", "\ud800"),
    ("body", ["text"]),
    ("body", "x" * (2**20 + 1)),
    ("state", "merged"),
    ("state", 1),
    ("created_at", None),
    ("created_at", ""),
    ("created_at", "yesterday"),
    ("created_at", "2024-05-06T07:08:09"),
    ("created_at", "2006-12-31T23:59:59Z"),
    ("created_at", "9999-12-31T23:59:59-14:00"),
    ("created_at", 1_400_000_000),
    ("updated_at", (datetime.now(UTC) + timedelta(days=2)).isoformat()),
    ("merged_at", False),
    ("additions", -1),
    ("additions", "12"),
    ("additions", True),
    ("additions", 12.0),
    ("additions", float("nan")),
    ("additions", float("inf")),
    ("additions", 2**31),
    ("additions", 10**4000),
    ("deletions", []),
    ("changed_files", {}),
    ("commits", "many"),
    ("assignees", 3),
    ("labels", "core"),
    ("labels", {"name": "core"}),
    ("labels", ["core"]),
    ("labels", [{"name": None}]),
    ("author_association", 1),
    ("author_association", ""),
    ("draft", 0),
    ("draft", "false"),
    ("user", "login"),
    ("user", {"login": 5}),
    ("user", {"login": "a", "id": "5"}),
    ("user", {"login": "a", "id": -5}),
    ("head", []),
    ("head", {"ref": 5}),
    ("base", None),
    ("base", {"ref": "main"}),
    ("base", {"repo": {"full_name": "widget"}}),
    ("base", {"repo": {"full_name": "a/b/c"}}),
    ("base", {"repo": {"full_name": "a /b"}}),
    ("base", {"repo": {"full_name": "a/b\n"}}),
    ("base", {"repo": {"full_name": None}}),
    ("files", "a.py"),
    ("files", [{"additions": 1}]),
    ("files", [{"filename": "a.py", "additions": -1}]),
]


@pytest.mark.parametrize(("field", "value"), UNUSABLE)
def test_unusable_values_are_named_and_never_shown_whole(field, value):
    with pytest.raises(UnusablePullRequest) as caught:
        from_rest(rest_pull(**{field: value}))
    error = caught.value
    assert error.field.startswith(field)
    assert str(error) == f"{error.field}: expected {error.expected}, found {error.found}"
    assert len(error.found) <= 80
    assert str(error).isascii()
    again = pickle.loads(pickle.dumps(error))
    assert (again.field, again.expected, again.found, str(again)) == (
        error.field,
        error.expected,
        error.found,
        str(error),
    )


@pytest.mark.parametrize(
    ("field", "entry", "most"),
    [
        ("files", {"filename": "a"}, 3_000),
        ("labels", {"name": "a"}, 1_000),
        ("assignees", {"login": "a"}, 1_000),
    ],
)
def test_lists_have_at_most_what_github_gives(field, entry, most):
    assert from_rest(rest_pull(**{field: [entry] * most}))
    with pytest.raises(UnusablePullRequest) as caught:
        from_rest(rest_pull(**{field: [entry] * (most + 1)}))
    assert (caught.value.field, caught.value.found) == (field, f"{most + 1} entries")
    assert caught.value.expected == f"at most {most} entries"


@pytest.mark.parametrize("value", [None, [], "text", 5])
def test_what_is_no_object_is_unusable(value):
    for shape in (from_rest, from_graphql, check):
        with pytest.raises(UnusablePullRequest, match="expected an object"):
            shape(value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("fullDatabaseId", "seven"),
        ("fullDatabaseId", "9" * 30),
        ("fullDatabaseId", None),
        ("state", "open"),
        ("createdAt", None),
        ("commits", {"totalCount": "1"}),
        ("labels", {"nodes": [{}]}),
        ("isDraft", "no"),
    ],
)
def test_unusable_graphql_values_are_named(field, value):
    with pytest.raises(UnusablePullRequest) as caught:
        from_graphql(graphql_pull(**{field: value}))
    assert caught.value.field.startswith(field)


def test_a_request_may_come_without_identity():
    pull = rest_pull()
    del pull["id"], pull["number"]
    document = from_rest(pull, require_id=False)
    assert document["_id"] is document["pr_id"] is document["number"] is None
    assert check(document, require_id=False) == document
    with pytest.raises(UnusablePullRequest, match="pr_id"):
        check(document)


def test_an_older_collection_is_readable():
    stored = {"_id": object(), "pr_id": 9, "repo_name": "a/b", "number": 1,
              "created_at": datetime(2020, 1, 1), "labels": ["b", "a"]}  # fmt: skip
    document = check(stored)
    assert document["_id"] == 9
    assert document["labels"] == ["a", "b"]
    assert document["created_at"] == datetime(2020, 1, 1, tzinfo=UTC)
    assert document["additions"] is None
    with pytest.raises(UnusablePullRequest, match="_id: expected the same number as pr_id"):
        check({**stored, "_id": 8})
    with pytest.raises(UnusablePullRequest, match="schema_version"):
        check({**stored, "schema_version": 2})


def test_times_become_utc_milliseconds():
    local = datetime(2024, 1, 1, 3, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    for given_time in (local, local.isoformat()):
        time = from_rest(rest_pull(created_at=given_time))["created_at"]
        assert time == datetime(2024, 1, 1, 1, 0, 0, 123000, tzinfo=UTC)
        assert time.utcoffset() == timedelta(0)


def test_the_input_is_left_alone():
    pull, node = rest_pull(), graphql_pull()
    before = copy.deepcopy((pull, node))
    check(from_rest(pull))
    from_graphql(node)
    assert (pull, node) == before


def test_hashed_authors_keep_apart_and_hide_the_name():
    key = b"a key of at least 16 bytes"
    document = from_rest(rest_pull())
    hidden = hash_author(document, key)
    assert hidden["author_login"].startswith("author-") and hidden["author_login"].endswith("[bot]")
    assert "helper" not in hidden["author_login"]
    assert hidden["author_id"] != 41
    assert 0 < hidden["author_id"] < 2**63
    assert check(hidden) == hidden
    assert hash_author({**document, "author_login": "Helper[bot]"}, key) == hidden
    assert hash_author(document, key[::-1]) != hidden
    assert {k for k in document if document[k] != hidden[k]} == {"author_login", "author_id"}
    nobody = from_rest(rest_pull(user=None))
    assert hash_author(nobody, key) == nobody
    with pytest.raises(ValueError, match="at least 16 bytes"):
        hash_author(document, b"short")


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)


@settings(max_examples=300)
@given(st.sampled_from(sorted(rest_pull())), junk)
def test_any_value_in_any_field_is_shaped_or_refused(field, value):
    """Never another exception, and what was shaped passes its own check unchanged."""
    try:
        document = from_rest(rest_pull(**{field: value}))
    except UnusablePullRequest as error:
        assert error.field.startswith(field)
    else:
        assert check(document) == document


def test_shaping_is_fast_enough_for_every_request():
    """Measured 6 microseconds on 2 cores; the bound leaves room for a busy machine."""
    pull = rest_pull(body="A paragraph of text. " * 50)
    seconds = min(timeit.repeat(lambda: from_rest(pull), number=500, repeat=7)) / 500
    assert seconds < 60e-6


@pytest.mark.skipif("PR_DATA_DIR" not in os.environ, reason="PR_DATA_DIR names no real data")
def test_all_real_pull_requests_are_usable():
    count = 0
    for file in sorted(Path(os.environ["PR_DATA_DIR"]).glob("*_pulls.jsonl.gz")):
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for line in lines:
                pull = json.loads(line)
                document = from_rest(pull)
                assert check(document) == document
                assert document["additions"] == pull["additions"]
                assert document["is_draft"] is pull.get("draft")
                assert (document["labels"] is None) == ("labels" not in pull)
                assert document["assignees_count"] is not None
                count += 1
    assert count == 1777
