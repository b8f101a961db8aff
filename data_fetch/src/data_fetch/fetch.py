"""One run over many repositories: which of them changed, side by side, and how it ends."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from github_client.client import Client
from github_client.clock import Clock
from github_client.errors import Forbidden, GitHubError, Gone, Moved, NoCredential, NotFound, Refused
from stage_runtime.exits import ServiceUnreachable, WrongSettings
from stage_runtime.logs import get_logger

from data_fetch.budget import Budget
from data_fetch.completeness import ask_again, fall_short
from data_fetch.discovery import discover
from data_fetch.endings import raise_for, refused
from data_fetch.graphql_source import GraphqlSource, probe
from data_fetch.page_writer import Outcome
from data_fetch.pages import Source, from_epoch, parse_time
from data_fetch.progress import FetchProgress
from data_fetch.repositories import parse_repositories, parse_shard, share
from data_fetch.rest_source import RestSource
from data_fetch.settings import Settings
from data_fetch.shaping import Shaper
from data_fetch.state import Checkpoint
from data_fetch.store import Store
from data_fetch.walk import RepositoryWalk

_NO_GRAPHQL = (NotFound, Forbidden, Refused, Gone)


@dataclass
class Summary:
    """What a run did. `failed` names each repository that could not be finished, and why."""

    outcome: Outcome = field(default_factory=Outcome)
    repositories: int = 0
    unchanged: int = 0
    failed: dict[str, Exception] = field(default_factory=dict)


class Fetch:
    """A run. Raises StageError; what was done until then is in `summary`."""

    def __init__(
        self,
        settings: Settings,
        client: Client,
        store: Store,
        clock: Clock,
        budget: Budget,
        *,
        rest_per_page: int = 100,
    ) -> None:
        self._settings = settings
        self._client = client
        self._store = store
        self._clock = clock
        self._budget = budget
        self._shaper = Shaper(files=settings.fetch_files, hash_key=settings.hash_key)
        self._rest = RestSource(client, self._shaper, clock, per_page=rest_per_page)
        self._source: Source = self._rest
        self._claims: dict[str, str] = {}
        self._walked: dict[str, bool] = {}
        self._lock = Lock()
        self.summary = Summary()

    def run(self) -> Summary:
        """Find the repositories, leave out the unchanged, walk the rest."""
        settings, started_at = self._settings, from_epoch(self._clock.now())
        index, count = parse_shard(settings.shard, settings.job_completion_index)
        entries = parse_repositories(settings.github_repos)
        try:
            # Where names have to be looked up, a first call tells which interface there is; else the
            # first useful one does.
            unknown = bool(settings.github_search) or any(entry.endswith("/*") for entry in entries)
            api = self._choose_api(ask=unknown)
            names = discover(self._client, api, entries, settings.github_search, settings.github_max_repos)
            names = share(names, index, count)
            self.summary.repositories = len(names)
            with FetchProgress(len(names), lambda: self._client.pool.points_left(self._resource)) as progress:
                self._walk_all(self._changed(names, api, progress), progress)
                self.summary.outcome.written += self._ask_again(names, started_at)
                again = fall_short(self._store, self._walked)
                progress.again(len(again))
                self._walk_all(again, progress)
                fall_short(self._store, {name: self._walked[name] for name in again})
        except NoCredential as error:
            raise refused(error) from None
        except _NO_GRAPHQL as error:
            raise WrongSettings(
                f"GITHUB_API_URL: expected GitHub's interface at {settings.github_api_url}, found none that this "
                f"run may use with GITHUB_API={settings.github_api}: {error}"
            ) from None
        except Moved as error:
            raise WrongSettings(
                f"GITHUB_API_URL: expected the address of the interface itself, found {settings.github_api_url}, "
                f"which leads to {error.location[:200]}"
            ) from None
        except GitHubError as error:
            raise ServiceUnreachable(f"GitHub gave no answer: {error}. Run again later.") from None
        raise_for(self.summary.failed, {entry.lower() for entry in entries}, self.summary.repositories)
        return self.summary

    def _choose_api(self, *, ask: bool) -> str:
        """GraphQL unless it was set otherwise or is not to be had."""
        if self._settings.github_api != "auto":
            return self._settings.github_api
        if ask:
            try:
                self._client.send(self._client.api.graphql("query { rateLimit { cost } }", {}))
            except _NO_GRAPHQL as error:
                get_logger().info("GraphQL is not to be had here: REST is used", reason=str(error))
                return "rest"
        return "graphql"

    @property
    def _resource(self) -> str:
        return "graphql" if self._source.api == "graphql" else "core"

    def _changed(self, names: Sequence[str], api: str, progress: FetchProgress) -> list[str]:
        """The repositories to walk. By GraphQL one call tells for fifty which of them changed."""
        if api == "rest":
            return list(names)
        try:
            probed = probe(self._client, list(names))
        except _NO_GRAPHQL as error:
            if self._settings.github_api == "graphql":
                raise
            get_logger().info("GraphQL is not to be had here: REST is used", reason=str(error))
            return list(names)
        self._source = GraphqlSource(self._client, self._shaper, self._clock, self._rest.by_number)
        checkpoints = {name: self._store.checkpoint(name) for name in probed}
        same = {name for name, found in probed.items() if self._same(checkpoints[name], found)}
        stored = self._store.stored(checkpoints[name].repo_name or "" for name in same)
        changed = []
        for name, found in probed.items():
            checkpoint = checkpoints[name]
            if isinstance(found, GitHubError):
                changed.append(name)  # its walk tells what is wrong, with every token
                continue
            pulls = found.get("pullRequests") or {}
            there = stored[checkpoint.repo_name or ""] + checkpoint.unseen
            complete = name in same and there >= (checkpoint.total or 0)
            if complete and self._claim(found["nameWithOwner"], name):
                self.summary.unchanged += 1
                progress.repository_done()
                continue
            changed.append(name)
            whole = checkpoint.watermark is None or checkpoint.shape != self._shaper.shape
            if whole or self._settings.full_resync:
                progress.expect(pulls.get("totalCount") or 0)
        return changed

    def _same(self, checkpoint: Checkpoint, found: dict[str, Any] | GitHubError) -> bool:
        """Whether the newest update is the known one, so that nothing can be new."""
        if isinstance(found, GitHubError):
            return False
        pulls = found.get("pullRequests") or {}
        nodes = [node for node in pulls.get("nodes") or () if node]
        newest = parse_time(nodes[0]["updatedAt"]) if nodes else None
        return (
            not self._settings.full_resync
            and checkpoint.completed_at is not None
            and checkpoint.walk is None
            and checkpoint.settled
            and checkpoint.shape == self._shaper.shape
            and checkpoint.repository_id == (found["databaseId"] or checkpoint.repository_id)
            and checkpoint.repo_name == found["nameWithOwner"]
            and (checkpoint.watermark, checkpoint.total) == (newest, pulls.get("totalCount"))
        )

    def _claim(self, repo_name: str, name: str) -> bool:
        """Whether this configured name is the one under which the repository is fetched in this run."""
        with self._lock:
            return self._claims.setdefault(repo_name.lower(), name) == name

    def _ask_again(self, names: Sequence[str], started_at: datetime) -> int:
        ours = {name.lower() for name in names} | self._claims.keys()
        return ask_again(self._store, self._rest.by_number, ours, started_at, self._budget.check)

    def _walk_all(self, names: Sequence[str], progress: FetchProgress) -> None:
        """As many side by side as there are tokens."""
        most = len(self._client.pool) * self._settings.requests_per_token
        if most == 1 or len(names) <= 1:
            for name in names:
                self._walk_one(name, progress)
            return
        with ThreadPoolExecutor(max_workers=min(most, len(names))) as executor:
            waiting: set[Future[None]] = {executor.submit(self._walk_one, n, progress) for n in names}
            try:
                while waiting:
                    done, waiting = wait(waiting, timeout=1.0, return_when=FIRST_COMPLETED)
                    for future in done:
                        future.result()
            except BaseException:
                self._budget.abort("the walk of another repository ended the run")
                for future in waiting:
                    future.cancel()
                raise

    def _walk_one(self, name: str, progress: FetchProgress) -> None:
        """Walk a repository; what concerns it alone is noted and the others go on."""
        try:
            self._walk(name, self._source, progress)
        except GitHubError as error:
            get_logger().error("repository not finished", repository=name, reason=str(error))
            with self._lock:
                self.summary.failed[name] = error
        except NoCredential as error:
            if error.reasons:
                raise
            with self._lock:
                self.summary.failed[name] = NotFound(str(error))
        finally:
            progress.repository_done()

    def _walk(self, name: str, source: Source, progress: FetchProgress) -> None:
        """Walk a repository by this source, or by REST where the server's GraphQL lacks a field."""
        settings = self._settings
        walk = RepositoryWalk(
            name,
            source,
            self._store,
            self._clock,
            self._shaper.shape,
            overlap=timedelta(seconds=settings.overlap_seconds),
            page_size=max(1, settings.page_size // 2) if settings.fetch_files else settings.page_size,
            full_resync=settings.full_resync,
            seen=progress.seen,
            expect=progress.expect,
            check=self._budget.check,
            claim=lambda repo_name: self._claim(repo_name, name),
        )
        try:
            if walk.run():
                with self._lock:
                    self._walked[name] = walk.whole
        except Refused as error:
            if not error.undefined or settings.github_api == "graphql":
                raise
            # An older Enterprise server: it knew the probe's fields, so this is found out only now.
            get_logger().info("GraphQL lacks a field here: REST is used", reason=str(error))
            self._source = self._rest
            self._walk(name, self._rest, progress)
        finally:
            with self._lock:
                self.summary.outcome.add(walk.outcome)
