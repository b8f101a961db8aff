"""The whole pipeline: pull requests in, scores with reasons out."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

if TYPE_CHECKING:
    from conftest import Machine, MakeMachine

# A whole pipeline takes a minute or two, several on a busy machine; a hanging one must still end.
pytestmark = pytest.mark.timeout(900)

SUMMARY = {
    "documents", "rejected", "rows", "refused", "features", "run_id", "model_version", "threshold", "flag_rate",
    "flagged", "seconds", "max_score_difference", "scores_compared",
}  # fmt: skip
# The quality report changes no score.
WITHOUT_REPORT = {"QUALITY_REPORT": "false"}
# For what holds of any network, however well it has learned.
QUICKLY_TRAINED = {"MAX_EPOCHS": "6", **WITHOUT_REPORT}


def close(found: dict[Any, float], expected: dict[Any, float]) -> bool:
    """Same keys, and |a - b| <= 1e-5 max(1, |b|) for each."""
    return found.keys() == expected.keys() and all(
        abs(found[key] - value) <= 1e-5 * max(1.0, abs(value)) for key, value in expected.items()
    )


def pulls_of(corpus: Path) -> list[dict[str, Any]]:
    with gzip.open(corpus, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def test_every_pull_request_gets_a_score(undisturbed: Machine, corpus: Path) -> None:
    keys = {(pull["base"]["repo"]["full_name"], pull["number"]) for pull in pulls_of(corpus)}
    assert undisturbed.scores().keys() == keys
    summary = undisturbed.summary()
    assert set(summary) == SUMMARY
    assert (
        summary["documents"] == len(keys) == summary["rows"]
        and summary["rejected"] == summary["refused"] == 0
    )
    assert summary["scores_compared"] == len(keys) and summary["max_score_difference"] <= 1e-5
    assert set(summary["seconds"]) >= {"fetch", "preprocess", "train", "gate", "score"}
    assert 0 < summary["flag_rate"] < 0.2


def test_a_score_has_reasons_that_a_person_can_read(undisturbed: Machine) -> None:
    lines = (undisturbed.out / "scores.jsonl").read_text("utf-8").splitlines()
    scores = [json.loads(line) for line in lines]
    for score in scores:
        assert score["is_anomaly"] is (score["reconstruction_error"] > score["threshold"])
        assert 0 <= score["anomaly_score"] <= 1
    most = max(scores, key=lambda score: score["reconstruction_error"])
    assert most["reasons"] and all(reason["text"] for reason in most["reasons"])


def test_the_output_shows_table_verdict_and_next_commands(undisturbed: Machine) -> None:
    output: str = undisturbed.output  # type: ignore[attr-defined]
    for expected in ("Most anomalous pull requests", "gate ", "make mlflow-ui OUT=", "make serve OUT="):
        assert expected in output


def test_planted_anomalies_stand_out(undisturbed: Machine, corpus: Path) -> None:
    """A floor, not a quality figure: those are in the quality report."""
    labelled = [json.loads(line) for line in (corpus.parent / "labels.jsonl").read_text("utf-8").splitlines()]
    scores = undisturbed.scores()
    planted = [scores[label["repo_name"], label["number"]] for label in labelled]
    ordinary = sorted(scores.values())
    median = ordinary[len(ordinary) // 2]
    assert sum(error > median for error in planted) >= 0.8 * len(planted)


def test_killed_stages_and_another_order_of_the_input_give_the_same_scores(
    machines: MakeMachine, undisturbed: Machine, corpus: Path, tmp_path: Path
) -> None:
    """SIGKILL to each stage half-way, then the same command again.

    One run for both: a pipeline takes a minute, and the stages' own tests tell which of them it was.
    """
    pulls = pulls_of(corpus)
    random.Random(3).shuffle(pulls)
    shuffled = tmp_path / "shuffled.jsonl"
    shuffled.write_text("".join(json.dumps(pull) + "\n" for pull in pulls), "utf-8")
    machine = machines("killed")
    # What each stage has begun to write when it is half-way.
    begun = {
        "fetch": lambda: sum(file.stat().st_size for file in (machine.out / "mongo").glob("*.h2")) > 100_000,
        "preprocess": lambda: any((machine.out / "data" / "preprocess-runs").glob("*/*")),
        "train": lambda: any((machine.out / "data" / "training-state").glob("*")),
    }
    steps = {"fetch": "data_fetch", "preprocess": "spark_preprocess", "train": "ml_training"}
    for step, stage in steps.items():
        arguments = [step, "--corpus", str(shuffled)] if step == "fetch" else [step]
        process = machine.start(*arguments, **WITHOUT_REPORT)
        pid = machine.wait_for(stage)
        while not begun[step]():
            assert process.poll() is None, f"{step} ended before it wrote anything"
            time.sleep(0.01)
        os.kill(pid, signal.SIGKILL)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 1, output[-2000:]
        if step == "preprocess":
            assert machine.published() == [], "half a run has no manifest"
        machine.assert_nothing_runs()
        machine.succeed(*arguments, **WITHOUT_REPORT)
    assert len(machine.published()) == 1
    machine.succeed("score")
    assert machine.scores() == undisturbed.scores()


@pytest.mark.parametrize("stage", ["data_fetch", "spark_preprocess", "ml_training", "model_serving"])
def test_ctrl_c_leaves_nothing_behind(
    machines: MakeMachine, corpus: Path, stage: str, undisturbed: Machine
) -> None:
    machine = machines(f"interrupted-{stage}")
    if stage == "model_serving":
        machine = undisturbed
        process = machine.start("serve", "--port", "0", "--alias", "candidate")
    elif stage == "ml_training":
        # Over what preprocessing has published elsewhere, which need not run again for this.
        published = Path("data", "preprocess-runs")
        shutil.copytree(undisturbed.out / published, machine.out / published)
        process = machine.start("train")
    else:
        process = machine.start("pipeline", "--corpus", str(corpus))
    machine.wait_for(stage)
    time.sleep(1.0)
    machine.interrupt(process)
    assert process.returncode == (0 if stage == "model_serving" else 130)
    machine.assert_nothing_runs()
    assert not list(Path(machine.environ["TMPDIR"]).iterdir())


def test_two_runs_over_one_folder_do_not_mix(machines: MakeMachine, corpus: Path) -> None:
    machine = machines("busy")
    first = machine.start("fetch", "--corpus", str(corpus))
    machine.wait_for("data_fetch")
    second = machine.run("fetch", "--corpus", str(corpus))
    assert second.code == 2 and "in use by another run" in second.output
    output, _ = first.communicate(timeout=120)
    assert first.returncode == 0, output[-2000:]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["pipeline"], 2, "give CORPUS=export.jsonl.gz or GITHUB_REPOS=owner/name"),
        (["pipeline", "--corpus", "none.jsonl"], 3, "no file"),
        (["pipeline", "--github-repos", "a/b"], 2, "GITHUB_REPOS needs GITHUB_TOKEN"),
        (["preprocess"], 3, "mlops_db.pull_requests is empty"),
        (["train"], 3, "expected a published preprocess run, found no run"),
    ],
)
def test_what_cannot_work_says_why(
    machines: MakeMachine, arguments: list[str], code: int, message: str
) -> None:
    outcome = machines("refused").run(*arguments)
    assert outcome.code == code, outcome.output
    assert message in outcome.output and "Traceback" not in outcome.output


def test_scoring_one_pull_request_from_a_file(undisturbed: Machine, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "pull.json").write_text(json.dumps(pulls_of(corpus)[0]), "utf-8")
    command = [sys.executable, "-m", "local_setup.score", str(tmp_path / "pull.json")]
    with undisturbed.serving("--alias", "candidate") as url:
        outcome = subprocess.run([*command, "--url", url], capture_output=True, text=True, timeout=60)
    assert "more unusual than" in outcome.stdout, outcome.stderr
    refused = subprocess.run([*command, "--url", url], capture_output=True, text=True, timeout=60)
    assert refused.returncode == 2 and "no service at" in refused.stderr


def test_real_pull_requests_all_arrive_and_score_as_trained(machines: MakeMachine, pr_data: Path) -> None:
    """The bare REST objects, posted as they are, score what training computed from Spark's rows."""
    files = [pr_data / "gharchive_2015_pulls.jsonl.gz", pr_data / "bitcoin-core_secp256k1_pulls.jsonl.gz"]
    machine = machines("real")
    machine.succeed("pipeline", "--corpus", ",".join(map(str, files)), **QUICKLY_TRAINED)
    summary = machine.summary()
    pulls = [pull for file in files for pull in pulls_of(file)]
    assert summary["documents"] == len(pulls) == 1777
    assert summary["documents"] == summary["rows"] + summary["rejected"] and summary["rejected"] == 0
    lines = (machine.out / "training_scores.jsonl").read_text("utf-8").splitlines()
    trained = {
        (row["repo_name"], row["number"]): row["reconstruction_error"] for row in map(json.loads, lines)
    }
    assert len(trained) == 1777
    assert close(machine.scores(), trained)
    with machine.serving("--alias", "candidate") as url:
        assert close(bare_scores(url, pulls), trained)


@pytest.mark.long
def test_hidden_authors_score_as_trained_too(machines: MakeMachine, corpus: Path) -> None:
    """AUTHOR_PRIVACY=hash: in the batch, whose documents are hashed already, and for objects as GitHub sends them."""
    privacy = {"AUTHOR_PRIVACY": "hash", "AUTHOR_HASH_KEY": "a key of sixteen bytes or more"}
    machine = machines("hidden")
    output = machine.succeed("pipeline", "--corpus", str(corpus), **QUICKLY_TRAINED, **privacy)
    summary = machine.summary()
    assert summary["scores_compared"] == summary["documents"] == summary["rows"]
    assert summary["max_score_difference"] <= 1e-5 and "AUTHOR_PRIVACY is" not in output
    # Changed files are not fetched by default, so nothing is known of them.
    pulls = [{key: value for key, value in pull.items() if key != "files"} for pull in pulls_of(corpus)]
    with machine.serving("--alias", "candidate", **privacy) as url:
        assert close(bare_scores(url, pulls), machine.scores())
        golden = next((machine.out / "mlflow").rglob("golden.json"))
        stored = json.loads(golden.read_text("utf-8"))
        answer = requests.post(f"{url}/predict", json=stored["request"], timeout=60)
        # What the gate of a promotion asks of a new version.
        assert answer.json()["reconstruction_error"] == pytest.approx(
            stored["reconstruction_error"], rel=1e-5
        )
    with machine.serving("--alias", "candidate") as url:  # in a terminal where nothing is set
        assert not close(bare_scores(url, pulls), machine.scores())
    assert "AUTHOR_PRIVACY is keep" in (machine.out / "service.log").read_text("utf-8")


def bare_scores(url: str, pulls: list[dict[str, Any]]) -> dict[tuple[str, int], float]:
    """Scores of GitHub's own objects by the service at ``url``."""
    found = {}
    for first in range(0, len(pulls), 100):
        answer = requests.post(f"{url}/predict", json=pulls[first : first + 100], timeout=60)
        assert answer.status_code == 200, answer.text[:500]
        for score in answer.json()["scores"]:
            found[score["repo_name"], score["number"]] = score["reconstruction_error"]
    return found
