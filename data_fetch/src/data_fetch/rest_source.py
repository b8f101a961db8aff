"""Pull requests by REST: for Enterprise servers and tokens without GraphQL.

The list is paged by offset, and what changes moves while it is read. Two orders are wrong:

- oldest update first, pages 1, 2, 3: whatever is updated moves from the read part to the end, all
  behind it move up by one, and the first of the next page is skipped;
- newest first, pages 1, 2, 3: an update pushes the others down (read twice, harmless), but a
  deletion in the read part pulls them up, and one is skipped.

So the list is ordered oldest first and read from its *last* page to its first. What is updated
leaves the unread part for the end of the list; everything between moves towards the unread part, as
it does after a deletion. Nothing can move from the unread part past the reader but what was just
updated, and that is newer than the walk's beginning: the next look at the newest page finds it. The
newest page itself is asked for in the other order, so that one call tells whether anything changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from github_client.client import Client
from github_client.clock import Clock
from github_client.errors import (
    Blocked,
    BrokenReply,
    Forbidden,
    Gone,
    NetworkFailure,
    NotFound,
    Refused,
    ServerFailure,
)
from github_client.messages import Reply

from data_fetch.pages import Page, Question, Shaped, from_epoch, parse_time
from data_fetch.shaping import Rejection, Shaper

_PER_PAGE = 100
_BATCH = 20  # so that a stop loses few detail calls
_MAX_FILE_PAGES = 30  # GitHub's limit of 3,000 files
_ITS_OWN = (ServerFailure, NetworkFailure, BrokenReply, Forbidden, Blocked, Refused)


class RestSource:
    """One list call for 100 pull requests and one detail call for each that is not stored yet."""

    api = "rest"

    def __init__(self, client: Client, shaper: Shaper, clock: Clock, *, per_page: int = 100) -> None:
        self._per_page = per_page
        self._client = client
        self._shaper = shaper
        self._clock = clock

    def page(self, question: Question) -> Page:
        """The newest page, or a page of the walk from the end of the list to its beginning."""
        if question.position is None:
            return self._newest(question)
        number = int(question.position)
        reply = self._list(question, number, "asc", None)
        page = self._page(reply, question, reply.data)
        page.next = str(number - 1) if number > 1 else None
        return page

    def _newest(self, question: Question) -> Page:
        reply = self._list(question, 1, "desc", question.etag)
        if reply.not_modified:
            return Page(None, None, etag=question.etag, not_modified=True, server_time=self._time(reply))
        page = self._page(reply, question, reply.data)
        page.etag = reply.etag
        last = _page_number(reply.last_url)
        page.next = str(last) if last is not None and last > 1 else None
        if page.next is None:
            page.total = len(reply.data)
        page.likely = (last or 1) * self._per_page
        if page.repository_id is None:  # an empty list does not say whose it is
            facts = self._facts(question.name)
            page.repository_id, page.repo_name = facts["id"], facts["full_name"]
        return page

    def _facts(self, name: str) -> Any:
        """The repository itself. Raises where no token sees it."""
        return self._client.send(self._client.api.get(f"/repos/{name}"), scope=name).data

    def _list(self, question: Question, page: int, direction: str, etag: str | None) -> Reply:
        request = self._client.api.get(
            f"/repos/{question.name}/pulls",
            etag,
            state="all",
            sort="updated",
            direction=direction,
            per_page=self._per_page,
            page=page,
        )
        return self._client.send(request, scope=question.name)

    def _time(self, reply: Reply) -> Any:
        return from_epoch(self._clock.now() if reply.server_time is None else reply.server_time)

    def _page(self, reply: Reply, question: Question, pulls: list[Any]) -> Page:
        times = [time for pull in pulls for time in [parse_time(pull.get("updated_at"))] if time]
        repo: dict[str, Any] = next(filter(None, map(_repository, pulls)), {})
        return Page(
            repository_id=repo.get("id"),
            repo_name=repo.get("full_name"),
            batches=self._batches(question, pulls),
            newest=max(times, default=None),
            oldest=min(times, default=None),
            server_time=self._time(reply),
        )

    def _batches(self, question: Question, pulls: list[Any]) -> Iterator[list[Shaped]]:
        listed = {}
        for pull in pulls:
            time = parse_time(pull.get("updated_at"))
            if isinstance(pull.get("id"), int) and time is not None:
                listed[pull["id"]] = time
        stored = question.current(listed)
        batch: list[Shaped] = []
        lost: list[int] = []
        for pull in pulls:
            if pull.get("id") in stored:
                continue
            try:
                found = self._single(question.name, pull["number"])
            except BaseException:
                if batch:
                    yield batch  # a stop in the middle of a page keeps what it has cost
                raise
            if found is None:
                lost.append(pull["number"])
            else:
                batch.append(found)
            if len(batch) == _BATCH:
                yield batch
                batch = []
        yield batch
        again = self._again(question.name, lost)
        yield [one or self._not_given(question.name, number) for number, one in again.items()]

    def by_number(self, name: str, numbers: list[int]) -> dict[int, Shaped | None]:
        """Single pull requests, one call each; None where GitHub has none."""
        found = {number: self._single(name, number) for number in numbers}
        return found | self._again(name, [number for number, one in found.items() if one is None])

    def _again(self, name: str, lost: list[int]) -> dict[int, Shaped | None]:
        """Once more for each that was not found. That is also what a token is told that does not see
        the repository, and everybody once it is gone: it counts only if the repository is still seen.
        """
        if lost:
            self._facts(name)
        return {number: self._single(name, number) for number in lost}

    def _single(self, name: str, number: int) -> Shaped | None:
        """One pull request with its sizes, or the reason why GitHub does not give just this one; None
        when it was not found.
        """
        path = f"/repos/{name}/pulls/{number}"
        try:
            reply = self._client.send(self._client.api.get(path), scope=name)
            files = self._files(name, path) if self._shaper.files else None
        except (NotFound, Gone):
            return None
        except _ITS_OWN as error:
            return self._not_given(name, number, str(error))
        return self._shaper.rest(reply.data, name, files, self._now())

    def _not_given(self, name: str, number: int, *reason: str) -> Rejection:
        """What GitHub lists and does not give. Raises where the repository does not answer either."""
        repo_name = self._facts(name)["full_name"]
        return self._shaper.not_given(repo_name, number, self.api, self._now(), *reason)

    def _now(self) -> datetime:
        return from_epoch(self._clock.now())

    def _files(self, name: str, path: str) -> list[Any]:
        found: list[Any] = []
        for page in range(1, _MAX_FILE_PAGES + 1):
            request = self._client.api.get(f"{path}/files", per_page=_PER_PAGE, page=page)
            reply = self._client.send(request, scope=name)
            found += reply.data
            if reply.next_url is None:
                break
        return found


def _repository(pull: Any) -> dict[str, Any]:
    """The repository of a pull request by its own name, which may be written otherwise in the settings."""
    base = pull.get("base") if isinstance(pull, dict) else None
    return (base.get("repo") if isinstance(base, dict) else None) or {}


def _page_number(url: str | None) -> int | None:
    if url is None:
        return None
    value = parse_qs(urlsplit(url).query).get("page", [""])[0]
    return int(value) if value.isascii() and value.isdigit() else None
