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
from datetime import UTC, datetime, timedelta
from typing import Any

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

_MAX_ID = 2**63 - 1
_MAX_COUNT = 2**31 - 1  # GraphQL's Int
_MAX_TEXT = 2**20  # GitHub cuts a body at 262,144 bytes
_MAX_NAME = 1_024
_MAX_LIST = 100_000
_EARLIEST = datetime(2007, 1, 1, tzinfo=UTC)  # GitHub's first repositories are of October 2007
_ONE_DAY = timedelta(days=1)
_NOTHING: Mapping[str, Any] = {}
_GRAPHQL_STATES = {"OPEN": "open", "CLOSED": "closed", "MERGED": "closed"}


class UnusablePullRequest(ValueError):
    """One value makes the pull request unusable.

    `field` is the path in the object as it was given (`user.id`, `labels[2].name`), `expected` a
    phrase, `found` a description of at most 80 characters of the value.
    """

    def __init__(self, field: str, expected: str, value: object) -> None:
        self.field = field
        self.expected = expected
        self.found = _describe(value)
        super().__init__(f"{field}: expected {expected}, found {self.found}")

    def __reduce__(self) -> tuple[Any, ...]:
        # Spark sends exceptions between processes; the default would call __init__ with one value.
        return _rebuild, (self.field, self.expected, self.found)


def _rebuild(field: str, expected: str, found: str) -> UnusablePullRequest:
    error = UnusablePullRequest(field, expected, None)
    error.found = found
    error.args = (f"{field}: expected {expected}, found {found}",)
    return error


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
    get = _object(pull, "pull request").get
    latest = datetime.now(UTC) + _ONE_DAY
    base = _object(get("base"), "base")
    head = _object(get("head"), "head")
    base_repo = _object(base.get("repo"), "base.repo")
    login, user_id, user_type = _rest_author(get("user"))
    pr_id = _id(get("id"), "id", require_id)
    if files is None:
        files = get("files")
    return {
        "_id": pr_id,
        "pr_id": pr_id,
        "repo_name": _repo_name(base_repo.get("full_name"), "base.repo.full_name"),
        "number": _number(get("number"), "number", require_id),
        "title": _text(get("title"), "title"),
        "body": _text(get("body"), "body") or None,
        "state": _state(get("state")),
        "created_at": _created_at(get("created_at"), "created_at", latest),
        "updated_at": _time(get("updated_at"), "updated_at", latest),
        "closed_at": _time(get("closed_at"), "closed_at", latest),
        "merged_at": _time(get("merged_at"), "merged_at", latest),
        "additions": _count(get("additions"), "additions"),
        "deletions": _count(get("deletions"), "deletions"),
        "changed_files": _count(get("changed_files"), "changed_files"),
        "commits_count": _count(get("commits"), "commits"),
        "assignees_count": _rest_assignees(pull),
        "labels": _label_names(get("labels"), "labels"),
        "author_association": _name(get("author_association"), "author_association"),
        "author_login": login,
        "author_id": user_id,
        "author_type": user_type,
        "head_ref": _name(head.get("ref"), "head.ref"),
        "base_ref": _name(base.get("ref"), "base.ref"),
        "is_draft": _flag(get("draft"), "draft"),
        "is_cross_repository": _is_cross_repository(head, base_repo),
        "files": _files(files, "files", "filename"),
        "fetched_at": _time(fetched_at, "fetched_at", latest),
        "source": _name(source, "source"),
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
    get = _object(node, "pull request").get
    latest = datetime.now(UTC) + _ONE_DAY
    if repo_name is None:
        repo_name = _object(get("baseRepository"), "baseRepository").get("nameWithOwner")
    login, user_id, user_type = _graphql_author(get("author"))
    pr_id = _id(_graphql_id(node), "fullDatabaseId", require_id)
    labels = get("labels")
    if labels is not None:
        labels = _object(labels, "labels").get("nodes")
    if files is None and get("files") is not None:
        connection = _object(get("files"), "files")
        if not _object(connection.get("pageInfo"), "files.pageInfo").get("hasNextPage"):
            files = connection.get("nodes")
    return {
        "_id": pr_id,
        "pr_id": pr_id,
        "repo_name": _repo_name(repo_name, "baseRepository.nameWithOwner"),
        "number": _number(get("number"), "number", require_id),
        "title": _text(get("title"), "title"),
        "body": _text(get("body"), "body") or None,
        "state": _graphql_state(get("state")),
        "created_at": _created_at(get("createdAt"), "createdAt", latest),
        "updated_at": _time(get("updatedAt"), "updatedAt", latest),
        "closed_at": _time(get("closedAt"), "closedAt", latest),
        "merged_at": _time(get("mergedAt"), "mergedAt", latest),
        "additions": _count(get("additions"), "additions"),
        "deletions": _count(get("deletions"), "deletions"),
        "changed_files": _count(get("changedFiles"), "changedFiles"),
        "commits_count": _total(get("commits"), "commits"),
        "assignees_count": _total(get("assignees"), "assignees"),
        "labels": _label_names(labels, "labels.nodes"),
        "author_association": _name(get("authorAssociation"), "authorAssociation"),
        "author_login": login,
        "author_id": user_id,
        "author_type": user_type,
        "head_ref": _name(get("headRefName"), "headRefName"),
        "base_ref": _name(get("baseRefName"), "baseRefName"),
        "is_draft": _flag(get("isDraft"), "isDraft"),
        "is_cross_repository": _flag(get("isCrossRepository"), "isCrossRepository"),
        "files": _files(files, "files.nodes", "path"),
        "fetched_at": _time(fetched_at, "fetched_at", latest),
        "source": _name(source, "source"),
        "schema_version": SCHEMA_VERSION,
    }


def check(document: Mapping[str, Any], *, require_id: bool = True) -> dict[str, Any]:
    """Return a normalised copy of a document read from MongoDB, Parquet or a request.

    Absent fields become None, ISO strings and naive datetimes (pymongo's default; UTC) become
    aware datetimes. Collections of before the contract have an ObjectId as `_id` and the number in
    `pr_id`: `pr_id` counts. Raises `UnusablePullRequest`.
    """
    get = _object(document, "pull request").get
    latest = datetime.now(UTC) + _ONE_DAY
    pr_id = get("pr_id")
    own_id = get("_id")
    if pr_id is None and isinstance(own_id, int):
        pr_id = own_id
    pr_id = _id(pr_id, "pr_id", require_id)
    if isinstance(own_id, int) and own_id != pr_id:
        raise UnusablePullRequest("_id", f"the same number as pr_id ({pr_id})", own_id)
    version = get("schema_version")
    if version is not None and (version != SCHEMA_VERSION or isinstance(version, (bool, float))):
        raise UnusablePullRequest("schema_version", str(SCHEMA_VERSION), version)
    return {
        "_id": pr_id,
        "pr_id": pr_id,
        "repo_name": _repo_name(get("repo_name"), "repo_name"),
        "number": _number(get("number"), "number", require_id),
        "title": _text(get("title"), "title"),
        "body": _text(get("body"), "body") or None,
        "state": _state(get("state")),
        "created_at": _created_at(get("created_at"), "created_at", latest),
        "updated_at": _time(get("updated_at"), "updated_at", latest),
        "closed_at": _time(get("closed_at"), "closed_at", latest),
        "merged_at": _time(get("merged_at"), "merged_at", latest),
        "additions": _count(get("additions"), "additions"),
        "deletions": _count(get("deletions"), "deletions"),
        "changed_files": _count(get("changed_files"), "changed_files"),
        "commits_count": _count(get("commits_count"), "commits_count"),
        "assignees_count": _count(get("assignees_count"), "assignees_count"),
        "labels": _strings(get("labels"), "labels"),
        "author_association": _name(get("author_association"), "author_association"),
        "author_login": _name(get("author_login"), "author_login"),
        "author_id": _id(get("author_id"), "author_id", False),
        "author_type": _name(get("author_type"), "author_type"),
        "head_ref": _name(get("head_ref"), "head_ref"),
        "base_ref": _name(get("base_ref"), "base_ref"),
        "is_draft": _flag(get("is_draft"), "is_draft"),
        "is_cross_repository": _flag(get("is_cross_repository"), "is_cross_repository"),
        "files": _files(get("files"), "files", "path"),
        "fetched_at": _time(get("fetched_at"), "fetched_at", latest),
        "source": _name(get("source"), "source"),
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
        hidden["author_login"] = f"author-{digest.hex()[:32]}" + (
            "[bot]" if login.endswith("[bot]") else ""
        )
    if user_id is not None:
        digest = hmac.digest(key, b"id:%d" % user_id, hashlib.sha256)
        hidden["author_id"] = (int.from_bytes(digest[:8]) >> 1) or 1
    return hidden


def _object(value: Any, field: str) -> Mapping[str, Any]:
    if isinstance(value, dict):
        return value
    if value is None and field != "pull request":
        return _NOTHING
    if isinstance(value, Mapping):
        return value
    raise UnusablePullRequest(field, "an object", value)


def _id(value: Any, field: str, required: bool) -> int | None:
    if value is None and not required:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= _MAX_ID:
        raise UnusablePullRequest(field, "a positive 64-bit integer", value)
    return value


def _number(value: Any, field: str, required: bool) -> int | None:
    if value is None and not required:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= _MAX_COUNT:
        raise UnusablePullRequest(field, "a positive 32-bit integer", value)
    return value


def _count(value: Any, field: str) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_COUNT:
        raise UnusablePullRequest(field, f"an integer from 0 to {_MAX_COUNT}", value)
    return value


def _flag(value: Any, field: str) -> bool | None:
    if value is None or value is True or value is False:
        return value
    raise UnusablePullRequest(field, "true or false", value)


def _text(value: Any, field: str, limit: int = _MAX_TEXT) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise UnusablePullRequest(field, "text", value)
    if len(value) > limit:
        raise UnusablePullRequest(field, f"at most {limit} characters", value)
    if not value.isascii():
        try:  # "\ud800" is valid JSON, but neither BSON nor Arrow can hold it
            value.encode()
        except UnicodeEncodeError:
            raise UnusablePullRequest(field, "text without lone surrogates", value) from None
    return value


def _name(value: Any, field: str) -> str | None:
    if value is None:
        return None
    if value == "":
        raise UnusablePullRequest(field, "a non-empty name", value)
    return _text(value, field, _MAX_NAME)


def _repo_name(value: Any, field: str) -> str:
    name = _text(value, field, _MAX_NAME)
    if name is not None:
        owner, _, repository = name.partition("/")
        if owner and repository and "/" not in repository and len(name.split(None, 1)) == 1:
            if name.strip() == name:
                return name
    raise UnusablePullRequest(field, "a repository as owner/name", value)


def _state(value: Any) -> str | None:
    if value is None or value == "open" or value == "closed":
        return value  # type: ignore[no-any-return]
    raise UnusablePullRequest("state", "open or closed", value)


def _graphql_state(value: Any) -> str | None:
    if value is None:
        return None
    state = _GRAPHQL_STATES.get(value) if isinstance(value, str) else None
    if state is None:
        raise UnusablePullRequest("state", "OPEN, CLOSED or MERGED", value)
    return state


def _time(value: Any, field: str, latest: datetime) -> datetime | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        time = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    elif isinstance(value, str):
        try:
            time = datetime.fromisoformat(value)
        except ValueError:
            raise UnusablePullRequest(field, "a time as in 2015-01-31T12:00:00Z", value) from None
        if time.tzinfo is None:
            raise UnusablePullRequest(field, "a time with its offset, such as ...Z", value)
    else:
        raise UnusablePullRequest(field, "a time as in 2015-01-31T12:00:00Z", value)
    if not _EARLIEST <= time <= latest:
        raise UnusablePullRequest(field, "a time from 2007 to one day from now", value)
    if time.tzinfo is not UTC:
        time = time.astimezone(UTC)
    if time.microsecond:
        time = time.replace(microsecond=time.microsecond // 1000 * 1000)
    return time


def _created_at(value: Any, field: str, latest: datetime) -> datetime:
    time = _time(value, field, latest)
    if time is None:
        raise UnusablePullRequest(field, "the time of opening", value)
    return time


def _strings(value: Any, field: str) -> list[str] | None:
    if value is None:
        return None
    names = []
    for position, name in enumerate(_list(value, field)):
        text = _text(name, f"{field}[{position}]", _MAX_NAME)
        if text is None:
            raise UnusablePullRequest(f"{field}[{position}]", "text", name)
        names.append(text)
    names.sort()
    return names


def _label_names(value: Any, field: str) -> list[str] | None:
    if value is None:
        return None
    if not value:  # most pull requests have none
        return _strings(value, field)
    return _strings(
        [_object(label, f"{field}[]").get("name") for label in _list(value, field)], field
    )


def _list(value: Any, field: str) -> Sequence[Any]:
    if not isinstance(value, (list, tuple)):
        raise UnusablePullRequest(field, "a list", value)
    if len(value) > _MAX_LIST:
        raise UnusablePullRequest(field, f"at most {_MAX_LIST} entries", value)
    return value


def _files(value: Any, field: str, path_key: str) -> list[dict[str, Any]] | None:
    """Sorted by path: REST and GraphQL each have an order of their own."""
    if value is None:
        return None
    files = []
    for position, entry in enumerate(_list(value, field)):
        where = f"{field}[{position}]"
        entry = _object(entry, where)
        path = _name(entry.get(path_key), f"{where}.{path_key}")
        if path is None:
            raise UnusablePullRequest(f"{where}.{path_key}", "a path", path)
        additions = _count(entry.get("additions"), f"{where}.additions")
        deletions = _count(entry.get("deletions"), f"{where}.deletions")
        files.append({"path": path, "additions": additions, "deletions": deletions})
    files.sort(key=lambda file: file["path"])
    return files


def _rest_author(user: Any) -> tuple[str | None, int | None, str | None]:
    if user is None:
        return None, None, None
    get = _object(user, "user").get
    login = _name(get("login"), "user.login")
    if login == "ghost":  # REST's stand-in for a deleted account; GraphQL says null
        return None, None, None
    return login, _id(get("id"), "user.id", False), _name(get("type"), "user.type")


def _graphql_author(author: Any) -> tuple[str | None, int | None, str | None]:
    if author is None:
        return None, None, None
    get = _object(author, "author").get
    login = _name(get("login"), "author.login")
    kind = _name(get("__typename"), "author.__typename")
    if login == "ghost":
        return None, None, None
    if kind == "Bot" and login is not None and not login.endswith("[bot]"):
        login += "[bot]"
    return login, _id(get("databaseId"), "author.databaseId", False), kind


def _graphql_id(node: Mapping[str, Any]) -> Any:
    """`fullDatabaseId` is a BigInt sent as text; older Enterprise servers have `databaseId` only."""
    full = node.get("fullDatabaseId")
    if full is None:
        return node.get("databaseId")
    if isinstance(full, str) and full.isascii() and full.isdigit() and len(full) < 20:
        return int(full)
    return full


def _total(connection: Any, field: str) -> int | None:
    if connection is None:
        return None
    return _count(_object(connection, field).get("totalCount"), f"{field}.totalCount")


def _rest_assignees(pull: Mapping[str, Any]) -> int | None:
    assignees = pull.get("assignees")
    if assignees is not None:
        return len(_list(assignees, "assignees"))
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
    get = _object(repo, "head.repo").get
    ours, theirs = base_repo.get("id"), get("id")
    if isinstance(ours, int) and isinstance(theirs, int):
        return ours != theirs
    name = _name(get("full_name"), "head.repo.full_name")
    return None if name is None else name.lower() != base_repo["full_name"].lower()


def _describe(value: object) -> str:
    """At most 80 characters, ASCII, so that it can be printed and stored whatever it is."""
    if value is None:
        return "nothing"
    if isinstance(value, str):
        shown = ascii(value[:40])
        return f"text {shown[:50]}" + (f" ({len(value)} characters)" if len(value) > 40 else "")
    if isinstance(value, int) and value.bit_length() > 128:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, (bool, int, float, datetime)):
        return f"{type(value).__name__} {value}"[:80]
    return f"a value of type {type(value).__name__}"[:80]
