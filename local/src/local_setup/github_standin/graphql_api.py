"""Answers a GraphQL request body from the corpus, in GitHub's form, errors included."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    execute_sync,
    parse,
    validate,
)

from local_setup.github_standin import cost, resolvers
from local_setup.github_standin.graphql_schema import small_schema


@cache
def _schema() -> GraphQLSchema:
    return resolvers.attach(small_schema())


@lru_cache(maxsize=256)
def _checked(query: str) -> tuple[DocumentNode | None, tuple[dict[str, Any], ...]]:
    """The parsed query, or the errors that GitHub would give instead of running it."""
    try:
        document = parse(query)
    except GraphQLSyntaxError as error:
        return None, ({"message": f"Parse error: {error.message}", "locations": _places(error)},)
    errors = validate(_schema(), document)
    return document, tuple(_refused(error) for error in errors)


def price(body: Mapping[str, Any]) -> tuple[DocumentNode | None, cost.Cost]:
    """Parse, validate and price a request ({query, variables, operationName})."""
    query = body.get("query")
    if not isinstance(query, str) or not query.strip():
        return None, cost.Cost(
            errors=[{"message": "A query attribute must be specified and must be a string."}]
        )
    document, refused = _checked(query)
    if document is None or refused:
        return None, cost.Cost(errors=list(refused))
    variables = body.get("variables") or {}
    return document, cost.estimate(_schema(), document, variables, body.get("operationName"))


def run(document: DocumentNode, body: Mapping[str, Any], context: resolvers.Context) -> dict[str, Any]:
    """Execute a priced query; the answer's ``data`` and, where there are any, ``errors``."""
    result = execute_sync(
        _schema(),
        document,
        variable_values=body.get("variables") or {},
        operation_name=body.get("operationName"),
        context_value=context,
        field_resolver=resolvers.from_key,
        type_resolver=resolvers.type_name,
    )
    answer: dict[str, Any] = {}
    if result.data is not None or not result.errors or result.errors[0].path:
        answer["data"] = result.data
    if result.errors:
        answer["errors"] = [_failed(error) for error in result.errors]
    return answer


def _places(error: GraphQLError) -> list[dict[str, int]]:
    return [{"line": place.line, "column": place.column} for place in error.locations or ()]


def _refused(error: GraphQLError) -> dict[str, Any]:
    """A validation error in the words that GitHub's server uses."""
    match = re.match(r"Cannot query field '(\w+)' on type '(\w+)'", error.message)
    if match:
        field, kind = match.groups()
        return {
            "path": ["query", field],
            "extensions": {"code": "undefinedField", "typeName": kind, "fieldName": field},
            "locations": _places(error),
            "message": f"Field '{field}' doesn't exist on type '{kind}'",
        }
    return {
        "path": ["query"],
        "extensions": {"code": "invalidQuery"},
        "locations": _places(error),
        "message": error.message,
    }


def _failed(error: GraphQLError) -> dict[str, Any]:
    """An error of one field: GitHub names its kind in ``type``."""
    found: dict[str, Any] = {}
    kind = (error.extensions or {}).get("type")
    if kind is not None:
        found["type"] = kind
    if error.path is not None:
        found["path"] = error.path
    found["locations"] = _places(error)
    found["message"] = error.message
    return found
