"""REST of the stand-in: paths, pages, conditional requests, renames, forms of GitHub's OpenAPI."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from local_setup.github_standin import Corpus


def links(reply: Any) -> dict[str, str]:
    return {name: url for url, name in re.findall(r'<([^>]*)>; rel="(\w+)"', reply.headers.get("Link", ""))}


def walk(client: Any, url: str) -> list[Any]:
    found: list[Any] = []
    while url:
        reply = client.get(url)
        assert reply.status == 200
        found += json.loads(reply.body)
        url = links(reply).get("next", "").removeprefix("http://h")
    return found


@pytest.mark.parametrize("size", [1, 30, 100])
def test_a_list_is_walked_by_its_links(client: Any, corpus: Corpus, busiest: str, size: int) -> None:
    found = walk(client, f"/repos/{busiest}/pulls?state=all&sort=created&direction=asc&per_page={size}")
    assert [one["number"] for one in found] == [one["number"] for one in corpus.pulls(busiest)]
    assert "additions" not in found[0]


def test_links_name_the_repository_by_id(client: Any, corpus: Corpus, busiest: str) -> None:
    repository = corpus.repository(busiest)
    assert repository is not None
    reply = client.get(f"/repos/{busiest}/pulls?state=all&per_page=10&page=2")
    url = f"http://h/repositories/{repository.identity}/pulls?state=all&per_page=10&page="
    last = -(-len(repository) // 10)
    assert links(reply) == {"prev": f"{url}1", "next": f"{url}3", "last": f"{url}{last}", "first": f"{url}1"}
    assert client.get(links(reply)["next"].removeprefix("http://h")).status == 200


def test_defaults_and_bounds_of_a_list(client: Any, corpus: Corpus, busiest: str) -> None:
    everything = json.loads(client.get(f"/repos/{busiest}/pulls?state=all").body)
    assert len(everything) == 30
    assert [one["number"] for one in everything] == sorted(
        (one["number"] for one in everything), reverse=True
    )
    only_open = walk(client, f"/repos/{busiest}/pulls?per_page=100")
    repository = corpus.repository(busiest)
    assert repository is not None
    assert len(only_open) == repository.counts["OPEN"]
    assert len(json.loads(client.get(f"/repos/{busiest}/pulls?state=all&per_page=5000").body)) <= 100
    assert json.loads(client.get(f"/repos/{busiest}/pulls?state=all&page=900").body) == []
    by_update = json.loads(client.get(f"/repos/{busiest}/pulls?state=all&sort=updated&direction=desc").body)
    assert [one["updated_at"] for one in by_update] == sorted(
        (one["updated_at"] for one in by_update), reverse=True
    )
    reply = client.get(f"/repos/{busiest}/pulls?state=strange")
    assert (reply.status, json.loads(reply.body)["message"]) == (422, "Validation Failed")


def test_unknown_things_are_404_as_github_words_it(client: Any, busiest: str) -> None:
    for url in (
        "/repos/no/body",
        "/repos/no/body/pulls",
        f"/repos/{busiest}/pulls/987654",
        "/orgs/nobody/repos",
    ):
        reply = client.get(url)
        assert reply.status == 404
        assert json.loads(reply.body)["message"] == "Not Found"


def test_what_did_not_change_is_304_and_costs_nothing(client: Any, corpus: Corpus, busiest: str) -> None:
    url = f"/repos/{busiest}/pulls?state=all"
    reply = client.get(url)
    remaining = reply.headers["X-RateLimit-Remaining"]
    again = client.get(url, **{"If-None-Match": reply.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")
    assert again.headers["X-RateLimit-Remaining"] == remaining
    corpus.update(busiest, next(corpus.pulls(busiest))["number"], title="changed")
    after = client.get(
        url.replace("?", "?sort=updated&direction=desc&"), **{"If-None-Match": reply.headers["ETag"]}
    )
    assert after.status == 200
    assert int(after.headers["X-RateLimit-Remaining"]) == int(remaining) - 1


def test_a_renamed_repository_is_301_to_its_id(client: Any, corpus: Corpus, busiest: str) -> None:
    corpus.rename(busiest, "elsewhere/renamed")
    reply = client.get(f"/repos/{busiest}/pulls?state=all&page=2")
    assert reply.status == 301
    location = reply.headers["Location"]
    assert re.fullmatch(r"http://h/repositories/\d+/pulls\?state=all&page=2", location)
    assert json.loads(reply.body)["url"] == location
    moved = json.loads(client.get(location.removeprefix("http://h")).body)
    assert {one["base"]["repo"]["full_name"] for one in moved} == {"elsewhere/renamed"}


def test_a_blocked_repository_is_451(client: Any, corpus: Corpus, busiest: str) -> None:
    corpus.block(busiest)
    reply = client.get(f"/repos/{busiest}/pulls")
    assert (reply.status, json.loads(reply.body)["block"]["reason"]) == (451, "dmca")


def test_search_and_owners(client: Any, corpus: Corpus, busiest: str) -> None:
    reply = client.get("/search/repositories?q=stars:%3E0+sort:stars&per_page=3")
    content = json.loads(reply.body)
    assert content["total_count"] == 4
    assert len(content["items"]) == 3
    assert reply.headers["X-RateLimit-Resource"] == "search"
    language = content["items"][0]["language"]
    found = json.loads(client.get(f"/search/repositories?q=language:{language.replace('#', '%23')}").body)
    assert {one["language"] for one in found["items"]} == {language}
    assert client.get("/search/repositories?q=").status == 422
    assert client.get("/search/repositories?q=stars:many").status == 422
    owned = json.loads(client.get(f"/orgs/{busiest.split('/')[0]}/repos").body)
    assert busiest in {one["full_name"] for one in owned}


def strict(schema: Any, components: dict[str, Any]) -> Any:
    """OpenAPI 3.0 in JSON Schema's words: `nullable` becomes a type, references are followed."""
    if isinstance(schema, list):
        return [strict(one, components) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return strict(components[schema["$ref"].rsplit("/", 1)[1]], components)
    found = {
        key: strict(one, components) for key, one in schema.items() if key not in {"example", "examples"}
    }
    if found.pop("nullable", False) is True:
        return {"anyOf": [found, {"type": "null"}]}
    return found


@pytest.mark.parametrize(
    ("url", "name", "many"),
    [
        ("/repos/NAME/pulls/NUMBER", "pull-request", False),
        ("/repos/NAME/pulls?state=all&per_page=5", "pull-request-simple", True),
        ("/repos/NAME/pulls/NUMBER/files", "diff-entry", True),
        ("/rate_limit", "rate-limit-overview", False),
        ("/repos/NAME", "repository", False),
    ],
)
def test_generated_ones_have_the_form_of_githubs_openapi(
    client: Any, corpus: Corpus, busiest: str, pr_data: Path, url: str, name: str, many: bool
) -> None:
    api = json.loads((pr_data / "github_openapi_pulls.json").read_text())
    schema = strict(api["components"]["schemas"][name], api["components"]["schemas"])
    number = next(corpus.pulls(busiest))["number"]
    content = json.loads(client.get(url.replace("NAME", busiest).replace("NUMBER", str(number))).body)
    for one in content if many else [content]:
        jsonschema.Draft7Validator(schema).validate(one)


def test_a_real_record_is_given_as_it_is(client: Any, corpus: Corpus, pr_data: Path) -> None:
    import gzip

    with gzip.open(pr_data / "gharchive_2015_pulls.jsonl.gz") as lines:
        pull = json.loads(next(lines))
    corpus.add(pull)
    name, number = pull["base"]["repo"]["full_name"], pull["number"]
    assert json.loads(client.get(f"/repos/{name}/pulls/{number}").body) == pull
