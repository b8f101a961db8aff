"""What each pod of the drift loop may reach, added up over all NetworkPolicies: what it needs and nothing else."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from rendering import render

Objects = list[dict[str, Any]]
# Peer by its labels, "" for any; and port.
Way = tuple[str, int]
DNS = ("", 53)
STEP: set[Way] = {DNS, ("", 443), ("", 6443), ("", 8200)}
MONGODB, MINIO, MLFLOW = ("", 27017), ("", 9000), ("", 5000)
SERVING, BUS, BUS_ITSELF = ("model-serving", 8080), ("drift-eventbus", 4222), ("drift-eventbus", 6222)
EGRESS = {
    "data-fetch": STEP | {MONGODB},
    "spark-preprocess": STEP | {MONGODB, MINIO},
    "ml-training": STEP | {MINIO, MLFLOW},
    "drift-detection": STEP | {MONGODB, MINIO, MLFLOW, SERVING},
    "drift-event-source": {DNS, BUS},
    "drift-sensor": {DNS, BUS, ("", 443), ("", 6443)},
    "drift-eventbus": {DNS, BUS_ITSELF},
}
INGRESS: dict[str, set[Way]] = {
    "drift-event-source": {("drift-detection", 12000)},
    "drift-eventbus": {("drift-event-source", 4222), ("drift-sensor", 4222), BUS_ITSELF},
}


@pytest.fixture(scope="module")
def objects(repository: Path) -> Objects:
    return list(yaml.safe_load_all(render(repository / "argo-apps" / "drift")))


@pytest.fixture(scope="module")
def pods(objects: Objects) -> dict[str, dict[str, str]]:
    """Labels of every pod that is made in the namespace, by its name label."""
    found = []
    for o in (one for one in objects if one["metadata"].get("namespace") == "argo-events"):
        if o["kind"] == "WorkflowTemplate":
            # What the controller merges: the labels of all pods, then the template's.
            common = o["spec"].get("podMetadata", {}).get("labels", {})
            templates = (one for one in o["spec"]["templates"] if "container" in one)
            found += [common | one["metadata"]["labels"] for one in templates]
        elif o["kind"] in {"EventSource", "Sensor"}:
            found.append(o["spec"]["template"]["metadata"]["labels"])
        elif o["kind"] == "EventBus":
            found.append(o["spec"]["jetstream"]["metadata"]["labels"])
    return {labels["app.kubernetes.io/name"]: labels for labels in found}


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    wanted = selector.get("matchLabels", {})
    among = selector.get("matchExpressions", [])
    assert all(one["operator"] == "In" for one in among)
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        labels.get(one["key"]) in one["values"] for one in among
    )


def names(peer: Mapping[str, Any]) -> list[str]:
    """A peer in one word each: its pods' name, else its namespace's."""
    selector = peer.get("podSelector") or peer["namespaceSelector"]
    among = [value for one in selector.get("matchExpressions", []) for value in one["values"]]
    return among + list(selector.get("matchLabels", {}).values())


def ways(objects: Objects, labels: Mapping[str, str], kind: str, side: str) -> set[Way]:
    policies = [o["spec"] for o in objects if o["kind"] == "NetworkPolicy"]
    mine = [spec for spec in policies if selects(spec["podSelector"], labels)]
    assert any(kind in spec["policyTypes"] for spec in mine), f"{labels}: nothing is denied"
    found = set()
    for spec in mine:
        for rule in spec.get(kind.lower(), []):
            peers = [name for peer in rule.get(side, []) for name in names(peer)] or [""]
            found |= {(peer, port["port"]) for peer in peers for port in rule["ports"]}
    return found


def test_every_pod_reaches_what_it_needs_and_nothing_else(
    objects: Objects, pods: dict[str, dict[str, str]]
) -> None:
    assert set(pods) == set(EGRESS)
    for name, labels in pods.items():
        assert ways(objects, labels, "Egress", "to") == EGRESS[name], name
        assert ways(objects, labels, "Ingress", "from") == INGRESS.get(name, set()), name


def test_serving_lets_the_steps_in(repository: Path) -> None:
    base = list(yaml.safe_load_all(render(repository / "argo-apps" / "base")))
    labels = {"app.kubernetes.io/name": "model-serving", "app.kubernetes.io/part-of": "pr-anomaly"}
    assert ("drift-detection", 8080) in ways(base, labels, "Ingress", "from")
