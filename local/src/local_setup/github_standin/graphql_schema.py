"""The small schema, and what it leaves open that GitHub declares non-null."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from graphql import GraphQLSchema, build_schema

NULLABLE_HERE = frozenset(
    {
        ("PullRequest", "authorAssociation"),
        ("PullRequest", "isCrossRepository"),
        ("PullRequest", "isDraft"),
    }
)
"""(type, field) that old records lack: the only non-null fields of GitHub that are nullable here."""


@cache
def small_schema() -> GraphQLSchema:
    """The schema of the stand-in, built once."""
    text = Path(__file__).with_name("schema.graphql").read_text(encoding="utf-8")
    return build_schema(text)
