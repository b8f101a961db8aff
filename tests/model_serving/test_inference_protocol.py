import json
from typing import Any

import pytest
from artifact import pull_request
from model_serving.inference_protocol import DATATYPES, LISTS
from model_serving.model import ServedModel
from werkzeug.test import Client

BASE = "/v2/models/pr-anomaly-autoencoder"


def columns(documents: list[dict[str, Any]]) -> dict[str, Any]:
    """A request with every column of the signature."""
    inputs = []
    for name, kind in DATATYPES.items():
        data = [document.get(name) for document in documents]
        if name in LISTS:
            data = [None if value is None else json.dumps(value) for value in data]
        inputs.append({"name": name, "shape": [len(data)], "datatype": kind, "data": data})
    return {"id": "request-9", "inputs": inputs}


@pytest.fixture
def documents(model: ServedModel) -> list[dict[str, Any]]:
    shaped = [model.documents.from_rest(pull_request(number)) for number in range(5)]
    return json.loads(json.dumps(shaped, default=lambda moment: moment.isoformat()))


def test_health_and_metadata(client: Client) -> None:
    assert client.get("/v2/health/live").get_json() == {"live": True}
    assert client.get("/v2/health/ready").get_json() == {"ready": True}
    assert client.get(f"{BASE}/ready").status_code == 200
    assert client.get("/v2").get_json()["name"] == "model-serving"
    metadata = client.get(BASE).get_json()
    assert metadata["versions"] == ["1"] and len(metadata["inputs"]) == len(DATATYPES)
    assert client.get(f"{BASE}/versions/1").status_code == 200
    for path in (f"{BASE}/versions/2", "/v2/models/other", "/v2/models/other/ready"):
        assert client.get(path).status_code == 404


def test_the_same_scores_as_predict(client: Client, documents: list[dict[str, Any]]) -> None:
    answer = client.post(f"{BASE}/infer", json=columns(documents)).get_json()
    scores = client.post("/predict", json=documents).get_json()["scores"]
    outputs = {output["name"]: output for output in answer["outputs"]}
    assert (answer["id"], answer["model_version"]) == ("request-9", "1")
    for name in ("reconstruction_error", "threshold", "is_anomaly", "anomaly_score"):
        assert outputs[name]["data"] == [score[name] for score in scores] and outputs[name]["shape"] == [5]
    assert [json.loads(text) for text in outputs["reasons"]["data"]] == [score["reasons"] for score in scores]


def test_some_columns_some_outputs_and_other_types(client: Client, documents: list[dict[str, Any]]) -> None:
    body = {
        "inputs": [
            {"name": "repo_name", "shape": [1, 1], "datatype": "BYTES", "data": [["a/b"]]},
            {"name": "created_at", "shape": [1, 1], "datatype": "BYTES", "data": ["2024-05-01T00:00:00Z"]},
            {"name": "additions", "shape": [1, 1], "datatype": "FP64", "data": [3.0]},
            {"name": "deletions", "shape": [1, 1], "datatype": "FP64", "data": [None]},
        ],
        "outputs": [{"name": "is_anomaly"}],
    }
    answer = client.post(f"{BASE}/versions/1/infer", json=body).get_json()
    assert [output["name"] for output in answer["outputs"]] == ["is_anomaly"]
    assert "id" not in answer  # none was sent


def column(**change: Any) -> dict[str, Any]:
    return {"name": "repo_name", "shape": [1], "datatype": "BYTES", "data": ["a/b"]} | change


@pytest.mark.parametrize(
    "inputs",
    [
        [],
        [column(name="nothing")],
        [column(shape=[2])],
        [column(shape=[1, 3])],
        [column(shape=[-1])],
        [column(datatype="TEXT")],
        [column(data="a/b")],
        [column(), column()],
        [column(), column(name="title", shape=[2], data=["a", "b"])],
        [column(), column(name="labels", data=["[" * 50_000])],
        [column(), column(name="created_at", data=["never"])],
        [
            column(),
            column(name="created_at", data=["2024-05-01T00:00:00Z"]),
            column(name="additions", data=["7"]),
        ],
        [column(), column(name="created_at", data=[["x"]])],
    ],
)
def test_bad_input_is_a_422(client: Client, inputs: list[dict[str, Any]]) -> None:
    answer = client.post(f"{BASE}/infer", json={"inputs": inputs})
    assert answer.status_code == 422 and answer.get_json()["field"]


def test_an_unknown_output_and_too_many_rows(client: Client) -> None:
    body = {"inputs": [column()], "outputs": [{"name": "x"}]}
    assert client.post(f"{BASE}/infer", json=body).status_code == 422
    many = column(shape=[1001], data=["a/b"] * 1001)
    assert client.post(f"{BASE}/infer", json={"inputs": [many]}).status_code == 413
