"""SIGKILL in the middle of a training, and again: the same scores and one version."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ml_training.storage import S3Access
from ml_training.tracking import Tracking


def test_killed_and_run_again(
    trained: Any, run_command: Any, resumed_from: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = tmp_path / "scores.jsonl"
    state = trained.root / "training-state"
    # Same rows, candidate and seed as the shared training, another model name.
    flags = [
        "train",
        *trained.flags("--max-epochs=40", "--quality-report=false", "--model-name=killed"),
        "--checkpoint-seconds=0",
        f"--scores-file={scores}",
    ]
    with subprocess.Popen(
        [sys.executable, "-m", "ml_training", *flags], stdout=subprocess.DEVNULL
    ) as process:
        deadline = time.monotonic() + 200
        while not list(state.glob("*.npz")) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not scores.exists()
    capsys.readouterr()
    assert run_command(flags) == 0
    assert resumed_from(capsys.readouterr().out) >= 1
    whole = (trained.work.parent / "scores.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in scores.read_text().splitlines()] == list(map(json.loads, whole))
    client = Tracking(trained.tracking_uri, "pr-anomaly", S3Access()).client
    versions = client.search_model_versions("name='killed'")
    assert [int(version.version) for version in versions] == [1]
    run = client.get_run(versions[0].run_id)
    assert run.info.status == "FINISHED"
    steps = [entry.step for entry in client.get_metric_history(run.info.run_id, "loss")]
    assert set(steps) == set(range(1, max(steps) + 1))
    assert list(state.iterdir()) == [] and list(trained.work.iterdir()) == []
