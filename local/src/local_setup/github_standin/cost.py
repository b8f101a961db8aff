"""What a GraphQL query costs, by GitHub's published formula, and what it refuses before running it.

Points: the requests needed to fill every connection that is paged, each to its ``first`` limit,
divided by 100 and rounded, at least 1. Nodes: the sum over the same connections, at most 500,000.
https://docs.github.com/en/graphql/overview/rate-limits-and-query-limits-for-the-graphql-api
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    get_named_type,
    value_from_ast_untyped,
)

MOST_NODES = 500_000
MOST_ITEMS = 100


@dataclass
class Cost:
    """``requests`` and ``nodes`` as GitHub counts them; ``errors`` in GitHub's own form."""

    requests: int = 0
    nodes: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)

    @property
    def points(self) -> int:
        """What is taken from the hour's points."""
        return max(1, int(self.requests / 100 + 0.5))


def estimate(
    schema: GraphQLSchema, document: DocumentNode, variables: Mapping[str, Any], operation: str | None
) -> Cost:
    """The cost of a valid document, with every refusal that GitHub knows before execution."""
    fragments = {
        node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
    }
    walk = _Walk(schema, fragments, variables)
    for node in document.definitions:
        if isinstance(node, OperationDefinitionNode) and (
            operation is None or (node.name and node.name.value == operation)
        ):
            given = dict(variables)
            for variable in node.variable_definitions or ():
                if variable.default_value is not None:
                    default = value_from_ast_untyped(variable.default_value)
                    given.setdefault(variable.variable.name.value, default)
            walk.variables = given
            assert schema.query_type is not None
            walk.selections(node.selection_set, schema.query_type, 1, ["query"])
    cost = walk.cost
    if not cost.errors and cost.nodes > MOST_NODES:
        message = (
            f"This query requests up to {cost.nodes:,} possible nodes which exceeds the maximum "
            f"limit of {MOST_NODES:,}."
        )
        cost.errors.append({"type": "MAX_NODE_LIMIT_EXCEEDED", "message": message})
    return cost


class _Walk:
    """Goes through a query and multiplies the page sizes it meets."""

    def __init__(
        self,
        schema: GraphQLSchema,
        fragments: Mapping[str, FragmentDefinitionNode],
        variables: Mapping[str, Any],
    ) -> None:
        self.schema = schema
        self.fragments = fragments
        self.variables = variables
        self.cost = Cost()

    def selections(self, selection_set: SelectionSetNode, parent: Any, factor: int, path: list[str]) -> None:
        for node in selection_set.selections:
            if not self._included(node):
                continue
            if isinstance(node, FragmentSpreadNode):
                fragment = self.fragments[node.name.value]
                on = self.schema.type_map[fragment.type_condition.name.value]
                self.selections(fragment.selection_set, on, factor, path)
            elif isinstance(node, InlineFragmentNode):
                condition = node.type_condition
                on = self.schema.type_map[condition.name.value] if condition else parent
                self.selections(node.selection_set, on, factor, path)
            elif isinstance(node, FieldNode):
                self._field(node, parent, factor, path)

    def _field(self, node: FieldNode, parent: Any, factor: int, path: list[str]) -> None:
        if not isinstance(parent, (GraphQLObjectType, GraphQLInterfaceType)):
            return
        definition = parent.fields.get(node.name.value)
        if definition is None or node.selection_set is None:
            return
        here = [*path, node.alias.value if node.alias else node.name.value]
        kind = get_named_type(definition.type)
        if kind.name.endswith("Connection"):
            factor = self._connection(node, factor, here)
        self.selections(node.selection_set, kind, factor, here)

    def _connection(self, node: FieldNode, factor: int, path: list[str]) -> int:
        name = node.name.value
        arguments = {
            one.name.value: value_from_ast_untyped(one.value, dict(self.variables))
            for one in node.arguments or ()
        }
        first = arguments.get("first")
        location = node.loc.start_token if node.loc else None
        where = [{"line": location.line, "column": location.column}] if location else []
        if first is None:
            if self._asks_for_items(node):
                self._refuse(
                    "MISSING_PAGINATION_BOUNDARIES", path, where,
                    f"You must provide a `first` or `last` value to properly paginate the `{name}` "
                    "connection.",
                )  # fmt: skip
            return factor
        if not isinstance(first, int) or first < 0 or first > MOST_ITEMS:
            kind = "EXCESSIVE_PAGINATION"
            self._refuse(
                kind, path, where,
                f"Requesting {first} records on the `{name}` connection exceeds the `first` limit of "
                f"{MOST_ITEMS} records.",
            )  # fmt: skip
            return factor
        self.cost.requests += factor
        self.cost.nodes += factor * first
        return factor * max(1, first)

    def _asks_for_items(self, node: FieldNode) -> bool:
        assert node.selection_set is not None
        names = {one.name.value for one in node.selection_set.selections if isinstance(one, FieldNode)}
        return bool(names & {"nodes", "edges", "pageInfo"})

    def _refuse(self, kind: str, path: list[str], where: list[Any], message: str) -> None:
        self.cost.errors.append({"type": kind, "path": path, "locations": where, "message": message})

    def _included(self, node: Any) -> bool:
        for directive in node.directives or ():
            value = value_from_ast_untyped(directive.arguments[0].value, dict(self.variables))
            if directive.name.value == "include" and not value:
                return False
            if directive.name.value == "skip" and value:
                return False
        return True
