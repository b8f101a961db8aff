"""The gate: what passes becomes champion, what does not leaves it alone."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ml_training.storage import S3Access
from ml_training.tracking import ModelVersion, Tracking

MODEL = "pr-anomaly-autoencoder"
# The made-up corpus is too simple for a fair contest with PCA: these tests are about what follows from a verdict.
OPEN = ("--gate-flag-rate-high=1", "--gate-flag-rate-low=0", "--gate-baselines=report")


def tracking_of(place: Any) -> Tracking:
    return Tracking(place.tracking_uri, "pr-anomaly", S3Access())


def alias(place: Any, name: str) -> ModelVersion | None:
    return tracking_of(place).version(MODEL, name)


@pytest.fixture
def registry(trained: Any) -> Iterator[Tracking]:
    """The shared registry, with the first version as candidate and no champion."""
    tracking = tracking_of(trained)
    tracking.client.set_registered_model_alias(MODEL, "candidate", "1")
    yield tracking
    if tracking.version(MODEL, "champion"):
        tracking.client.delete_registered_model_alias(MODEL, "champion")


def checks_of(output: str) -> dict[str, bool]:
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return {line["name"]: line["passed"] for line in lines if line["event"] == "check"}


def test_a_good_candidate_becomes_champion(
    registry: Tracking, trained: Any, run_command: Any, capsys: Any
) -> None:
    assert run_command(["gate", *trained.flags(*OPEN)]) == 0
    champion = alias(trained, "champion")
    assert champion is not None and champion.version == "1"
    assert checks_of(capsys.readouterr().out)["offline equals served"]
    tags = registry.client.get_model_version(MODEL, "1").tags
    assert (tags["gate"], tags["gate_failed"]) == ("passed", "none")
    assert run_command(["gate", *trained.flags(*OPEN)]) == 0
    assert "champion already" in capsys.readouterr().out


def test_a_refused_candidate_changes_nothing(
    registry: Tracking, trained: Any, run_command: Any, capsys: Any, tmp_path: Path
) -> None:
    flags = trained.flags("--gate-flag-rate-low=0.98", "--gate-flag-rate-high=0.99")
    assert run_command(["gate", *flags]) == 5
    out = capsys.readouterr().out
    error = next(json.loads(line) for line in out.splitlines() if '"error"' in line)
    assert "version 1 was refused. There is no champion." in error["event"]
    assert "flag rate on later rows: expected between 98.00% and 99.00%" in error["event"]
    assert alias(trained, "champion") is None
    # What the Job of a release asks for: the same verdict, and the release goes on.
    assert run_command(["gate", *flags, "--on-refusal", "report"]) == 0
    assert "version 1 was refused. There is no champion." in capsys.readouterr().out
    assert alias(trained, "champion") is None
    refused = alias(trained, "candidate")
    assert refused is not None
    verdict = registry.run_file(refused.run_id, "report/gate.json", tmp_path)
    assert verdict is not None and json.loads(verdict.read_text())["passed"] is False


def again_as(registry: Tracking, trained: Any, folder: Path, change: Any) -> ModelVersion:
    """A copy of version 1, changed, as another version."""
    first = registry.version(MODEL, "candidate")
    assert first is not None
    copy = registry.download(first, folder / "copy")
    change(copy)
    made = registry.client.create_model_version(MODEL, copy.as_uri(), first.run_id, tags=dict(first.tags))
    return ModelVersion(MODEL, str(made.version), first.run_id, made.source, dict(first.tags))


def test_the_champion_is_scored_with_its_own_feature_code(
    registry: Tracking, trained: Any, run_command: Any, capsys: Any, tmp_path: Path
) -> None:
    """A champion whose own code turns the unusual into the usual is worse, and is compared as it is."""
    champion = again_as(registry, trained, tmp_path, spoil)
    registry.promote(champion)
    assert run_command(["gate", *trained.flags(*OPEN)]) == 0
    said = capsys.readouterr().out
    assert checks_of(said)["worst kind against the champion"]
    compared = next(line for line in said.splitlines() if '"worst kind against the champion"' in line)
    champions, ours = re.search(r"at least (0\.\d+).*found\W+(0\.\d+)", compared).groups()  # type: ignore[union-attr]
    assert float(champions) < float(ours) - 0.1
    assert alias(trained, "champion").version == "1"  # type: ignore[union-attr]


def test_a_candidate_worse_than_the_champion_is_refused(
    registry: Tracking, trained: Any, run_command: Any, capsys: Any, tmp_path: Path
) -> None:
    first = registry.version(MODEL, "candidate")
    assert first is not None
    registry.promote(first)
    worse = again_as(registry, trained, tmp_path, spoil)
    registry.client.set_registered_model_alias(MODEL, "candidate", worse.version)
    assert run_command(["gate", *trained.flags(*OPEN)]) == 5
    said = capsys.readouterr().out
    assert not checks_of(said)["worst kind against the champion"]
    assert "Version 1 stays champion." in said
    assert alias(trained, "champion").version == "1"  # type: ignore[union-attr]


@pytest.mark.parametrize(("owed", "code"), [("0.010000", 0), ("0.040000", 5), ("nonsense", 0)])
def test_a_champion_below_an_earlier_one_leaves_less_of_the_margin(
    registry: Tracking, trained: Any, run_command: Any, capsys: Any, tmp_path: Path, owed: str, code: int
) -> None:
    """Two models that score alike: what decides is how far the champion is below the best one before it."""
    champion = again_as(registry, trained, tmp_path, lambda folder: None)
    registry.version_tags(champion, {"gate_below_best_champion": owed})
    registry.promote(champion)
    assert run_command(["gate", *trained.flags(*OPEN)]) == code
    assert checks_of(capsys.readouterr().out)["worst kind against the champion"] is (code == 0)
    tags = registry.client.get_model_version(MODEL, "1").tags
    assert tags["gate_below_best_champion"] == ("0.000000" if owed == "nonsense" else owed)


def test_a_candidate_below_pca_is_refused(
    registry: Tracking, trained: Any, run_command: Any, capsys: Any, tmp_path: Path
) -> None:
    """The rows that it makes turn the unusual into the usual, of which PCA makes a little more."""
    spoilt = again_as(registry, trained, tmp_path, spoil)
    registry.client.set_registered_model_alias(MODEL, "candidate", spoilt.version)
    limits = [flag for flag in OPEN if "baselines" not in flag]
    assert run_command(["gate", *trained.flags(*limits)]) == 5
    said = capsys.readouterr().out
    found = checks_of(said)
    assert not found["mean over kinds against PCA"]
    error = next(line for line in said.splitlines() if '"error"' in line)
    assert "mean over kinds against PCA: expected ROC-AUC of at least PCA's" in error
    assert "95 % interval [-" in error and "on the same rows" in error


def test_baselines_may_be_told_and_decide_nothing(
    registry: Tracking, trained: Any, run_command: Any, capsys: Any, tmp_path: Path
) -> None:
    spoilt = again_as(registry, trained, tmp_path, spoil)
    registry.client.set_registered_model_alias(MODEL, "candidate", spoilt.version)
    # Its served scores are not those of training, which still decides.
    assert run_command(["gate", *trained.flags(*OPEN)]) == 5
    said = capsys.readouterr().out
    assert checks_of(said)["mean over kinds against PCA"] is False
    error = next(line for line in said.splitlines() if '"error"' in line)
    assert "offline equals served" in error and "PCA" not in error
    refused = alias(trained, "candidate")
    assert refused is not None
    page = registry.run_file(refused.run_id, "report/gate.html", tmp_path)
    assert page is not None and "not passed, decides nothing" in page.read_text()


def test_the_documents_that_are_too_few_are_counted(
    registry: Tracking, trained: Any, run_command: Any, capsys: Any, tmp_path: Path, documents: Any, fake: Any
) -> None:
    root = tmp_path / "root"
    fake.publish(root, documents[:60], run_id="few")
    flags = trained.flags(f"--data-root={root}", "--preprocess-run-id=few")
    assert run_command(["gate", *flags]) == 5
    said = capsys.readouterr().out
    assert "expected at least 20 raw documents of split later in the run, found 12" in said


def spoil(folder: Path) -> None:
    """Its code gives the network small numbers for large ones; the golden request is still right."""
    scoring = folder / "code" / "pr_features" / "scoring.py"
    text = scoring.read_text()
    marker = "errors, contributions = self.run_network("
    assert marker in text
    scoring.write_text(text.replace(marker, "errors, contributions = _spoilt(self.run_network)(") + SPOILT)


SPOILT = """

def _spoilt(run):
    return lambda rows: run(rows if len(rows) == 1 else 1 / (1 + rows * rows))
"""


def test_a_broken_champion_does_not_stand_in_the_way(
    registry: Tracking, trained: Any, run_command: Any, capsys: Any, tmp_path: Path
) -> None:
    champion = again_as(registry, trained, tmp_path, lambda f: (f / "artifacts/history.npz").unlink())
    registry.promote(champion)
    assert run_command(["gate", *trained.flags(*OPEN)]) == 0
    assert "does not load and is not compared" in capsys.readouterr().out
    assert alias(trained, "champion").version == "1"  # type: ignore[union-attr]


@pytest.mark.parametrize("damage", ["network", "golden", "code", "all"])
def test_a_candidate_that_does_not_load_is_unusable(
    registry: Tracking, trained: Any, run_command: Any, capsys: Any, tmp_path: Path, damage: str
) -> None:
    def spoil(folder: Path) -> None:
        if damage == "network":
            (folder / "artifacts" / "network.onnx").write_bytes(b"no network")
        elif damage == "golden":
            path = folder / "artifacts" / "golden.json"
            golden = json.loads(path.read_text())
            golden["reconstruction_error"] += 1.0
            path.write_text(json.dumps(golden))
        else:
            shutil.rmtree(folder / "code" if damage == "code" else folder)

    broken = again_as(registry, trained, tmp_path, spoil)
    registry.client.set_registered_model_alias(MODEL, "candidate", broken.version)
    assert run_command(["gate", *trained.flags(*OPEN)]) == 3
    assert "Train" in capsys.readouterr().out
    assert alias(trained, "champion") is None


def test_scores_that_differ_from_trainings_are_refused(
    registry: Tracking, trained: Any, run_command: Any, capsys: Any, tmp_path: Path
) -> None:
    """State that training did not have: the served score is another than the one computed offline."""

    def spoil(folder: Path) -> None:
        import numpy as np

        path = folder / "artifacts" / "history.npz"
        with np.load(path) as arrays:
            content = dict(arrays)
        content["opened"] = content["opened"] - 10 * 365 * 86_400
        np.savez(path, **content)

    broken = again_as(registry, trained, tmp_path, spoil)
    registry.client.set_registered_model_alias(MODEL, "candidate", broken.version)
    assert run_command(["gate", *trained.flags(*OPEN)]) == 5
    assert not checks_of(capsys.readouterr().out)["offline equals served"]


def test_no_candidate(place: Any, run_command: Any, capsys: Any) -> None:
    assert run_command(["gate", *place.flags("--model-name=nobody")]) == 3
    assert "Run `python -m ml_training train` first" in capsys.readouterr().out


def test_evaluate_writes_the_report(
    registry: Tracking, trained: Any, run_command: Any, tmp_path: Path, documents: list[dict[str, Any]]
) -> None:
    labels = tmp_path / "labels.jsonl"
    chosen = [one for one in documents if one["additions"] > 80]
    labels.write_text(
        "".join(
            json.dumps({"repo_name": one["repo_name"], "number": one["number"], "label": "large"}) + "\n"
            for one in chosen
        )
    )
    target = tmp_path / "report"
    flags = trained.flags(f"--report-dir={target}", f"--labels={labels}")
    assert run_command(["evaluate", *flags]) == 0
    figures = json.loads((target / "quality.json").read_text())
    assert {"what", "who", "value", "unit"} <= set(figures[0])
    found = {(one["what"], one["who"]): one["value"] for one in figures}
    detectors = {who for _, who in found}
    assert {"autoencoder", "untrained network", "lines added", "size > 5,000", "PCA"} <= detectors
    assert found["huge roc_auc", "lines added"] > 0.9
    assert found["known anomalies: all roc_auc", "lines added"] > 0.999
    page = (target / "quality.html").read_text()
    assert "newcomer_sensitive" in page and "quality_roc_auc.png" in page
    assert (target / "quality_roc_auc.png").stat().st_size > 5_000
