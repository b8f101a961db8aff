"""``python -m drift_detection COMMAND [flags]``; without a command it detects."""

from __future__ import annotations

from collections.abc import Sequence

from stage_runtime.commands import Command, dispatch
from stage_runtime.exits import ExitCode
from stage_runtime.main import run_stage

from drift_detection import steps
from drift_detection.detect import detect
from drift_detection.settings import (
    CoolDownSettings,
    DetectSettings,
    NewRowsSettings,
    ReplicaSettings,
    ReportSettings,
    VerifySettings,
)

PROG = "drift_detection"
COMMANDS = {
    "detect": Command(DetectSettings, detect, "judge the last window of served traffic (the default)"),
    "cool-down": Command(CoolDownSettings, steps.cool_down, "may a retraining start now?"),
    "new-rows": Command(NewRowsSettings, steps.new_rows, "is there anything new to learn?"),
    "reload": Command(ReplicaSettings, steps.reload_replicas, "ask every replica to load the champion"),
    "verify": Command(VerifySettings, steps.verify_replicas, "fail unless every replica serves the champion"),
    "report": Command(ReportSettings, steps.report, "note how a retraining ended"),
}


def main(argv: Sequence[str]) -> ExitCode | int | None:
    """Run the command named first; none means detect."""
    named = bool(argv) and (argv[0] in {"-h", "--help"} or not argv[0].startswith("-"))
    return dispatch(COMMANDS, argv if named else ["detect", *argv], prog=PROG)


def run() -> None:
    """Entry point of the command line."""
    run_stage(PROG, main)


if __name__ == "__main__":
    run()
