"""The small GraphQL schema is a part of GitHub's, and every query of ours is valid there."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from graphql import build_schema
from local_setup.github_standin import graphql_api, whole_schema
from local_setup.github_standin.graphql_schema import NULLABLE_HERE, small_schema

WHOLE = """
interface Node { id: ID! }
type Query { pull(number: Int!, strict: Boolean = true): Pull! list(order: Order, kind: Kind): [Pull] }
type Pull implements Node { id: ID! draft: Boolean! state: State! size: Int! }
enum State { OPEN CLOSED }
enum Kind { A B }
input Order { by: Kind! down: Boolean }
"""
SMALL = """
type Query { pull(number: Int!): Pull! list(order: Order, kind: Kind): [Pull] }
type Pull { draft: Boolean state: State! }
enum State { OPEN CLOSED }
enum Kind { A }
input Order { by: Kind! }
"""
DRAFT = frozenset({("Pull", "draft")})


def test_a_part_has_no_differences() -> None:
    assert whole_schema.differences(build_schema(SMALL), build_schema(WHOLE), DRAFT) == []


@pytest.mark.parametrize(
    ("old", "new", "difference"),
    [
        ("state: State! }", "state: State! shoe: Int }", "Pull.shoe: only here"),
        ("state: State!", "state: State", "Pull.state: State here, State! there"),
        (
            "draft: Boolean ",
            "draft: Boolean! ",
            "Pull.draft: listed as nullable here, but it is no exception",
        ),
        ("draft: Boolean ", "draft: Int ", "Pull.draft: Int here, Boolean! there"),
        ("pull(number: Int!)", "pull", "Query.pull(number): required there, missing here"),
        ("pull(number: Int!)", "pull(number: Int)", "Query.pull(number): Int here, Int! there"),
        ("kind: Kind)", "kind: Kind, loud: Boolean)", "Query.list(loud): only here"),
        ("State { OPEN CLOSED }", "State { OPEN }", "State: values ['CLOSED'] are not on both sides"),
        ("Kind { A }", "Kind { C }", "Kind: values ['A', 'B', 'C'] are not on both sides"),
        ("by: Kind!", "by: Kind", "Order(by): Kind here, Kind! there"),
        (
            "type Pull {",
            "interface Odd { draft: Boolean } type Pull implements Odd {",
            "Pull: implements ['Odd'] only here",
        ),
    ],
)
def test_every_difference_is_found(old: str, new: str, difference: str) -> None:
    assert old in SMALL
    small = build_schema(SMALL.replace(old, new))
    assert difference in whole_schema.differences(small, build_schema(WHOLE), DRAFT)


def load_queries(root: Path) -> ModuleType:
    """data_fetch's queries as a module of their own: this environment does not hold that stage."""
    folder = root / "data_fetch" / "src" / "data_fetch" / "queries"
    spec = importlib.util.spec_from_file_location(
        "queries_of_data_fetch", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def queries() -> dict[str, str]:
    """Name -> text of every query that is sent; the ones over several objects with two of them."""
    root = Path(__file__).resolve().parents[2]
    module = load_queries(root)
    found = {}
    for name in vars(module):
        function = getattr(module, name)
        if name.startswith("_") or getattr(function, "__module__", "") != module.__name__:
            continue
        found[name] = function(2) if name in {"repositories", "pull_requests"} else function()
    return found


def test_every_file_of_queries_is_covered(queries: dict[str, str], repository_root: Path) -> None:
    texts = "".join(queries.values())
    files = sorted((repository_root / "data_fetch" / "src" / "data_fetch" / "queries").glob("*.graphql"))
    assert len(files) >= 5
    for file in files:
        assert file.read_text(encoding="utf-8").strip() in texts, file.name


def test_every_query_is_valid_here_and_its_price_is_known(queries: dict[str, str]) -> None:
    given = {"first": 50, "files": True, "query": "stars:>1", "number": 1, "number0": 1, "number1": 2}
    names = ("owner", "name", "login", "owner0", "name0", "owner1", "name1")
    for name, query in queries.items():
        assert whole_schema.query_errors(small_schema(), query) == [], name
        variables = {**given, **dict.fromkeys(names, "x")}
        document, cost = graphql_api.price({"query": query, "variables": variables})
        assert document is not None
        assert cost.errors == [], name
        assert 1 <= cost.points <= 2, name


@pytest.mark.long
def test_the_small_schema_is_a_part_of_githubs() -> None:
    assert whole_schema.differences(small_schema(), whole_schema.whole_schema(), NULLABLE_HERE) == []


@pytest.mark.long
def test_every_query_is_valid_for_github(queries: dict[str, str]) -> None:
    for name, query in queries.items():
        assert whole_schema.query_errors(whole_schema.whole_schema(), query) == [], name
    assert whole_schema.query_errors(whole_schema.whole_schema(), "{ viewer { shoeSize } }") != []
