"""The optional parts: hardened, closed to all but those that need them, and no secret in Git."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from rendering import RENDERED, render

PARTS = ("minio", "mlflow", "mlserver")
Objects = list[dict[str, Any]]


@pytest.fixture(params=PARTS)
def part(request: pytest.FixtureRequest, repository: Path) -> tuple[str, Objects]:
    name: str = request.param
    return name, list(yaml.safe_load_all(render(repository / "argo-apps" / "components" / name)))


def kinds(objects: Objects, kind: str) -> Objects:
    return [o for o in objects if o["kind"] == kind]


def test_everything_lies_in_the_part_s_own_namespace(part: tuple[str, Objects]) -> None:
    name, objects = part
    assert {o["metadata"]["namespace"] for o in objects} == {name}
    assert not kinds(objects, "Secret")


def test_pods_are_hardened_and_bounded(part: tuple[str, Objects]) -> None:
    _, objects = part
    (owner,) = [o for o in objects if o["kind"] in {"Deployment", "StatefulSet"}]
    pod = owner["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False and pod["securityContext"]["runAsNonRoot"]
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] and security["capabilities"] == {"drop": ["ALL"]}
        assert security["allowPrivilegeEscalation"] is False
        assert {"cpu", "memory"} <= set(container["resources"]["limits"])
        assert not container["image"].endswith(":latest") and ":" in container["image"]
    for container in pod["containers"]:
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container)


def test_nobody_else_gets_in(part: tuple[str, Objects]) -> None:
    _, objects = part
    (policy,) = kinds(objects, "NetworkPolicy")
    assert policy["spec"]["podSelector"] == {} and policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    for rule in policy["spec"]["ingress"]:
        assert rule["from"] and rule["ports"]


def test_names_are_asked_for_wherever_the_resolver_runs(repository: Path) -> None:
    """A node-local one has the node's network or a link-local address: a selector of pods would never match it."""
    found = []
    for folder in RENDERED:
        for policy in kinds(
            list(yaml.safe_load_all(render(repository / "argo-apps" / folder))), "NetworkPolicy"
        ):
            for rule in policy["spec"].get("egress", []):
                if any(port["port"] == 53 for port in rule.get("ports", [])):
                    found.append(folder)
                    expected = [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]
                    assert rule == {"ports": expected}, policy["metadata"]["name"]
    assert found == [folder for folder in RENDERED if folder != "components/minio"]  # which calls nobody


def test_they_are_applications_of_their_own(repository: Path) -> None:
    import subprocess
    import sys

    folder = repository / "argo-apps" / "environment"
    values = yaml.safe_load((folder / "values.example.yaml").read_text()) | {"components": list(PARTS)}
    done = subprocess.run(
        [sys.executable, folder / "install.py", "/dev/stdin"],
        input=yaml.safe_dump(values), capture_output=True, text=True, check=True,
    )  # fmt: skip
    objects = list(yaml.safe_load_all(done.stdout))
    applications = {o["metadata"]["name"]: o["spec"] for o in kinds(objects, "Application")}
    for name in PARTS:
        spec = applications[f"pr-anomaly-{name}"]
        assert spec["source"]["path"] == f"argo-apps/components/{name}"
        assert spec["destination"]["namespace"] == name
        assert (name, "environment") in {
            (o["metadata"]["namespace"], o["metadata"]["name"]) for o in kinds(objects, "ConfigMap")
        }
