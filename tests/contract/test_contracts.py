"""What one stage left and the next one read, held against the producer's schema.

The producers' own tests hold single records against their schema; here it is what really passed from stage to
stage in a run of the whole pipeline, whose last act proves that every reader understood it.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator
from local_setup.mongodb import embedded_mongodb
from pymongo import MongoClient

if TYPE_CHECKING:
    from conftest import Machine

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def schema(repository: Path) -> Any:
    def load(stage: str, name: str) -> dict[str, Any]:
        file = repository / stage / "src" / stage / "schemas" / f"{name}.schema.json"
        content: dict[str, Any] = json.loads(file.read_text("utf-8"))
        Draft202012Validator.check_schema(content)
        return content

    return load


@pytest.fixture(scope="module")
def documents(undisturbed: Machine) -> Iterator[list[dict[str, Any]]]:
    """What data_fetch stored, in the JSON form that its schema speaks of."""
    client: MongoClient[dict[str, Any]]
    with (
        embedded_mongodb(undisturbed.out / "mongo") as uri,
        MongoClient(uri, tz_aware=True) as client,
    ):
        stored = list(client["mlops_db"]["pull_requests"].find())
        yield json.loads(json.dumps(stored, default=lambda time: time.isoformat()))


@pytest.fixture(scope="module")
def preprocess_run(undisturbed: Machine) -> Path:
    (manifest,) = undisturbed.published()
    return manifest.parent


def test_documents(documents: list[dict[str, Any]], schema: Any, undisturbed: Machine) -> None:
    """data_fetch writes, spark_preprocess reads."""
    assert len(documents) == undisturbed.summary()["documents"]
    validator = Draft202012Validator(schema("data_fetch", "pull_request"))
    for document in documents:
        validator.validate(document)


@pytest.mark.parametrize("name", ["manifest", "preprocessor"])
def test_a_preprocess_run(preprocess_run: Path, schema: Any, name: str) -> None:
    """spark_preprocess writes, ml_training reads."""
    content = json.loads((preprocess_run / f"{name}.json").read_text("utf-8"))
    Draft202012Validator(schema("spark_preprocess", name)).validate(content)


@pytest.mark.parametrize("name", ["threshold.json", "reference.json", "golden.json", "card.json"])
def test_the_model(undisturbed: Machine, schema: Any, name: str) -> None:
    """ml_training writes, model_serving and drift_detection read."""
    (file,) = (undisturbed.out / "mlflow" / "artifacts").rglob(f"artifacts/{name}")
    contract = {**schema("ml_training", "model_artifact"), "$ref": f"#/$defs/{name}"}
    Draft202012Validator(contract).validate(json.loads(file.read_text("utf-8")))


def test_scores(undisturbed: Machine, repository: Path) -> None:
    """model_serving answers, callers read: the OpenAPI document is that contract."""
    python = repository / ".venv" / "model_serving" / "bin" / "python"
    code = "import json; from model_serving.openapi import document; print(json.dumps(document('model', '1', 100)))"
    described = json.loads(subprocess.run([python, "-c", code], check=True, capture_output=True).stdout)
    validator = Draft202012Validator({**described, "$ref": "#/components/schemas/Score"})
    lines = (undisturbed.out / "scores.jsonl").read_text("utf-8").splitlines()
    assert lines
    for line in lines:
        validator.validate({"request_id": "-", **json.loads(line)})
