"""Failures on purpose: every kind that the fetcher must survive, at random or by script."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from random import Random

from local_setup.github_standin import replies
from local_setup.github_standin.limits import Caller
from local_setup.github_standin.replies import Reply, Request

SLOW_SECONDS = 120.0


@dataclass(frozen=True)
class Fault:
    """One kind of failure. ``where`` is ``any``, ``rest`` or ``graphql``.

    ``make`` gives the reply in place of the real one; ``spoil`` changes the real one.
    """

    name: str
    where: str
    meaning: str
    make: Callable[[Caller, float], Reply] | None = None
    spoil: Callable[[Reply], Reply] | None = None

    def fits(self, request: Request) -> bool:
        """Whether GitHub would answer this request so."""
        return self.where == "any" or (self.where == "graphql") == request.is_graphql


def _limited(status: int) -> Callable[[Caller, float], Reply]:
    def make(caller: Caller, now: float) -> Reply:
        reply = replies.error(
            status, f"API rate limit exceeded for user ID {caller.user_id}.", replies.RATE_DOCS
        )
        reply.headers["X-RateLimit-Remaining"] = "0"
        reply.headers["X-RateLimit-Reset"] = str(int(now) + 120)
        return reply

    return make


def _secondary(status: int, message: str, retry_after: int | None) -> Callable[[Caller, float], Reply]:
    def make(caller: Caller, now: float) -> Reply:
        reply = replies.error(status, message, replies.SECONDARY_DOCS)
        if retry_after is not None:
            reply.headers["Retry-After"] = str(retry_after)
        return reply

    return make


def _graphql_limited(kind: str) -> Callable[[Caller, float], Reply]:
    def make(caller: Caller, now: float) -> Reply:
        more = {"code": "graphql_rate_limit"} if kind == "RATE_LIMIT" else {}
        message = f"API rate limit already exceeded for user ID {caller.user_id}."
        reply = replies.graphql_error(kind, message, **more)
        reply.headers["X-RateLimit-Remaining"] = "0"
        reply.headers["X-RateLimit-Reset"] = str(int(now) + 120)
        return reply

    return make


def _plain(status: int, message: str, **headers: str) -> Callable[[Caller, float], Reply]:
    def make(caller: Caller, now: float) -> Reply:
        reply = replies.error(status, message)
        reply.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
        return reply

    return make


def _html(status: int) -> Callable[[Caller, float], Reply]:
    return lambda caller, now: Reply(
        status, {"Content-Type": "text/html"}, replies.UNICORN.replace("503", str(status)).encode()
    )


def _slow(reply: Reply) -> Reply:
    reply.delay += SLOW_SECONDS
    return reply


def _half(reply: Reply) -> Reply:
    reply.body = reply.body[: len(reply.body) // 2]
    return reply


def _cut(reply: Reply) -> Reply:
    reply.cut = 0.5
    return reply


def _null_node(position: int, **error: str) -> Callable[[Reply], Reply]:
    """One pull request of the page could not be loaded: a null among the nodes, and an error."""

    def spoil(reply: Reply) -> Reply:
        content = json.loads(reply.body)
        try:
            nodes = content["data"]["repository"]["pullRequests"]["nodes"]
        except (KeyError, TypeError):
            return reply
        if nodes:
            path = ["repository", "pullRequests", "nodes", range(len(nodes))[position]]
            nodes[position] = None
            content.setdefault("errors", []).append({**error, "path": path, "locations": []})
            reply.body = json.dumps(content).encode()
        return reply

    return spoil


FAULTS: Mapping[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault("rate-limit-403", "rest", "hour's points used up, reset in two minutes", _limited(403)),
        Fault("rate-limit-429", "rest", "the same as 429", _limited(429)),
        Fault("graphql-rate-limit", "graphql", "the same inside HTTP 200", _graphql_limited("RATE_LIMIT")),
        Fault("graphql-rate-limited", "graphql", "its older spelling", _graphql_limited("RATE_LIMITED")),
        Fault(
            "secondary-403", "any", "too fast, with Retry-After", _secondary(403, replies.SECONDARY, 30)
        ),
        Fault("secondary-429", "any", "the same as 429", _secondary(429, replies.SECONDARY, 8)),
        Fault(
            "secondary-bare", "any", "too fast, no header says how long",
            _secondary(403, replies.SECONDARY, None),
        ),
        Fault("abuse", "any", "the older wording", _secondary(403, replies.ABUSE, None)),
        Fault(
            "graphql-secondary", "graphql", "too fast, inside HTTP 200",
            lambda caller, now: replies.graphql_error(None, replies.SECONDARY),
        ),
        Fault("bad-credentials", "any", "401", _plain(401, "Bad credentials")),
        Fault(
            "forbidden", "rest", "403, a scope is missing",
            _plain(
                403, "Resource not accessible by personal access token",
                X_Accepted_OAuth_Scopes="repo",
            ),
        ),
        Fault(
            "single-sign-on", "any", "403, the organisation wants single sign-on",
            _plain(
                403, "Resource protected by organization SAML enforcement.",
                X_GitHub_SSO="required; url=https://github.example/orgs/x/sso",
            ),
        ),
        Fault("not-found", "rest", "404", lambda caller, now: replies.not_found()),
        Fault("blocked", "rest", "451", _plain(451, "Repository access blocked")),
        Fault("server-500", "any", "500", _plain(500, "Server Error")),
        Fault("server-502", "any", "502 (GraphQL: cut off after ten seconds)", _plain(502, replies.CUT_OFF)),
        Fault("server-503", "any", "503 with a page of HTML", _html(503)),
        Fault("server-504", "any", "504 with a page of HTML", _html(504)),
        Fault(
            "graphql-timeout", "graphql", "cut off, inside HTTP 200",
            lambda caller, now: replies.graphql_error(None, replies.CUT_OFF),
        ),
        Fault(
            "graphql-resources", "graphql", "the query is too expensive, inside HTTP 200",
            lambda caller, now: replies.graphql_error("RESOURCE_LIMITS_EXCEEDED", replies.RESOURCES),
        ),
        Fault(
            "null-node", "graphql", "the first node is null, with the error of a cut-off query",
            spoil=_null_node(0, message="Something went wrong while executing your query."),
        ),
        Fault(
            "null-node-unavailable", "graphql", "the last node is null, with an error about just that",
            spoil=_null_node(
                -1, type="SERVICE_UNAVAILABLE",
                message="The additions count for this commit is unavailable.",
            ),
        ),
        Fault("truncated-json", "any", "half the JSON, whole by its length", spoil=_half),
        Fault("cut-connection", "any", "the connection ends in the middle of the body", spoil=_cut),
        Fault(
            "hang-up", "any", "the connection ends without an answer",
            lambda caller, now: Reply(0, hang_up=True),
        ),
        Fault("slow", "any", "the answer takes two minutes", spoil=_slow),
    )
}  # fmt: skip
"""Name -> failure, for ``--fault NAME=PROBABILITY`` and ``Faults.script``."""

TRANSIENT = tuple(
    name
    for name in FAULTS
    if name not in {"bad-credentials", "forbidden", "single-sign-on", "not-found", "blocked", "slow"}
)
"""Failures after which asking again is right, without a wait of minutes."""


@dataclass
class Faults:
    """Which requests fail. A script goes before chance; ``happened`` counts what was done.

    ``wait`` replaces every wait that a failure names (Retry-After, reset, slowness), in seconds:
    GitHub's own are minutes, too long for a test in real time.
    """

    probabilities: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    wait: int | None = None
    happened: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.probabilities:
            _known(name)
        self._rng = Random(self.seed)
        self._script: deque[str | None] = deque()
        self._lock = threading.Lock()

    def script(self, names: Iterable[str | None]) -> None:
        """The next requests fail so, one after another; None = answer rightly."""
        wanted = list(names)
        for name in wanted:
            if name is not None:
                _known(name)
        with self._lock:
            self._script.extend(wanted)

    def next(self, request: Request) -> Fault | None:
        """The failure of this request, if any."""
        with self._lock:
            chosen = self._draw(request)
            if chosen is not None:
                self.happened[chosen.name] = self.happened.get(chosen.name, 0) + 1
            return chosen

    def reply(self, fault: Fault, caller: Caller, now: float) -> Reply | None:
        """The failing reply, or None where the real one is spoilt."""
        if fault.make is None:
            return None
        reply = fault.make(caller, now)
        if self.wait is not None:
            if "Retry-After" in reply.headers:
                reply.headers["Retry-After"] = str(self.wait)
            if "X-RateLimit-Reset" in reply.headers:
                reply.headers["X-RateLimit-Reset"] = str(int(now) + self.wait)
        return reply

    def spoil(self, fault: Fault, reply: Reply) -> Reply:
        """The real reply, spoilt."""
        if fault.spoil is None:
            return reply
        spoilt = fault.spoil(reply)
        if self.wait is not None and spoilt.delay >= SLOW_SECONDS:
            spoilt.delay += self.wait - SLOW_SECONDS
        return spoilt

    def _draw(self, request: Request) -> Fault | None:
        if self._script:
            name = self._script.popleft()
            return None if name is None else _known(name)
        for name, probability in self.probabilities.items():
            if FAULTS[name].fits(request) and self._rng.random() < probability:
                return FAULTS[name]
        return None


def _known(name: str) -> Fault:
    if name not in FAULTS:
        raise ValueError(f"no failure is called {name!r}; known: {', '.join(FAULTS)}")
    return FAULTS[name]
