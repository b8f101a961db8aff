"""What others write is what is read here, and the other way round."""

import json
import os
import socket
import subprocess
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from drift_detection.reference import Reference
from drift_detection.report import make_report
from drift_detection.store import FolderStore
from drift_detection.verdict import judge
from drift_detection.window import Window, read_window
from made_up import errors_of, rows

MADE = "import artifact, json, pathlib, sys; artifact.make_model(pathlib.Path(sys.argv[1]), seed=1)"
PULLS = "import artifact, json; print(json.dumps([artifact.pull_request(number) for number in range(30)]))"


def test_the_made_up_reference_is_one_of_training_s(repository: Path, model_folder: Path) -> None:
    """So that what is tested here with made-up models holds for those that ml_training writes."""
    schema = json.loads(
        (repository / "ml_training/src/ml_training/schemas/model_artifact.schema.json").read_text("utf-8")
    )
    drift = schema["$defs"]["reference.json"]["properties"]["drift"]
    content = json.loads((model_folder / "artifacts" / "reference.json").read_text("utf-8"))
    jsonschema.validate(content["drift"], drift)


def shape(value: Any) -> Any:
    """Names at every level; of a list its first element."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in sorted(value.items()) if name != "other_versions"}
    return [shape(value[0])] if isinstance(value, list) and value and isinstance(value[0], dict) else None


def test_the_golden_report_is_what_is_written(
    repository: Path, reference: Reference, rng: np.random.Generator
) -> None:
    """tests/model_serving shows this same record."""
    golden = json.loads((repository / "tests" / "contract" / "drift_report.json").read_text("utf-8"))
    schema = repository / "drift_detection/src/drift_detection/schemas/drift_report.schema.json"
    jsonschema.validate(golden, json.loads(schema.read_text("utf-8")))
    values = rows(rng, 300, shift=2)
    errors = errors_of(values)
    window = Window(values, errors, errors > 4, np.arange(300) + 1_700_000_000_000)
    verdict = judge(window, reference, min_rows=100)
    written = make_report("run", datetime.now(UTC), reference, window, verdict, 0.3)
    assert shape(written) == shape(golden)


@pytest.mark.timeout(120)
def test_what_the_service_records_is_what_is_read(repository: Path, tmp_path: Path) -> None:
    python = repository / ".venv" / "model_serving" / "bin" / "python"
    environ = {**os.environ, "PYTHONPATH": str(repository / "tests" / "model_serving")}
    subprocess.run([python, "-c", MADE, str(tmp_path / "7")], check=True, env=environ)
    pulls = subprocess.run([python, "-c", PULLS], check=True, env=environ, capture_output=True).stdout
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        "PORT": str(port), "WORKERS": "1", "MODEL_DIR": str(tmp_path / "7"), "DATA_ROOT": str(tmp_path),
        "DRAIN_WAIT_SECONDS": "0",
    }  # fmt: skip
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen(
        [python, "-m", "model_serving"], env={**os.environ, **settings}, stdout=log, stderr=log
    )
    try:
        _wait(port, process)
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/predict", pulls, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            scores = json.load(answer)["scores"]
    finally:
        process.terminate()
        process.wait(60)
        log.close()
    names = ("lines", "newcomer", "title_words")
    since = datetime.now(UTC) - timedelta(hours=1)
    found = read_window(FolderStore(tmp_path), names, "7", since=since, most_rows=100)
    assert len(found) == 30 and found.values.shape == (30, 3)
    expected = sorted(score["reconstruction_error"] for score in scores)
    np.testing.assert_allclose(np.sort(found.errors), expected, rtol=1e-6)
    assert found.flags.sum() == sum(score["is_anomaly"] for score in scores)


def _wait(port: int, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("model_serving was not ready")
