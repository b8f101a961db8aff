"""The command as a whole: what it leaves in MLflow, that it repeats itself, and how it ends on bad input."""

import json
import shutil
import socket
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import numpy as np
import pyarrow.parquet as pq
import pytest
from ml_training.artifact import ARTIFACT_FILES, LoadedModel
from ml_training.quality import model_under_test
from ml_training.quality.evaluation_set import DocumentSet, Draws
from ml_training.quality.model_under_test import ModelUnderTest
from ml_training.runs import Run
from ml_training.storage import S3Access
from ml_training.tracking import ModelVersion, Tracking
from stage_runtime.exits import UnusableInput

from ml_training import selection

MODEL = "pr-anomaly-autoencoder"


def tracking_of(place: Any) -> Tracking:
    return Tracking(place.tracking_uri, "pr-anomaly", S3Access())


def candidate(place: Any) -> ModelVersion:
    version = tracking_of(place).version(MODEL, "candidate")
    assert version is not None
    return version


@pytest.fixture(scope="module")
def model_folder(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    version = tracking_of(trained).version(MODEL, "1") or candidate(trained)
    return tracking_of(trained).download(version, tmp_path_factory.mktemp("model"))


def scores_of(path: Path) -> dict[tuple[str, int], float]:
    rows = map(json.loads, path.read_text().splitlines())
    return {(row["repo_name"], row["number"]): row["reconstruction_error"] for row in rows}


def shared_scores(trained: Any) -> dict[tuple[str, int], float]:
    return scores_of(trained.work.parent / "scores.jsonl")


def test_the_model_is_whole(model_folder: Path) -> None:
    names = {path.name for path in (model_folder / "artifacts").iterdir()}
    assert names == set(ARTIFACT_FILES)
    assert (model_folder / "code" / "pr_features" / "scoring.py").is_file()
    assert not list(model_folder.rglob("*.pkl"))
    assert not list((model_folder / "code").rglob("__pycache__"))
    requirements = (model_folder / "requirements.txt").read_text()
    assert "torch" not in requirements and "onnxruntime==" in requirements
    card = json.loads((model_folder / "artifacts" / "card.json").read_text())
    assert card["data"]["rows"]["train"] + card["data"]["rows"]["later"] == 600
    assert card["quality"]["kinds"][0]["ours"] > 0.4
    threshold = json.loads((model_folder / "artifacts" / "threshold.json").read_text())
    assert threshold["computed_on"]["split"] == "train"
    assert 0 < threshold["flag_rate"]["train"] < 0.2


@pytest.mark.parametrize("name", ["threshold.json", "reference.json", "golden.json", "card.json"])
def test_the_models_files_keep_their_contract(model_folder: Path, name: str) -> None:
    text = files("ml_training").joinpath("schemas/model_artifact.schema.json").read_text("utf-8")
    schema = {**json.loads(text), "$ref": f"#/$defs/{name}"}
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads((model_folder / "artifacts" / name).read_text("utf-8")), schema)


def test_a_raw_document_scores_as_its_row_did_in_torch(
    trained: Any, model_folder: Path, documents: list[dict[str, Any]]
) -> None:
    """The same feature code twice, and nothing else shared: Parquet and torch, raw document and ONNX."""
    offline = shared_scores(trained)
    served = LoadedModel(model_folder).scorer.score(documents)
    assert len(offline) == len(served) == 600
    for score in served:
        expected = offline[score["repo_name"], score["number"]]
        assert abs(score["reconstruction_error"] - expected) <= 1e-5 * max(1.0, abs(expected))


def test_the_run_holds_parameters_metrics_plots_and_report(trained: Any) -> None:
    tracking = tracking_of(trained)
    version = candidate(trained)
    run = tracking.client.get_run(version.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["seed"] == "0"
    assert int(run.data.params["rows_train"]) > 400
    for metric in ("threshold", "flag_rate_later", "threshold_median_mad", "quality/worst_kind/roc_auc"):
        assert metric in run.data.metrics
    history = tracking.client.get_metric_history(version.run_id, "validation_loss")
    assert [entry.step for entry in history] == sorted({entry.step for entry in history})
    assert history[-1].value < history[0].value
    files = {item.path for item in tracking.client.list_artifacts(version.run_id, "report")}
    assert {
        "report/loss.png",
        "report/errors.png",
        "report/most_anomalous.html",
        "report/quality.html",
        "report/quality.json",
        "report/threshold.json",
    } <= files


def test_nothing_is_left_behind(trained: Any) -> None:
    assert list(trained.work.iterdir()) == []
    assert list((trained.root / "training-state").iterdir()) == []


def test_same_input_in_another_order_same_model(
    trained: Any,
    run_command: Any,
    tmp_path: Path,
    fake: ModuleType,
    documents: list[dict[str, Any]],
    model_folder: Path,
) -> None:
    fake.publish(tmp_path, documents[::-1], "another-run", files=5)
    scores = tmp_path / "scores.jsonl"
    flags = trained.flags(f"--scores-file={scores}", "--max-epochs=40", "--quality-report=false")
    assert run_command(["train", *flags, f"--data-root={tmp_path}"]) == 0
    assert scores_of(scores) == shared_scores(trained)
    again = tracking_of(trained).download(candidate(trained), tmp_path / "model")
    for name in ("network.onnx", "preprocessor.json", "golden.json", "reference.json"):
        one, two = (folder / "artifacts" / name for folder in (model_folder, again))
        assert one.read_bytes() == two.read_bytes(), name


def test_scores_in_mlflow_are_those_of_the_file(trained: Any, tmp_path: Path) -> None:
    path = tracking_of(trained).run_file(candidate(trained).run_id, "scores/scores.parquet", tmp_path)
    assert path is not None
    table = pq.read_table(path)
    keys = zip(table.column("repo_name").to_pylist(), table.column("number").to_pylist(), strict=True)
    errors = table.column("reconstruction_error").to_pylist()
    assert dict(zip(keys, errors, strict=True)) == shared_scores(trained)
    assert np.isfinite(errors).all()


def test_several_candidates_are_nested_runs_and_the_best_is_registered(
    trained: Any, run_command: Any, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[DocumentSet | None] = []

    def documents_of(run: Run, draws: Draws = "seeds") -> DocumentSet | None:
        asked.append(model_under_test.documents_of(run, draws))
        return asked[-1]

    monkeypatch.setattr(selection, "documents_of", documents_of)
    declared = tmp_path / "two.toml"
    declared.write_text(
        "[two.defaults]\nmax_epochs = 30\nmin_steps = 0\n"
        '[[two.candidates]]\nname = "one-epoch"\nmax_epochs = 1\nlearning_rate = 0.00001\n'
        '[[two.candidates]]\nname = "wild"\nlearning_rate = 1e30\n'
        '[[two.candidates]]\nname = "thirty"\n'
    )
    flags = trained.flags(f"--candidates={declared}", "--quality-report=false", "--seed=9")
    assert run_command(["train", *flags]) == 0
    assert "candidate 'wild': the training diverged" in event(capsys.readouterr().out, "warning")["reason"]
    tracking = tracking_of(trained)
    parent = candidate(trained).run_id
    children = tracking.client.search_runs(
        [tracking.experiment_id], f"tags.`mlflow.parentRunId` = '{parent}'"
    )
    ended = {child.data.params["candidate"]: child.info.status for child in children}
    assert ended == {"one-epoch": "FINISHED", "wild": "FAILED", "thirty": "FINISHED"}
    metric = "choosing/worst_kind/roc_auc"
    found = {c.data.params["candidate"]: c.data.metrics[metric] for c in children if metric in c.data.metrics}
    assert set(found) == {"one-epoch", "thirty"}
    chosen = tracking.client.get_run(parent).data.params["candidate"]
    assert found[chosen] >= max(found.values()) - 0.01
    # Chosen on other anomalies than those of the report.
    (chosen_on,) = asked
    assert chosen_on is not None
    reported_on = DocumentSet.make(chosen_on.ordinary)
    for kind, draws in chosen_on.injected.items():
        assert not any(draw in reported_on.injected[kind] for draw in draws), kind


def test_a_training_that_diverges_ends_with_its_own_message(
    trained: Any, run_command: Any, tmp_path: Path, capsys: Any
) -> None:
    declared = tmp_path / "wild.toml"
    declared.write_text('[[wild.candidates]]\nname = "wild"\nlearning_rate = 1e30\n')
    before = candidate(trained)
    assert run_command(["train", *trained.flags(f"--candidates={declared}")]) == 2
    said = event(capsys.readouterr().out, "error")["event"]
    assert "CANDIDATES, candidate 'wild': the training diverged in epoch" in said
    assert candidate(trained) == before
    assert not list((trained.root / "training-state").glob("*.npz"))


@pytest.mark.parametrize("report", ["true", "false"])
def test_baselines_may_be_required(
    trained: Any, run_command: Any, tmp_path: Path, capsys: Any, report: str
) -> None:
    """One step of training beats nothing: the model is registered, and the command fails."""
    target = tmp_path / "report"
    flags = trained.flags(
        "--max-epochs=1", "--batch-size=1000", "--seed=5", "--require-baselines=true", f"--report-dir={target}",
        f"--quality-report={report}",
    )  # fmt: skip
    before = candidate(trained).version
    code = run_command(["train", *flags])
    said = event(capsys.readouterr().out, "error")["event"]
    if report == "false":
        assert code == 2 and "QUALITY_REPORT=true" in said
        return
    assert code == 5 and "FAILED beside" in said and "95 % interval" in said
    assert candidate(trained).version != before
    assert "worst kind: " in (target / "quality.txt").read_text()


def event(output: str, level: str) -> dict[str, Any]:
    found = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return next(line for line in found if line["level"] == level)


def test_a_half_published_run(run_command: Any, place: Any, tmp_path: Path, capsys: Any) -> None:
    shutil.copytree(place.root, tmp_path / "root")
    (manifest,) = (tmp_path / "root").rglob("manifest.json")
    manifest.unlink()
    flags = [*place.flags(), f"--data-root={tmp_path / 'root'}"]
    assert run_command(["train", *flags]) == 3
    message = event(capsys.readouterr().out, "error")["event"]
    assert "expected a published preprocess run" in message and "Run spark_preprocess" in message


def test_an_unknown_run(run_command: Any, place: Any, capsys: Any) -> None:
    assert run_command(["train", *place.flags("--preprocess-run-id=nobody")]) == 3
    assert "'nobody'" in event(capsys.readouterr().out, "error")["event"]


def test_a_preprocessor_of_another_version(
    run_command: Any, place: Any, tmp_path: Path, capsys: Any, fake: ModuleType
) -> None:
    shutil.copytree(place.root, tmp_path / "root")
    (path,) = (tmp_path / "root").rglob("preprocessor.json")
    content = json.loads(path.read_text())
    content["features"] = content["features"][:-1]
    path.write_text(json.dumps(content))
    (path.parent / "manifest.json").unlink()
    fake.publish_manifest(path.parent, path.parent.name, 600)
    assert run_command(["train", *place.flags(), f"--data-root={tmp_path / 'root'}"]) == 3
    assert "same version" in event(capsys.readouterr().out, "error")["event"]


def test_mlflow_out_of_reach_is_said_before_any_training(
    run_command: Any, place: Any, tmp_path: Path, capsys: Any
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        uri = f"http://user:hidden-password@127.0.0.1:{listener.getsockname()[1]}"
        code = run_command(["train", *place.flags(), f"--mlflow-tracking-uri={uri}"])
    out = capsys.readouterr().out
    assert code == 1
    assert "MLflow at http://127.0.0.1" in event(out, "error")["event"]
    assert "hidden-password" not in out


@pytest.mark.parametrize(
    ("flag", "named"),
    [
        ("--seed=-1", "SEED"),
        ("--threshold-rule=guess", "THRESHOLD_RULE"),
        ("--candidates=nothing", "CANDIDATES"),
        ("--mlflow-tracking-uri=ftp://x", "MLFLOW_TRACKING_URI"),
        ("--data-root=s3a://", "DATA_ROOT"),
    ],
)
def test_wrong_settings(run_command: Any, place: Any, capsys: Any, flag: str, named: str) -> None:
    assert run_command(["train", *place.flags(), flag]) == 2
    assert named in event(capsys.readouterr().out, "error")["event"]


def test_labels_that_cannot_be_read_are_found_out_before_the_training(
    trained: Any, run_command: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["train", *trained.flags(f"--labels={tmp_path / 'none.jsonl'}")]) == 2
    said = capsys.readouterr().out
    assert "LABELS: expected a readable text file" in said and '"event": "rows"' not in said


def test_a_model_of_other_feature_code_is_named(model_folder: Path, tmp_path: Path) -> None:
    artifacts = shutil.copytree(model_folder / "artifacts", tmp_path / "artifacts")
    stored = json.loads((artifacts / "preprocessor.json").read_text("utf-8"))
    stored["version"] += 1
    (artifacts / "preprocessor.json").write_text(json.dumps(stored), "utf-8")
    with pytest.raises(UnusableInput, match=r"preprocessor version .* train once more"):
        ModelUnderTest.load(artifacts, 0)
