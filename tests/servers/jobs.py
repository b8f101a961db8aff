"""The services that the Jobs of the manifests talk to, and the Jobs as processes with what their pods have."""

import gzip
import json
import secrets
import subprocess
from pathlib import Path
from typing import Any

import boto3
from botocore.client import BaseClient
from botocore.config import Config
from cluster import Cluster
from pods import ROOT, Pods, said
from processes import Process, free_port, listens, server_folder
from test_manifests_apply import rendered
from vault_server import Vault

PULLS = 400
# What is fetched at first; the others are opened later.
EARLIER = 300
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
        self._standin: Process | None = None
        self.access_key, self.secret_key = secrets.token_hex(10), secrets.token_hex(20)
        self.github, self.s3_port, self.mongo, self.mlflow = (free_port() for _ in range(4))

    def start(self) -> None:
        everything = self.folder / "corpus.jsonl.gz"
        make = ("-m", "local_setup.corpus", "--out", everything, "--labels", self.folder / "labels.jsonl")
        subprocess.run(
            [python("local"), *make, "--pulls", str(PULLS), "--seed", "7"], check=True, timeout=120
        )
        with gzip.open(everything, "rt") as lines:
            self.pulls = sorted((json.loads(line) for line in lines), key=lambda pull: pull["created_at"])
        self.repositories = ",".join(sorted({pull["base"]["repo"]["full_name"] for pull in self.pulls}))
        self.open_pull_requests(EARLIER)
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
        # It alone writes where the models lie, as in the cluster.
        self._run(
            "mlflow", self.mlflow, python("ml_training"), "-m", "mlflow", "server", "--host", "127.0.0.1",
            "--port", self.mlflow, "--workers", "1", "--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db",
            "--serve-artifacts", "--artifacts-destination", self.folder / "mlflow-artifacts",
        )  # fmt: skip
        self.s3().create_bucket(Bucket=BUCKET)

    def open_pull_requests(self, count: int) -> None:
        """GitHub has this many from now on."""
        if self._standin:
            self._standin.stop()
        corpus = self.folder / f"first-{count}.jsonl"
        corpus.write_text("".join(json.dumps(pull) + "\n" for pull in self.pulls[:count]))
        self._standin = self._run(
            "github", self.github, python("local"), "-m", "local_setup.github_standin",
            "--corpus", corpus, "--port", self.github,
        )  # fmt: skip

    def _run(self, name: str, port: int, *command: Any, env: dict[str, str] | None = None) -> Process:
        process = Process(
            name, [str(part) for part in command], self.folder / "log", env=env, cwd=self.folder
        )
        self.processes.append(process)
        process.wait_until(lambda: listens(port), 90)
        return process

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

    def __init__(self, cluster: Cluster, base: Path, folder: Path) -> None:
        self.cluster = cluster
        self.objects = rendered(base)
        self.services, self.vault = Services(folder), Vault(cluster, folder)
        self.pods = Pods(cluster, folder / "pods")

    def start(self) -> None:
        """Services, Vault with every stage's secret, and the pull requests that are there at first."""
        kinds = {"ServiceAccount", "Role", "RoleBinding"}
        self.cluster.apply(*[item for item in self.objects if item["kind"] in kinds])
        services = self.services
        services.start()
        self.vault.start()
        self.vault.set_up()
        mongo = {"mongo_uri": f"mongodb://127.0.0.1:{services.mongo}/"}
        mlflow = {"mlflow_uri": f"http://127.0.0.1:{services.mlflow}"}
        s3 = {
            "do_spaces_endpoint": f"http://127.0.0.1:{services.s3_port}",
            "do_spaces_bucket": BUCKET,
            "do_spaces_access_key": services.access_key,
            "do_spaces_secret_key": services.secret_key,
        }
        reload = {"reload_token": secrets.token_hex(16)}
        self.vault.put("data-fetch", **mongo, github_token="local-token")
        self.vault.put("spark-preprocess", **mongo, **s3)
        self.vault.put("ml-training", **s3, **mlflow)
        self.vault.put("model-serving", **s3, **mlflow, **reload)
        self.vault.put("drift-detection", **s3, **mlflow, **reload, **mongo, drift_webhook_token="unused")
        # What installation would write into the ConfigMap.
        self.pods.configs["environment"] = {
            "VAULT_ADDR": self.vault.address,
            "VAULT_WAIT_SECONDS": "20",
            "GITHUB_REPOS": services.repositories,
            "DATA_ROOT": f"s3a://{BUCKET}",  # serving records its traffic there
            "GITHUB_API_URL": f"http://127.0.0.1:{services.github}",
            "SPARK_MASTER": "local[2]",
            "MONGO_PARTITIONER": "single",  # FerretDB answers $collStats otherwise than the connector expects
            "MAX_EPOCHS": "3",
            # A few hundred made-up pull requests are no fair contest: what follows from a verdict is tested here.
            "GATE_FLAG_RATE_LOW": "0",
            "GATE_FLAG_RATE_HIGH": "1",
            "GATE_BASELINES": "report",
            "GATE_MARGIN": "1",
            "GATE_DISTINCT_SCORES": "2",
        }
        done = self.run("data-fetch")
        assert done.returncode == 0, said(done)
        assert "local-token" not in done.stdout + done.stderr

    def stop(self) -> None:
        self.vault.stop()
        self.services.stop()

    def run(self, name: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run what this CronJob's Jobs run, as a pod of theirs."""
        (cron,) = [o for o in self.objects if (o["kind"], o["metadata"]["name"]) == ("CronJob", name)]
        spec = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        return self.pods.make(spec, "mlops", name, **environment).run()
