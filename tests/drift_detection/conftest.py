"""A registry with a model, and a data root with traffic."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
# Test files import the modules beside them by name; the one-machine set-up is used as it lies in its folder.
sys.path[:0] = [str(Path(__file__).resolve().parent), str(ROOT / "local" / "src")]

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


@pytest.fixture(scope="session")
def mongo_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A MongoDB of the tests' own."""
    from local_setup import mongodb

    server = mongodb.start(tmp_path_factory.mktemp("mongo") / "data")
    try:
        yield server.uri
    finally:
        server.stop()
