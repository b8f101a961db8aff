"""Each stage's own code against a real Vault with Kubernetes authentication by a real API server."""

import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster
from test_manifests_apply import rendered
from vault_server import ROOT, Vault

# stage in Vault -> (environment, settings class, role); the paths and accounts are those of the manifests.
STAGES = {
    "data-fetch": ("data_fetch", "data_fetch.settings:Settings", "mlops-datafetch"),
    "spark-preprocess": ("spark_preprocess", "spark_preprocess.settings:Settings", "mlops-spark"),
    "ml-training": ("ml_training", "ml_training.settings:TrainSettings", "mlops-training"),
    "model-serving": ("model_serving", "model_serving.settings:Settings", "mlops-serving"),
    "drift-detection": ("drift_detection", "drift_detection.settings:DetectSettings", "mlops-drift"),
    "perf": ("perf", "perf.settings:GateSettings", "mlops-perf"),
}
ALL_KEYS = (
    "mongo_uri", "github_token", "do_spaces_access_key", "do_spaces_secret_key", "mlflow_uri", "reload_token",
    "github_webhook_secret", "author_hash_key", "drift_webhook_token",
)  # fmt: skip

# Builds the stage's settings as its main does and prints hashes of what came from Vault, never the values.
PROBE = """
import hashlib, importlib, json, sys, time
from pydantic import SecretStr
from stage_runtime.fields import settings_of
from stage_runtime.main import run_stage
from stage_runtime.settings import load_settings

def main(argv):
    module, _, name = argv[0].partition(":")
    settings_class = getattr(importlib.import_module(module), name)
    settings = load_settings(settings_class, [], argv[0])
    found = {}
    for one in settings_of(settings_class):
        value = getattr(settings, one.field)
        if one.vault_key and value:
            text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            found[one.vault_key] = hashlib.sha256(text.encode()).hexdigest()
    print(json.dumps({"found": found}))

run_stage("probe", main)
"""

READS = """
import sys, time
from stage_runtime.vault import VaultClient, VaultSettings
import os
import re
client = VaultClient(VaultSettings.from_environ(os.environ))
for pause in sys.argv[1:]:
    time.sleep(float(pause))
    assert client.read()
"""


@pytest.fixture(scope="module")
def vault(cluster: Cluster, argo_apps: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    objects = rendered(argo_apps / "base") + rendered(argo_apps / "drift")
    # The drift job lies in the same namespace; the accounts of its other namespace are those of the workflow's steps.
    accounts = [o for o in objects if o["kind"] == "ServiceAccount" and o["metadata"]["namespace"] == "mlops"]
    cluster.apply(*accounts)
    made = Vault(cluster, tmp_path_factory.mktemp("vault"))
    try:
        made.start()
        made.set_up()
        for stage in STAGES:
            made.put(stage, **{key: secret_of(stage, key) for key in ALL_KEYS})
        yield made
    finally:
        made.stop()


def secret_of(stage: str, key: str) -> str:
    value = f"{stage}-{key}-value"
    return f"mongodb://user:{value}@db.test:27017" if key == "mongo_uri" else value


class Pod:
    """What a pod of a stage has: its settings and the projected token."""

    def __init__(self, vault: Vault, folder: Path, stage: str) -> None:
        self.vault = vault
        self.environment, self.settings, role = STAGES[stage]
        self.token_file = folder / "token"
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "VAULT_ADDR": vault.address,
            "VAULT_ROLE": role,
            "VAULT_SECRET_PATH": f"secret/data/mlops/base/{stage}",
            "VAULT_TOKEN_FILE": str(self.token_file),
            "VAULT_WAIT_SECONDS": "6",
            "GITHUB_REPOS": "example/one",  # what the ConfigMap environment brings
        }
        self.project(stage)

    def project(self, account: str, namespace: str = "mlops", audience: str | None = "vault") -> None:
        """Put a ServiceAccount's token where the kubelet would."""
        token = self.vault.cluster.service_account_token(account, namespace, audience)
        self.token_file.write_text(token)

    def run(self, program: str = PROBE, *arguments: str) -> subprocess.CompletedProcess[str]:
        python = ROOT / ".venv" / self.environment / "bin" / "python"
        assert python.exists(), f"{python} is missing: run make setup"
        return subprocess.run(
            [python, "-c", program, *(arguments or (self.settings,))],
            env=self.env, capture_output=True, text=True, timeout=120,
        )  # fmt: skip


@pytest.fixture
def pod(vault: Vault, tmp_path: Path) -> Pod:
    return Pod(vault, tmp_path, "data-fetch")


def lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The error line of a stage that ended with code 2, which shows no token and no secret."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert "eyJ" not in done.stdout + done.stderr  # every JWT begins so
    text: str = lines(done)[0]["event"]
    return text


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_logs_in_as_its_account_and_reads_its_secret(
    vault: Vault, tmp_path: Path, stage: str
) -> None:
    done = Pod(vault, tmp_path, stage).run()
    assert done.returncode == 0, done.stdout + done.stderr
    found = lines(done)[0]["found"]
    expected = {key: sha256(secret_of(stage, key).encode()).hexdigest() for key in ALL_KEYS}
    assert found
    for key in found.keys() & expected.keys():
        assert found[key] == expected[key], key
    assert "-value" not in done.stdout


@pytest.mark.parametrize("reader", STAGES)
@pytest.mark.parametrize("other", STAGES)
def test_no_stage_reads_the_path_of_another(vault: Vault, tmp_path: Path, reader: str, other: str) -> None:
    pod = Pod(vault, tmp_path, reader)
    login = vault.cli(
        "write", "-format=json", "auth/kubernetes/login", f"role={STAGES[reader][2]}",
        f"jwt={pod.token_file.read_text()}",
    )  # fmt: skip
    auth = json.loads(login)["auth"]
    assert auth["lease_duration"] == 600
    assert auth["token_policies"] == [f"mlops-{reader}"]  # not even the default policy
    done = vault.try_cli("kv", "get", "-mount=secret", f"mlops/base/{other}", token=auth["client_token"])
    assert (done.returncode == 0) is (reader == other)
    for command in (["kv", "put", "-mount=secret", f"mlops/base/{reader}", "a=b"], ["secrets", "list"]):
        assert vault.try_cli(*command, token=auth["client_token"]).returncode != 0


def test_another_account_is_refused(pod: Pod) -> None:
    pod.project("perf")
    assert "refused the login as role mlops-datafetch" in refusal(pod.run())


def test_every_role_has_a_stage_here(argo_apps: Path) -> None:
    lines = (argo_apps / "vault" / "roles.tsv").read_text().splitlines()
    roles = {line.split("\t")[0] for line in lines if not line.startswith("#")}
    assert roles == {role for _, _, role in STAGES.values()}


def test_another_namespace_is_refused(pod: Pod, cluster: Cluster) -> None:
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "data-fetch", "namespace": "default"},
        }
    )
    pod.project("data-fetch", namespace="default")
    assert "namespace not authorized" in refusal(pod.run())


def test_a_token_for_another_audience_is_refused(pod: Pod) -> None:
    pod.project("data-fetch", audience="https://elsewhere.test")
    assert "audience" in refusal(pod.run())


def test_another_stages_path_is_refused(pod: Pod) -> None:
    pod.env["VAULT_SECRET_PATH"] = "secret/data/mlops/base/model-serving"
    text = refusal(pod.run())
    assert "role mlops-datafetch may not read secret/data/mlops/base/model-serving" in text


def test_an_unknown_role_and_an_unknown_mount_are_refused(pod: Pod) -> None:
    pod.env["VAULT_ROLE"] = "mlops-nobody"
    assert "VAULT_ROLE" in refusal(pod.run())
    pod.env |= {"VAULT_ROLE": "mlops-datafetch", "VAULT_PATH_AUTH": "auth/elsewhere/login"}
    assert "auth/elsewhere/login (VAULT_PATH_AUTH)" in refusal(pod.run())


def test_a_changed_token_is_refused(pod: Pod) -> None:
    token = pod.token_file.read_text()
    pod.token_file.write_text(token[:-8] + ("A" * 8 if not token.endswith("A" * 8) else "B" * 8))
    assert "refused the login" in refusal(pod.run())


@pytest.fixture
def short_leases(vault: Vault) -> Iterator[None]:
    """Logins that last six seconds and at most twelve with renewal."""
    role = json.loads(vault.cli("read", "-format=json", "auth/kubernetes/role/mlops-datafetch"))["data"]
    keep = [f"{key}={','.join(value) if isinstance(value, list) else value}" for key, value in role.items()
            if key in {"bound_service_account_names", "bound_service_account_namespaces", "audience",
                       "token_policies", "token_no_default_policy"}]  # fmt: skip
    vault.cli("write", "auth/kubernetes/role/mlops-datafetch", *keep, "token_ttl=6s", "token_max_ttl=12s")
    yield
    vault.set_up()


@pytest.mark.usefixtures("short_leases")
def test_a_token_near_its_end_is_renewed(vault: Vault, pod: Pod) -> None:
    mark = vault.mark()
    done = pod.run(READS, "0", "1", "3.5")
    assert done.returncode == 0, done.stderr
    assert vault.requests("auth/kubernetes/login", mark) == 1
    assert vault.requests("auth/token/renew-self", mark) == 1


@pytest.mark.usefixtures("short_leases")
def test_an_expired_token_leads_to_one_new_login(vault: Vault, pod: Pod) -> None:
    mark = vault.mark()
    done = pod.run(READS, "0", "7", "0")
    assert done.returncode == 0, done.stderr
    assert vault.requests("auth/kubernetes/login", mark) == 2
    assert vault.requests("auth/token/renew-self", mark) == 0


def test_a_sealed_vault_is_waited_for_then_code_1(vault: Vault, pod: Pod) -> None:
    vault.seal()
    try:
        done = pod.run()
        assert done.returncode == 1, done.stdout
        assert "is sealed and stayed so for 6 s" in lines(done)[0]["event"]
        pod.env["VAULT_WAIT_SECONDS"] = "60"
        threading.Timer(3, vault.unseal).start()
        done = pod.run()
        assert done.returncode == 0, done.stdout
    finally:
        vault.unseal()


def test_an_absent_vault_is_waited_for_then_code_1(pod: Pod) -> None:
    pod.env["VAULT_ADDR"] = "http://127.0.0.1:9"
    done = pod.run()
    assert done.returncode == 1
    assert "out of reach and stayed so for 6 s" in lines(done)[0]["event"]


def test_a_second_cluster_is_refused_before_anything_is_written(vault: Vault) -> None:
    """The paths are the same for every cluster: at one Vault staging would read production's secrets."""
    before = vault.cli("auth", "list", "-format=json")
    done = vault.try_set_up(VAULT_PATH_AUTH="auth/production/login")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "serves a cluster by auth/kubernetes already" in done.stderr
    assert vault.cli("auth", "list", "-format=json") == before


def test_setting_up_twice_changes_nothing(vault: Vault) -> None:
    before = vault.cli("read", "-format=json", "auth/kubernetes/role/mlops-serving")
    said = vault.set_up()
    # The test cluster signs for a day at most, and the script says what it got, not what it asked for.
    end = re.search(r"reviews tokens until (\S+ \S+) UTC", said)
    assert end, said
    left = datetime.strptime(end[1], "%Y-%m-%d %H:%M").replace(tzinfo=UTC) - datetime.now(UTC)
    assert timedelta(hours=23) < left <= timedelta(hours=24)
    after = vault.cli("read", "-format=json", "auth/kubernetes/role/mlops-serving")
    assert json.loads(before)["data"] == json.loads(after)["data"]
