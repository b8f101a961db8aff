"""The optional parts as a real Argo CD takes them: what install.py prints, applied as it stands."""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from argo_cd import ArgoCD, Repository
from cluster import Cluster
from processes import eventually, server_folder

# Argo CD looks, waits for health and retries at its own pace.
pytestmark = pytest.mark.timeout(600)

PARTS = ("drift", "minio", "mlflow", "mlserver")
APPLICATIONS = tuple(f"pr-anomaly-{part}" for part in PARTS)
CRDS = (("rollouts", "crds"), ("events", "crds"), ("workflows", "crds/minimal"))


@pytest.fixture(scope="module")
def argo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArgoCD]:
    """Argo CD on a cluster of its own with the Applications of all parts, without the stages' own."""
    folder = tmp_path_factory.mktemp("parts")
    cluster = Cluster(folder / "cluster")
    made = ArgoCD(cluster)
    try:
        cluster.folder.mkdir()
        cluster.start()
        for server, crds in CRDS:
            cluster.apply_crds(server_folder(server) / crds)
        made.start()
        repository = Repository(folder)
        repository.commit("First", "staging")
        cluster.apply(*installed(repository, folder / "values.yaml"))
        # No controller of Argo Events here: what it would report once the bus is up. The drift job waits for that.
        eventually(lambda: cluster.exists("eventbus", "default", "argo-events"), 240, "the event bus")
        status = {"status": {"conditions": [{"type": "Deployed", "status": "True", "reason": "up"}]}}
        cluster.kubectl(
            "-n", "argo-events", "patch", "eventbus", "default", "--subresource=status", "--type=merge",
            "-p", json.dumps(status),
        )  # fmt: skip
        yield made
    finally:
        made.stop()
        cluster.stop()


def installed(repository: Repository, page: Path) -> list[dict[str, object]]:
    """What install.py prints for a cluster with all parts, but for the Application of the stages."""
    values = yaml.safe_load(
        (repository.work / "argo-apps" / "environment" / "values.example.yaml").read_text()
    )
    values |= {"repository": f"file://{repository.bare}", "components": list(PARTS)}
    page.write_text(yaml.safe_dump(values))
    install = repository.work / "argo-apps" / "environment" / "install.py"
    done = subprocess.run([sys.executable, install, page], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    stages = ("Application", "pr-anomaly")
    return [
        one for one in yaml.safe_load_all(done.stdout) if (one["kind"], one["metadata"]["name"]) != stages
    ]


def settled(argo: ArgoCD, name: str) -> bool:
    status = argo.status(name)
    found = (status["phase"], status["sync"], status["out"], status["conditions"])
    assert found == ("Succeeded", "Synced", [], []), status
    return True


@pytest.mark.parametrize("name", APPLICATIONS)
def test_each_part_is_synced_and_stays_so(argo: ArgoCD, name: str) -> None:
    """Synced, not healthy: nothing here provides volumes or runs Argo Events."""
    argo.refresh(name)
    eventually(lambda: settled(argo, name), 240, name)
    argo.refresh(name)
    eventually(lambda: settled(argo, name), 60, name)
    history = argo.cluster.get("application", name, "argocd")["status"]["history"]
    assert len(history) == 1, "the same commit was synced again: something is never as Git says"


def test_the_drift_job_runs_beside_the_stages(argo: ArgoCD) -> None:
    job = argo.cluster.get("cronjob", "drift-detection", "mlops")
    assert job["spec"]["schedule"] == "*/10 * * * *"
    for kind, name in (
        ("eventsource", "drift-detection"),
        ("sensor", "drift-detection-sensor"),
        ("workflowtemplate", "drift-retrain-template"),
    ):
        assert argo.cluster.exists(kind, name, "argo-events")


def test_a_part_is_removed_by_the_runbook_and_its_namespace_stays(argo: ArgoCD) -> None:
    page = (Path(__file__).resolve().parent.parent.parent / "argo-apps" / "README.md").read_text()
    text = page.split("**Remove a part.**")[1].split("**Run a stage by hand.**")[0]
    commands = [line.strip() for line in text.splitlines() if line.startswith("    kubectl")]
    assert len(commands) == 2
    assert argo.cluster.exists("deployment", "mlserver", "mlserver")
    for command in commands:
        argo.cluster.kubectl(*shlex.split(command.replace("pr-anomaly-drift", "pr-anomaly-mlserver"))[1:])
    for kind in ("deployment", "service", "networkpolicy"):
        eventually(lambda kind=kind: not argo.cluster.items(kind, "mlserver"), 60, kind)
    assert argo.cluster.get("namespace", "mlserver", "")["status"]["phase"] == "Active"
    assert argo.cluster.exists("configmap", "environment", "mlserver")
