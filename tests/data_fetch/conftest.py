"""Fixtures of data_fetch: one embedded MongoDB for the whole run, and GitHub's stand-in."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
# The one-machine set-up is no part of this stage's environment: its source is used as it lies there.
sys.path += [str(ROOT / "local" / "src"), str(Path(__file__).parent)]


@pytest.fixture(scope="session")
def mongo_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A MongoDB of the tests' own."""
    from local_setup import mongodb

    server = mongodb.start(tmp_path_factory.mktemp("mongo") / "data")
    try:
        yield server.uri
    finally:
        server.stop()


@pytest.fixture(scope="session")
def shared_store(mongo_uri: str) -> Iterator[object]:
    """One connected store."""
    from data_fetch.store import Store

    store = Store(mongo_uri, "tests", "pull_requests")
    yield store
    store.close()


@pytest.fixture
def world(shared_store: object) -> object:
    """GitHub and an empty store."""
    from fetch_harness import World

    return World(shared_store)


@pytest.fixture
def github() -> Iterator[tuple[object, str]]:
    """120 pull requests in three repositories, on a port: (stand-in, address)."""
    from fetch_harness import START, TOKEN, UNLIMITED, pull
    from local_setup.github_standin import Corpus, GitHubStandIn, serve

    corpus = Corpus()
    for repo, count in (("acme/widget", 90), ("acme/gadget", 25), ("other/tool", 5)):
        for number in range(1, count + 1):
            corpus.add(pull(repo, number, START - 86_400 - 600 * (count - number)))
    standin = GitHubStandIn(corpus, tokens=[TOKEN], limits=UNLIMITED)
    with serve(standin) as url:
        yield standin, url


@pytest.fixture
def database(mongo_uri: str) -> Iterator[object]:
    """A database of the test's own, as a store."""
    from data_fetch.store import Store

    store = Store(mongo_uri, f"process_{time.monotonic_ns()}", "pull_requests")
    yield store
    store.close()


@pytest.fixture
def environ(mongo_uri: str, database: Any, github: tuple[object, str]) -> dict[str, str]:
    """The environment of a process that fetches all of `github` into `database`."""
    from fetch_harness import TOKEN

    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    return {
        **kept,
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "MONGO_URI": mongo_uri,
        "MONGO_DB": database.documents.database.name,
        "GITHUB_API_URL": github[1],
        "GITHUB_TOKEN": TOKEN,
        "GITHUB_REPOS": "acme/widget,acme/gadget,other/tool",
        "LOG_FORMAT": "json",
    }
