"""What a scored webhook leaves on the pull request: a commit status, or one comment that is edited in place.

Sent by one thread through github_client, which keeps GitHub's limits. The token may set statuses and comment, nothing
else; it is another one than fetching uses.
"""

from __future__ import annotations

import json
import queue
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from github_client.client import Client
from github_client.clock import SystemClock
from github_client.credentials import Token
from github_client.errors import Forbidden, GitHubError, NoCredential, NotFound
from github_client.messages import Api, Request
from github_client.pool import TokenPool
from github_client.transport import HttpTransport
from github_client.waits import WaitPolicy
from stage_runtime.logs import get_logger

from model_serving.metrics import Metrics

CONTEXT = "pr-anomaly"
MARKER = "<!-- pr-anomaly-score -->"
WAITING_AT_MOST = 1_000
COMMENT_PAGES = 10
_REPOSITORY = re.compile(r"[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}").fullmatch
_SHA = re.compile(r"[0-9a-f]{40,64}").fullmatch


@dataclass(frozen=True)
class Target:
    """Where a result goes."""

    repo_name: str
    number: int
    sha: str


def target_of(pull: Mapping[str, Any], repo_name: str, number: int | None) -> Target | None:
    """The target of a webhook's pull request; None where its parts do not look like GitHub's."""
    sha = (pull.get("head") or {}).get("sha") or ""
    parts = repo_name.split("/")
    if number is None or not _SHA(sha) or not _REPOSITORY(repo_name) or {".", ".."} & set(parts):
        return None
    return Target(repo_name, number, sha)


def describe(score: Mapping[str, Any]) -> str:
    """The score in one sentence of at most 140 characters, GitHub's limit for a status."""
    verdict = "Unusual" if score["is_anomaly"] else "Nothing unusual"
    text = f"{verdict}: more so than {score['anomaly_score']:.1%} of the pull requests learned from"
    if score["is_anomaly"] and score["reasons"]:
        text += f" ({score['reasons'][0]['feature']})"
    return text[:140]


def comment(score: Mapping[str, Any], url: str) -> str:
    """The comment in Markdown. Text that came from the pull request cannot become markup or a mention."""
    lines = [
        MARKER,
        f"**{'Unusual' if score['is_anomaly'] else 'Nothing unusual'}**: reconstruction error "
        f"{score['reconstruction_error']:.4g}, threshold {score['threshold']:.4g}, "
        f"more than {score['anomaly_score']:.1%} of the pull requests learned from.",
        "",
        *(f"- {plain(reason['text'])} ({reason['share']:.0%} of the error)" for reason in score["reasons"]),
        "",
        f"Unusual is not the same as bad. Model version {plain(score['model_version'])}"
        + (f", [details]({url})." if url else "."),
    ]
    return "\n".join(lines)


def plain(text: str) -> str:
    """Text as Markdown that shows just that text on one line."""
    one_line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    escaped = re.sub(r"([\\`*_{}\[\]()#+.!|~>-])", r"\\\1", one_line)
    # A word joiner keeps GitHub from reading a mention or a reference to an issue.
    return (
        escaped.replace("&", "&amp;").replace("<", "&lt;").replace("@", "@\u2060").replace("://", ":\u2060//")
    )


class WriteBack:
    """A bounded queue and the thread that empties it."""

    def __init__(
        self, kind: Literal["status", "comment"], api_url: str, token: str, public_url: str, metrics: Metrics
    ) -> None:
        self.kind, self.public_url, self.metrics = kind, public_url.rstrip("/"), metrics
        self._stop = threading.Event()
        clock = SystemClock(self._stop)
        self.client = Client(
            Api(api_url),
            TokenPool([Token(token)], clock),
            HttpTransport(),
            clock,
            waits=WaitPolicy(attempts=4, limit_attempts=4),
        )
        self._waiting: queue.Queue[tuple[Target, Mapping[str, Any]] | None] = queue.Queue(WAITING_AT_MOST)
        self._thread = threading.Thread(target=self._run, name="writeback", daemon=True)

    def start(self) -> None:
        """Begin to send; call it after the fork."""
        self._thread.start()

    def put(self, target: Target, score: Mapping[str, Any]) -> None:
        """Send this result soon."""
        try:
            self._waiting.put_nowait((target, score))
        except queue.Full:
            self.metrics.writebacks.labels("dropped").inc()

    def stop(self, seconds: float) -> None:
        """Send what waits, but wait no longer than this."""
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            pass
        else:
            self._thread.join(seconds)
        self._stop.set()

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            target, score = item
            try:
                self.send(target, score)
            except (GitHubError, NoCredential) as error:
                self.metrics.writebacks.labels("failed").inc()
                get_logger().warning(
                    "A result was not written back",
                    repo_name=target.repo_name,
                    number=target.number,
                    error=f"{type(error).__name__}: {error}",
                )
            except Exception:
                self.metrics.writebacks.labels("failed").inc()
                get_logger().exception("A result was not written back", repo_name=target.repo_name)
            else:
                self.metrics.writebacks.labels("done").inc()

    def send(self, target: Target, score: Mapping[str, Any]) -> None:
        """Write one result now; raises GitHubError."""
        if self.kind == "status":
            self._set_status(target, score)
        else:
            self._comment(target, score)

    def _set_status(self, target: Target, score: Mapping[str, Any]) -> None:
        content = {
            "state": "failure" if score["is_anomaly"] else "success",
            "context": CONTEXT,
            "description": describe(score),
        }
        if self.public_url:
            content["target_url"] = self.public_url
        path = f"/repos/{target.repo_name}/statuses/{target.sha}"
        self.client.send(self.client.api.post(path, content), scope=target.repo_name)

    def _comment(self, target: Target, score: Mapping[str, Any]) -> None:
        content = {"body": comment(score, self.public_url)}
        for address in self._marked(target):
            try:
                self.client.send(self._patch(address, content))
            except (Forbidden, NotFound):
                continue  # somebody else's comment with our marker in it, or one just removed
            return
        path = f"/repos/{target.repo_name}/issues/{target.number}/comments"
        self.client.send(self.client.api.post(path, content), scope=target.repo_name)

    def _marked(self, target: Target) -> list[str]:
        """Paths of the comments that carry our marker."""
        api = self.client.api
        request = api.get(f"/repos/{target.repo_name}/issues/{target.number}/comments", per_page=100)
        found: list[str] = []
        for _ in range(COMMENT_PAGES):
            reply = self.client.send(request, scope=target.repo_name)
            found += [
                f"/repos/{target.repo_name}/issues/comments/{int(item['id'])}"
                for item in reply.data or ()
                if (item.get("body") or "").startswith(MARKER)
            ]
            if reply.next_url is None:
                break
            request = api.get(reply.next_url)
        return found

    def _patch(self, path: str, content: Mapping[str, Any]) -> Request:
        like = self.client.api.post(path, content)
        return Request("PATCH", like.url, like.headers, json.dumps(dict(content)).encode())
