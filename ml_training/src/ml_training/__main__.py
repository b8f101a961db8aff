"""``python -m ml_training [train|evaluate|gate] [flags]``; without a command it trains."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence

from stage_runtime.commands import Command, dispatch
from stage_runtime.exits import ExitCode
from stage_runtime.main import run_stage

from ml_training.settings import CommonSettings, EvaluateSettings, GateSettings, TrainSettings

PROG = "ml_training"


def _train(settings: CommonSettings) -> ExitCode | int | None:
    # Imported late: a wrong flag is refused in a blink, and torch and MLflow take seconds.
    from ml_training.train import train

    assert isinstance(settings, TrainSettings)
    return train(settings)


def _evaluate(settings: CommonSettings) -> ExitCode | int | None:
    from ml_training.evaluate import evaluate

    assert isinstance(settings, EvaluateSettings)
    return evaluate(settings)


def _gate(settings: CommonSettings) -> ExitCode | int | None:
    from ml_training.gate import gate

    assert isinstance(settings, GateSettings)
    return gate(settings)


COMMANDS = {
    "train": Command(TrainSettings, _train, "fit, evaluate and register a candidate (the default)"),
    "evaluate": Command(EvaluateSettings, _evaluate, "quality report of a registered version"),
    "gate": Command(GateSettings, _gate, "make the candidate champion, or refuse it"),
}


def main(argv: Sequence[str]) -> ExitCode | int | None:
    """Run the command named first; none means train."""
    named = bool(argv) and (argv[0] in {"-h", "--help"} or not argv[0].startswith("-"))
    with tempfile.TemporaryDirectory(prefix="ml_training-") as scratch:
        # Set before torch and ONNX Runtime are imported: both would leave a folder behind, and the latter reports
        # to its maker.
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", scratch)
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        return dispatch(COMMANDS, argv if named else ["train", *argv], prog=PROG)


def run() -> None:
    """Entry point of the command line."""
    run_stage(PROG, main)


if __name__ == "__main__":
    run()
