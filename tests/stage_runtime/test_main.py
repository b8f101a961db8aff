"""How a stage's ending becomes a log line and an exit code, seen from outside as a process."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

STAGE = """
import sys
from stage_runtime.exits import *
from stage_runtime.main import run_stage, closing_counts
from stage_runtime.redaction import register_secret

def main(argv):
    register_secret("s3cr3t-value")
    closing_counts(rows=3)
    {body}

run_stage("trial", main)
"""


def run(body: str, tmp_path: Path) -> tuple[int, list[dict[str, Any]], str]:
    script = tmp_path / "stage.py"
    script.write_text(STAGE.format(body=body))
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, env=dict(os.environ)
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


@pytest.mark.parametrize(
    ("body", "code", "ending"),
    [
        ("return None", 0, "done"),
        ("return ExitCode.GATE_REFUSED", 5, "gate_refused"),
        ("raise ServiceUnreachable('x')", 1, "unexpected"),
        ("raise WrongSettings('x')", 2, "wrong_settings"),
        ("raise UnusableInput('x')", 3, "unusable_input"),
        ("raise StoppedEarly('x')", 4, "stopped_early"),
        ("raise GateRefused('x')", 5, "gate_refused"),
        ("raise StageError('x')", 1, "unexpected"),
        ("raise KeyboardInterrupt", 4, "stopped_early"),
        ("1 / 0", 1, "unexpected"),
    ],
)
def test_every_ending_has_its_code_and_closing_line(
    body: str, code: int, ending: str, tmp_path: Path
) -> None:
    status, lines, stderr = run(body, tmp_path)
    assert status == code
    assert stderr == ""
    last = lines[-1]
    assert (last["event"], last["exit_code"], last["ending"], last["rows"]) == ("finished", code, ending, 3)
    assert last["seconds"] >= 0
    assert last["stage"] == "trial"


def test_a_stage_error_is_one_line_without_stack_trace(tmp_path: Path) -> None:
    body = "raise UnusableInput('Run 7 has no manifest.') from ValueError('s3cr3t-value inside')"
    _, lines, _ = run(body, tmp_path)
    assert len(lines) == 2
    assert lines[0]["event"] == "Run 7 has no manifest."
    assert lines[0]["level"] == "error"
    assert lines[0]["cause"] == "ValueError: *** inside"
    assert "exception" not in lines[0]


def test_an_unexpected_error_logs_its_stack_trace_without_secrets(tmp_path: Path) -> None:
    _, lines, _ = run("raise KeyError('s3cr3t-value')", tmp_path)
    assert "Traceback" in lines[0]["exception"]
    assert "s3cr3t-value" not in json.dumps(lines)


def test_a_librarys_connection_error_becomes_code_1_with_the_service_named(tmp_path: Path) -> None:
    body = (
        "\n    with reaching('MongoDB at db.test:27017', ConnectionRefusedError):"
        "\n        raise ConnectionRefusedError('mongodb://user:passw0rd@db.test')"
    )
    status, lines, _ = run(body, tmp_path)
    assert status == 1
    assert lines[0]["event"].startswith("MongoDB at db.test:27017 did not answer (ConnectionRefusedError)")
    assert "passw0rd" not in json.dumps(lines)


def test_importing_does_nothing(tmp_path: Path) -> None:
    """No handler, no signal, no thread, no output, whichever module is imported."""
    program = (
        "import logging, signal, threading, importlib, pkgutil, stage_runtime\n"
        "before = signal.getsignal(signal.SIGTERM)\n"
        "for module in pkgutil.iter_modules(stage_runtime.__path__):\n"
        "    importlib.import_module('stage_runtime.' + module.name)\n"
        "assert signal.getsignal(signal.SIGTERM) is before\n"
        "assert not logging.getLogger().handlers, logging.getLogger().handlers\n"
        "assert threading.active_count() == 1\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
