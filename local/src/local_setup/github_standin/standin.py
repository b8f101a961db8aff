"""The stand-in itself: a request in, GitHub's answer out. No socket; `server.py` puts it on one."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from local_setup.github_standin import apps, graphql_api, replies, rest_api
from local_setup.github_standin.clock import Clock, RunningClock, http_date, iso
from local_setup.github_standin.conversations import Conversations
from local_setup.github_standin.faults import Faults
from local_setup.github_standin.limits import HOUR, Caller, Limits
from local_setup.github_standin.replies import Reply, Request
from local_setup.github_standin.resolvers import Context
from local_setup.github_standin.store import Corpus

DEFAULT_TOKEN = "local-token"  # noqa: S105 - the stand-in's own, on loopback
ENTERPRISE = "/api/v3"


@dataclass(frozen=True)
class Latency:
    """How long an answer takes: ``fixed`` and ``per_pull`` seconds; GraphQL beyond ``cut_off`` is 502."""

    fixed: float = 0.0
    per_pull: float = 0.0
    cut_off: float = 10.0


@dataclass
class Log:
    """What was asked, for tests and benchmarks. ``points`` are those of GraphQL."""

    requests: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    points: int = 0
    pulls: int = 0

    @property
    def calls(self) -> int:
        """All requests."""
        return sum(self.requests.values())


class GitHubStandIn:
    """GitHub over a corpus. ``handle`` may be called by many threads at once.

    ``before`` is called before each request (with its number, from 1, and the request) while
    nothing else runs: the place to change the corpus between any two requests.
    """

    def __init__(
        self,
        corpus: Corpus,
        *,
        tokens: Iterable[str] | None = (DEFAULT_TOKEN,),
        limits: Limits | None = None,
        latency: Latency | None = None,
        faults: Faults | None = None,
        clock: Clock | None = None,
        with_graphql: bool = True,
    ) -> None:
        """``tokens`` None accepts any token; ``with_graphql`` False is a server without GraphQL."""
        self.corpus = corpus
        self.limits = limits or Limits()
        self.latency = latency or Latency()
        self.faults = faults or Faults()
        self.clock = clock or RunningClock()
        self.with_graphql = with_graphql
        self.conversations = Conversations()
        self.log = Log()
        self.before: Callable[[int, Request], None] | None = None
        corpus.now = corpus.now or self.clock.now
        self._any_token = tokens is None
        self._callers: dict[str, Caller] = {}
        self._nobody = Caller(0, "", self.limits, scopes="", anonymous=True)
        self._apps: dict[str, apps.App] = {}
        self._lock = threading.RLock()
        for token in tokens or ():
            self.add_token(token)

    # Who may ask

    def add_token(self, token: str, *, scopes: str = "read:org, repo", expires: float | None = None) -> None:
        """Accept ``token``, with points of its own, until the stand-in's clock shows ``expires``."""
        number = 1000 + len(self._callers)
        caller = Caller(number, f"caller-{number}", self.limits, scopes, expires=expires)
        self._callers[token] = caller

    def revoke_token(self, token: str) -> None:
        """Refuse ``token`` from now on."""
        self._callers.pop(token, None)

    def add_app(self, app_id: str, public_key_pem: str, installations: Iterable[int]) -> None:
        """Accept a GitHub App, which then gets tokens for its installations."""
        self._apps[app_id] = apps.App(app_id, apps.public_key(public_key_pem), frozenset(installations))

    # Answering

    @staticmethod
    def parse(method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Request:
        """A request from its address, absolute or from the first slash on."""
        parts = urlsplit(url)
        given = {name.lower(): value for name, value in (headers or {}).items()}
        base = f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""
        path = parts.path
        if path.startswith(ENTERPRISE + "/"):
            path, base = path[len(ENTERPRISE) :], base + ENTERPRISE
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        return Request(method, path, query, given, body, base)

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Reply:
        """Answer a request given by address."""
        return self.handle(self.parse(method, url, headers, body))

    def handle(self, request: Request) -> Reply:
        """The reply, with ``delay`` still to be waited by whoever sends it."""
        with self._lock:
            number = self.log.calls + 1
            kind = "graphql" if request.is_graphql else "rest"
            self.log.requests[kind] += 1
            if self.before is not None:
                self.before(number, request)
            now = self.clock.now()
            caller = self._caller(request, now)
            reply = self._answer(request, caller, now)
            reply.delay += self.latency.fixed + self.latency.per_pull * reply.pulls
            if request.is_graphql and reply.delay > self.latency.cut_off and not reply.hang_up:
                reply = replace(replies.error(502, replies.CUT_OFF), delay=self.latency.cut_off)
            self.log.statuses[reply.status] += 1
            self.log.pulls += reply.pulls
            return self._finish(request, reply, caller, now)

    def _caller(self, request: Request, now: float) -> Caller | None:
        """Who asks; None for a wrong token."""
        header = request.headers.get("authorization", "")
        if not header:
            return self._nobody
        token = header.split(" ", 1)[-1].strip()
        caller = self._callers.get(token)
        if caller is None and self._any_token and token:
            self.add_token(token)
            caller = self._callers[token]
        if caller is not None and caller.expires is not None and caller.expires <= now:
            return None
        return caller

    def _answer(self, request: Request, caller: Caller | None, now: float) -> Reply:
        if request.path.startswith("/app/installations/"):
            return self._installation_token(request, now)
        if caller is None:
            return replies.error(401, "Bad credentials")
        fault = self.faults.next(request)
        if fault is None:
            return self._right_answer(request, caller, now)
        failed = self.faults.reply(fault, caller, now)
        if failed is not None:
            return failed
        return self.faults.spoil(fault, self._right_answer(request, caller, now))

    def _right_answer(self, request: Request, caller: Caller, now: float) -> Reply:
        if request.path == "/rate_limit":
            return replies.json_reply(200, caller.overview(now), Cache_Control="no-cache")
        resource = _resource(request)
        if request.is_graphql and not self.with_graphql:
            return replies.not_found()
        if request.is_graphql and caller.anonymous:
            return replies.error(401, "This endpoint requires you to be authenticated.")
        if caller.too_fast(resource, now):
            reply = replies.error(403, replies.SECONDARY, replies.SECONDARY_DOCS)
            reply.headers["Retry-After"] = str(self.limits.retry_after)
            return reply
        if caller.exhausted(resource, now):
            return _exhausted(request, caller)
        if request.is_graphql:
            return self._graphql(request, caller, now)
        with self.corpus.lock:
            reply = self.conversations.answer(self.corpus, request, caller, now) or rest_api.answer(
                self.corpus, request
            )
        return self._conditional(request, reply, caller, resource, now)

    def _graphql(self, request: Request, caller: Caller, now: float) -> Reply:
        if request.method != "POST":
            return replies.not_found()
        try:
            body = json.loads(request.body)
            if not isinstance(body, dict):
                raise ValueError("no object")
        except ValueError:
            return replies.error(400, "Problems parsing JSON")
        document, cost = graphql_api.price(body)
        if document is None or cost.errors:
            caller.spend("graphql", 1, now)
            self.log.points += 1
            return replies.json_reply(200, {"errors": cost.errors})
        caller.spend("graphql", cost.points, now)
        self.log.points += cost.points
        facts = caller.buckets["graphql"].facts(now)
        rate_limit: dict[str, Any] = {
            "cost": cost.points,
            "nodeCount": cost.nodes,
            "limit": facts["limit"],
            "used": facts["used"],
            "remaining": facts["remaining"],
            "resetAt": iso(facts["reset"]),
        }
        viewer = {"__typename": "User", "login": caller.login, "databaseId": caller.user_id}
        context = Context(self.corpus, rate_limit, {**viewer, "url": ""})
        with self.corpus.lock:
            content = graphql_api.run(document, body, context)
        reply = replies.json_reply(200, content)
        reply.pulls = context.pulls
        return reply

    def _conditional(
        self, request: Request, reply: Reply, caller: Caller, resource: str, now: float
    ) -> Reply:
        """ETag and 304. What did not change costs nothing, as long as somebody known asks."""
        if reply.status == 200:
            tag = f'W/"{hashlib.sha256(reply.body).hexdigest()}"'
            reply.headers["ETag"] = tag
            reply.headers["Cache-Control"] = "private, max-age=60, s-maxage=60"
            if request.headers.get("if-none-match") == tag:
                if caller.anonymous:
                    caller.spend(resource, 1, now)
                return Reply(304, {"ETag": tag})
        caller.spend(resource, 1, now)
        return reply

    def _installation_token(self, request: Request, now: float) -> Reply:
        """`POST /app/installations/N/access_tokens` with the App's JWT."""
        jwt = request.headers.get("authorization", "").split(" ", 1)[-1]
        number = request.path.split("/")[3] if request.path.count("/") >= 4 else ""
        reason = "A JSON web token could not be decoded"
        for app in self._apps.values():
            try:
                apps.verify(app, jwt, now)
            except apps.BadJwt as error:
                reason = str(error)
                continue
            if request.method != "POST" or not request.path.endswith("/access_tokens"):
                return replies.not_found()
            if not number.isdigit() or int(number) not in app.installations:
                return replies.not_found()
            token = f"ghs_{hashlib.sha256(f'{number}/{now}/{len(self._callers)}'.encode()).hexdigest()[:36]}"
            self.add_token(token, scopes="", expires=now + HOUR)
            content = {
                "token": token,
                "expires_at": iso(now + HOUR),
                "permissions": {"pull_requests": "read", "metadata": "read"},
                "repository_selection": "all",
            }
            return replies.json_reply(201, content)
        return replies.error(401, reason)

    def _finish(self, request: Request, reply: Reply, caller: Caller | None, now: float) -> Reply:
        """Headers that every reply of GitHub carries."""
        headers = {
            "Date": http_date(now),
            "Server": "github.com",
            "X-GitHub-Media-Type": "github.v3; format=json",
            "X-GitHub-Request-Id": f"0400:STANDIN:{self.log.calls:X}",
        }
        if caller is not None:
            headers.update(caller.headers(_resource(request), now))
        reply.headers = {**headers, **reply.headers}
        return reply

    @contextmanager
    def answering(self, request: Request) -> Iterator[None]:
        """Around everything from a request's arrival to its answer: counts concurrent ones."""
        with self._lock:
            caller = self._caller(request, self.clock.now())
            if caller is not None:
                caller.running += 1
        try:
            yield
        finally:
            with self._lock:
                if caller is not None:
                    caller.running -= 1


def _resource(request: Request) -> str:
    if request.is_graphql:
        return "graphql"
    return "search" if request.path.startswith("/search/") else "core"


def _exhausted(request: Request, caller: Caller) -> Reply:
    message = f"API rate limit exceeded for user ID {caller.user_id}."
    if request.is_graphql:
        words = message.replace("exceeded", "already exceeded")
        return replies.graphql_error("RATE_LIMIT", words, code="graphql_rate_limit")
    if caller.anonymous:
        message = "API rate limit exceeded for 127.0.0.1."
    return replies.error(403, message, replies.RATE_DOCS)
