"""The stage as a process: exit codes, signals, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(jars: str, tmp_path: Path) -> Start:
    """Start the stage with these variables; its temporary files go to ``tmp_path/tmp``."""
    (tmp_path / "tmp").mkdir()

    def begin(*flags: str, **variables: str) -> subprocess.Popen[str]:
        environment = {
            name: value
            for name, value in os.environ.items()
            if name in {"PATH", "HOME", "JAVA_HOME", "LANG", "LD_LIBRARY_PATH"}
        }
        environment |= {
            "SPARK_JARS": jars,
            "TMPDIR": str(tmp_path / "tmp"),
            "DATA_ROOT": str(tmp_path / "data"),
        }
        command = [sys.executable, "-m", "spark_preprocess", *flags]
        return subprocess.Popen(
            command,
            env=environment | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    return begin


def lines_of(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    out, _ = process.communicate(timeout=240)
    return [json.loads(line) for line in out.splitlines()]


def java_below(pid: int) -> list[int]:
    """Process ids of the session that ``pid`` leads and that still run."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == pid and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def gone(pid: int, seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not java_below(pid):
            return True
        time.sleep(0.2)
    return False


def wait_for(path: Path, pattern: str, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 240
    while not list(path.glob(pattern)):
        assert process.poll() is None, "the stage ended before it could be disturbed"
        assert time.monotonic() < end
        time.sleep(0.05)


def test_help_names_every_setting(start: Start) -> None:
    process = start("--help")
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "--mongo-partitioner" in out and "MAX_REJECTED_SHARE" in out


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"MAX_REJECTED_SHARE": "2"}, "MAX_REJECTED_SHARE"),
        ({"SPARK_MASTER": "yarn"}, "SPARK_MASTER"),
        ({"SPARK_MASTER": "k8s://https://127.0.0.1:6443"}, "SPARK_IMAGE"),
        ({"PREPROCESS_RUN_ID": "../elsewhere"}, "PREPROCESS_RUN_ID"),
        ({"SPARK_JARS": "/nowhere"}, "python -m spark_preprocess.jars /nowhere"),
    ],
)
def test_wrong_settings(start: Start, variables: dict[str, str], named: str) -> None:
    process = start(**variables)
    lines = lines_of(process)
    assert process.returncode == 2
    assert named in lines[-2]["event"] and lines[-1]["exit_code"] == 2


def test_sigterm_ends_everything(
    start: Start, store: Callable[..., str], documents: list[dict[str, Any]], mongo_uri: str, tmp_path: Path
) -> None:
    process = start(MONGO_URI=mongo_uri, MONGO_COLLECTION=store(documents), PREPROCESS_RUN_ID="stopped")
    # The first thing that a run writes: Spark works, and there is something to take away.
    wait_for(tmp_path / "data" / "preprocess-runs" / "stopped", "history/authors/*", process)
    os.kill(process.pid, signal.SIGTERM)
    lines = lines_of(process)
    assert process.returncode == 4, lines
    assert "nothing was published" in lines[-2]["event"]
    assert gone(process.pid)
    assert list((tmp_path / "tmp").iterdir()) == []
    assert not (tmp_path / "data" / "preprocess-runs" / "stopped").exists()


@pytest.mark.long
def test_sigkill_leaves_no_run_and_the_next_one_is_whole(
    start: Start, store: Callable[..., str], documents: list[dict[str, Any]], mongo_uri: str, tmp_path: Path
) -> None:
    settings = {"MONGO_URI": mongo_uri, "MONGO_COLLECTION": store(documents), "PREPROCESS_RUN_ID": "killed"}
    folder = tmp_path / "data" / "preprocess-runs" / "killed"
    process = start(**settings)
    wait_for(folder, "history/authors/*", process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert gone(process.pid)  # the JVM ends with its Python, and takes the temporary folder with it
    assert list((tmp_path / "tmp").iterdir()) == []
    assert not (folder / "manifest.json").exists()
    again = start(**settings)
    lines = lines_of(again)
    assert again.returncode == 0, lines
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    listed = {entry["path"] for entry in manifest["files"]} | {"manifest.json"}
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == listed
    assert (lines[-1]["documents"], lines[-1]["rows"]) == (900, 900)
