"""The Jobs of the manifests as processes with their pods' environment: FerretDB, real S3, secrets from a real Vault.

What is real: the command, arguments, environment, mounts and ServiceAccount token of each Job's pod, and all servers.
What is not: the container (pods.py); the stage's own environment stands in for its image.
"""

import json
from typing import Any

import pymongo
import pytest
from jobs import EARLIER, Jobs
from pods import said
from processes import Process, eventually, free_port

pytestmark = pytest.mark.timeout(1200)


def test_the_pipeline_runs_on_services_with_secrets_from_vault(jobs: Jobs) -> None:
    services = jobs.services
    client: pymongo.MongoClient[dict[str, Any]]
    with pymongo.MongoClient(f"mongodb://127.0.0.1:{services.mongo}/") as client:
        assert client["mlops_db"]["pull_requests"].count_documents({}) == EARLIER

    done = jobs.run("spark-preprocess")
    assert done.returncode == 0, said(done)
    keys = services.keys("preprocess-runs/")
    assert [key for key in keys if key.endswith("/manifest.json")]
    assert [key for key in keys if "/features/" in key]
    assert not [key for key in keys if "_temporary" in key]

    done = jobs.run("ml-training")
    assert done.returncode == 0, said(done)
    # The keys of the artifacts are the tracking server's alone; those of the runs came from Vault and stay unsaid.
    for secret in (services.secret_key, services.access_key):
        assert secret not in done.stdout + done.stderr


def test_a_wrong_secret_key_in_vault_is_said_and_not_shown(jobs: Jobs) -> None:
    good = json.loads(jobs.vault.cli("kv", "get", "-format=json", "-mount=secret", "mlops/base/ml-training"))
    values = good["data"]["data"]
    jobs.vault.put("ml-training", **(values | {"do_spaces_secret_key": "wrong-secret-key-value"}))
    try:
        done = jobs.run("ml-training")
        assert done.returncode in {1, 2}, done.stdout[-2000:]
        assert "wrong-secret-key-value" not in done.stdout + done.stderr
    finally:
        jobs.vault.put("ml-training", **values)


def test_spark_executors_are_admitted_and_one_of_them_completes_the_job(jobs: Jobs) -> None:
    """The driver makes executor pods on the API server; one runs as a process, as its pod says."""
    cluster, services = jobs.cluster, jobs.services
    cluster.apply(
        *[o for o in jobs.objects if (o["kind"], o["metadata"]["name"]) == ("CronJob", "spark-preprocess")]
    )
    cluster.kubectl("-n", "mlops", "create", "job", "on-kubernetes", "--from=cronjob/spark-preprocess")
    eventually(lambda: cluster.items("pod", "mlops", "job-name=on-kubernetes"), 60, "the driver's pod")
    (own,) = cluster.items("pod", "mlops", "job-name=on-kubernetes")
    # One machine stands for both pods: each needs ports of its own.
    ports = ("spark.driver.port", "spark.driver.blockManager.port", "spark.blockManager.port")
    jobs.pods.names["kubernetes.default.svc"] = ["127.0.0.1"]
    driver_pod = jobs.pods.make(
        own["spec"],
        "mlops",
        own["metadata"]["name"],
        SPARK_MASTER=f"k8s://https://kubernetes.default.svc:{cluster.port}",
        SPARK_EXECUTORS="1",
        SPARK_EXECUTOR_MEMORY="1g",
        SPARK_CONF=",".join(["spark.driver.bindAddress=127.0.0.1", *(f"{p}={free_port()}" for p in ports)]),
        PREPROCESS_RUN_ID="on-kubernetes",
        JAVA_TOOL_OPTIONS="-Djava.awt.headless=true",
    )
    driver = driver_pod.start(services.folder / "log")
    executor: Process | None = None
    try:
        label = "app.kubernetes.io/name=spark-preprocess-executor"
        driver.wait_until(lambda: bool(cluster.items("pod", "mlops", label)), 240)
        (pod,) = cluster.items("pod", "mlops", label)
        (container,) = pod["spec"]["containers"]
        assert container["image"] == driver_pod.env["SPARK_IMAGE"]
        assert pod["metadata"]["ownerReferences"][0]["name"] == own["metadata"]["name"]
        assert pod["spec"]["serviceAccountName"] == "spark-executor"
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert container["args"] == ["executor"]
        # It trusts the same private authority as its driver.
        assert {"name": "JAVA_TOOL_OPTIONS", "value": "-Djava.awt.headless=true"} in container["env"]
        assert {"name": "ca", "mountPath": "/run/ca", "readOnly": True} in container["volumeMounts"]
        # The restricted level admitted it, and no secret stands in it.
        for secret in (services.secret_key, services.access_key):
            assert secret not in json.dumps(pod)
            assert secret not in cluster.kubectl("-n", "mlops", "get", "configmaps", "-o", "json")
        # The image's entrypoint with the pod's arguments.
        command = ["python", "-m", "spark_preprocess", *container["args"]]
        name = pod["metadata"]["name"]
        executor = jobs.pods.make(pod["spec"], "mlops", name, command).start(services.folder / "log")
        assert driver.wait(600) == 0, driver.tail() + executor.tail()
    finally:
        if executor:
            executor.stop()
        driver.stop()
        cluster.kubectl("-n", "mlops", "delete", "job", "on-kubernetes")
    assert "preprocess-runs/on-kubernetes/manifest.json" in services.keys("preprocess-runs/on-kubernetes/")
    eventually(
        lambda: not cluster.items("pod", "mlops", "spark-role=executor"), 60, "the executor pods are gone"
    )
