"""Servers that several test modules use; each starts once a session and only when a test asks for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

# The modules beside this file are imported by their plain names; pytest's import mode adds no folder.
sys.path.insert(0, str(Path(__file__).resolve().parent))

if TYPE_CHECKING:
    from cluster import Cluster
    from drift_loop import Loop
    from jobs import Jobs

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane with the CRDs of Argo Rollouts and what a person makes there before Argo CD does anything."""
    from cluster import Cluster
    from processes import server_folder

    made = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        made.start()
        made.apply_crds(server_folder("rollouts") / "crds")
        made.apply(*installed_first())
        yield made
    finally:
        made.stop()


def installed_first() -> list[dict[str, Any]]:
    """Step 3 of the first install, with every optional part; settings are each test's own matter."""
    folder = ROOT / "argo-apps" / "environment"
    values = yaml.safe_load((folder / "values.example.yaml").read_text())
    values["components"] = ["drift", "minio", "mlflow", "mlserver"]
    done = subprocess.run(
        [sys.executable, folder / "install.py", "--first", "/dev/stdin"],
        input=yaml.safe_dump(values), capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [one for one in yaml.safe_load_all(done.stdout) if one["kind"] != "ConfigMap"]


@pytest.fixture(scope="session")
def argo_apps() -> Path:
    """The folder under test."""
    return ROOT / "argo-apps"


@pytest.fixture(scope="session")
def jobs(cluster: Cluster, argo_apps: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    """The services of the pipeline, with some pull requests fetched."""
    from jobs import Jobs

    made = Jobs(cluster, argo_apps / "base", tmp_path_factory.mktemp("pipeline"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def loop(cluster: Cluster, argo_apps: Path) -> Iterator[Loop]:
    """Argo Events and Argo Workflows with the drift loop's objects."""
    from drift_loop import Loop

    made = Loop(cluster, argo_apps / "drift")
    try:
        made.start()
        yield made
    finally:
        made.stop()
