"""The page of values: what it makes, and what it refuses."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from rendering import render


@pytest.fixture
def values(repository: Path) -> dict[str, Any]:
    page = repository / "argo-apps" / "environment" / "values.example.yaml"
    loaded = yaml.safe_load(page.read_text())
    assert isinstance(loaded, dict)
    return loaded


def install(repository: Path, folder: Path, values: Any, *flags: str) -> subprocess.CompletedProcess[str]:
    page = folder / "values.yaml"
    page.write_text(yaml.safe_dump(values))
    script = repository / "argo-apps" / "environment" / "install.py"
    return subprocess.run([sys.executable, str(script), *flags, str(page)], capture_output=True, text=True)


def test_the_page_decides_branch_host_sizes_and_settings(
    repository: Path, tmp_path: Path, values: dict[str, Any]
) -> None:
    values |= {"environment": "production", "host": "prs.example.org", "serving_replicas_max": 9}
    done = install(repository, tmp_path, values)
    assert done.returncode == 0, done.stderr
    objects = list(yaml.safe_load_all(done.stdout))
    kinds = ["Namespace", "ConfigMap", "ServiceAccount", "ClusterRoleBinding", "AppProject", "Application"]
    assert [o["kind"] for o in objects] == kinds
    config, *_, project, application = objects[1:]
    assert config["metadata"] | {"labels": 0} == {"name": "environment", "namespace": "mlops", "labels": 0}
    assert config["data"]["GITHUB_REPOS"] == "example/one,example/two"
    assert project["spec"]["sourceRepos"] == [values["repository"]]
    source = application["spec"]["source"]
    assert (source["targetRevision"], source["repoURL"]) == ("main", values["repository"])


def test_what_comes_first_starts_nothing_and_is_what_argo_cd_applies(
    repository: Path, tmp_path: Path, values: dict[str, Any]
) -> None:
    done = install(repository, tmp_path, values | {"components": ["drift"]}, "--first")
    assert done.returncode == 0, done.stderr
    objects = list(yaml.safe_load_all(done.stdout))
    names = [(o["kind"], o["metadata"]["name"]) for o in objects]
    assert names == [
        ("Namespace", "mlops"),
        ("Namespace", "argo-events"),
        ("ConfigMap", "environment"),
        ("ConfigMap", "environment"),
        ("ServiceAccount", "vault-auth-sa"),
        ("ClusterRoleBinding", "pr-anomaly-vault-auth"),
    ]
    account, binding = objects[-2:]
    rendered = yaml.safe_load_all(render(repository / "argo-apps" / "base"))
    (same,) = [o for o in rendered if o["metadata"]["name"] == account["metadata"]["name"]]
    assert same["metadata"]["namespace"] == account["metadata"]["namespace"]
    (subject,) = binding["subjects"]
    assert (subject["namespace"], subject["name"]) == ("mlops", "vault-auth-sa")
    assert binding["roleRef"]["name"] == "system:auth-delegator"


def test_the_patches_apply_to_the_base(repository: Path, tmp_path: Path, values: dict[str, Any]) -> None:
    values |= {"host": "prs.example.org", "serving_replicas_min": 3, "serving_replicas_max": 9}
    values["ingress_namespace"] = "traefik"
    application = list(yaml.safe_load_all(install(repository, tmp_path, values).stdout))[-1]
    overlay = repository / "var" / "test-overlay"
    overlay.mkdir(parents=True, exist_ok=True)
    try:
        kustomization = {"resources": ["../../argo-apps/base"]} | application["spec"]["source"]["kustomize"]
        (overlay / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        done = subprocess.run(["kubectl", "kustomize", str(overlay)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    finally:
        (overlay / "kustomization.yaml").unlink()
        overlay.rmdir()
    objects = {(o["kind"], o["metadata"]["name"]): o for o in yaml.safe_load_all(done.stdout)}
    ingress = objects["Ingress", "model-serving"]
    assert ingress["spec"]["rules"][0]["host"] == ingress["spec"]["tls"][0]["hosts"][0] == "prs.example.org"
    assert ingress["metadata"]["annotations"]["cert-manager.io/cluster-issuer"] == "letsencrypt"
    scaler = objects["HorizontalPodAutoscaler", "model-serving"]["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (3, 9)
    for policy in ("model-serving", "acme-solver"):
        sources = objects["NetworkPolicy", policy]["spec"]["ingress"][0]["from"]
        outside = [one["namespaceSelector"]["matchLabels"] for one in sources if "namespaceSelector" in one]
        assert {"kubernetes.io/metadata.name": "traefik"} in outside
        assert {"kubernetes.io/metadata.name": "ingress-nginx"} not in outside


@pytest.mark.parametrize(
    ("chosen", "added"),
    [
        ([], None),
        (["drift"], None),
        (["monitoring"], ["monitoring"]),
        (["monitoring", "drift"], ["monitoring", "drift-alerts"]),
        (
            ["drift", "prometheus-analysis", "monitoring"],
            ["prometheus-analysis", "monitoring", "drift-alerts"],
        ),
    ],
)
def test_alerts_about_drift_need_the_drift_loop(
    repository: Path, tmp_path: Path, values: dict[str, Any], chosen: list[str], added: list[str] | None
) -> None:
    done = install(repository, tmp_path, values | {"components": chosen})
    (application,) = [
        o
        for o in yaml.safe_load_all(done.stdout)
        if o["kind"] == "Application" and not o["metadata"]["name"].endswith("-drift")
    ]
    folders = application["spec"]["source"]["kustomize"].get("components")
    assert folders == (added and [f"../components/{name}" for name in added])
    for name in added or []:
        assert (repository / "argo-apps" / "components" / name / "kustomization.yaml").is_file()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"environment": "test"}, "environment: expected staging or production, found 'test'"),
        ({"host": "no host"}, "host: expected a DNS name"),
        ({"hots": "x"}, "hots: no such value"),
        ({"serving_replicas_min": 0}, "serving_replicas_min: expected 1 <= min <= max"),
        ({"serving_replicas_max": "two"}, "serving_replicas_max: expected int, found 'two'"),
        ({"components": ["nonsense"]}, "components: expected some of"),
        ({"settings": {"GITHUB_REPOS": "a/b"}}, "settings.VAULT_ADDR: expected Vault's address"),
        (
            {"settings": {"VAULT_ADDR": "https://v", "GITHUB_TOKEN": "x"}},
            "settings.GITHUB_TOKEN: a secret belongs",
        ),
        ({"settings": {"VAULT_ADDR": "https://v", "MONGO_URI": "x"}}, "settings.MONGO_URI: a secret belongs"),
        (
            {"environment": "production", "settings": {"VAULT_ADDR": "https://v", "SIMULATE_DRIFT": True}},
            "settings.SIMULATE_DRIFT: it falsifies",
        ),
        ({"settings": {"VAULT_ADDR": "https://v", "A": None}}, "settings.A: expected a text"),
        (
            {"components": ["drift"], "settings": {"VAULT_ADDR": "https://v"}},
            "settings.DATA_ROOT: expected s3a://BUCKET",
        ),
    ],
)
def test_a_wrong_page_is_refused_by_name(
    repository: Path, tmp_path: Path, values: dict[str, Any], change: dict[str, Any], said: str
) -> None:
    done = install(repository, tmp_path, values | change)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def secret_settings(repository: Path) -> set[str]:
    """The environment names of all settings that hold a secret, of every stage."""
    files = [*repository.glob("*/src/*/*.py"), *repository.glob("libs/*/src/*/*.py")]
    found = re.findall(
        r"^    (\w+): SecretStr\b", "\n".join(file.read_text() for file in files), re.MULTILINE
    )
    return {name.upper() for name in found}


def test_no_secret_of_any_stage_gets_through(
    repository: Path, tmp_path: Path, values: dict[str, Any]
) -> None:
    names = secret_settings(repository)
    assert {"GITHUB_TOKEN", "GITHUB_APP_PRIVATE_KEY", "DO_SPACES_SECRET_KEY", "RELOAD_TOKEN"} <= names
    # An address without a password may stand on the page: the optional MLServer reads it there.
    for name in names - {"MLFLOW_TRACKING_URI"}:
        for spelled in (name, name.lower()):
            done = install(repository, tmp_path, values | {"settings": values["settings"] | {spelled: "x"}})
            assert (done.returncode, done.stdout) == (2, ""), spelled
            assert f"settings.{spelled}: a secret belongs into Vault" in done.stderr


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("settings.MLFLOW_TRACKING_URI", "https://bob:hunter2@mlflow.example.com"),
        ("settings.PUBLIC_URL", "https://hunter2@prs.example.com/x"),
        ("settings.DATA_ROOT", "S3A://bob:hunter2@bucket"),
        ("settings.ANY", "-----BEGIN RSA PRIVATE KEY-----\nhunter2"),
        ("repository", "https://bob:hunter2@github.com/example/pr-anomaly.git"),
    ],
)
def test_a_value_that_looks_like_a_secret_is_refused_and_not_repeated(
    repository: Path, tmp_path: Path, values: dict[str, Any], key: str, value: str
) -> None:
    if key.startswith("settings."):
        values["settings"][key.removeprefix("settings.")] = value
    else:
        values[key] = value
    done = install(repository, tmp_path, values)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{key}: holds a key or an address with a password" in done.stderr
    assert "hunter2" not in done.stderr


def test_addresses_without_a_password_pass(repository: Path, tmp_path: Path, values: dict[str, Any]) -> None:
    values["repository"] = "ssh://git@git.example.com:2222/team/pr-anomaly.git"
    values["settings"] |= {"MLFLOW_TRACKING_URI": "http://mlflow:5000", "CONTACT": "team@example.com"}
    done = install(repository, tmp_path, values)
    assert done.returncode == 0, done.stderr


def test_a_missing_value_is_named(repository: Path, tmp_path: Path, values: dict[str, Any]) -> None:
    del values["repository"]
    done = install(repository, tmp_path, values)
    assert done.returncode == 2
    assert "repository: expected str, found None" in done.stderr
