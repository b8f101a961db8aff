"""Asking GitHub until there is data or a reason to stop: tokens, limits, retries, renames.

client = Client(Api(), TokenPool([Token("...")], clock), HttpTransport(), clock)
reply = client.send(client.api.get("/repos/a/b/pulls"), scope="a/b")
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Protocol
from urllib.parse import urljoin, urlsplit

from github_client.classifier import object_error, read_response
from github_client.clock import Clock
from github_client.errors import (
    BadAppKey,
    BadCredentials,
    BadInstallation,
    Forbidden,
    GitHubError,
    Moved,
    NotFound,
    PrimaryLimit,
    QueryTooLarge,
    SecondaryLimit,
)
from github_client.messages import Api, Reply, Request
from github_client.pool import Member, TokenPool
from github_client.transport import Transport
from github_client.waits import WaitPolicy

_MAX_MOVES = 3
_CLOCKS_DIFFER_SECONDS = 30.0


class Guard(Protocol):
    """Hears of each request and wait beforehand, and may raise to stop: a budget, a signal."""

    def before_request(self) -> float:
        """Seconds that the request may take."""

    def before_wait(self, seconds: float) -> None:
        """A wait of so many seconds would come now."""

    def spent(self, points: int) -> None:
        """A request was made and cost so much."""


class FreeRun:
    """A guard that stops nothing; a request may take a minute."""

    def before_request(self) -> float:
        """Any time."""
        return 60.0

    def before_wait(self, seconds: float) -> None:
        """Any wait."""

    def spent(self, points: int) -> None:
        """Any cost."""


class _AskAgain(Exception):
    """The same request at once, by whatever member is free. `answer` is what a member was told that
    sees the repository: unless another one gets data, that is true of what was asked for.
    """

    def __init__(self, answer: GitHubError | None = None) -> None:
        super().__init__()
        self.answer = answer


class Client:
    """Sends requests. Safe to use from several threads."""

    def __init__(
        self,
        api: Api,
        pool: TokenPool,
        transport: Transport,
        clock: Clock,
        *,
        waits: WaitPolicy | None = None,
        guard: Guard | None = None,
        on_trouble: Callable[[GitHubError, float | None], None] = lambda error, wait: None,
    ) -> None:
        self.api = api
        self.pool = pool
        self._transport = transport
        self._clock = clock
        self._waits = waits or WaitPolicy()
        self._guard = guard or FreeRun()
        self._on_trouble = on_trouble
        self._skew = 0.0  # GitHub's clock minus ours, for signing

    def apart(self) -> list[Client]:
        """A client for each credential alone: for what each of them sees another part of."""
        pools = self.pool.apart()
        alone = [copy(self) for _ in pools]
        for client, pool in zip(alone, pools, strict=True):
            client.pool = pool
        return alone

    def send(self, request: Request, scope: str = "", need: str = "", *, shrinks: bool = False) -> Reply:
        """The data, or the error that no waiting and no other token can help.

        `scope` is the repository asked about: a token that does not see it is passed over for it.
        `need` names the object without which a GraphQL reply counts as "not found". `shrinks` says
        that the caller can ask for less: QueryTooLarge then comes at once, else it is asked again as
        after any failure. Raises GitHubError, or NoCredential when every token was refused.
        """
        failures = limits = moves = 0
        answer: GitHubError | None = None
        while True:
            try:
                return self._attempt(request, scope, need)
            except _AskAgain as again:
                answer = answer or again.answer
            except Moved as error:
                moves += 1
                request = self._followed(request, error, moves)
            except (PrimaryLimit, SecondaryLimit) as error:
                limits += 1  # the pool keeps the member back; another one may be free
                if self._waits.wait(error, failures, limits) is None:
                    raise
            except GitHubError as error:
                if shrinks and isinstance(error, QueryTooLarge):
                    raise
                failures += 1
                wait = self._waits.wait(error, failures, limits)
                self._on_trouble(error, wait)
                if wait is None:
                    raise answer or error from None
                self._guard.before_wait(wait)
                self._clock.sleep(wait)

    def _attempt(self, request: Request, scope: str, need: str) -> Reply:
        with self.pool.lease(request.resource, scope, self._guard.before_wait) as member:
            try:
                self._renew(member)
                reply = self._exchange(request, member.credential.authorization())
                if need and reply.data.get(need) is None:
                    raise object_error(f"{request.label} for {scope}", reply.errors, (need,))
            except GitHubError as error:
                self._judge(member, request, scope, error)
                raise
            member.limits_in_a_row = 0
            member.sees.add(scope)
            if reply.rate is not None:
                self.pool.note(member, reply.rate, request.resource)
            return reply

    def _renew(self, member: Member) -> None:
        renewal = member.credential.renewal(self._clock.now() + self._skew)
        if renewal is None:
            return
        try:
            member.credential.renewed(self._exchange(renewal, "").data)
        except BadCredentials as error:
            skew = 0.0 if error.server_time is None else error.server_time - self._clock.now()
            if abs(skew - self._skew) < _CLOCKS_DIFFER_SECONDS:
                raise BadAppKey(str(error), status=error.status) from None
            self._skew = skew  # a JWT is refused when the clocks differ: sign by GitHub's
            raise _AskAgain from None
        except (NotFound, Forbidden) as error:
            raise BadInstallation(str(error), status=error.status) from None

    def _exchange(self, request: Request, authorization: str) -> Reply:
        timeout = self._guard.before_request()
        cost = 1
        try:
            response = self._transport(request, authorization, timeout)
            reply = read_response(request, response, self._clock.now())
            cost = reply.cost
            return reply
        finally:
            self._guard.spent(cost)

    def _judge(self, member: Member, request: Request, scope: str, error: GitHubError) -> None:
        """Act on what the error says about the member."""
        if isinstance(error, (PrimaryLimit, SecondaryLimit)):
            member.limits_in_a_row += 1
            wait = self._waits.wait(error, 0, min(member.limits_in_a_row, self._waits.limit_attempts))
            self._on_trouble(error, wait)
            resource = request.resource if isinstance(error, PrimaryLimit) else ""
            self.pool.block(member, resource, wait or 0.0)
        elif isinstance(error, BadCredentials):
            if not member.credential.expired(self._clock.now() + self._skew):
                refusal = type(error)(f"{member.name}: {error}", status=error.status)
                self._on_trouble(refusal, None)
                self.pool.refuse(member, refusal)
            raise _AskAgain from None
        elif isinstance(error, (NotFound, Forbidden)) and scope:
            if self.pool.blind(member, scope):
                raise _AskAgain(error if scope in member.sees else None) from None
            self.pool.see_again(scope)  # nobody sees it: that is the answer, for this question

    def _followed(self, request: Request, moved: Moved, moves: int) -> Request:
        """The same request at its new place, on the same host only: it carries a token."""
        target = urljoin(request.url, moved.location)
        if moves > _MAX_MOVES or request.method != "GET":
            raise moved
        if urlsplit(target)[:2] != urlsplit(request.url)[:2]:
            raise Forbidden(
                f"{request.label}: moved to another host, which is not followed", status=moved.status
            )
        return Request(request.method, target, request.headers, None, request.resource)
