"""Rules that every rendered object keeps, and the golden rendering that a reviewer reads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from rendering import GOLDEN, RENDERED, render, without_release

IGNORE_DISRUPTION = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}


@pytest.fixture(scope="module")
def objects(repository: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(render(repository / "argo-apps" / "base")))


@pytest.fixture(scope="module", params=["base", "drift"])
def part(request: pytest.FixtureRequest, repository: Path) -> tuple[str, list[dict[str, Any]]]:
    """(folder, its objects); the steps of the retraining have tests beside real controllers (tests/servers)."""
    return request.param, list(yaml.safe_load_all(render(repository / "argo-apps" / request.param)))


def named(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = [o for o in objects if (o["kind"], o["metadata"]["name"]) == (kind, name)]
    return found


def pods(objects: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """(owner, pod spec) of everything that makes pods."""
    found = []
    for o in objects:
        spec = o.get("spec", {})
        spec = spec["jobTemplate"]["spec"] if o["kind"] == "CronJob" else spec
        if "spec" in spec.get("template", {}):
            found.append((o["metadata"]["name"], spec["template"]["spec"]))
        for metric in spec.get("metrics", []) if o["kind"] == "AnalysisTemplate" else []:
            found.append((o["metadata"]["name"], metric["provider"]["job"]["spec"]["template"]["spec"]))
    return found


@pytest.mark.parametrize("folder", RENDERED)
def test_the_rendering_is_the_stored_one(repository: Path, folder: str) -> None:
    found = without_release(render(repository / "argo-apps" / folder))
    command = "python tests/manifests/write_golden.py"
    stored = (GOLDEN / f"{folder}.yaml").read_text()
    assert found == stored, f"the rendering of {folder} changed: review it and run {command}"


def test_every_object_carries_the_recommended_labels(part: tuple[str, list[dict[str, Any]]]) -> None:
    _, objects = part
    for o in objects:
        labels = o["metadata"].get("labels", {})
        assert labels.get("app.kubernetes.io/part-of") == "pr-anomaly", o["metadata"]["name"]
        if o["kind"] not in {"Namespace", "NetworkPolicy"}:
            assert "app.kubernetes.io/name" in labels, o["metadata"]["name"]


def test_no_secret_is_in_git_and_none_is_in_an_environment(part: tuple[str, list[dict[str, Any]]]) -> None:
    _, objects = part
    assert not [o for o in objects if o["kind"] == "Secret"]
    for name, pod in pods(objects):
        for container in pod["containers"]:
            for variable in container.get("env", []):
                assert "secretKeyRef" not in variable.get("valueFrom", {}), name
            assert all("secretRef" not in source for source in container.get("envFrom", [])), name
        assert all("secret" not in volume for volume in pod.get("volumes", [])), name


def test_fetching_and_serving_hide_authors_by_one_and_the_same_line(
    repository: Path, objects: list[dict[str, Any]]
) -> None:
    page = yaml.safe_load(
        (repository / "argo-apps" / "environment" / "values.example.yaml").read_text("utf-8")
    )
    assert page["settings"]["AUTHOR_PRIVACY"] == "keep"
    template = yaml.safe_load(
        (repository / "argo-apps" / "drift" / "workflow-template.yaml").read_text("utf-8")
    )
    steps = [step["container"] for step in template["spec"]["templates"] if step["name"] == "fetch"]
    everything = [container for _, pod in pods(objects) for container in pod["containers"]]
    read = [one for one in everything if one["name"] in {"data-fetch", "model-serving"}] + steps
    assert len(read) == 4  # fetching's Job and CronJob, serving, the retraining's fetch
    for container in read:
        assert {"configMapRef": {"name": "environment"}} in container["envFrom"]
        assert "AUTHOR_PRIVACY" not in {variable["name"] for variable in container["env"]}


def test_every_pod_is_hardened_bounded_and_its_own(part: tuple[str, list[dict[str, Any]]]) -> None:
    folder, objects = part
    found = pods(objects)
    assert len(found) == {"base": 11, "drift": 1}[folder]
    for name, pod in found:
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["serviceAccountName"] not in {"", "default"}, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        (token,) = [v for v in pod["volumes"] if v["name"] == "vault-token"]
        assert token["projected"]["sources"][0]["serviceAccountToken"]["audience"] == "vault", name
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] is True, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert set(container["resources"]["limits"]) == {"cpu", "memory"}, name
            assert "@sha256:" in container["image"], name
            # Argo Workflows and a reader both need it; the image's entrypoint is no contract.
            assert container["command"][:2] == ["python", "-m"], name


@pytest.mark.parametrize("folder", [folder for folder in RENDERED if folder != "components/minio"])
def test_a_private_authority_reaches_every_container_that_calls_others(repository: Path, folder: str) -> None:
    """Where the page of values says it is; without the ConfigMap the pods start all the same."""
    objects = list(yaml.safe_load_all(render(repository / "argo-apps" / folder)))
    found = [(name, pod, [*pod["containers"], *pod.get("initContainers", [])]) for name, pod in pods(objects)]
    for o in (one for one in objects if one["kind"] == "WorkflowTemplate"):
        steps = [step["container"] for step in o["spec"]["templates"] if "container" in step]
        found.append((o["metadata"]["name"], o["spec"], steps))
    for name, pod, containers in found:
        assert {"name": "ca", "configMap": {"name": "ca", "optional": True}} in pod["volumes"], name
        for container in containers:
            mounted = {"name": "ca", "mountPath": "/run/ca", "readOnly": True} in container["volumeMounts"]
            assert mounted or container["name"] == "mlserver", name  # which reads a folder and calls nobody
    page = (repository / "argo-apps" / "environment" / "values.example.yaml").read_text("utf-8")
    named = re.findall(r"^  # ([A-Z_]+): /run/ca/ca.crt", page, re.M)
    assert named == ["VAULT_CACERT", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE", "SSL_CERT_FILE"]


def test_each_account_is_the_one_that_its_vault_role_is_bound_to(
    repository: Path, part: tuple[str, list[dict[str, Any]]]
) -> None:
    _, objects = part
    lines = (repository / "argo-apps" / "vault" / "roles.tsv").read_text().splitlines()
    roles = {role: rest for role, *rest in (line.split("\t") for line in lines if not line.startswith("#"))}
    for name, pod in pods(objects):
        env = {v["name"]: v.get("value") for v in pod["containers"][0]["env"]}
        policy, account, namespaces = roles[env["VAULT_ROLE"]]
        assert pod["serviceAccountName"] == account, name
        assert "mlops" in namespaces.split(","), name
        assert env["VAULT_SECRET_PATH"] == f"secret/data/mlops/base/{policy}", name
        text = (repository / "argo-apps" / "vault" / "policies" / f"{policy}.hcl").read_text()
        assert text.count("path ") == 2, policy
        assert f'path "{env["VAULT_SECRET_PATH"]}"' in text, name


def test_exit_codes_decide_what_a_job_does(part: tuple[str, list[dict[str, Any]]]) -> None:
    _, objects = part
    jobs = [o["spec"] for o in objects if o["kind"] == "Job"]
    crons = [o["spec"]["jobTemplate"]["spec"] for o in objects if o["kind"] == "CronJob"]
    assert crons
    for spec in [*jobs, *crons]:
        ignore, fail = spec["podFailurePolicy"]["rules"]
        assert ignore == IGNORE_DISRUPTION
        container = spec["template"]["spec"]["containers"][0]["name"]
        assert fail["onExitCodes"] == {"containerName": container, "operator": "In", "values": [2, 3, 5]}
    for spec in jobs:
        assert "ttlSecondsAfterFinished" not in spec
        assert spec["backoffLimit"] >= 2


IN_SECONDS = {"s": 1, "m": 60, "h": 3600}
# Beside the time that its command is given a try pulls the image, waits for Vault and finishes its last unit of work.
AROUND_A_TRY = 300


def bounded(objects: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any], float, int]]:
    """(name, what has activeDeadlineSeconds, seconds that its command is given, its tries) of all with such a bound."""
    found = []
    for o in objects:
        name, spec = o["metadata"]["name"], o.get("spec", {})
        jobs = {
            "Job": lambda s: [s],
            "CronJob": lambda s: [s["jobTemplate"]["spec"]],
            "AnalysisTemplate": lambda s: [metric["provider"]["job"]["spec"] for metric in s["metrics"]],
        }.get(o["kind"], lambda _: [])(spec)
        # An analysis has one try of its own, and a second where a node was drained in the midst of it.
        held = [
            (job, job["template"]["spec"]["containers"][0], max(job["backoffLimit"], 1) + 1) for job in jobs
        ]
        # A step's deadline is that of each of its pods.
        steps = spec["templates"] if o["kind"] == "WorkflowTemplate" else []
        held += [(step, step["container"], 1) for step in steps if "container" in step]
        for holder, container, tries in held:
            args = container.get("args", [])
            for flag in {"--max-duration", "--seconds"} & {*args}:
                given = re.fullmatch(r"(\d+)([smh]?)", args[args.index(flag) + 1])
                assert given, f"{name}: {flag}"
                found.append((name, holder, int(given[1]) * IN_SECONDS[given[2] or "s"], tries))
    return found


def test_a_deadline_leaves_room_for_every_try(part: tuple[str, list[dict[str, Any]]]) -> None:
    folder, objects = part
    found = bounded(objects)
    assert (
        len(found) == {"base": 3, "drift": 1}[folder]
    )  # fetching's Job and CronJob, the watch; the step fetch
    for name, holder, seconds, tries in found:
        pauses = sum(min(10 * 2**number, 360) for number in range(tries - 1))  # the Job controller's own
        assert holder["activeDeadlineSeconds"] >= tries * (seconds + AROUND_A_TRY) + pauses, name


def test_jobs_come_before_the_rollout_and_the_cron_jobs(objects: list[dict[str, Any]]) -> None:
    def wave(o: dict[str, Any]) -> int:
        return int(o["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-wave", 0))

    last = max(map(wave, objects))
    for o in objects:
        if o["kind"] in {"Rollout", "CronJob", "HorizontalPodAutoscaler", "Ingress"}:
            assert wave(o) == last, o["metadata"]["name"]
        elif o["kind"] == "Job":
            assert 0 < wave(o) < last
        else:
            assert wave(o) <= 0, o["metadata"]["name"]
        assert "argocd.argoproj.io/hook" not in o["metadata"].get("annotations", {})


def test_only_fetching_runs_by_the_clock(objects: list[dict[str, Any]]) -> None:
    crons = {o["metadata"]["name"]: o["spec"] for o in objects if o["kind"] == "CronJob"}
    assert {name for name, spec in crons.items() if not spec["suspend"]} == {"data-fetch"}
    assert all(spec["concurrencyPolicy"] == "Forbid" for spec in crons.values())


def test_blue_green_waits_for_an_analysis_and_for_a_person(objects: list[dict[str, Any]]) -> None:
    rollout = named(objects, "Rollout", "model-serving")
    blue_green = rollout["spec"]["strategy"]["blueGreen"]
    assert blue_green["autoPromotionEnabled"] is False
    assert "autoPromotionSeconds" not in blue_green
    assert blue_green["prePromotionAnalysis"]["templates"] == [{"templateName": "model-serving-preview-gate"}]
    services = [named(objects, "Service", blue_green[f"{which}Service"]) for which in ("active", "preview")]
    assert services[0]["spec"]["selector"] == services[1]["spec"]["selector"]
    assert "replicas" not in rollout["spec"]
    for template in [o for o in objects if o["kind"] == "AnalysisTemplate"]:
        (metric,) = template["spec"]["metrics"]
        assert (metric["failureLimit"], metric["consecutiveErrorLimit"], metric["count"]) == (0, 0, 1)
        job = metric["provider"]["job"]["spec"]
        assert (job["backoffLimit"], job["podFailurePolicy"]) == (0, {"rules": [IGNORE_DISRUPTION]})


@pytest.mark.parametrize("private", ["/metrics", "/reload", "/simulate-drift"])
def test_the_ingress_shows_no_private_route(objects: list[dict[str, Any]], private: str) -> None:
    ingress = named(objects, "Ingress", "model-serving")
    assert ingress["spec"]["tls"][0]["hosts"] == [ingress["spec"]["rules"][0]["host"]]
    for path in ingress["spec"]["rules"][0]["http"]["paths"]:
        assert path["backend"]["service"]["name"] == "model-serving-active"
        reaches = private == path["path"] or (
            path["pathType"] == "Prefix" and (private + "/").startswith(path["path"].rstrip("/") + "/")
        )
        assert not reaches, path


def test_the_ingress_controller_reaches_cert_managers_solver(objects: list[dict[str, Any]]) -> None:
    """The pod that answers Let's Encrypt lies in this namespace, where everything else is denied."""
    policy = named(objects, "NetworkPolicy", "acme-solver")["spec"]
    assert policy["podSelector"] == {"matchLabels": {"acme.cert-manager.io/http01-solver": "true"}}
    (rule,) = policy["ingress"]
    serving = named(objects, "NetworkPolicy", "model-serving")["spec"]["ingress"][0]["from"]
    assert rule == {"from": serving[:1], "ports": [{"port": 8089, "protocol": "TCP"}]}


@pytest.mark.parametrize(("file", "branch"), [("staging", "staging"), ("production", "main")])
def test_each_application_follows_its_branch_with_the_same_path(
    repository: Path, file: str, branch: str
) -> None:
    application = yaml.safe_load((repository / "argo-apps" / "applications" / f"{file}.yaml").read_text())
    source, policy = application["spec"]["source"], application["spec"]["syncPolicy"]
    assert (source["targetRevision"], source["path"]) == (branch, "argo-apps/base")
    assert policy["automated"] == {"prune": True, "selfHeal": True}
    # A Service's selector is atomic in a server-side apply: the active Service would lose its hash at each sync.
    assert not [option for option in policy["syncOptions"] if option.startswith("ServerSideApply=true")]


def test_the_two_applications_differ_in_branch_and_label_only(repository: Path) -> None:
    folder = repository / "argo-apps" / "applications"
    one, two = (yaml.safe_load((folder / f"{name}.yaml").read_text()) for name in ("staging", "production"))
    for application in (one, two):
        application["spec"]["source"].pop("targetRevision")
        application["metadata"]["labels"].pop("environment")
    assert one == two


def test_the_runbook_says_what_every_alert_means(repository: Path) -> None:
    folder = repository / "argo-apps"
    names = {
        rule["alert"]
        for file in folder.rglob("*.yaml")
        for document in yaml.safe_load_all(file.read_text())
        if isinstance(document, dict) and document.get("kind") == "PrometheusRule"
        for group in document["spec"]["groups"]
        for rule in group["rules"]
    }
    assert len(names) >= 7
    page = (folder / "README.md").read_text()
    assert [name for name in sorted(names) if f"| `{name}` |" not in page] == []
