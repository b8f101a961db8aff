"""`make demo-drift` from end to end."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


def test_the_demo_shows_what_it_is_there_to_show(repository: Path, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    done = subprocess.run(
        [sys.executable, "-m", "local_setup.drift_demo", "--out", str(out)],
        cwd=repository,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    steps = json.loads((out / "drift-demo.json").read_text("utf-8"))
    verdicts = [step["found"] for step in steps if step["what"] == "drift job"]
    assert verdicts == ["no drift", "drift", "no drift"]
    found = {step["what"]: step["found"] for step in steps}
    assert found["workflow"] == "Succeeded" and found["gate"] == "promoted the candidate"
    assert found["served before"] == "1" and found["served now"] == "2"
    assert found["nine more alarms within the cool-down"] == ["no"]
    claims = list((out / "data" / "drift-runs" / "retrainings").glob("*.end.json"))
    assert len(claims) == 1


def test_a_folder_of_something_else_is_refused(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    done = subprocess.run(
        [sys.executable, "-m", "local_setup.drift_demo", "--out", str(tmp_path)],
        cwd=repository,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0 and "choose another OUT" in done.stderr
    assert (tmp_path / "mine.txt").read_text() == "keep me"
