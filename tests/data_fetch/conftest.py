"""Fixtures of data_fetch: one embedded MongoDB for the whole run, and GitHub's stand-in."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

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
