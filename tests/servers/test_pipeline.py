"""The Jobs of the manifests as processes with their pods' environment: FerretDB, real S3, secrets from a real Vault.

What is real: the command, arguments, environment and ServiceAccount token of each Job's pod, and all servers. What is
not: the container; the stage's own environment stands in for its image.
"""

import gzip
import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pymongo
import pytest
from botocore.client import BaseClient
from botocore.config import Config
from cluster import Cluster
from processes import Process, eventually, free_port, listens, server_folder
from test_manifests_apply import rendered
from vault_server import ROOT, Vault

pytestmark = pytest.mark.timeout(1200)
PULLS = 400
BUCKET = "pull-requests"


def python(stage: str) -> Path:
    """The interpreter of a stage's own environment."""
    path = ROOT / ".venv" / stage / "bin" / "python"
    assert path.exists(), f"{path} is missing: run make setup"
    return path


class Services:
    """Everything outside the cluster that the Jobs talk to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[Process] = []
        self.access_key, self.secret_key = secrets.token_hex(10), secrets.token_hex(20)
        self.github, self.s3_port, self.mongo = free_port(), free_port(), free_port()

    def start(self) -> None:
        corpus = self.folder / "corpus.jsonl.gz"
        make: list[str | Path] = [
            "-m",
            "local_setup.corpus",
            "--out",
            corpus,
            "--labels",
            self.folder / "labels.jsonl",
        ]
        subprocess.run(
            [python("local"), *make, "--pulls", str(PULLS), "--seed", "7"], check=True, timeout=120
        )
        with gzip.open(corpus, "rt") as lines:
            names = {json.loads(line)["base"]["repo"]["full_name"] for line in lines}
        self.repositories = ",".join(sorted(names))
        self._run(
            "github", self.github, python("local"), "-m", "local_setup.github_standin",
            "--corpus", corpus, "--port", self.github,
        )  # fmt: skip
        data = self.folder / "s3"
        data.mkdir()
        self._run(
            "versitygw", self.s3_port, server_folder("versitygw") / "versitygw",
            "--port", f"127.0.0.1:{self.s3_port}", "posix", data,
            env={"ROOT_ACCESS_KEY": self.access_key, "ROOT_SECRET_KEY": self.secret_key},
        )  # fmt: skip
        state = self.folder / "ferretdb"
        state.mkdir()
        self._run(
            "ferretdb", self.mongo, server_folder("ferretdb") / "ferretdb", "--handler=sqlite",
            f"--sqlite-url=file:{state}/", f"--state-dir={state}", f"--listen-addr=127.0.0.1:{self.mongo}",
            "--debug-addr=-", "--telemetry=disable",
        )  # fmt: skip
        self.s3().create_bucket(Bucket=BUCKET)

    def _run(self, name: str, port: int, *command: Any, env: dict[str, str] | None = None) -> None:
        process = Process(
            name, [str(part) for part in command], self.folder / "log", env=env, cwd=self.folder
        )
        self.processes.append(process)
        process.wait_until(lambda: listens(port), 90)

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.stop()

    def s3(self) -> BaseClient:
        return boto3.client(
            "s3", endpoint_url=f"http://127.0.0.1:{self.s3_port}", region_name="us-east-1",
            aws_access_key_id=self.access_key, aws_secret_access_key=self.secret_key,
            config=Config(s3={"addressing_style": "path"}),
        )  # fmt: skip

    def keys(self, prefix: str) -> list[str]:
        pages = self.s3().get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]


class Jobs:
    """Runs a stage as its Job's pod would."""

    def __init__(self, cluster: Cluster, vault: Vault, services: Services, base: Path, folder: Path) -> None:
        self.cluster, self.vault, self.services, self.folder = cluster, vault, services, folder
        self.crons = {o["metadata"]["name"]: o for o in rendered(base) if o["kind"] == "CronJob"}

    def run(self, name: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the Job's container to its end; environment: what this cluster's ConfigMap says."""
        command, env, home = self.container(name, **environment)
        return subprocess.run(command, env=env, cwd=home, capture_output=True, text=True, timeout=900)

    def container(self, name: str, **environment: str) -> tuple[list[str], dict[str, str], Path]:
        """Command, environment and working folder of the Job's container."""
        pod = self.crons[name]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        account = pod["serviceAccountName"]
        home = self.folder / name
        home.mkdir(exist_ok=True)
        token = home / "token"
        token.write_text(self.cluster.service_account_token(account, "mlops", "vault"))
        config = {"VAULT_ADDR": self.vault.address, "VAULT_WAIT_SECONDS": "20", **environment}
        own = {variable["name"]: variable["value"] for variable in container["env"] if "value" in variable}
        # Where the pod's mounts are on this machine; /tmp is the pod's own there.
        own |= {"VAULT_TOKEN_FILE": str(token), "HOME": str(home), "TMPDIR": str(home)}
        own |= {key: str(home) for key in ("WORK_DIR", "SPARK_LOCAL_DIR") if key in own}
        module = container["command"][-1]
        assert container["command"] == ["python", "-m", module]
        command = [str(python(module)), "-m", module, *container.get("args", [])]
        return command, {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **config, **own}, home


@pytest.fixture(scope="module")
def jobs(cluster: Cluster, argo_apps: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    folder = tmp_path_factory.mktemp("pipeline")
    kinds = {"Namespace", "ServiceAccount", "ClusterRoleBinding", "Role", "RoleBinding"}
    cluster.apply(*[item for item in rendered(argo_apps / "base") if item["kind"] in kinds])
    services, vault = Services(folder), Vault(cluster, folder)
    try:
        services.start()
        vault.start()
        vault.set_up()
        mongo = {"mongo_uri": f"mongodb://127.0.0.1:{services.mongo}/"}
        s3 = {
            "do_spaces_endpoint": f"http://127.0.0.1:{services.s3_port}",
            "do_spaces_bucket": BUCKET,
            "do_spaces_access_key": services.access_key,
            "do_spaces_secret_key": services.secret_key,
        }
        vault.put("data-fetch", **mongo, github_token="local-token")
        vault.put("spark-preprocess", **mongo, **s3)
        vault.put("ml-training", **s3, mlflow_uri=f"sqlite:///{folder}/mlflow.db")
        made = Jobs(cluster, vault, services, argo_apps / "base", folder)
        address = f"http://127.0.0.1:{services.github}"
        done = made.run("data-fetch", GITHUB_REPOS=services.repositories, GITHUB_API_URL=address)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
        assert "local-token" not in done.stdout + done.stderr
        yield made
    finally:
        vault.stop()
        services.stop()


def test_the_pipeline_runs_on_services_with_secrets_from_vault(jobs: Jobs) -> None:
    services = jobs.services
    client: pymongo.MongoClient[dict[str, Any]]
    with pymongo.MongoClient(f"mongodb://127.0.0.1:{services.mongo}/") as client:
        assert client["mlops_db"]["pull_requests"].count_documents({}) == PULLS

    done = jobs.run(
        "spark-preprocess",
        SPARK_MASTER="local[2]",
        MONGO_PARTITIONER="single",  # FerretDB answers $collStats otherwise than the connector expects
        SPARK_JARS=str(ROOT / "var/cache/jars/spark_preprocess"),
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    keys = services.keys("preprocess-runs/")
    assert [key for key in keys if key.endswith("/manifest.json")]
    assert [key for key in keys if "/features/" in key]
    assert not [key for key in keys if "_temporary" in key]

    done = jobs.run(
        "ml-training",
        MAX_EPOCHS="2",
        QUALITY_REPORT="false",
        MLFLOW_ARTIFACT_ROOT=str(jobs.folder / "artifacts"),
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
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
    token = jobs.folder / "api-token"
    token.write_text(cluster.service_account_token("spark-preprocess", "mlops"))
    conf = {
        "spark.kubernetes.authenticate.oauthTokenFile": token,
        "spark.kubernetes.authenticate.caCertFile": cluster.pki / "ca.crt",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.port": free_port(),
        # Driver and executor share one machine here.
        "spark.driver.blockManager.port": free_port(),
        "spark.blockManager.port": free_port(),
    }
    command, env, home = jobs.container(
        "spark-preprocess",
        MONGO_PARTITIONER="single",
        SPARK_MASTER=f"k8s://{cluster.address}",
        SPARK_JARS=str(ROOT / "var/cache/jars/spark_preprocess"),
        SPARK_EXECUTORS="1",
        SPARK_EXECUTOR_MEMORY="1g",
        SPARK_CONF=",".join(f"{key}={value}" for key, value in conf.items()),
        PREPROCESS_RUN_ID="on-kubernetes",
    )
    env |= {"SPARK_DRIVER_HOST": "127.0.0.1"}
    env.pop("SPARK_DRIVER_POD", None)
    log = (jobs.folder / "driver.log").open("w")
    driver = subprocess.Popen(command, env=env, cwd=home, stdout=log, stderr=subprocess.STDOUT)
    executor: Process | None = None
    try:
        label = "app.kubernetes.io/name=spark-preprocess-executor"
        eventually(
            lambda: cluster.items("pod", "mlops", label) or driver.poll() is not None, 240, "an executor pod"
        )
        assert driver.poll() is None, (jobs.folder / "driver.log").read_text()[-3000:]
        (pod,) = cluster.items("pod", "mlops", label)
        (container,) = pod["spec"]["containers"]
        assert container["image"] == env["SPARK_IMAGE"]
        assert pod["spec"]["serviceAccountName"] == "spark-executor"
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert container["args"] == ["executor"]
        # The restricted level admitted it, and no secret stands in it.
        for secret in (services.secret_key, services.access_key):
            assert secret not in json.dumps(pod)
            assert secret not in cluster.kubectl("-n", "mlops", "get", "configmaps", "-o", "json")
        own = {v["name"]: v.get("value", "") for v in container["env"]}
        own |= {"SPARK_EXECUTOR_POD_IP": "127.0.0.1", "SPARK_EXECUTOR_POD_NAME": pod["metadata"]["name"]}
        own |= {"SPARK_LOCAL_DIRS": str(home), "SPARK_CLASSPATH": f"{env['SPARK_JARS']}/*", "HOME": str(home)}
        executor = Process(
            "spark-executor", [python("spark_preprocess"), "-m", "spark_preprocess", *container["args"]],
            services.folder / "log", env=own, cwd=home,
        )  # fmt: skip
        assert driver.wait(600) == 0, (jobs.folder / "driver.log").read_text()[-3000:] + executor.tail()
    finally:
        if executor:
            executor.stop()
        driver.kill()
        driver.wait()
        log.close()
    assert "preprocess-runs/on-kubernetes/manifest.json" in services.keys("preprocess-runs/on-kubernetes/")
    eventually(
        lambda: not cluster.items("pod", "mlops", "spark-role=executor"), 60, "the executor pods are gone"
    )
