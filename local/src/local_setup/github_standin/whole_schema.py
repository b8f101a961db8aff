"""GitHub's whole published GraphQL schema, and the proof that ours is a part of it.

    python -m local_setup.github_standin.whole_schema        # fetches it into var/cache

The schema comes from the npm package `@octokit/graphql-schema`, pinned and checked.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    build_schema,
    is_required_argument,
    is_required_input_field,
    parse,
    specified_rules,
    validate,
)
from graphql.validation import NoUnusedFragmentsRule

from local_setup.errors import LocalSetupError
from local_setup.paths import project_root

PACKAGE = "@octokit/graphql-schema@15.26.1"
INTEGRITY = "RFDC2MpRBd4AxSRvUeBIVeBU7ojN/SxDfALUd7iVYOSeEK3gZaqR2MGOysj4Zh2xj2RY5fQAUT+Oqq7hWTraMA=="
"""SHA-512 of the package, as npm publishes it."""


def fetch() -> Path:
    """Path of the schema; fetched once. Raises LocalSetupError."""
    version = PACKAGE.rsplit("@", 1)[1]
    path = project_root() / "var" / "cache" / "github-schema" / f"schema-{version}.graphql"
    if path.is_file():
        return path
    npm = shutil.which("npm")
    if npm is None:
        raise LocalSetupError("GitHub's schema comes by npm, which is not installed: apt-get install npm")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        command = [npm, "pack", PACKAGE, "--silent", "--pack-destination", scratch]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=scratch)
        packages = sorted(Path(scratch).glob("*.tgz"))
        if done.returncode != 0 or not packages:
            raise LocalSetupError(f"npm pack {PACKAGE} failed: {done.stderr.strip()[-500:]}")
        digest = base64.b64encode(hashlib.sha512(packages[0].read_bytes()).digest()).decode()
        if digest != INTEGRITY:
            raise LocalSetupError(f"{PACKAGE}: expected SHA-512 {INTEGRITY}, found {digest}")
        with tarfile.open(packages[0]) as archive:
            member = archive.extractfile("package/schema.graphql")
            assert member is not None, "a regular file"
            Path(scratch, "schema").write_bytes(member.read())
        os.replace(Path(scratch, "schema"), path)
    return path


@cache
def whole_schema() -> GraphQLSchema:
    """GitHub's schema. The library refuses some of its text (two fields are defined twice)."""
    return build_schema(fetch().read_text(encoding="utf-8"), assume_valid_sdl=True, assume_valid=True)


def query_errors(schema: GraphQLSchema, query: str) -> list[str]:
    """What ``schema`` has against a query, or against a file with nothing but fragments."""
    rules = [rule for rule in specified_rules if rule is not NoUnusedFragmentsRule]
    return [error.message for error in validate(schema, parse(query), rules)]


def differences(
    small: GraphQLSchema, whole: GraphQLSchema, nullable: frozenset[tuple[str, str]]
) -> list[str]:
    """Everything in which ``small`` says other than ``whole``, and unused exceptions.

    ``nullable`` holds the (type, field) that may lack the ``!`` they have in ``whole``.
    """
    return list(_differences(small, whole, nullable))


def _differences(
    small: GraphQLSchema, whole: GraphQLSchema, nullable: frozenset[tuple[str, str]]
) -> Iterator[str]:
    used: set[tuple[str, str]] = set()
    outputs = _output_enums(small)
    for name, ours in small.type_map.items():
        if name.startswith("__"):
            continue
        theirs = whole.type_map.get(name)
        if theirs is None or type(theirs) is not type(ours):
            yield f"{name}: {type(ours).__name__} here, {type(theirs).__name__} there"
        elif isinstance(ours, (GraphQLObjectType, GraphQLInterfaceType)):
            assert isinstance(theirs, (GraphQLObjectType, GraphQLInterfaceType))
            extra = {one.name for one in ours.interfaces} - {one.name for one in theirs.interfaces}
            if extra:
                yield f"{name}: implements {sorted(extra)} only here"
            for field, mine in ours.fields.items():
                yield from _field(name, field, mine, theirs.fields.get(field), nullable, used)
        elif isinstance(ours, GraphQLInputObjectType):
            assert isinstance(theirs, GraphQLInputObjectType)
            yield from _inputs(name, ours.fields, theirs.fields, is_required_input_field)
        elif isinstance(ours, GraphQLEnumType):
            assert isinstance(theirs, GraphQLEnumType)
            mine, given = set(ours.values), set(theirs.values)
            if mine - given or (name in outputs and given - mine):
                yield f"{name}: values {sorted(mine ^ given)} are not on both sides"
        elif isinstance(ours, GraphQLUnionType):
            assert isinstance(theirs, GraphQLUnionType)
            extra = {one.name for one in ours.types} - {one.name for one in theirs.types}
            if extra:
                yield f"{name}: {sorted(extra)} only here"
    for kind, field in sorted(nullable - used):
        yield f"{kind}.{field}: listed as nullable here, but it is no exception"


def _output_enums(schema: GraphQLSchema) -> set[str]:
    """Enums that a field gives: of those every value must be known. Others may be a selection."""
    found = set()
    for kind in schema.type_map.values():
        if isinstance(kind, (GraphQLObjectType, GraphQLInterfaceType)):
            for field in kind.fields.values():
                found.add(str(field.type).strip("[]!"))
    return found


def _field(
    kind: str,
    name: str,
    ours: Any,
    theirs: Any,
    nullable: frozenset[tuple[str, str]],
    used: set[tuple[str, str]],
) -> Iterator[str]:
    if theirs is None:
        yield f"{kind}.{name}: only here"
        return
    mine, given = str(ours.type), str(theirs.type)
    if mine != given and (kind, name) in nullable and mine + "!" == given:
        used.add((kind, name))
    elif mine != given:
        yield f"{kind}.{name}: {mine} here, {given} there"
    yield from _inputs(f"{kind}.{name}", ours.args, theirs.args, is_required_argument)


def _inputs(where: str, ours: Mapping[str, Any], theirs: Mapping[str, Any], required: Any) -> Iterator[str]:
    for name, mine in ours.items():
        given = theirs.get(name)
        if given is None:
            yield f"{where}({name}): only here"
        elif str(mine.type) != str(given.type):
            yield f"{where}({name}): {mine.type} here, {given.type} there"
    for name, given in theirs.items():
        if required(given) and name not in ours:
            yield f"{where}({name}): required there, missing here"


if __name__ == "__main__":
    try:
        print(fetch())
    except LocalSetupError as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(problem.exit_code)
