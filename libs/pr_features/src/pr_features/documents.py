"""GitHub's pull-request object -> the `pull_requests` document, whatever way it arrived.

`from_rest` reads REST's object (detail, list, webhook, export file), `from_graphql` a GraphQL node,
`check` a document as read back. One pull request gives one and the same document by each of them,
`source` and `fetched_at` apart. Standard library only: serving calls this on every request.

Rules:

- Missing is None, never a default; an unknown key is ignored.
- A wrong type is refused, never converted: "7", 7.0, NaN and True are not the number 7.
- Unusable (`UnusablePullRequest`): no id or number (unless `require_id=False`), no repository, no
  `created_at`, any value of a wrong type, a negative or oversized count, a time without an offset
  or outside 2007 .. one day from now, a state other than open or closed, text that is no valid
  Unicode.
- Where REST and GraphQL spell one fact differently, one spelling wins: an empty body is None, a
  deleted author (REST: the account `ghost`, GraphQL: null) is None, a bot's login ends in `[bot]`,
  labels and files are sorted, times are UTC in whole milliseconds (as BSON keeps them).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from . import values
from .values import UnusablePullRequest

__all__ = [
    "CONTRACT_FIELDS",
    "SCHEMA_VERSION",
    "UnusablePullRequest",
    "check",
    "from_graphql",
    "from_rest",
    "hash_author",
]

SCHEMA_VERSION = 1

#: Fields of the document in the order of the contract (data_fetch: pull_request.schema.json).
CONTRACT_FIELDS: tuple[str, ...] = (
    "_id",
    "pr_id",
    "repo_name",
    "number",
    "title",
    "body",
    "state",
    "created_at",
    "updated_at",
    "closed_at",
    "merged_at",
    "additions",
    "deletions",
    "changed_files",
    "commits_count",
    "assignees_count",
    "labels",
    "author_association",
    "author_login",
    "author_id",
    "author_type",
    "head_ref",
    "base_ref",
    "is_draft",
    "is_cross_repository",
    "files",
    "fetched_at",
    "source",
    "schema_version",
)

#: Bots that REST does not spell as GraphQL's login with [bot]: GraphQL's login -> REST's. REST calls the
#: App copilot-swe-agent (bot 198982749) just Copilot; Shopify/shipit-engine#1411 quotes such a reply.
_REST_BOTS = {"copilot-swe-agent": "Copilot", "Copilot": "Copilot"}


def from_rest(
    pull: Mapping[str, Any],
    *,
    files: Sequence[Mapping[str, Any]] | None = None,
    fetched_at: datetime | None = None,
    source: str = "rest",
    require_id: bool = True,
) -> dict[str, Any]:
    """Shape GitHub's REST object (also a webhook's `pull_request`) into a document.

    List objects have no sizes and objects of 2015 no draft, labels or association: those become
    None. `files` is the reply of `/pulls/N/files`; an export may carry the same list in the key
    `files`. Raises `UnusablePullRequest`.
    """
    get = values.read_object(pull, "pull request").get
    latest = values.latest_time()
    base = values.read_object(get("base"), "base")
    head = values.read_object(get("head"), "head")
    base_repo = values.read_object(base.get("repo"), "base.repo")
    login, user_id, user_type = _rest_author(get("user"))
    pr_id = values.read_id(get("id"), "id", require_id)
    if files is None:
        files = get("files")
    return {
        "_id": pr_id,
        "pr_id": pr_id,
        "repo_name": values.read_repo_name(base_repo.get("full_name"), "base.repo.full_name"),
        "number": values.read_number(get("number"), "number", require_id),
        "title": values.read_text(get("title"), "title"),
        "body": values.read_text(get("body"), "body") or None,
        "state": values.read_state(get("state")),
        "created_at": values.read_created_at(get("created_at"), "created_at", latest),
        "updated_at": values.read_time(get("updated_at"), "updated_at", latest),
        "closed_at": values.read_time(get("closed_at"), "closed_at", latest),
        "merged_at": values.read_time(get("merged_at"), "merged_at", latest),
        "additions": values.read_count(get("additions"), "additions"),
        "deletions": values.read_count(get("deletions"), "deletions"),
        "changed_files": values.read_count(get("changed_files"), "changed_files"),
        "commits_count": values.read_count(get("commits"), "commits"),
        "assignees_count": _rest_assignees(pull),
        "labels": values.read_label_names(get("labels"), "labels"),
        "author_association": values.read_name(get("author_association"), "author_association"),
        "author_login": login,
        "author_id": user_id,
        "author_type": user_type,
        "head_ref": values.read_name(head.get("ref"), "head.ref"),
        "base_ref": values.read_name(base.get("ref"), "base.ref"),
        "is_draft": values.read_flag(get("draft"), "draft"),
        "is_cross_repository": _is_cross_repository(head, base_repo),
        "files": values.read_files(files, "files", "filename"),
        "fetched_at": values.read_time(fetched_at, "fetched_at", latest),
        "source": values.read_name(source, "source"),
        "schema_version": SCHEMA_VERSION,
    }


def from_graphql(
    node: Mapping[str, Any],
    *,
    repo_name: str | None = None,
    files: Sequence[Mapping[str, Any]] | None = None,
    fetched_at: datetime | None = None,
    source: str = "graphql",
    require_id: bool = True,
) -> dict[str, Any]:
    """Shape a `PullRequest` node of GitHub's GraphQL API into a document.

    `repo_name` is the repository's `nameWithOwner` (else the node's `baseRepository` gives it).
    `files` are all nodes of the `files` connection where it has several pages; a connection that
    has more pages and no `files` is None, as an incomplete list would be a wrong value.
    Raises `UnusablePullRequest`.
    """
    get = values.read_object(node, "pull request").get
    latest = values.latest_time()
    if repo_name is None:
        repo_name = values.read_object(get("baseRepository"), "baseRepository").get("nameWithOwner")
    login, user_id, user_type = _graphql_author(get("author"))
    pr_id = values.read_id(_graphql_id(node), "fullDatabaseId", require_id)
    labels = get("labels")
    if labels is not None:
        labels = values.read_object(labels, "labels").get("nodes")
    if files is None and get("files") is not None:
        connection = values.read_object(get("files"), "files")
        if not values.read_object(connection.get("pageInfo"), "files.pageInfo").get("hasNextPage"):
            files = connection.get("nodes")
    return {
        "_id": pr_id,
        "pr_id": pr_id,
        "repo_name": values.read_repo_name(repo_name, "baseRepository.nameWithOwner"),
        "number": values.read_number(get("number"), "number", require_id),
        "title": values.read_text(get("title"), "title"),
        "body": values.read_text(get("body"), "body") or None,
        "state": values.read_graphql_state(get("state")),
        "created_at": values.read_created_at(get("createdAt"), "createdAt", latest),
        "updated_at": values.read_time(get("updatedAt"), "updatedAt", latest),
        "closed_at": values.read_time(get("closedAt"), "closedAt", latest),
        "merged_at": values.read_time(get("mergedAt"), "mergedAt", latest),
        "additions": values.read_count(get("additions"), "additions"),
        "deletions": values.read_count(get("deletions"), "deletions"),
        "changed_files": values.read_count(get("changedFiles"), "changedFiles"),
        "commits_count": _total(get("commits"), "commits"),
        "assignees_count": _total(get("assignees"), "assignees"),
        "labels": values.read_label_names(labels, "labels.nodes"),
        "author_association": values.read_name(get("authorAssociation"), "authorAssociation"),
        "author_login": login,
        "author_id": user_id,
        "author_type": user_type,
        "head_ref": values.read_name(get("headRefName"), "headRefName"),
        "base_ref": values.read_name(get("baseRefName"), "baseRefName"),
        "is_draft": values.read_flag(get("isDraft"), "isDraft"),
        "is_cross_repository": values.read_flag(get("isCrossRepository"), "isCrossRepository"),
        "files": values.read_files(files, "files.nodes", "path"),
        "fetched_at": values.read_time(fetched_at, "fetched_at", latest),
        "source": values.read_name(source, "source"),
        "schema_version": SCHEMA_VERSION,
    }


def check(document: Mapping[str, Any], *, require_id: bool = True) -> dict[str, Any]:
    """Return a normalised copy of a document read from MongoDB, Parquet or a request.

    Absent fields become None, ISO strings and naive datetimes (pymongo's default; UTC) become
    aware datetimes. Collections of before the contract have an ObjectId as `_id` and the number in
    `pr_id`: `pr_id` counts. Raises `UnusablePullRequest`.
    """
    get = values.read_object(document, "pull request").get
    latest = values.latest_time()
    pr_id = get("pr_id")
    own_id = get("_id")
    if pr_id is None and isinstance(own_id, int):
        pr_id = own_id
    pr_id = values.read_id(pr_id, "pr_id", require_id)
    if isinstance(own_id, int) and own_id != pr_id:
        raise UnusablePullRequest("_id", f"the same number as pr_id ({pr_id})", own_id)
    version = get("schema_version")
    if version is not None and (version != SCHEMA_VERSION or isinstance(version, (bool, float))):
        raise UnusablePullRequest("schema_version", str(SCHEMA_VERSION), version)
    return {
        "_id": pr_id,
        "pr_id": pr_id,
        "repo_name": values.read_repo_name(get("repo_name"), "repo_name"),
        "number": values.read_number(get("number"), "number", require_id),
        "title": values.read_text(get("title"), "title"),
        "body": values.read_text(get("body"), "body") or None,
        "state": values.read_state(get("state")),
        "created_at": values.read_created_at(get("created_at"), "created_at", latest),
        "updated_at": values.read_time(get("updated_at"), "updated_at", latest),
        "closed_at": values.read_time(get("closed_at"), "closed_at", latest),
        "merged_at": values.read_time(get("merged_at"), "merged_at", latest),
        "additions": values.read_count(get("additions"), "additions"),
        "deletions": values.read_count(get("deletions"), "deletions"),
        "changed_files": values.read_count(get("changed_files"), "changed_files"),
        "commits_count": values.read_count(get("commits_count"), "commits_count"),
        "assignees_count": values.read_count(get("assignees_count"), "assignees_count"),
        "labels": values.read_strings(get("labels"), "labels"),
        "author_association": values.read_name(get("author_association"), "author_association"),
        "author_login": values.read_name(get("author_login"), "author_login"),
        "author_id": values.read_id(get("author_id"), "author_id", False),
        "author_type": values.read_name(get("author_type"), "author_type"),
        "head_ref": values.read_name(get("head_ref"), "head_ref"),
        "base_ref": values.read_name(get("base_ref"), "base_ref"),
        "is_draft": values.read_flag(get("is_draft"), "is_draft"),
        "is_cross_repository": values.read_flag(get("is_cross_repository"), "is_cross_repository"),
        "files": values.read_files(get("files"), "files", "path"),
        "fetched_at": values.read_time(get("fetched_at"), "fetched_at", latest),
        "source": values.read_name(get("source"), "source"),
        "schema_version": SCHEMA_VERSION,
    }


def hash_author(document: Mapping[str, Any], key: bytes) -> dict[str, Any]:
    """Return a copy whose `author_login` and `author_id` are keyed hashes (HMAC-SHA256).

    The same key gives the same pseudonym in fetching and serving, so author history still works.
    The login ignores case, as GitHub does, and keeps a `[bot]` at its end; the id stays a positive
    int64. Raises ValueError for a key shorter than 16 bytes, which could be guessed.
    """
    if len(key) < 16:
        raise ValueError(f"the author hash key must have at least 16 bytes, found {len(key)}")
    hidden = dict(document)
    login, user_id = document.get("author_login"), document.get("author_id")
    if login is not None:
        digest = hmac.digest(key, b"login:" + login.lower().encode(), hashlib.sha256)
        hidden["author_login"] = f"author-{digest.hex()[:32]}" + ("[bot]" if login.endswith("[bot]") else "")
    if user_id is not None:
        digest = hmac.digest(key, b"id:%d" % user_id, hashlib.sha256)
        hidden["author_id"] = (int.from_bytes(digest[:8]) >> 1) or 1
    return hidden


def _rest_author(user: Any) -> tuple[str | None, int | None, str | None]:
    if user is None:
        return None, None, None
    get = values.read_object(user, "user").get
    login = values.read_name(get("login"), "user.login")
    if login == "ghost":  # REST's stand-in for a deleted account; GraphQL says null
        return None, None, None
    return (
        login,
        values.read_id(get("id"), "user.id", False),
        values.read_name(get("type"), "user.type"),
    )


def _graphql_author(author: Any) -> tuple[str | None, int | None, str | None]:
    if author is None:
        return None, None, None
    get = values.read_object(author, "author").get
    login = values.read_name(get("login"), "author.login")
    kind = values.read_name(get("__typename"), "author.__typename")
    if login == "ghost":
        return None, None, None
    if kind == "Bot" and login is not None:
        login = login.removesuffix("[bot]")
        login = _REST_BOTS.get(login, f"{login}[bot]")
    return login, values.read_id(get("databaseId"), "author.databaseId", False), kind


def _graphql_id(node: Mapping[str, Any]) -> Any:
    """`fullDatabaseId` is a BigInt, sent as text; old Enterprise servers have `databaseId` only."""
    full = node.get("fullDatabaseId")
    if full is None:
        return node.get("databaseId")
    if isinstance(full, str) and full.isascii() and full.isdigit() and len(full) < 20:
        return int(full)
    return full


def _total(connection: Any, field: str) -> int | None:
    if connection is None:
        return None
    return values.read_count(values.read_object(connection, field).get("totalCount"), f"{field}.totalCount")


def _rest_assignees(pull: Mapping[str, Any]) -> int | None:
    assignees = pull.get("assignees")
    if assignees is not None:
        return len(values.read_list(assignees, "assignees"))
    if "assignee" not in pull:
        return None
    # Until 2016 a pull request had one assignee at most, so this key is the whole count.
    return 0 if pull["assignee"] is None else 1


def _is_cross_repository(head: Mapping[str, Any], base_repo: Mapping[str, Any]) -> bool | None:
    repo = head.get("repo")
    if repo is None:
        # GitHub's own head always has a sha. Its repository is gone while the base still exists, so
        # it was another one: a deleted fork, which GraphQL calls cross-repository as well.
        return True if head.get("sha") is not None else None
    get = values.read_object(repo, "head.repo").get
    ours, theirs = base_repo.get("id"), get("id")
    if isinstance(ours, int) and isinstance(theirs, int):
        return ours != theirs
    name = values.read_name(get("full_name"), "head.repo.full_name")
    return None if name is None else name.lower() != base_repo["full_name"].lower()
