"""pull_request.schema.json says what a document is, and the documents obey."""

from __future__ import annotations

import gzip
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from fetch_harness import World, pull
from pr_features.documents import CONTRACT_FIELDS, UnusablePullRequest, check, from_rest, hash_author


@pytest.fixture(scope="module")
def schema() -> Any:
    text = files("data_fetch").joinpath("schemas/pull_request.schema.json").read_text(encoding="utf-8")
    return json.loads(text)


def as_json(document: dict[str, Any]) -> Any:
    return json.loads(json.dumps(document, default=lambda time: time.isoformat()))


def test_it_has_the_fields_of_the_contract_in_their_order(schema: Any) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    assert tuple(schema["properties"]) == tuple(schema["required"]) == CONTRACT_FIELDS
    assert all("description" in one or "const" in one for one in schema["properties"].values())


def test_stored_documents_obey_it(schema: Any, world: World) -> None:
    world.corpus.add(
        pull("acme/widget", 1, world.clock.now(), files=[{"filename": "a", "additions": 1, "deletions": 0}])
    )
    world.corpus.add(pull("acme/widget", 2, world.clock.now(), body=None, labels=[], user=None))
    world.fetch(fetch_files=True)
    found = list(world.store.documents.find())
    assert len(found) == 2
    for document in found:
        jsonschema.validate(as_json(document), schema)
        jsonschema.validate(as_json(hash_author(document, b"0123456789abcdef")), schema)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("_id", 0), ("number", 0), ("repo_name", "x"), ("body", ""), ("state", "merged"), ("additions", -1),
        ("labels", [None]), ("is_draft", 1), ("files", [{"path": "a"}]), ("author_login", ""), ("schema_version", 2),
    ],
)  # fmt: skip
def test_schema_and_check_refuse_the_same(schema: Any, field: str, value: object) -> None:
    document = from_rest(pull("acme/widget", 1, 1_700_000_000.0))
    jsonschema.validate(as_json(document), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(as_json({**document, field: value}), schema)
    if field in ("body", "files"):  # an empty body is null and a count may be unknown: both are read so
        check({**document, field: value})
    else:
        with pytest.raises(UnusablePullRequest):
            check({**document, field: value})


def test_all_real_pull_requests_obey_it(schema: Any, pr_data: Path) -> None:
    validator = jsonschema.Draft202012Validator(schema)
    count = 0
    for file in sorted(pr_data.glob("*_pulls.jsonl.gz")):
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for line in lines:
                assert validator.is_valid(as_json(from_rest(json.loads(line))))
                count += 1
    assert count == 1777


def test_every_rest_key_that_is_read_is_in_githubs_own_description(pr_data: Path) -> None:
    described = json.loads((pr_data / "github_openapi_pulls.json").read_text(encoding="utf-8"))
    whole = described["components"]["schemas"]["pull-request"]["properties"]
    read = (
        "id number title body state draft created_at updated_at closed_at merged_at additions deletions "
        "changed_files commits assignees assignee labels author_association user head base"
    ).split()
    assert set(read) <= set(whole)
    simple = described["components"]["schemas"]["pull-request-simple"]["properties"]
    assert {"additions", "deletions", "changed_files", "commits"}.isdisjoint(simple), "a list has no sizes"
    parameters = {
        one.get("name") or one["$ref"].rsplit("/", 1)[1]
        for one in described["paths"]["/repos/{owner}/{repo}/pulls"]["get"]["parameters"]
    }
    assert {"state", "sort", "direction"} <= parameters


def test_githubs_own_examples_become_documents(pr_data: Path) -> None:
    """The OpenAPI description's examples: a detail object and a list of objects without sizes."""
    described = json.loads((pr_data / "github_openapi_pulls.json").read_text(encoding="utf-8"))
    shaped = 0
    for path in ("/repos/{owner}/{repo}/pulls", "/repos/{owner}/{repo}/pulls/{pull_number}"):
        content = described["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
        for example in content.get("examples", {}).values():
            value = example.get("value")
            if value is None and "$ref" in example:
                value = described["components"]["examples"][example["$ref"].rsplit("/", 1)[1]]["value"]
            for one in value if isinstance(value, list) else [value]:
                assert from_rest(one)["number"] == one["number"]
                shaped += 1
    assert shaped >= 2
