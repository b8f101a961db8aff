#!/usr/bin/env python3
"""Turns a cluster's page of values into what is applied by hand once, and again when a value changes.

    python argo-apps/environment/install.py [--first] MY-VALUES.yaml | kubectl apply -f -

Prints the namespaces, the ConfigMap `environment` for each of them, the account with which Vault reviews tokens, Argo
CD's AppProject and the Application with this cluster's host, sizes and optional parts as patches. Everything else comes
from Git. With --first without project and Application: what Vault's set-up and the pull secret need, before Argo CD
starts the first Job. Exit codes: 0, 2 wrong values.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
BRANCH_OF = {"staging": "staging", "production": "main"}
# Parts that are added to the one Application; parts that are Applications and namespaces of their own: name -> folder.
ADDED = ("monitoring", "prometheus-analysis")
OF_THEIR_OWN = {
    "drift": "drift",
    "minio": "components/minio",
    "mlflow": "components/mlflow",
    "mlserver": "components/mlserver",
}
COMPONENTS = tuple(sorted((*ADDED, *OF_THEIR_OWN)))
# What would put a secret into etcd and into every pod's environment: a setting by its name, any value by its looks.
SECRETS = re.compile(
    r"(TOKEN|PASSWORD|SECRET|(SECRET|ACCESS|PRIVATE|HASH)_KEY|MONGO_URI)$", flags=re.IGNORECASE
)
CREDENTIALS = re.compile(r"-----BEGIN|https?://[^/?#\s]*@|//[^/?#\s]*:[^/?#\s]*@", flags=re.IGNORECASE)
HOST = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
KEYS: dict[str, type] = {
    "environment": str,
    "repository": str,
    "host": str,
    "cluster_issuer": str,
    "ingress_class": str,
    "ingress_namespace": str,
    "components": list,
    "serving_replicas_min": int,
    "serving_replicas_max": int,
    "settings": dict,
}


class ValuesError(Exception):
    """What is wrong with the page, one sentence."""


def checked(values: object) -> dict[str, Any]:
    """The page's values, complete and of the right kinds. Raises ValuesError naming the key."""
    if not isinstance(values, dict):
        raise ValuesError("expected a page of `key: value` lines")
    for key in values:
        if key not in KEYS:
            raise ValuesError(f"{key}: no such value; expected {', '.join(KEYS)}")
    for key, kind in KEYS.items():
        found = values.get(key)
        if found is None or not isinstance(found, kind) or isinstance(found, bool):
            raise ValuesError(f"{key}: expected {kind.__name__}, found {found!r}")
    written = values | {f"settings.{key}": value for key, value in values["settings"].items()}
    for key, value in written.items():
        if isinstance(value, str) and CREDENTIALS.search(value):
            raise ValuesError(
                f"{key}: holds a key or an address with a password, which belong into Vault (argo-apps/vault) "
                "or, for the repository, into Argo CD's credential"
            )
    if values["environment"] not in BRANCH_OF:
        raise ValuesError(f"environment: expected staging or production, found {values['environment']!r}")
    if not HOST.fullmatch(values["host"]):
        raise ValuesError(f"host: expected a DNS name, found {values['host']!r}")
    low, high = values["serving_replicas_min"], values["serving_replicas_max"]
    if not 1 <= low <= high:
        raise ValuesError(f"serving_replicas_min: expected 1 <= min <= max, found {low} and {high}")
    for name in values["components"]:
        if name not in COMPONENTS:
            raise ValuesError(f"components: expected some of {', '.join(COMPONENTS)}, found {name!r}")
    if not values["settings"].get("VAULT_ADDR"):
        raise ValuesError(
            "settings.VAULT_ADDR: expected Vault's address: in a cluster secrets come from Vault alone"
        )
    for key, value in values["settings"].items():
        if SECRETS.search(key):
            raise ValuesError(
                f"settings.{key}: a secret belongs into Vault (argo-apps/vault), not on this page"
            )
        if key == "SIMULATE_DRIFT" and values["environment"] == "production":
            raise ValuesError(
                "settings.SIMULATE_DRIFT: it falsifies what is recorded, so never in production"
            )
        if isinstance(value, dict | list) or value is None:
            raise ValuesError(f"settings.{key}: expected a text or a number, found {value!r}")
    if "drift" in values["components"] and not values["settings"].get("DATA_ROOT"):
        raise ValuesError(
            "settings.DATA_ROOT: expected s3a://BUCKET, as `drift` is among the components: "
            "without it serving records no traffic to judge"
        )
    return values


def patches(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The Application's patches: what differs between clusters and cannot be read from a ConfigMap."""
    ingress = [
        {"op": "replace", "path": "/spec/ingressClassName", "value": values["ingress_class"]},
        {"op": "replace", "path": "/spec/rules/0/host", "value": values["host"]},
        {"op": "replace", "path": "/spec/tls/0/hosts/0", "value": values["host"]},
    ]
    if values["cluster_issuer"]:
        path = "/metadata/annotations/cert-manager.io~1cluster-issuer"
        ingress.append({"op": "add", "path": path, "value": values["cluster_issuer"]})
    replicas = [
        {"op": "replace", "path": "/spec/minReplicas", "value": values["serving_replicas_min"]},
        {"op": "replace", "path": "/spec/maxReplicas", "value": values["serving_replicas_max"]},
    ]
    # The first source that these policies let in is the ingress controller.
    name = "namespaceSelector/matchLabels/kubernetes.io~1metadata.name"
    let_in = [
        {"op": "replace", "path": f"/spec/ingress/0/from/0/{name}", "value": values["ingress_namespace"]}
    ]
    return [
        *(
            {
                "target": {"kind": "NetworkPolicy", "name": policy},
                "patch": yaml.safe_dump(let_in, sort_keys=False),
            }
            for policy in ("model-serving", "acme-solver")
        ),
        {
            "target": {"kind": "Ingress", "name": "model-serving"},
            "patch": yaml.safe_dump(ingress, sort_keys=False),
        },
        {
            "target": {"kind": "HorizontalPodAutoscaler", "name": "model-serving"},
            "patch": yaml.safe_dump(replicas, sort_keys=False),
        },
    ]


def load(path: str) -> dict[str, Any]:
    content = yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))
    assert isinstance(content, dict)  # our own file
    return content


def objects(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Everything to apply for this cluster, in order."""
    project = load("applications/project.yaml")
    project["spec"]["sourceRepos"] = [values["repository"]]
    application = load(f"applications/{values['environment']}.yaml")
    source = application["spec"]["source"]
    source["repoURL"] = values["repository"]
    source["kustomize"] = {"patches": patches(values)}
    applications = [application]
    inside = [name for name in values["components"] if name in ADDED]
    added = [*inside, "drift-alerts"] if {"monitoring", "drift"} <= {*values["components"]} else inside
    if added:
        source["kustomize"]["components"] = [f"../components/{name}" for name in added]
    namespaces = [load("base/namespace.yaml")]
    for name in [part for part in values["components"] if part not in inside]:
        extra = load(f"applications/{values['environment']}.yaml")
        extra["metadata"]["name"] = f"pr-anomaly-{name}"
        extra["spec"]["source"] |= {
            "repoURL": values["repository"],
            "path": f"argo-apps/{OF_THEIR_OWN[name]}",
        }
        extra["spec"]["source"].pop("kustomize")
        extra["spec"]["destination"]["namespace"] = "argo-events" if name == "drift" else name
        applications.append(extra)
        namespaces.append(load(f"{OF_THEIR_OWN[name]}/namespace.yaml"))
    settings = {key: str(value) for key, value in values["settings"].items()}
    configs = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": "environment",
                "namespace": namespace["metadata"]["name"],
                "labels": {"app.kubernetes.io/part-of": "pr-anomaly"},
            },
            "data": settings,
        }
        for namespace in namespaces
    ]
    return [*namespaces, *configs, *reviewer(), project, *applications]


def reviewer() -> list[dict[str, Any]]:
    """The account with which Vault reviews tokens, as Argo CD will apply it, and what lets it do so."""
    account = load("base/vault-auth.yaml")
    account["metadata"]["namespace"] = "mlops"
    return [account, load("environment/vault-auth-binding.yaml")]


def main(argv: Sequence[str]) -> int:
    first = "--first" in argv
    pages = [argument for argument in argv if argument != "--first"]
    if len(pages) != 1 or pages[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 0 if pages and pages[0] in {"-h", "--help"} else 2
    try:
        values = checked(yaml.safe_load(Path(pages[0]).read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValuesError) as error:
        print(f"install: {pages[0]}: {error}", file=sys.stderr)
        return 2
    made = [one for one in objects(values) if not (first and one["apiVersion"].startswith("argoproj.io"))]
    print(yaml.safe_dump_all(made, sort_keys=False, width=120), end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
