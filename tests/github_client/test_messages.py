"""messages.py: requests as GitHub wants them."""

import json

import pytest
from github_client.errors import Moved
from github_client.messages import API_VERSION, Api


def test_every_request_pins_the_version_of_the_interface() -> None:
    api = Api()
    written = (api.post("/x", {}), api.patch("/x", {}), api.delete("/x"))
    for request in (api.get("/x"), api.get("/x", "tag"), api.graphql("query", {}), *written):
        assert request.headers["X-GitHub-Api-Version"] == API_VERSION


def test_an_enterprise_server_has_graphql_beside_rest() -> None:
    assert Api().graphql_url == "https://api.github.com/graphql"
    assert Api("https://github.example/api/v3/").graphql_url == "https://github.example/api/graphql"
    assert Api("http://127.0.0.1:8080").graphql_url == "http://127.0.0.1:8080/graphql"


def test_a_get_has_its_parameters_and_its_etag() -> None:
    request = Api().get("/repos/a/b/pulls", 'W/"x"', state="all", page=2)
    assert request.url == "https://api.github.com/repos/a/b/pulls?state=all&page=2"
    assert request.headers["If-None-Match"] == 'W/"x"'
    assert (request.method, request.resource) == ("GET", "core")
    assert request.label == "GET /repos/a/b/pulls"
    assert Api().get("https://api.github.com/repositories/1?page=2").url.endswith("/repositories/1?page=2")
    assert Api().get("/search/repositories", q="stars:>1").resource == "search"


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.test/x?page=2",
        "http://api.github.com/x",
        "https://api.github.com:444/x",
        "https://api.github.com@evil.test/x",
        "https://api.github.com.evil.test/x",
        "https://[evil/x",
        "x",
        "",
    ],
)
def test_an_address_from_a_reply_stays_on_the_interfaces_own_server(address: str) -> None:
    with pytest.raises(Moved, match="expected an address at https://api.github.com") as caught:
        Api().get(address)
    assert caught.value.location == address


def test_an_address_from_a_reply_is_taken_as_it_is() -> None:
    address = "https://github.example/api/v3/organizations/1/repos?page=2"
    assert Api("https://GitHub.example/api/v3").get(address).url == address
    assert Api().get("//evil.test/x").url == "https://api.github.com//evil.test/x"


def test_a_query_has_its_variables() -> None:
    request = Api().graphql("query X", {"a": 1})
    assert json.loads(request.body or b"") == {"query": "query X", "variables": {"a": 1}}
    assert (request.method, request.resource) == ("POST", "graphql")


def test_what_is_written_says_how() -> None:
    request = Api().patch("/repos/a/b/issues/comments/1", {"body": "x"})
    assert (request.method, json.loads(request.body or b"")) == ("PATCH", {"body": "x"})
    assert (Api().delete("/x").method, Api().delete("/x").body) == ("DELETE", None)
