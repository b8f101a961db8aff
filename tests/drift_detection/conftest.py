"""A registry with a model, and a data root with traffic."""

import sys
from pathlib import Path

import numpy as np
import pytest

# Test files import the modules beside them by name.
sys.path.insert(0, str(Path(__file__).resolve().parent))

import made_up  # noqa: E402
from drift_detection.reference import Reference, of_folder  # noqa: E402


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up.make_model(tmp_path_factory.mktemp("model") / "1")


@pytest.fixture
def reference(model_folder: Path) -> Reference:
    return of_folder(model_folder, made_up.MODEL, "1")


@pytest.fixture
def registry(model_folder: Path, tmp_path: Path) -> str:
    """Tracking URI; version 1 is candidate and champion."""
    return made_up.make_registry(tmp_path / "mlflow.db", {"1": model_folder}, candidate="1", champion="1")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(42)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty data root."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder
