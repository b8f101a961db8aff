"""The registered model as MLflow loads it: raw pull requests in every form that callers use."""

import json
from typing import Any

import pandas as pd
import pytest
from ml_training.model_signature import input_example


@pytest.fixture(scope="module")
def model(trained: Any) -> Any:
    import mlflow

    mlflow.set_tracking_uri(trained.tracking_uri)
    return mlflow.pyfunc.load_model("models:/pr-anomaly-autoencoder/1")


def offline(trained: Any) -> dict[tuple[str, int], float]:
    rows = map(json.loads, (trained.work.parent / "scores.jsonl").read_text().splitlines())
    return {(row["repo_name"], row["number"]): row["reconstruction_error"] for row in rows}


def plain(document: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in document.items() if key not in {"_id", "fetched_at", "source"}}
    return json.loads(json.dumps(kept, default=lambda moment: moment.isoformat()))  # type: ignore[no-any-return]


def test_documents_score_as_in_training(trained: Any, model: Any, documents: list[dict[str, Any]]) -> None:
    expected = offline(trained)
    chosen = documents[::10]
    found = model.predict(pd.DataFrame([plain(document) for document in chosen]))
    for document, error in zip(chosen, found["reconstruction_error"], strict=True):
        wanted = expected[document["repo_name"], document["number"]]
        assert abs(error - wanted) <= 1e-5 * max(1.0, abs(wanted))
    assert set(found.columns) == {
        "reconstruction_error",
        "threshold",
        "is_anomaly",
        "anomaly_score",
        "reasons",
    }
    assert isinstance(json.loads(found["reasons"][0]), list)
    assert ((found["reconstruction_error"] > found["threshold"]) == found["is_anomaly"]).all()


def test_lists_frames_and_single_objects_agree(model: Any) -> None:
    example = input_example()
    as_list = model.predict(example)
    as_frame = model.predict(pd.DataFrame(example))
    alone = [model.predict([one]) for one in example]
    for position, one in enumerate(alone):
        assert one["reconstruction_error"][0] == pytest.approx(
            as_list["reconstruction_error"][position], rel=1e-6
        )
    assert as_list.equals(as_frame)


def test_json_of_the_scoring_server(model: Any) -> None:
    """What `mlflow models serve` does with a request, nulls and nested lists included."""
    from mlflow.pyfunc.scoring_server import _parse_json_data

    payload = json.dumps({"dataframe_records": input_example()})
    parsed = _parse_json_data(payload, model.metadata, model.metadata.get_input_schema())
    found = model.predict(parsed.data)
    expected = model.predict(input_example())
    assert found["reconstruction_error"].tolist() == pytest.approx(expected["reconstruction_error"].tolist())


def test_open_inference_lists_come_as_text(model: Any) -> None:
    example = input_example()[:1]
    as_text = [{**one, "labels": json.dumps(one["labels"])} for one in example]
    assert (
        model.predict(as_text)["reconstruction_error"][0] == model.predict(example)["reconstruction_error"][0]
    )


def test_missing_required_and_wrong_values_are_named(model: Any) -> None:
    with pytest.raises(Exception, match="created_at"):
        model.predict([{"repo_name": "a/b"}])
    with pytest.raises(Exception, match="additions: expected an integer"):
        model.predict([{**input_example()[0], "additions": "many"}])
