"""A REST pull-request object -> the node that GraphQL would give of it. Pure.

What a record does not hold is None; GraphQL's spelling is used: OPEN/CLOSED/MERGED, ids as text, no
``[bot]`` at the end of a bot's login, null for a deleted account (REST: ``ghost``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphql import GraphQLError

from local_setup.github_standin.repository import Repository

WEB = "https://github.com"
_GRAPHQL_BOTS = {"Copilot": "copilot-swe-agent"}
"""The one bot whose name in REST is not its App's name."""


def pull_request(pull: Mapping[str, Any], repository: Repository) -> dict[str, Any]:
    """The node; connections hold all their items under ``_items`` for the resolvers to cut."""
    get = pull.get
    head, base = get("head") or {}, get("base") or {}
    assignees = get("assignees")
    if assignees is None:
        # Records of before 2016 have one assignee at most, in a key of its own.
        assignees = [get("assignee")] if get("assignee") else []
    labels, files = get("labels"), get("files")
    merged = get("merged_at") is not None
    additions = get("additions")
    if pull["number"] in repository.spoilt:
        # An exception as a value is raised where the field is asked for.
        additions = GraphQLError("Something went wrong while executing your query.")
    return {
        "__typename": "PullRequest",
        "id": get("node_id") or f"PR_{pull['id']}",
        "databaseId": int32(pull["id"]),
        "fullDatabaseId": str(pull["id"]),
        "number": pull["number"],
        "title": get("title"),
        "body": get("body") or "",
        "state": "MERGED" if merged else "OPEN" if get("state") == "open" else "CLOSED",
        "closed": get("state") == "closed",
        "locked": bool(get("locked")),
        "merged": merged,
        "isCrossRepository": _is_cross_repository(head, base.get("repo") or {}),
        "isDraft": get("draft"),
        "createdAt": get("created_at"),
        "updatedAt": get("updated_at") or get("created_at"),
        "closedAt": get("closed_at"),
        "mergedAt": get("merged_at"),
        "additions": additions,
        "deletions": get("deletions"),
        "changedFiles": get("changed_files"),
        "author": actor(get("user")),
        "authorAssociation": get("author_association"),
        "baseRefName": base.get("ref"),
        "headRefName": head.get("ref"),
        "baseRepository": repository,
        "url": get("html_url") or f"{WEB}/{repository.full_name}/pull/{pull['number']}",
        "assignees": {"_items": [actor(one) for one in assignees], "_name": "assignees"},
        "commits": {"totalCount": get("commits"), "_items": None, "_name": "commits"},
        "labels": None if labels is None else {"_items": labels, "_name": "labels"},
        "files": None if files is None else {"_items": [_file(f) for f in files], "_name": "files"},
    }


def actor(user: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """An account, or None where it was deleted."""
    if user is None or user.get("login") == "ghost":
        return None
    kind, login = user.get("type", "User"), user["login"]
    if kind == "Bot":
        login = _GRAPHQL_BOTS.get(login, login.removesuffix("[bot]"))
    return {
        "__typename": kind,
        "login": login,
        "databaseId": int32(user.get("id")),
        "url": user.get("html_url") or f"{WEB}/{login}",
    }


def int32(identity: int | None) -> int | None:
    """GraphQL's Int has 32 bits: a databaseId beyond them is null."""
    return identity if identity is not None and identity < 2**31 else None


def _file(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "path": entry.get("filename") or entry.get("path"),
        "additions": entry["additions"],
        "deletions": entry["deletions"],
    }


def _is_cross_repository(head: Mapping[str, Any], base_repo: Mapping[str, Any]) -> bool | None:
    """Whether head and base are different repositories; a deleted head was another one."""
    head_repo = head.get("repo")
    if head_repo is None:
        return True if head.get("sha") else None
    if head_repo.get("id") is not None and base_repo.get("id") is not None:
        return bool(head_repo["id"] != base_repo["id"])
    return str(head_repo.get("full_name")).lower() != str(base_repo.get("full_name")).lower()
