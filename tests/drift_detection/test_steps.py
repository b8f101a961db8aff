"""cool-down and report as commands: answers by file, endings in the store."""

from pathlib import Path

import pytest
from drift_detection.__main__ import main
from drift_detection.store import FolderStore
from stage_runtime.exits import WrongSettings

from drift_detection import retrainings


def cool_down(root: Path, workflow: str, *flags: str) -> str:
    file = root / "go"
    main(["cool-down", f"--data-root={root}", "--workflow", workflow, "--decision-file", str(file), *flags])
    return file.read_text()


def report(root: Path, workflow: str, status: str, failures: str = "") -> None:
    main(
        ["report", f"--data-root={root}", "--workflow", workflow, "--status", status, "--failures", failures]
    )


def test_ten_alarms(root: Path) -> None:
    assert [cool_down(root, f"w{number}") for number in range(10)] == ["yes"] + ["no"] * 9
    assert cool_down(root, "by-hand", "--ignore-cool-down=true") == "yes"


def test_how_it_ended_is_noted_once(root: Path) -> None:
    cool_down(root, "w1")
    cool_down(root, "w2")
    report(root, "w2", "Succeeded")  # its answer was no: there is nothing of it to end
    store = FolderStore(root)
    last = retrainings.newest(store)
    assert last is not None and last.outcome is None
    failures = '[{"templateName": "gate", "message": "Error (exit code 5)"}]'
    report(root, "w1", "Failed", failures)
    last = retrainings.newest(store)
    assert last is not None and (last.by, last.outcome) == ("w1", "refused")


def test_a_failed_one_may_be_followed_soon(root: Path) -> None:
    cool_down(root, "w1")
    report(root, "w1", "Error", "cut off {")
    assert cool_down(root, "w2") == "no"
    assert cool_down(root, "w3", "--retry-minutes=0") == "yes"


def test_an_unknown_status_is_refused(root: Path) -> None:
    with pytest.raises(WrongSettings, match="STATUS"):
        report(root, "w1", "Finished")
