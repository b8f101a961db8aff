"""What a scored webhook leaves on the pull request: a commit status, or one comment that is edited in place.

Sent by one thread through github_client, which keeps GitHub's limits. The token may set statuses and comment, nothing
else; it is another one than fetching uses. Which of several results of a pull request stands in the end, and who may
write when, is decided by `turns`; a comment says itself which result it holds, so that an older one never replaces it.
"""

from __future__ import annotations

import heapq
import math
import queue
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from github_client.client import Client
from github_client.clock import SystemClock
from github_client.credentials import Token
from github_client.errors import BrokenReply, GitHubError, NoCredential, NotFound
from github_client.messages import Api
from github_client.pool import TokenPool
from github_client.transport import HttpTransport
from github_client.waits import WaitPolicy
from stage_runtime.logs import get_logger

from model_serving.metrics import Metrics
from model_serving.turns import Busy, Superseded, Turns
from model_serving.writeback_texts import comment, describe, marked, order_of

CONTEXT = "pr-anomaly"
WAITING_AT_MOST = 1_000
COMMENT_PAGES = 10
BUSY_SECONDS = 1.0
# GitHub's longest wait is the hour of its primary limit.
GIVE_UP_SECONDS = 7_200.0
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


@dataclass(order=True)
class Job:
    """One result to write, at the monotonic time `due` or later; order: see writeback_texts.order_of.

    ended: called once it is written or given up.
    """

    due: float
    since: float
    target: Target = field(compare=False)
    score: Mapping[str, Any] = field(compare=False)
    order: str = field(compare=False)
    ended: Callable[[], None] = field(compare=False)


class OutOfTime(Exception):
    """The turn would end before GitHub may be asked again; `seconds` until then."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the next request would be {seconds:.0f} s later")
        self.seconds = seconds


class _InTime:
    """Keeps a turn's time: no request and no wait beyond it (github_client.client.Guard)."""

    until = math.inf

    def before_request(self) -> float:
        left = self.until - time.monotonic()
        if left <= 0:
            raise OutOfTime(BUSY_SECONDS)
        return min(60.0, left)

    def before_wait(self, seconds: float) -> None:
        if seconds >= self.until - time.monotonic():
            raise OutOfTime(seconds)

    def spent(self, points: int) -> None:
        pass


class WriteBack:
    """A bounded queue and the thread that empties it."""

    def __init__(
        self,
        kind: Literal["status", "comment"],
        api_url: str,
        token: str,
        public_url: str,
        metrics: Metrics,
        turns: Turns | None = None,
    ) -> None:
        self.kind, self.public_url, self.metrics = kind, public_url.rstrip("/"), metrics
        self.turns = turns or Turns()
        self._stop = threading.Event()
        self._guard = _InTime()
        clock = SystemClock(self._stop)
        self.client = Client(
            Api(api_url),
            TokenPool([Token(token)], clock),
            HttpTransport(),
            clock,
            waits=WaitPolicy(attempts=4, limit_attempts=4),
            guard=self._guard,
        )
        self._viewer: int | None = None
        self._waiting: queue.Queue[Job | None] = queue.Queue(WAITING_AT_MOST)
        self._later: list[Job] = []
        self._ends = math.inf
        self._thread = threading.Thread(target=self._run, name="writeback", daemon=True)

    def start(self) -> None:
        """Begin to send; call it after the fork."""
        self._thread.start()

    def put(
        self,
        target: Target,
        score: Mapping[str, Any],
        updated_at: datetime | None,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        """Send this result soon, unless one of a later event stands there then.

        updated_at: GitHub's time of the pull request as it was scored. ended: called once it is sent or given up.
        """
        received = datetime.now(UTC)
        now = time.monotonic()
        try:
            order = order_of(updated_at or received, received)
            self._waiting.put_nowait(Job(now, now, target, score, order, ended))
        except queue.Full:
            self._count("dropped")
            ended()

    def stop(self, seconds: float) -> None:
        """Send what waits, also where somebody else has the turn just now, but wait no longer than this."""
        self._ends = time.monotonic() + seconds
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            pass
        else:
            self._thread.join(seconds)
        self._stop.set()

    def _run(self) -> None:
        while (job := self._next()) is not None:
            self._write(job)
        now = time.monotonic()
        for job in self._later:
            job.due = now
        heapq.heapify(self._later)
        while self._later:
            job = heapq.heappop(self._later)
            self._stop.wait(max(0.0, job.due - time.monotonic()))
            self._write(job)

    def _next(self) -> Job | None:
        while True:
            now = time.monotonic()
            if self._later and self._later[0].due <= now:
                return heapq.heappop(self._later)
            try:
                return self._waiting.get(timeout=self._later[0].due - now if self._later else None)
            except queue.Empty:
                continue

    def _write(self, job: Job) -> None:
        try:
            self.send(job.target, job.score, job.order)
        except Superseded:
            self._count("superseded")
        except (Busy, OutOfTime) as wait:
            job.due = time.monotonic() + (wait.seconds if isinstance(wait, OutOfTime) else BUSY_SECONDS)
            too_late = job.due >= self._ends or job.due - job.since > GIVE_UP_SECONDS
            if too_late or len(self._later) >= WAITING_AT_MOST:
                self._count("dropped")
            else:
                heapq.heappush(self._later, job)
                return
        except (GitHubError, NoCredential) as error:
            self._count("failed")
            get_logger().warning(
                "A result was not written back",
                repo_name=job.target.repo_name,
                number=job.target.number,
                error=f"{type(error).__name__}: {error}",
            )
        except Exception:
            self._count("failed")
            get_logger().exception("A result was not written back", repo_name=job.target.repo_name)
        else:
            self._count("done")
        job.ended()

    def _count(self, result: str) -> None:
        self.metrics.writebacks.labels(result).inc()

    def send(self, target: Target, score: Mapping[str, Any], order: str) -> None:
        """Write one result now.

        Raises GitHubError; Superseded where one of a later event stands there; Busy and OutOfTime to come again.
        """
        at = f"@{target.sha}" if self.kind == "status" else f"#{target.number}"
        with self.turns.take(f"{self.kind}:{target.repo_name.lower()}{at}", order) as until:
            self._guard.until = until
            try:
                if self.kind == "status":
                    self._set_status(target, score)
                else:
                    self._comment(target, score, order)
            finally:
                self._guard.until = math.inf

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

    def _comment(self, target: Target, score: Mapping[str, Any], order: str) -> None:
        api, scope = self.client.api, target.repo_name
        ours = self._ours(target)
        if any(kept >= order for _, kept in ours):
            raise Superseded(target)
        content = {"body": comment(score, self.public_url, order, target.sha)}
        while ours:
            address, _ = ours.pop(0)
            try:
                self.client.send(api.patch(address, content), scope=scope)
            except NotFound:
                continue  # just removed
            for surplus, _ in ours:  # two replicas without a MongoDB may have begun one each
                self.client.send(api.delete(surplus), scope=scope)
            return
        path = f"/repos/{target.repo_name}/issues/{target.number}/comments"
        self.client.send(api.post(path, content), scope=scope)

    def _ours(self, target: Target) -> list[tuple[str, str]]:
        """Path and order of each comment that this token's account wrote with our mark, the oldest first."""
        viewer, api = self._account(), self.client.api
        request = api.get(f"/repos/{target.repo_name}/issues/{target.number}/comments", per_page=100)
        found: list[tuple[str, str]] = []
        for _ in range(COMMENT_PAGES):
            reply = self.client.send(request, scope=target.repo_name)
            for item in reply.data or ():
                order = marked(item.get("body") or "")
                # The mark alone proves nothing: anybody may write it, and whoever may write may edit others' comments.
                if order is not None and (item.get("user") or {}).get("id") == viewer:
                    found.append((f"/repos/{target.repo_name}/issues/comments/{int(item['id'])}", order))
            if reply.next_url is None:
                break
            request = api.get(reply.next_url)
        return found

    def _account(self) -> int:
        """Id of the account that the token writes as: a user's, or the bot's of an App.

        By GraphQL, because REST's /user refuses the tokens of App installations.
        """
        if self._viewer is None:
            reply = self.client.send(self.client.api.graphql("query { viewer { login databaseId } }", {}))
            found = (reply.data.get("viewer") or {}).get("databaseId")
            if not isinstance(found, int):
                raise BrokenReply("POST /graphql: expected viewer.databaseId, found none")
            self._viewer = found
        return self._viewer
