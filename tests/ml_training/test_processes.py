"""Real servers and real processes: an MLflow server over HTTP, two training processes, SIGTERM."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ml_training.storage import S3Access
from ml_training.tracking import Tracking

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`mlflow server` with its own artifact proxy."""
    folder = tmp_path_factory.mktemp("server")
    port = free_port()
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            assert process.poll() is None, (folder / "log").read_text()[-2000:]
            try:
                with urllib.request.urlopen(f"{url}/health", timeout=2):
                    break
            except OSError:
                time.sleep(0.2)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def scores(path: Path) -> dict[tuple[str, int], float]:
    rows = map(json.loads, path.read_text().splitlines())
    return {(row["repo_name"], row["number"]): row["reconstruction_error"] for row in rows}


def test_train_and_gate_over_http(server: str, trained: Any, run_command: Any, tmp_path: Path) -> None:
    flags = [*trained.flags("--max-epochs=40"), f"--mlflow-tracking-uri={server}"]
    found = tmp_path / "scores.jsonl"
    assert run_command(["train", *flags, "--quality-report=false", f"--scores-file={found}"]) == 0
    assert scores(found) == scores(trained.work.parent / "scores.jsonl")
    gate = [
        *trained.flags("--gate-flag-rate-high=1", "--gate-flag-rate-low=0", "--gate-baselines=report"),
        f"--mlflow-tracking-uri={server}",
    ]
    assert run_command(["gate", *gate]) == 0


def test_two_processes_train_one_network(trained: Any, tmp_path: Path) -> None:
    """torchrun on the CPU: both ranks step together, and rank 0 alone registers."""
    found = tmp_path / "scores.jsonl"
    flags = trained.flags(
        "--max-epochs=40", "--quality-report=false", "--model-name=two", f"--scores-file={found}"
    )
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2",
        "--master-port", str(free_port()), "-m", "ml_training", "train", *flags,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    alone, together = scores(trained.work.parent / "scores.jsonl"), scores(found)
    assert alone.keys() == together.keys()
    ours = [alone[key] for key in sorted(alone)]
    theirs = [together[key] for key in sorted(alone)]
    # Twice the rows a step and other noise: not the same network, but one that learned the same.
    import numpy as np

    assert np.corrcoef(np.log(ours), np.log(theirs))[0, 1] > 0.9
    finished = [line for line in done.stdout.splitlines() if '"model_version"' in line]
    assert len(finished) == 1


def wait_for_an_epoch(tracking_uri: str, process: "subprocess.Popen[str]") -> None:
    """Until the training with seed 77 has told MLflow of its first epoch."""
    client = Tracking(tracking_uri, "pr-anomaly", S3Access())
    deadline = time.monotonic() + 120
    while True:
        runs = client.client.search_runs([client.experiment_id], "params.seed = '77'")
        if any("loss" in run.data.metrics for run in runs):
            return
        assert process.poll() is None and time.monotonic() < deadline, "no epoch, and so nothing to save"
        time.sleep(0.1)


def test_sigterm_saves_and_ends_with_4(
    trained: Any, run_command: Any, resumed_from: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = tmp_path / "scores.jsonl"
    flags = [
        "train",
        *trained.flags("--max-epochs=120", "--quality-report=false", "--model-name=stopped", "--seed=77"),
        "--checkpoint-seconds=1000",
        f"--scores-file={found}",
    ]
    command = [sys.executable, "-m", "ml_training", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        seen = []
        for line in process.stdout:
            seen.append(line)
            if '"event": "rows"' in line:
                wait_for_an_epoch(trained.tracking_uri, process)
                process.send_signal(signal.SIGTERM)
    assert process.returncode == 4, "".join(seen)
    # Saved because it was told to end, not because it was time to.
    assert len(list((trained.root / "training-state").glob("*.npz"))) == 1 and not found.exists()
    capsys.readouterr()
    assert run_command(flags) == 0
    assert resumed_from(capsys.readouterr().out) >= 1
    again = tmp_path / "again.jsonl"
    whole = [flag if not flag.startswith("--scores-file") else f"--scores-file={again}" for flag in flags]
    assert run_command(whole) == 0
    assert scores(found) == scores(again)
