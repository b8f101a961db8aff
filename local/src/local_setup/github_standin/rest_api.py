"""GitHub's REST paths that the project reads: pull requests, repositories, search, limits."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from local_setup.github_standin import rest_objects
from local_setup.github_standin.replies import (
    Reply,
    Request,
    error,
    json_reply,
    not_found,
    validation_failed,
)
from local_setup.github_standin.repository import Key, Repository
from local_setup.github_standin.search import (
    MOST_RESULTS,
    owner_login,
    search_repositories,
)
from local_setup.github_standin.store import Corpus

PER_PAGE = 30
MOST_PER_PAGE = 100
MOST_FILES = 3_000

_NAME = r"(?P<owner>[^/]+)/(?P<name>[^/]+)"


def answer(corpus: Corpus, request: Request) -> Reply:
    """The reply to a REST request that is allowed; limits and credentials are not checked here."""
    if request.method != "GET":
        return not_found()
    path = request.path.rstrip("/") or "/"
    if path == "/":
        return json_reply(200, {"current_user_url": f"{request.base_url}/user"})
    if path == "/search/repositories":
        return _search(corpus, request)
    match = re.fullmatch(r"/(orgs|users)/([^/]+)/repos", path)
    if match:
        return _owner_repositories(corpus, request, match[1], match[2])
    match = re.fullmatch(rf"/repos/{_NAME}(?P<rest>/.*)?", path)
    if match:
        full_name = f"{match['owner']}/{match['name']}"
        found = corpus.repository(full_name)
        moved = corpus.moved_from(full_name) if found is None else None
        if moved is not None:
            return _moved(request, moved, match["rest"] or "")
        return _repository(request, found, match["rest"] or "")
    match = re.fullmatch(r"/repositories/(\d+)(?P<rest>/.*)?", path)
    if match:
        return _repository(request, corpus.repository_by_id(int(match[1])), match["rest"] or "")
    return not_found()


def _moved(request: Request, repository: Repository, rest: str) -> Reply:
    """Renamed: GitHub leads to the address by id, with the query kept."""
    query = f"?{urlencode(request.query)}" if request.query else ""
    url = f"{request.base_url}/repositories/{repository.identity}{rest}{query}"
    content = {
        "message": "Moved Permanently",
        "url": url,
        "documentation_url": "https://docs.github.com/rest/guides/best-practices-for-using-the-rest-api",
    }
    return json_reply(301, content, Location=url)


def _repository(request: Request, repository: Repository | None, rest: str) -> Reply:
    if repository is None:
        return not_found()
    if repository.blocked:
        block = {"reason": "dmca", "created_at": "2024-01-01T00:00:00Z", "html_url": None}
        return error(451, "Repository access blocked", block=block)
    if not rest:
        facts = rest_objects.repository(repository.facts, repository.full_name, request.base_url)
        return json_reply(200, facts)
    if rest == "/pulls":
        return _pulls(request, repository)
    match = re.fullmatch(r"/pulls/(\d+)(/files|/reviews)?", rest)
    if match is None:
        return not_found()
    pull = repository.pull(int(match[1]))
    if pull is None:
        return not_found()
    if match[2] == "/files":
        files = [
            rest_objects.file_entry(one, pull, request.base_url)
            for one in (pull.get("files") or ())[:MOST_FILES]
        ]
        return paged(request, repository, rest, files, lambda one: one)
    if match[2] == "/reviews":
        return paged(request, repository, rest, [], lambda one: one)
    reply = json_reply(200, rest_objects.detail(pull, request.base_url))
    reply.pulls = 1
    return reply


def _pulls(request: Request, repository: Repository) -> Reply:
    query = request.query
    state = query.get("state", "open")
    sort = query.get("sort", "created")
    direction = query.get("direction", "desc" if sort == "created" else "asc")
    if state not in {"open", "closed", "all"}:
        return validation_failed("PullRequest", "state")
    if sort not in {"created", "updated", "popularity", "long-running"}:
        return validation_failed("PullRequest", "sort")
    if direction not in {"asc", "desc"}:
        return validation_failed("PullRequest", "direction")
    keys = repository.by_updated if sort == "updated" else repository.by_created
    wanted = {"open": {"OPEN"}, "closed": {"CLOSED", "MERGED"}, "all": None}[state]
    chosen: list[Key] = [key for key in keys if wanted is None or repository.state_of(key[2]) in wanted]
    if direction == "desc":
        chosen.reverse()
    if "head" in query or "base" in query:
        chosen = [key for key in chosen if _fits(repository, key, query)]

    def item(key: Key) -> dict[str, Any]:
        pull = repository.pull(key[2])
        assert pull is not None, "the sort keys are those of the records"
        return rest_objects.list_item(pull, request.base_url)

    return paged(request, repository, "/pulls", chosen, item)


def _fits(repository: Repository, key: Key, query: Mapping[str, str]) -> bool:
    pull = repository.pull(key[2]) or {}
    if "head" in query and (pull.get("head") or {}).get("label") != query["head"]:
        return False
    return "base" not in query or (pull.get("base") or {}).get("ref") == query["base"]


def _owner_repositories(corpus: Corpus, request: Request, kind: str, login: str) -> Reply:
    found = [one for one in corpus.repositories() if owner_login(one).lower() == login.lower()]
    if kind == "orgs":
        found = [one for one in found if (one.facts.get("owner") or {}).get("type") == "Organization"]
    if not found:
        return not_found()
    wanted = request.query.get("type", "all")
    if wanted == "forks":
        found = [one for one in found if one.facts.get("fork")]
    elif wanted == "sources":
        found = [one for one in found if not one.facts.get("fork")]
    facts = [rest_objects.repository(one.facts, one.full_name, request.base_url) for one in found]
    return paged(request, None, request.path, facts, lambda one: one)


def _search(corpus: Corpus, request: Request) -> Reply:
    query = request.query.get("q", "")
    if not query.strip():
        return validation_failed("Search", "q", "missing")
    try:
        found = search_repositories(
            corpus.repositories(), query, request.query.get("sort"), request.query.get("order", "desc")
        )
    except ValueError as problem:
        return validation_failed("Search", "q", "invalid", str(problem))
    page, size = _page_of(request)
    if page * size > MOST_RESULTS:
        return error(422, "Only the first 1000 search results are available")
    shown = found[:MOST_RESULTS][(page - 1) * size : page * size]
    items = [rest_objects.repository(one.facts, one.full_name, request.base_url) for one in shown]
    content = {"total_count": len(found), "incomplete_results": False, "items": items}
    reply = json_reply(200, content)
    last = -(-min(len(found), MOST_RESULTS) // size)
    link = _link(f"{request.base_url}{request.path}", request.query, page, last)
    if link:
        reply.headers["Link"] = link
    return reply


def _page_of(request: Request) -> tuple[int, int]:
    """(page, per_page) as GitHub reads them: bounded, nonsense is 1 and 30."""

    def number(name: str, default: int) -> int:
        text = request.query.get(name, "")
        return int(text) if re.fullmatch(r"\d{1,9}", text) and int(text) else default

    return number("page", 1), min(number("per_page", PER_PAGE), MOST_PER_PAGE)


def paged(
    request: Request,
    repository: Repository | None,
    rest: str,
    items: Sequence[Any],
    shape: Callable[[Any], Any],
) -> Reply:
    """One page by offset, with GitHub's Link header (repositories by id in it)."""
    page, size = _page_of(request)
    shown = [shape(one) for one in items[(page - 1) * size : page * size]]
    reply = json_reply(200, shown)
    reply.pulls = len(shown) if rest == "/pulls" else 0
    path = f"/repositories/{repository.identity}{rest}" if repository else rest
    link = _link(f"{request.base_url}{path}", request.query, page, -(-len(items) // size))
    if link:
        reply.headers["Link"] = link
    return reply


def _link(url: str, query: Mapping[str, str], page: int, last: int) -> str:
    relations = []
    if page > 1:
        relations += [("prev", min(page - 1, max(last, 1)))]
    if page < last:
        relations += [("next", page + 1), ("last", last)]
    if page > 1:
        relations += [("first", 1)]
    return ", ".join(
        f'<{url}?{urlencode({**query, "page": number})}>; rel="{name}"' for name, number in relations
    )
