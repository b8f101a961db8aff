"""Fixtures of the one-machine set-up: a small corpus, a stand-in without a socket, a MongoDB."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from local_setup.corpus import CorpusSettings, generate
from local_setup.github_standin import DEFAULT_TOKEN, Corpus, GitHubStandIn, ManualClock, Reply
from local_setup.mongodb import embedded_mongodb

PULLS = [pull for pull, _ in generate(CorpusSettings(pulls=240, repositories=4, seed=3))]


class Client:
    """Talks to a stand-in without a socket, as one token."""

    def __init__(self, standin: GitHubStandIn, token: str = DEFAULT_TOKEN) -> None:
        self.standin = standin
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def get(self, url: str, **headers: str) -> Reply:
        """A REST GET."""
        return self.standin.request("GET", f"http://h{url}", {**self.headers, **headers})

    def graphql(self, text: str, **variables: Any) -> Any:
        """The decoded answer to a query."""
        reply = self.post(text, **variables)
        assert reply.status == 200, reply.body
        return json.loads(reply.body)

    def post(self, text: str, **variables: Any) -> Reply:
        """The reply to a query."""
        body = json.dumps({"query": text, "variables": variables}).encode()
        return self.standin.request("POST", "http://h/graphql", self.headers, body)


@pytest.fixture
def pulls() -> list[dict[str, Any]]:
    """The generated pull requests that ``corpus`` holds."""
    copied: list[dict[str, Any]] = json.loads(json.dumps(PULLS))
    return copied


@pytest.fixture
def corpus(pulls: list[dict[str, Any]]) -> Corpus:
    """240 generated pull requests in four repositories."""
    filled = Corpus()
    filled.add_all(pulls)
    return filled


@pytest.fixture
def clock() -> ManualClock:
    """Stands still."""
    return ManualClock()


@pytest.fixture
def standin(corpus: Corpus, clock: ManualClock) -> GitHubStandIn:
    """Over ``corpus``, by ``clock``."""
    return GitHubStandIn(corpus, clock=clock)


@pytest.fixture
def client(standin: GitHubStandIn) -> Client:
    """The token that the stand-in accepts."""
    return Client(standin)


@pytest.fixture
def busiest(corpus: Corpus) -> str:
    """The repository with the most pull requests."""
    return max(corpus.repositories(), key=len).full_name


@pytest.fixture(scope="module")
def mongo_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An embedded MongoDB for one module of tests."""
    with embedded_mongodb(tmp_path_factory.mktemp("mongo") / "data") as uri:
        yield uri


@pytest.fixture
def repository_root() -> Path:
    """The checkout."""
    return Path(__file__).resolve().parents[2]
