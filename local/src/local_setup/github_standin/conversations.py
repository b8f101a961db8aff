"""What callers leave on pull requests: comments and commit statuses, in memory.

As at GitHub, whoever may write may also edit and remove what somebody else wrote.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from local_setup.github_standin import rest_api
from local_setup.github_standin.clock import iso
from local_setup.github_standin.limits import Caller
from local_setup.github_standin.replies import Reply, Request, error, json_reply, not_found, validation_failed
from local_setup.github_standin.store import Corpus

LONGEST_COMMENT = 65_536
LONGEST_DESCRIPTION = 140
STATES = {"error", "failure", "pending", "success"}
_PATH = re.compile(
    r"/(?:repos/(?P<repo>[^/]+/[^/]+)|repositories/(?P<repo_id>\d+))/"
    r"(?:issues/(?P<number>\d+)/comments|issues/comments/(?P<id>\d+)"
    r"|statuses/(?P<sha>[0-9a-f]{40})|commits/(?P<at>[0-9a-f]{40})/statuses)"
).fullmatch


@dataclass
class Conversations:
    """Comments by their id, each with the pull request it stands at; statuses by commit, the newest first."""

    comments: dict[int, tuple[str, int, dict[str, Any]]] = field(default_factory=dict)
    statuses: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def answer(self, corpus: Corpus, request: Request, caller: Caller, now: float) -> Reply | None:
        """The reply to a request about comments or statuses, None for any other."""
        match = _PATH(request.path)
        if match is None:
            return None
        by_id = match["repo_id"]
        repository = corpus.repository_by_id(int(by_id)) if by_id else corpus.repository(match["repo"])
        if repository is None or repository.blocked:
            return not_found()
        name = repository.full_name
        if request.method != "GET" and caller.anonymous:
            return error(401, "Requires authentication")
        if match["at"]:
            found = self.statuses.get((name, match["at"]), []) if request.method == "GET" else []
            return rest_api.paged(
                request, repository, f"/commits/{match['at']}/statuses", found, lambda one: one
            )
        if match["sha"]:
            return self._status(name, match["sha"], request, caller, now)
        if match["id"]:
            return self._comment(name, int(match["id"]), request, now)
        number = int(match["number"])
        if repository.pull(number) is None:
            return not_found()
        if request.method == "GET":
            found = [one for where, at, one in self.comments.values() if (where, at) == (name, number)]
            return rest_api.paged(request, repository, f"/issues/{number}/comments", found, lambda one: one)
        return self._add_comment(name, number, request, caller, now)

    def _add_comment(self, name: str, number: int, request: Request, caller: Caller, now: float) -> Reply:
        if request.method != "POST":
            return not_found()
        text = _text(request, "body")
        if text is None:
            return validation_failed("IssueComment", "body", "missing_field")
        identity = next(self._ids)
        comment = {
            "id": identity,
            "url": f"{request.base_url}/repos/{name}/issues/comments/{identity}",
            "body": text,
            "user": {"login": caller.login, "id": caller.user_id, "type": "User"},
            "created_at": iso(now),
            "updated_at": iso(now),
            "author_association": "CONTRIBUTOR",
            "performed_via_github_app": None,
        }
        self.comments[identity] = (name, number, comment)
        return json_reply(201, comment)

    def _comment(self, name: str, identity: int, request: Request, now: float) -> Reply:
        where, _, comment = self.comments.get(identity, ("", 0, {}))
        if where != name:
            return not_found()
        if request.method == "DELETE":
            del self.comments[identity]
            return Reply(204)
        if request.method == "PATCH":
            text = _text(request, "body")
            if text is None:
                return validation_failed("IssueComment", "body")
            comment.update(body=text, updated_at=iso(now))
        elif request.method != "GET":
            return not_found()
        return json_reply(200, comment)

    def _status(self, name: str, sha: str, request: Request, caller: Caller, now: float) -> Reply:
        if request.method != "POST":
            return not_found()
        state, context = _text(request, "state"), _text(request, "context") or "default"
        description = _text(request, "description") or ""
        if state not in STATES:
            return validation_failed("Status", "state")
        if len(description) > LONGEST_DESCRIPTION:
            return validation_failed(
                "Status", "description", "custom", "description is too long (maximum is 140)"
            )
        status = {
            "id": next(self._ids),
            "state": state,
            "context": context,
            "description": description,
            "target_url": _text(request, "target_url"),
            "creator": {"login": caller.login, "id": caller.user_id, "type": "User"},
            "created_at": iso(now),
        }
        self.statuses.setdefault((name, sha), []).insert(0, status)
        return json_reply(201, status)


def _text(request: Request, name: str) -> str | None:
    try:
        content = json.loads(request.body)
    except ValueError:
        return None
    found = content.get(name) if isinstance(content, dict) else None
    return found if isinstance(found, str) and 0 < len(found) <= LONGEST_COMMENT else None
