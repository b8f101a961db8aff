"""What Argo CD may do for whoever merges: nothing outside the namespaces, which are made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from rendering import RENDERED, render


@pytest.fixture(scope="module")
def project(repository: Path) -> dict[str, Any]:
    file = repository / "argo-apps" / "applications" / "project.yaml"
    spec: dict[str, Any] = yaml.safe_load(file.read_text())["spec"]
    return spec


def test_no_kind_of_the_whole_cluster_is_allowed_and_no_secret(project: dict[str, Any]) -> None:
    """A ClusterRoleBinding from Git would make everybody who may merge an administrator of the cluster."""
    assert project["clusterResourceWhitelist"] == []
    assert {"group": "", "kind": "Secret"} in project["namespaceResourceBlacklist"]


@pytest.mark.parametrize("folder", RENDERED)
def test_everything_lies_in_a_namespace_of_the_project(
    repository: Path, project: dict[str, Any], folder: str
) -> None:
    allowed = {one["namespace"] for one in project["destinations"]}
    for one in yaml.safe_load_all(render(repository / "argo-apps" / folder)):
        assert one["metadata"].get("namespace") in allowed, f"{one['kind']} {one['metadata']['name']}"
