"""What the tests of data_fetch share: GitHub in the same process, a clock that is moved by hand, and
a run of the real fetch over the real store.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from data_fetch.budget import Budget
from data_fetch.fetch import Fetch, Summary
from data_fetch.github import make_client
from data_fetch.settings import Settings
from data_fetch.store import Store
from github_client.errors import NetworkFailure
from github_client.messages import Request, Response
from local_setup.github_standin import Corpus, GitHubStandIn, Limits, ManualClock
from pr_features.documents import from_rest
from stage_runtime.signals import StopRequest

START = 1_750_000_000.0
TOKEN = "ghp_a-token-that-must-appear-nowhere"
UNLIMITED = Limits(core=10**9, graphql=10**9, search=10**9, rest_a_minute=10**9, graphql_a_minute=10**9)


def iso(seconds: float) -> str:
    """GitHub's spelling of a time."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def repository_id(repo: str) -> int:
    """The id that goes with a name."""
    return zlib.crc32(repo.encode()) % 10**8 + 1


def pull(repo: str, number: int, updated: float, **changes: Any) -> dict[str, Any]:
    """A REST detail object; its id follows from repository and number."""
    identity = repository_id(repo)
    repository = {"id": identity, "full_name": repo, "name": repo.split("/")[1]}
    made = {
        "id": identity * 10_000 + number,
        "number": number,
        "title": f"Change {number}",
        "body": f"Body of {number}",
        "state": "open",
        "draft": False,
        "created_at": iso(updated),
        "updated_at": iso(updated),
        "closed_at": None,
        "merged_at": None,
        "additions": number,
        "deletions": 1,
        "changed_files": 2,
        "commits": 3,
        "assignees": [],
        "labels": [{"name": "one"}],
        "author_association": "MEMBER",
        "user": {"login": "someone-private", "id": 77, "type": "User"},
        "head": {"ref": "topic", "sha": "0" * 40, "repo": repository},
        "base": {"ref": "main", "sha": "1" * 40, "repo": repository},
        "_links": {},
    }
    return {**made, **changes}


class TestClock:
    """The fetch's clock over the stand-in's: one time for both, and sleeping costs none."""

    __test__ = False

    def __init__(self, manual: ManualClock) -> None:
        self.manual = manual
        self.slept: list[float] = []

    def now(self) -> float:
        return self.manual.now()

    def monotonic(self) -> float:
        return self.manual.now()

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.manual.advance(max(0.0, seconds))


@dataclass
class World:
    """GitHub with a corpus, a store, and a way to run the fetch."""

    store: Store
    clock: ManualClock = field(default_factory=lambda: ManualClock(START))
    standin: GitHubStandIn = field(init=False)
    corpus: Corpus = field(init=False)
    settings: dict[str, Any] = field(default_factory=dict)
    rest_per_page: int = 100

    def __post_init__(self) -> None:
        self.corpus = Corpus(self.clock.now)
        self.standin = GitHubStandIn(self.corpus, tokens=[TOKEN], limits=UNLIMITED, clock=self.clock)
        for collection in (self.store.documents, self.store.rejected, self.store.checkpoints):
            collection.delete_many({})

    def fill(self, repo: str, count: int, *, step: float = 3600.0) -> None:
        """Add a repository with pull requests, the last one updated a day before now."""
        self.corpus.add_repository(repo, id=repository_id(repo))
        repository = self.corpus.repository(repo)
        assert repository is not None
        for number in range(1, count + 1):
            updated = self.clock.now() - 86_400 - (count - number) * step
            repository.put(pull(repo, number, updated))

    def transport(self, request: Request, authorization: str, timeout_seconds: float) -> Response:
        """The stand-in without a socket; what takes too long is a time-out."""
        headers = {**request.headers, "Authorization": authorization}
        if "Authorization" in request.headers:
            headers["Authorization"] = request.headers["Authorization"]
        reply = self.standin.request(request.method, request.url, headers, request.body or b"")
        self.clock.advance(min(reply.delay, timeout_seconds))
        if reply.delay > timeout_seconds:
            raise NetworkFailure(f"{request.label}: ReadTimeout")
        if reply.hang_up or reply.cut is not None:
            raise NetworkFailure(f"{request.label}: ConnectionError")
        found = {name.lower(): value for name, value in reply.headers.items()}
        return Response(reply.status, found, reply.body)

    def fetch(
        self, repos: str = "", *, store: Store | None = None, transport: Any = None, **more: Any
    ) -> Summary:
        """One run of data_fetch."""
        named = repos or ",".join(one.full_name for one in self.corpus.repositories())
        given = {"github_repos": named, "github_token": TOKEN, "github_api_url": "http://github.test"}
        settings = Settings.model_validate({**given, **self.settings, **more})
        clock = TestClock(self.clock)
        stop = StopRequest()
        budget = Budget(
            clock,
            stop,
            max_points=settings.max_points,
            max_seconds=settings.max_seconds,
            request_seconds=settings.request_timeout_seconds,
        )
        self.budget = budget
        client = make_client(settings, clock, budget, transport=transport or self.transport)
        run = Fetch(settings, client, store or self.store, clock, budget, rest_per_page=self.rest_per_page)
        self.last = run
        return run.run()

    def expected(self) -> dict[int, dict[str, Any]]:
        """What the store must hold, but for when and how it was fetched."""
        return {
            one["id"]: comparable(from_rest(one))
            for repository in self.corpus.repositories()
            for one in self.corpus.pulls(repository.full_name)
        }

    def stored(self) -> dict[int, dict[str, Any]]:
        """What it holds."""
        found: Iterable[dict[str, Any]] = self.store.documents.find()
        return {one["_id"]: comparable(one) for one in found}


def comparable(document: dict[str, Any]) -> dict[str, Any]:
    """A document without when and how it was fetched."""
    return {key: value for key, value in document.items() if key not in ("fetched_at", "source")}


def as_lines(pulls: Iterable[dict[str, Any]]) -> bytes:
    """JSON lines."""
    return b"".join(json.dumps(one).encode() + b"\n" for one in pulls)
