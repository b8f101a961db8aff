"""Who may ask, how much and how fast; GitHub Apps."""

from __future__ import annotations

import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from local_setup.github_standin import Corpus, GitHubStandIn, Latency, Limits, ManualClock
from local_setup.github_standin.apps import App, BadJwt, public_key, verify


def test_a_wrong_token_is_401_and_none_is_anonymous(standin: GitHubStandIn, busiest: str) -> None:
    url = f"http://h/repos/{busiest}"
    refused = standin.request("GET", url, {"Authorization": "Bearer wrong"})
    assert (refused.status, json.loads(refused.body)["message"]) == (401, "Bad credentials")
    anonymous = standin.request("GET", url)
    assert (anonymous.status, anonymous.headers["X-RateLimit-Limit"]) == (200, "60")
    assert standin.request("POST", "http://h/graphql", {}, b'{"query": "{ viewer { login } }"}').status == 401
    for form in ("token", "Bearer", "bearer"):
        assert standin.request("GET", url, {"Authorization": f"{form} local-token"}).status == 200
    standin.revoke_token("local-token")
    assert standin.request("GET", url, {"Authorization": "token local-token"}).status == 401


def test_the_hours_points_end_and_come_back(
    client: Any, corpus: Corpus, clock: ManualClock, busiest: str
) -> None:
    client.standin = GitHubStandIn(corpus, clock=clock, limits=Limits(core=3))
    replies = [client.get(f"/repos/{busiest}") for _ in range(4)]
    assert [reply.status for reply in replies] == [200, 200, 200, 403]
    assert [reply.headers["X-RateLimit-Remaining"] for reply in replies] == ["2", "1", "0", "0"]
    assert "API rate limit exceeded for user ID" in json.loads(replies[3].body)["message"]
    overview = json.loads(client.get("/rate_limit").body)["resources"]
    assert (overview["core"]["remaining"], overview["graphql"]["remaining"]) == (0, 5000)
    clock.advance(float(replies[3].headers["X-RateLimit-Reset"]) - clock.now())
    assert client.get(f"/repos/{busiest}").status == 200


def test_two_tokens_have_points_of_their_own(corpus: Corpus, clock: ManualClock, busiest: str) -> None:
    standin = GitHubStandIn(corpus, clock=clock, tokens=("one", "two"), limits=Limits(core=1))
    statuses = [
        standin.request("GET", f"http://h/repos/{busiest}", {"Authorization": f"token {token}"}).status
        for token in ("one", "one", "two")
    ]
    assert statuses == [200, 403, 200]


def test_too_many_in_a_minute_is_a_secondary_limit(
    client: Any, corpus: Corpus, clock: ManualClock, busiest: str
) -> None:
    client.standin = GitHubStandIn(corpus, clock=clock, limits=Limits(rest_a_minute=2, graphql_a_minute=1))
    replies = [client.get(f"/repos/{busiest}") for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 403]
    assert replies[2].headers["Retry-After"] == "60"
    assert "secondary rate limit" in json.loads(replies[2].body)["message"]
    assert int(replies[2].headers["X-RateLimit-Remaining"]) > 0
    clock.advance(61)
    assert client.get(f"/repos/{busiest}").status == 200
    assert [client.post("{ viewer { login } }").status for _ in range(2)] == [200, 403]


def test_too_many_at_once_is_a_secondary_limit(client: Any, corpus: Corpus, busiest: str) -> None:
    client.standin = standin = GitHubStandIn(corpus, limits=Limits(concurrent=1))
    request = standin.parse("GET", f"http://h/repos/{busiest}", client.headers)
    with standin.answering(request):
        assert standin.handle(request).status == 200
        with standin.answering(request):
            assert standin.handle(request).status == 403
        assert standin.handle(request).status == 200


def test_latency_counts_pull_requests_and_cuts_graphql_off(client: Any, corpus: Corpus, busiest: str) -> None:
    client.standin = GitHubStandIn(corpus, latency=Latency(fixed=0.2, per_pull=0.05, cut_off=2.0))
    owner, name = busiest.split("/")
    query = f'{{ repository(owner: "{owner}", name: "{name}") {{ pullRequests(first: %d) {{ nodes {{ number }} }} }} }}'
    reply = client.post(query % 20)
    assert (reply.status, round(reply.delay, 6)) == (200, 1.2)
    reply = client.post(query % 50)
    assert (reply.status, reply.delay) == (502, 2.0)
    assert "timeout" in json.loads(reply.body)["message"]
    assert client.get(f"/repos/{busiest}").delay == 0.2


def test_an_enterprise_servers_paths_and_a_server_without_graphql(
    corpus: Corpus, client: Any, busiest: str
) -> None:
    reply = client.standin.request(
        "GET", f"http://h/api/v3/repos/{busiest}/pulls?state=all&per_page=1", client.headers
    )
    assert reply.status == 200
    assert "<http://h/api/v3/repositories/" in reply.headers["Link"]
    body = b'{"query": "{ viewer { login } }"}'
    assert client.standin.request("POST", "http://h/api/graphql", client.headers, body).status == 200
    client.standin = GitHubStandIn(corpus, with_graphql=False)
    assert client.post("{ viewer { login } }").status == 404


# GitHub Apps

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC_PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def signed(claims: dict[str, Any], algorithm: str = "RS256") -> str:
    return jwt.encode(claims, None if algorithm == "none" else KEY, algorithm)


def test_an_installation_gets_a_token_that_ends_after_an_hour(
    standin: GitHubStandIn, clock: ManualClock, busiest: str
) -> None:
    standin.add_app("12", PUBLIC_PEM, [34])
    now = int(clock.now())
    token_request = signed({"iat": now - 60, "exp": now + 540, "iss": "12"})

    def ask(installation: int, token: str) -> Any:
        url = f"http://h/app/installations/{installation}/access_tokens"
        return standin.request("POST", url, {"Authorization": f"Bearer {token}"}, b"{}")

    reply = ask(34, token_request)
    assert reply.status == 201
    token = json.loads(reply.body)["token"]
    header = {"Authorization": f"token {token}"}
    assert standin.request("GET", f"http://h/repos/{busiest}", header).status == 200
    assert ask(35, token_request).status == 404
    assert ask(34, token_request[:-4] + "AAAA").status == 401
    clock.advance(3601)
    assert standin.request("GET", f"http://h/repos/{busiest}", header).status == 401
    assert "too far in the past" in json.loads(ask(34, token_request).body)["message"]


@pytest.mark.parametrize(
    ("claims", "algorithm", "message"),
    [
        ({"iat": 0, "exp": 900, "iss": "12"}, "RS256", "too far in the future"),
        ({"iat": 200, "exp": 300, "iss": "12"}, "RS256", "'Issued at' claim"),
        ({"iat": 0, "exp": 300, "iss": "13"}, "RS256", "'Issuer' claim"),
        ({"iat": 0, "exp": 300, "iss": "12"}, "none", "could not be decoded"),
        ({"iss": "12"}, "RS256", "could not be decoded"),
    ],
)
def test_other_jwts_are_refused(claims: dict[str, Any], algorithm: str, message: str) -> None:
    app = App("12", public_key(PUBLIC_PEM), frozenset({34}))
    verify(app, signed({"iat": 0, "exp": 300, "iss": "12"}), 100.0)
    with pytest.raises(BadJwt, match=message):
        verify(app, signed(claims, algorithm), 100.0)


@pytest.mark.parametrize(
    "pem",
    [
        "no key",
        ec.generate_private_key(ec.SECP256R1())
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        .decode(),
    ],
)
def test_a_key_of_another_kind_is_refused(pem: str) -> None:
    with pytest.raises(ValueError, match="RSA public key in PEM"):
        public_key(pem)
