"""A small published run, and one training of it that all tests look at."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

# What MLflow and its database layer warn of is theirs to mend.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


def _load(name: str) -> ModuleType:
    """A module of this folder; tests are no package, so it is loaded by its path."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


fake_run = _load("fake_run")

EPOCHS = 40


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """As the stage itself does it: more threads make these small products slower, and results vary."""
    from ml_training.trainer import prepare_torch

    prepare_torch(1)


@pytest.fixture(scope="session")
def fake() -> ModuleType:
    """The maker of runs."""
    return fake_run


@pytest.fixture(scope="session")
def documents() -> list[dict[str, Any]]:
    """600 made-up pull requests of three repositories."""
    return list(fake_run.make_documents(600))


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory, documents: list[dict[str, Any]]) -> Path:
    """A data root with one published run; nobody may change it."""
    folder = tmp_path_factory.mktemp("root")
    fake_run.publish(folder, documents)
    return folder


@pytest.fixture
def rows() -> np.ndarray:
    """[700, 12] float32: twelve columns that follow from three, with a little noise."""
    rng = np.random.default_rng(7)
    hidden = rng.normal(size=(700, 3))
    mixed = np.tanh(hidden @ rng.normal(size=(3, 12))) + 0.05 * rng.normal(size=(700, 12))
    return mixed.astype(np.float32)


@dataclass(frozen=True)
class Place:
    """Where a test's commands read and write."""

    root: Path
    tracking_uri: str
    work: Path

    def flags(self, *more: str) -> list[str]:
        """Flags that every command gets."""
        return [
            f"--data-root={self.root}",
            f"--mlflow-tracking-uri={self.tracking_uri}",
            f"--work-dir={self.work}",
            "--log-format=json",
            *more,
        ]


Run = Callable[..., int]


@pytest.fixture(scope="session")
def run_command() -> Run:
    """Run a command in this process; returns its exit code. Starting anew costs seconds for torch and MLflow."""
    from ml_training.__main__ import main
    from stage_runtime.main import ending

    def run(arguments: Sequence[str]) -> int:
        return ending("ml_training", main, list(arguments))

    return run


@pytest.fixture(scope="session")
def resumed_from() -> Callable[[str], int]:
    """From what a training logged, the epoch of the checkpoint that it went on from; fails if it started afresh."""

    def epoch(output: str) -> int:
        events = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        (found,) = (event["epoch"] for event in events if event["event"] == "going on from a checkpoint")
        return int(found)

    return epoch


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Place:
    """The shared MLflow (a SQLite file takes seconds to make) over the shared run."""
    folder = tmp_path_factory.mktemp("mlflow")
    return Place(root, f"sqlite:///{folder}/mlflow.db", folder / "work")


@pytest.fixture(scope="session")
def trained(place: Place, run_command: Run) -> Place:
    """One training with its quality report; leaves a candidate."""
    scores = place.work.parent / "scores.jsonl"
    code = run_command(["train", *place.flags(f"--max-epochs={EPOCHS}", f"--scores-file={scores}")])
    assert code == 0
    return place
