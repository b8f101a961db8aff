"""The GraphQL queries against GitHub's whole published schema, and against the stand-in's small one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest
from graphql import GraphQLSchema, parse, validate
from local_setup.github_standin import whole_schema
from local_setup.github_standin.graphql_schema import small_schema

from data_fetch import queries

ALL: dict[str, Callable[[], str]] = {
    "walk": queries.walk,
    "numbers": queries.numbers,
    "more_files": queries.more_files,
    "search": queries.search,
    "owner": queries.owner,
    "one repository": lambda: queries.repositories(1),
    "fifty repositories": lambda: queries.repositories(50),
    "one pull request": lambda: queries.pull_requests(1),
    "25 pull requests": lambda: queries.pull_requests(25),
    "which interface": lambda: "query { rateLimit { cost } }",
}


def errors(schema: GraphQLSchema, query: str) -> list[str]:
    return [error.message for error in validate(schema, parse(query))]


@pytest.fixture(scope="module")
def github() -> Any:
    if shutil.which("npm") is None:
        pytest.skip("GitHub's schema comes by npm, which is not installed")
    return whole_schema.whole_schema()


@pytest.mark.parametrize("name", ALL)
def test_github_knows_every_field_that_is_asked_for(github: GraphQLSchema, name: str) -> None:
    assert errors(github, ALL[name]()) == []


@pytest.mark.parametrize("name", ALL)
def test_the_stand_in_knows_them_too(name: str) -> None:
    assert errors(small_schema(), ALL[name]()) == []


def test_a_field_that_github_does_not_know_is_noticed(github: GraphQLSchema) -> None:
    wrong = queries.walk().replace("isDraft", "isDraught")
    assert errors(github, wrong) == [
        "Cannot query field 'isDraught' on type 'PullRequest'. Did you mean 'isDraft'?"
    ]
