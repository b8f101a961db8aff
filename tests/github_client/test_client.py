"""client.py: retries, other tokens, renames and waits, against scripted and against real answers."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from github_client.client import Client
from github_client.credentials import AppInstallation, Token
from github_client.errors import (
    BadAppKey,
    BadInstallation,
    Forbidden,
    Moved,
    NetworkFailure,
    NoCredential,
    NotFound,
    PrimaryLimit,
    QueryTooLarge,
    ServerFailure,
)
from github_client.messages import Api, Request, Response
from github_client.pool import TokenPool

sys.path.append(str(Path(__file__).resolve().parents[2] / "local" / "src"))

OK = Response(200, {}, b'{"fine": true}')
BROKEN = Response(200, {}, b'{"fine"')
FAILED = Response(503, {}, b"")
NOT_FOUND = Response(404, {}, b"{}")
BAD = Response(401, {}, b'{"message": "Bad credentials"}')
LIMITED = Response(429, {"retry-after": "30"}, b"{}")


class Clock:
    """Sleeping moves it."""

    def __init__(self) -> None:
        self.time = 1_700_000_000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


class Script:
    """Answers one after another; an exception is raised. Keeps what was asked."""

    def __init__(self, *answers: Response | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[Request, str]] = []

    def __call__(self, request: Request, authorization: str, timeout_seconds: float) -> Response:
        self.asked.append((request, authorization))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def client_of(
    script: Callable[..., Response], tokens: int = 1, clock: Clock | None = None, **more: Any
) -> Client:
    clock = clock or Clock()
    pool = TokenPool([Token(f"secret-{n}", f"token {n}") for n in range(tokens)], clock)
    return Client(Api("https://h"), pool, script, clock, **more)


@pytest.mark.parametrize("failure", [BROKEN, FAILED, NetworkFailure("reset"), LIMITED])
def test_what_may_pass_is_asked_again(failure: Any) -> None:
    clock = Clock()
    script = Script(failure, failure, OK)
    assert client_of(script, clock=clock).send(Api("https://h").get("/x")).data == {"fine": True}
    assert len(script.asked) == 3
    assert clock.time > 1_700_000_000.0


def test_it_gives_up_after_a_bounded_time() -> None:
    clock = Clock()
    with pytest.raises(ServerFailure):
        client_of(Script(*[FAILED] * 100), clock=clock).send(Api("https://h").get("/x"))
    assert clock.time - 1_700_000_000.0 < 200


def test_a_limit_without_end_is_given_up_too() -> None:
    clock = Clock()
    spent = Response(403, {"x-ratelimit-remaining": "0"}, b"{}")
    with pytest.raises(PrimaryLimit):
        client_of(Script(*[spent] * 100), clock=clock).send(Api("https://h").get("/x"))
    assert clock.time - 1_700_000_000.0 < 4 * 3600


def test_a_limited_token_is_passed_over_without_waiting() -> None:
    clock = Clock()
    script = Script(LIMITED, OK)
    client_of(script, tokens=2, clock=clock).send(Api("https://h").get("/x"))
    assert clock.time == 1_700_000_000.0
    assert script.asked[0][1] != script.asked[1][1]


def test_a_refused_token_is_never_used_again() -> None:
    script = Script(BAD, OK, OK)
    client = client_of(script, tokens=2)
    client.send(Api("https://h").get("/x"))
    client.send(Api("https://h").get("/x"))
    assert script.asked[1][1] == script.asked[2][1] != script.asked[0][1]
    script.answers = [BAD]
    with pytest.raises(NoCredential) as caught:
        client.send(Api("https://h").get("/x"))
    assert "secret" not in str(caught.value.reasons)
    assert len(caught.value.reasons) == 2


def test_what_one_token_does_not_see_another_may() -> None:
    script = Script(NOT_FOUND, OK, OK)
    client = client_of(script, tokens=2)
    assert client.send(Api("https://h").get("/repos/a/b"), scope="a/b").data == {"fine": True}
    client.send(Api("https://h").get("/repos/a/b"), scope="a/b")
    assert script.asked[1][1] == script.asked[2][1]
    script.answers = [NOT_FOUND]
    with pytest.raises(NotFound):
        client.send(Api("https://h").get("/repos/a/b"), scope="a/b")


FORBIDDEN = Response(403, {}, b'{"message": "Not for you"}')


@pytest.mark.parametrize(
    ("seeing", "other", "kind"), [(NOT_FOUND, FORBIDDEN, NotFound), (FORBIDDEN, NOT_FOUND, Forbidden)]
)
@pytest.mark.parametrize("first", ["seeing", "other"])
def test_of_what_is_in_a_repository_the_word_of_a_token_that_sees_it_counts(
    seeing: Response, other: Response, kind: type[Exception], first: str
) -> None:
    script = Script(OK)
    client = client_of(script, tokens=2)
    client.send(Api("https://h").get("/repos/a/b"), scope="a/b")
    sees = script.asked[0][1]

    def answer(request: Request, authorization: str, timeout_seconds: float) -> Response:
        script.asked.append((request, authorization))
        return seeing if authorization == sees else other

    client._transport = answer
    for member in client.pool._members:  # which of the two is asked first follows from what they have left
        member.remaining["core"] = int((member.credential.authorization() == sees) == (first == "seeing"))
    with pytest.raises(kind):
        client.send(Api("https://h").get("/repos/a/b/pulls/1"), scope="a/b")
    assert [who == sees for _, who in script.asked[1:]] == [first == "seeing", first != "seeing"]


def test_a_missing_object_of_graphql_counts_as_not_found() -> None:
    errors = [{"type": "NOT_FOUND", "path": ["repository"], "message": "Could not resolve"}]
    body = json.dumps({"data": {"repository": None}, "errors": errors}).encode()
    script = Script(Response(200, {}, body), Response(200, {}, body))
    with pytest.raises(NotFound, match="Could not resolve"):
        client_of(script, tokens=2).send(Api("https://h").graphql("q", {}), "a/b", need="repository")
    assert len(script.asked) == 2


def test_a_query_that_is_too_large_is_the_callers_business_who_can_ask_for_less() -> None:
    script = Script(Response(502, {}, b"{}"))
    with pytest.raises(QueryTooLarge):
        client_of(script).send(Api("https://h").graphql("q", {}), shrinks=True)
    assert len(script.asked) == 1


@pytest.mark.parametrize("status", [502, 504])
def test_a_query_that_cannot_be_smaller_is_asked_again_a_bounded_number_of_times(status: int) -> None:
    failed = Response(status, {}, b"{}")
    script = Script(failed, Response(200, {}, b'{"data": {"fine": true}}'))
    assert client_of(script).send(Api("https://h").graphql("q", {})).data == {"fine": True}
    clock = Clock()
    with pytest.raises(QueryTooLarge):
        client_of(Script(*[failed] * 100), clock=clock).send(Api("https://h").graphql("q", {}))
    assert 10 < clock.time - 1_700_000_000.0 < 200


def test_a_move_on_the_same_host_is_followed() -> None:
    script = Script(Response(301, {"location": "https://h/repositories/7?page=1"}, b""), OK)
    request = Api("https://h").get("/repos/a/b", "tag")
    assert client_of(script).send(request).data == {"fine": True}
    followed, authorization = script.asked[1]
    assert followed.url == "https://h/repositories/7?page=1"
    assert followed.headers["If-None-Match"] == "tag"
    assert authorization == "Bearer secret-0"


@pytest.mark.parametrize("place", ["https://elsewhere/x", "http://h/x", "//elsewhere/x"])
def test_the_token_never_goes_to_another_host(place: str) -> None:
    script = Script(Response(301, {"location": place}, b""))
    with pytest.raises(Forbidden, match="another host"):
        client_of(script).send(Api("https://h").get("/x"))
    assert len(script.asked) == 1


def test_moves_in_a_circle_end() -> None:
    script = Script(*[Response(301, {"location": "/x"}, b"")] * 10)
    with pytest.raises(Moved):
        client_of(script).send(Api("https://h").get("/x"))
    assert len(script.asked) == 4


def test_the_guard_hears_of_requests_costs_and_waits_and_may_stop_them() -> None:
    class Guard:
        calls = points = 0
        longest = 0.0

        def before_request(self) -> float:
            self.calls += 1
            return 9.0

        def before_wait(self, seconds: float) -> None:
            self.longest = max(self.longest, seconds)
            if seconds > 20:
                raise TimeoutError

        def spent(self, points: int) -> None:
            self.points += points

    guard = Guard()
    answer = Response(200, {}, b'{"data": {"rateLimit": {"cost": 5}}}')
    client_of(Script(FAILED, answer), guard=guard).send(Api("https://h").graphql("q", {}))
    assert (guard.calls, guard.points) == (2, 6)
    assert 0 < guard.longest <= 1
    with pytest.raises(TimeoutError):
        client_of(Script(LIMITED), guard=guard).send(Api("https://h").get("/x"))


# --- a GitHub App against the stand-in, which checks the signature --------------------------------


def private_pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@pytest.fixture(scope="module")
def keys() -> tuple[str, str]:
    key = rsa.generate_private_key(65537, 2048)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private_pem(key), public.decode()


def standin_client(keys: tuple[str, str], clock: Any, standin: Any, installation: int = 5) -> Client:
    def transport(request: Request, authorization: str, timeout_seconds: float) -> Response:
        headers = dict(request.headers)
        headers.setdefault("Authorization", authorization)
        reply = standin.request(request.method, request.url, headers, request.body or b"")
        return Response(reply.status, {k.lower(): v for k, v in reply.headers.items()}, reply.body)

    api = Api("http://github.test")
    app = AppInstallation(api, "77", keys[0], installation)
    return Client(api, TokenPool([app], clock), transport, clock)


def app_standin(keys: tuple[str, str]) -> tuple[Any, Any]:
    from local_setup.github_standin import Corpus, GitHubStandIn, ManualClock

    manual = ManualClock(1_700_000_000.0)
    standin = GitHubStandIn(Corpus(manual.now), tokens=[], clock=manual)
    standin.add_app("77", keys[1], [5])
    return standin, manual


def test_an_installation_gets_its_token_and_renews_it(keys: tuple[str, str]) -> None:
    standin, manual = app_standin(keys)
    clock = Clock()
    client = standin_client(keys, clock, standin)
    query = client.api.graphql("query { rateLimit { cost } }", {})
    for _ in range(3):
        client.send(query)
    assert standin.log.requests["rest"] == 1
    manual.advance(3_400)
    clock.time += 3_400
    client.send(query)
    assert standin.log.requests["rest"] == 2


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_wrong_clock_here_is_noticed_and_githubs_used(keys: tuple[str, str], hours: int) -> None:
    standin, _ = app_standin(keys)
    clock = Clock()
    clock.time += hours * 3600
    client = standin_client(keys, clock, standin)
    client.send(client.api.graphql("query { rateLimit { cost } }", {}))


def test_a_token_that_github_revoked_is_renewed_once(keys: tuple[str, str]) -> None:
    standin, manual = app_standin(keys)
    clock = Clock()
    client = standin_client(keys, clock, standin)
    query = client.api.graphql("query { rateLimit { cost } }", {})
    client.send(query)
    for token in list(standin._callers):
        standin.revoke_token(token)
    manual.advance(100)
    clock.time += 100
    client.send(query)
    assert standin.log.requests["rest"] == 2


def test_an_unknown_installation_is_a_refused_credential_and_no_missing_repository(
    keys: tuple[str, str],
) -> None:
    standin, _ = app_standin(keys)
    client = standin_client(keys, Clock(), standin, installation=6)
    with pytest.raises(NoCredential) as caught:
        client.send(client.api.get("/repos/a/b"), scope="a/b")
    assert [type(reason) for reason in caught.value.reasons] == [BadInstallation]
    assert "installation 6: POST /app/installations/6/access_tokens" in str(caught.value.reasons[0])
    assert standin.log.calls == 1


def test_a_key_of_another_app_is_named_as_that(keys: tuple[str, str]) -> None:
    standin, _ = app_standin(keys)
    client = standin_client((private_pem(rsa.generate_private_key(65537, 2048)), keys[1]), Clock(), standin)
    with pytest.raises(NoCredential) as caught:
        client.send(client.api.get("/repos/a/b"), scope="a/b")
    assert [type(reason) for reason in caught.value.reasons] == [BadAppKey]
