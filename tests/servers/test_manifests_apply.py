"""Every manifest against a real API server: strict validation, the restricted level, RBAC."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster import Cluster

ROOT = Path(__file__).resolve().parent.parent.parent
NAMESPACE = "mlops"


def rendered(folder: Path) -> list[dict[str, Any]]:
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=True)
    return [document for document in yaml.safe_load_all(done.stdout) if document]


@pytest.mark.parametrize("part", ["base", "drift"])
def test_everything_is_accepted_strictly_without_a_warning(
    cluster: Cluster, argo_apps: Path, part: str
) -> None:
    objects = rendered(argo_apps / part)
    if part == "drift":
        # The kinds of Argo Events and Argo Workflows are for their own validators and controllers: test_drift_loop.py.
        objects = [item for item in objects if not item["apiVersion"].startswith("argoproj.io")]
    done = cluster.try_kubectl(
        "apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=yaml.safe_dump_all(objects)
    )
    assert done.returncode == 0, done.stderr
    # The namespace warns on what its level would refuse: pod templates of Jobs and CronJobs included.
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == len(objects)
    assert {"CronJob", "NetworkPolicy", "ServiceAccount"} <= {item["kind"] for item in objects}


@pytest.mark.parametrize("part", ["minio", "mlflow", "mlserver"])
def test_optional_parts_are_accepted_strictly_and_their_pods_admitted(
    cluster: Cluster, argo_apps: Path, part: str
) -> None:
    folder = argo_apps / "components" / part
    done = cluster.try_kubectl("apply", "--dry-run=server", "--validate=strict", "-k", str(folder))
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    objects = rendered(folder)
    assert len(done.stdout.splitlines()) == len(objects)
    cluster.apply(*[item for item in objects if item["kind"] == "ServiceAccount"])
    (owner,) = [item for item in objects if item["kind"] in {"Deployment", "StatefulSet"}]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe", "namespace": part}}
    spec = owner["spec"]["template"]["spec"]
    for claim in owner["spec"].get("volumeClaimTemplates", []):
        spec.setdefault("volumes", []).append({"name": claim["metadata"]["name"], "emptyDir": {}})
    done = cluster.try_kubectl(
        "create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod | {"spec": spec})
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("part", "name"), [("base", "data-fetch"), ("drift", "drift-detection")])
def test_a_misspelt_field_is_refused(cluster: Cluster, argo_apps: Path, part: str, name: str) -> None:
    (cron,) = [
        item
        for item in rendered(argo_apps / part)
        if item["kind"] == "CronJob" and item["metadata"]["name"] == name
    ]
    cron["spec"]["jobTemplate"]["spec"]["backoffLimits"] = 1
    done = cluster.try_kubectl(
        "apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=json.dumps(cron)
    )
    assert done.returncode != 0
    assert "backoffLimits" in done.stderr


def pod_specs(objects: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """(name, metadata, spec) of each pod that the objects would make, the Spark executor's included."""
    found = []
    for item in objects:
        name = f"{item['kind']} {item['metadata']['name']}"
        spec = item.get("spec", {})
        if item["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if "spec" in spec.get("template", {}):
            found.append((name, spec["template"].get("metadata", {}), spec["template"]["spec"]))
        for metric in spec.get("metrics", []) if item["kind"] == "AnalysisTemplate" else []:
            template = metric["provider"]["job"]["spec"]["template"]
            found.append((name, template["metadata"], template["spec"]))
    executor = ROOT / "spark_preprocess" / "src" / "spark_preprocess" / "executor-pod.yaml"
    pod = yaml.safe_load(executor.read_text())
    pod["spec"]["containers"][0]["image"] = "executor"
    found.append(("executor", pod["metadata"], pod["spec"]))
    return found


@pytest.mark.parametrize(("part", "least"), [("base", 12), ("drift", 2)])
def test_the_restricted_level_admits_every_pod(
    cluster: Cluster, argo_apps: Path, part: str, least: int
) -> None:
    cluster.apply(
        *[item for item in rendered(argo_apps / "base") if item["metadata"]["name"] == "spark-executor"]
    )
    # Pods in namespaces of Argo's own meet their controllers in test_drift_loop.py.
    objects = [item for item in rendered(argo_apps / part) if item["metadata"].get("namespace") == NAMESPACE]
    cluster.apply(*[item for item in objects if item["kind"] == "ServiceAccount"])
    pods = pod_specs(objects)
    assert len(pods) >= least
    for name, metadata, spec in pods:
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "probe", "namespace": NAMESPACE, "labels": metadata.get("labels", {})},
            "spec": spec,
        }
        done = cluster.try_kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))
        assert done.returncode == 0, f"{name}: {done.stderr}"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("securityContext", "runAsNonRoot"), False),
        (("containers", 0, "securityContext", "allowPrivilegeEscalation"), True),
        (("hostNetwork",), True),
    ],
)
def test_the_restricted_level_refuses_a_softened_pod(
    cluster: Cluster, argo_apps: Path, path: tuple[Any, ...], value: Any
) -> None:
    """Shows that the test before can fail."""
    _, _metadata, spec = next(
        p for p in pod_specs(rendered(argo_apps / "base")) if p[0].startswith("Rollout")
    )
    target: Any = spec
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": NAMESPACE}, "spec": spec}
    done = cluster.try_kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))
    assert done.returncode != 0
    assert "violates PodSecurity" in done.stderr


@pytest.mark.parametrize(
    ("account", "verb", "resource", "expected"),
    [
        ("spark-preprocess", "create", "pods", "yes"),
        ("spark-preprocess", "delete", "pods", "yes"),
        ("spark-preprocess", "get", "secrets", "no"),
        ("spark-preprocess", "create", "rolebindings", "no"),
        ("spark-executor", "get", "pods", "no"),
        ("data-fetch", "get", "pods", "no"),
        ("ml-training", "get", "configmaps", "no"),
        ("model-serving", "get", "secrets", "no"),
        ("perf", "get", "pods", "no"),
        ("vault-auth-sa", "create", "tokenreviews.authentication.k8s.io", "yes"),
        ("vault-auth-sa", "get", "secrets", "no"),
    ],
)
def test_accounts_may_do_what_they_need_and_nothing_else(
    cluster: Cluster, argo_apps: Path, account: str, verb: str, resource: str, expected: str
) -> None:
    kinds = {"ServiceAccount", "Role", "RoleBinding"}
    cluster.apply(*[item for item in rendered(argo_apps / "base") if item["kind"] in kinds])
    who = f"--as=system:serviceaccount:{NAMESPACE}:{account}"
    answer = cluster.try_kubectl("-n", NAMESPACE, "auth", "can-i", verb, resource, who).stdout.strip()
    assert answer == expected


def test_the_executor_is_refused_in_another_namespace(cluster: Cluster) -> None:
    who = f"--as=system:serviceaccount:{NAMESPACE}:spark-preprocess"
    answer = cluster.try_kubectl("-n", "default", "auth", "can-i", "create", "pods", who).stdout.strip()
    assert answer == "no"


def test_a_manual_run_is_made_from_the_cron_job(cluster: Cluster, argo_apps: Path) -> None:
    """kubectl create job NAME --from=cronjob/STAGE, suspended or not."""
    objects = rendered(argo_apps / "base")
    cluster.apply(*[item for item in objects if item["kind"] in {"ServiceAccount", "CronJob", "ConfigMap"}])
    for stage in ("data-fetch", "spark-preprocess", "ml-training", "ml-training-gate"):
        cluster.kubectl("-n", NAMESPACE, "create", "job", f"by-hand-{stage}", f"--from=cronjob/{stage}")
        job = cluster.get("job", f"by-hand-{stage}", NAMESPACE)
        (same,) = [
            item
            for item in objects
            if item["kind"] == "Job" and item["metadata"]["name"].rsplit("-", 1)[0] == stage
        ]
        made = job["spec"]["template"]["spec"]["containers"][0]
        assert made["image"] == same["spec"]["template"]["spec"]["containers"][0]["image"]
        assert job["spec"]["podFailurePolicy"]["rules"][1]["onExitCodes"]["values"] == [2, 3, 5]
        cluster.kubectl("-n", NAMESPACE, "delete", "job", f"by-hand-{stage}")


def test_the_page_of_values_makes_what_the_cluster_accepts(cluster: Cluster, argo_apps: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(argo_apps / "environment" / "install.py"),
         str(argo_apps / "environment" / "values.example.yaml")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    core = [
        item for item in yaml.safe_load_all(done.stdout) if not item["apiVersion"].startswith("argoproj.io")
    ]
    assert [item["kind"] for item in core] == [
        "Namespace", "ConfigMap", "ServiceAccount", "ClusterRoleBinding"
    ]  # fmt: skip
    cluster.apply(*core)
    assert cluster.get("configmap", "environment", "mlops")["data"]["VAULT_ADDR"].startswith("https://")
