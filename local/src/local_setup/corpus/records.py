"""A draft in the form of GitHub's REST pull-request object.

Keys that only repeat others as addresses (`commits_url`, `_links`, the templates of `repo`) are left
out to keep a line at 3 KB instead of 20; the stand-in adds them where it answers by REST.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any

from local_setup.corpus.draft import Draft
from local_setup.corpus.habits import Habits
from local_setup.corpus.people import Person

WEB = "https://github.example"
API = "https://api.github.example"
FIRST_ID = 2_000_000_000
"""Ids cross 2**31 within a few repositories, as GitHub's did: 32-bit readers must not pass."""


@dataclass(frozen=True)
class Life:
    """When it happened, as epoch seconds in UTC; None = not (yet)."""

    created: int
    updated: int
    closed: int | None
    merged: int | None
    merged_by: Person | None


def record(
    habits: Habits, draft: Draft, life: Life, number: int, labels: list[str], rng: Random
) -> dict[str, Any]:
    """The REST object, with ``files`` beside it where the draft lists some."""
    name = habits.full_name
    author, change = draft.author, draft.change
    identity = FIRST_ID + habits.index * 40_000_000 + number * 13
    base_repo = repository(habits)
    head_owner = author if draft.fork else None
    head_name = f"{author.login}/{habits.name}" if draft.fork else name
    head_repo = base_repo
    if draft.fork:
        head_repo = repository(habits, full_name=head_name, owner=author, fork=True)
    merge_sha = f"{rng.getrandbits(160):040x}"
    pull: dict[str, Any] = {
        "url": f"{API}/repos/{name}/pulls/{number}",
        "id": identity,
        "node_id": node_id("PR_", identity),
        "html_url": f"{WEB}/{name}/pull/{number}",
        "number": number,
        "state": "open" if life.closed is None else "closed",
        "locked": draft.label == "spam" and life.closed is not None,
        "title": draft.title,
        "user": user(author),
        "body": draft.body,
        "created_at": stamp(life.created),
        "updated_at": stamp(life.updated),
        "closed_at": stamp(life.closed),
        "merged_at": stamp(life.merged),
        "merge_commit_sha": merge_sha if life.merged is not None else None,
        "assignee": None,
        "assignees": [user(life.merged_by)] if life.merged_by and rng.random() < 0.3 else [],
        "requested_reviewers": [],
        "requested_teams": [],
        "labels": [label(habits, text) for text in labels],
        "milestone": None,
        "draft": draft.is_draft,
        "head": {
            "label": f"{head_name.split('/')[0]}:{draft.branch}",
            "ref": draft.branch,
            "sha": f"{rng.getrandbits(160):040x}",
            "user": user(head_owner) if head_owner else base_repo["owner"],
            "repo": head_repo,
        },
        "base": {
            "label": f"{habits.owner}:{habits.default_branch}",
            "ref": habits.default_branch,
            "sha": f"{rng.getrandbits(160):040x}",
            "user": base_repo["owner"],
            "repo": base_repo,
        },
        "author_association": association(author),
        "auto_merge": None,
        "active_lock_reason": "spam" if draft.label == "spam" and life.closed else None,
        "merged": life.merged is not None,
        "mergeable": None,
        "rebaseable": None,
        "mergeable_state": "unknown",
        "merged_by": user(life.merged_by) if life.merged_by else None,
        "comments": int(rng.expovariate(0.5)),
        "review_comments": int(rng.expovariate(0.4)),
        "maintainer_can_modify": False,
        "commits": change.commits,
        "additions": change.additions,
        "deletions": change.deletions,
        "changed_files": change.changed_files,
    }
    if pull["assignees"]:
        pull["assignee"] = pull["assignees"][0]
    if change.files:
        pull["files"] = [
            {"filename": path, "additions": added, "deletions": removed}
            for path, added, removed in change.files
        ]
    return pull


def association(author: Person) -> str:
    """As GitHub's snapshot has it at the end: whoever merged anything is a contributor."""
    if author.kind == "Bot" or author.association != "NONE":
        return author.association
    return "CONTRIBUTOR" if author.merged else "NONE"


def user(person: Person) -> dict[str, Any]:
    """An account, without its addresses but the two that are shown."""
    return _account(person.login, person.account_id, person.kind)


def repository(
    habits: Habits, *, full_name: str | None = None, owner: Person | None = None, fork: bool = False
) -> dict[str, Any]:
    """A repository; of a fork the owner is its author."""
    name = full_name or habits.full_name
    identity = 700_000 + habits.index + (owner.account_id * 1_000 if owner else 0)
    return {
        "id": identity,
        "node_id": node_id("R_", identity),
        "name": name.split("/")[1],
        "full_name": name,
        "private": False,
        "owner": user(owner) if owner else _account(habits.owner, 900_000 + habits.index, "Organization"),
        "html_url": f"{WEB}/{name}",
        "description": f"A generated repository about {habits.domain}",
        "fork": fork,
        "language": habits.language,
        "default_branch": habits.default_branch,
        "stargazers_count": 0 if fork else habits.stars,
        "archived": False,
        "disabled": False,
        "visibility": "public",
    }


def label(habits: Habits, text: str) -> dict[str, Any]:
    """A label of the repository."""
    identity = 3_000_000 + habits.index * 100 + habits.label_names.index(text)
    return {
        "id": identity,
        "node_id": node_id("LA_", identity),
        "url": f"{API}/repos/{habits.full_name}/labels/{text.replace(' ', '%20')}",
        "name": text,
        "description": "",
        "color": f"{identity * 7919 % 0xFFFFFF:06x}",
        "default": text in {"bug", "enhancement", "documentation", "good first issue"},
    }


def _account(login: str, identity: int, kind: str) -> dict[str, Any]:
    slug = login.replace("[bot]", "")
    path = f"apps/{slug}" if kind == "Bot" else login
    return {
        "login": login,
        "id": identity,
        "node_id": node_id(f"{kind[0]}_", identity),
        "html_url": f"{WEB}/{path}",
        "type": kind,
        "site_admin": False,
    }


def node_id(prefix: str, identity: int) -> str:
    """An opaque id that looks like GitHub's."""
    return prefix + base64.urlsafe_b64encode(identity.to_bytes(8, "big")).decode().rstrip("=")


def stamp(seconds: int | None) -> str | None:
    """GitHub's time format: UTC, whole seconds, Z."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
