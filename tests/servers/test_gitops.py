"""Two environments from two branches by a real Argo CD, driven by the scripts that the workflows call."""

import shlex
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from argo_cd import ArgoCD, Repository, namespace
from cluster import Cluster, PodEndings
from processes import eventually, free_port, listens, server_folder

# Argo CD looks, waits for health and retries at its own pace.
pytestmark = pytest.mark.timeout(900)

ENVIRONMENTS = ("staging", "production")
STAGES = ("data-fetch", "drift-detection", "ml-training", "model-serving", "perf", "spark-preprocess")


def digest(digit: str) -> str:
    return "sha256:" + digit * 64


def reference(stage: str, digit: str) -> str:
    return f"{stage}=registry.test/team/{stage}@{digest(digit)}"


class Delivery:
    """The repository, Argo CD and both environments, each a namespace of the one test cluster."""

    def __init__(self, cluster: Cluster, argo: ArgoCD, repository: Repository) -> None:
        self.cluster = cluster
        self.argo = argo
        self.repository = repository
        self.exit_codes: dict[str, int] = {}

    def outcome(self, pod: dict[str, Any]) -> int:
        return self.exit_codes.get(pod["metadata"]["labels"]["app.kubernetes.io/name"], 0)

    def release(self, *references: str, tested: bool = True) -> str:
        """What the publish job does after its tests; returns the new commit of staging."""
        for one in references if tested else ():
            stage, _, image = one.partition("=")
            done = self.repository.script("tested.sh", "record", stage, image.split("@")[1])
            assert done.returncode == 0, done.stderr
        done = self.repository.script("update-digests.sh", *references)
        assert done.returncode == 0, done.stdout + done.stderr
        return self.repository.head("staging")

    def promote(self) -> subprocess.CompletedProcess[str]:
        return self.repository.script("promote.sh")

    def settled(
        self, environment: str, revision: str, health: tuple[str, ...] = ("Healthy", "Suspended")
    ) -> None:
        """Wait until the environment is synced to a revision and nothing is left to do."""
        self.argo.refresh(environment)

        def check() -> bool:
            status = self.argo.status(environment)
            assert status["sync"] == "Synced", status
            assert status["revision"] == revision, status
            assert status["phase"] == "Succeeded", status
            assert status["health"] in health, status
            return True

        eventually(check, 400)

    def jobs(self, environment: str) -> dict[str, str]:
        """Name -> uid of the Jobs that Argo CD manages there."""
        found = self.cluster.items("job", environment, "app.kubernetes.io/part-of=pr-anomaly")
        return {
            job["metadata"]["name"]: job["metadata"]["uid"]
            for job in found
            if job["metadata"]["labels"]["app.kubernetes.io/name"] != "perf"
        }

    def image(self, environment: str) -> str:
        """The digest of the Rollout."""
        rollout = self.cluster.get("rollout", "model-serving", environment)
        image: str = rollout["spec"]["template"]["spec"]["containers"][0]["image"]
        return image.split("@")[1]


def application(argo_apps: Path, environment: str, repository: Repository) -> dict[str, Any]:
    """The real Application, put into a namespace of its own: the two clusters are one here."""
    made = yaml.safe_load((argo_apps / "applications" / f"{environment}.yaml").read_text())
    made["metadata"]["name"] = environment
    made["spec"]["source"]["repoURL"] = f"file://{repository.bare}"
    made["spec"]["destination"]["namespace"] = environment
    # Degraded without a metrics server.
    scaler = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler"}
    scaler |= {"metadata": {"name": "model-serving"}, "$patch": "delete"}  # type: ignore[dict-item]
    made["spec"]["source"]["kustomize"] = {
        "namespace": environment,
        "patches": [{"patch": yaml.safe_dump(scaler)}],
    }
    assert isinstance(made, dict)
    return made


@pytest.fixture(scope="module")
def delivery(
    cluster: Cluster, argo_apps: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Delivery]:
    """Both environments at the same first commit, every image tested."""
    repository = Repository(tmp_path_factory.mktemp("git"))
    argo = ArgoCD(cluster)
    made = Delivery(cluster, argo, repository)
    health = free_port()
    rollouts = cluster.run(
        "rollouts-controller",
        server_folder("rollouts") / "rollouts-controller",
        f"--kubeconfig={cluster.kubeconfig}",
        "--leader-elect=false",
        f"--metricsport={free_port()}",
        f"--healthzPort={health}",
    )
    rollouts.wait_until(lambda: listens(health))
    try:
        argo.start()
        repository.commit("First", "main")
        repository.git("push", "--quiet", "origin", "HEAD:refs/heads/staging")
        first = made.release(*[reference(stage, "1") for stage in STAGES])
        assert made.promote().returncode == 0
        project = yaml.safe_load((argo_apps / "applications" / "project.yaml").read_text())
        project["spec"]["sourceRepos"] = [f"file://{repository.bare}"]
        project["spec"]["destinations"] = [{"server": "*", "namespace": name} for name in ENVIRONMENTS]
        cluster.apply(project)
        restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
        for environment in ENVIRONMENTS:
            cluster.apply(namespace(environment, **restricted))
            config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "environment"}}
            config["metadata"] |= {"namespace": environment}  # type: ignore[operator]
            cluster.apply(config | {"data": {"VAULT_ADDR": "https://vault.test:8200"}})
            cluster.apply(application(argo_apps, environment, repository))
        with PodEndings(cluster, made.outcome):
            for environment in ENVIRONMENTS:
                eventually(partial(cluster.exists, "ingress", "model-serving", environment), 400, "Ingress")
                # No ingress controller here: what one would report.
                cluster.kubectl(
                    "-n", environment, "patch", "ingress", "model-serving", "--subresource=status",
                    "--type=merge", "-p", '{"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.1"}]}}}',
                )  # fmt: skip
                made.settled(environment, first)
            yield made
    finally:
        argo.stop()
        rollouts.stop()


def test_both_environments_start_complete(delivery: Delivery) -> None:
    for environment in ENVIRONMENTS:
        assert delivery.image(environment) == digest("1")
        jobs = delivery.cluster.items("job", environment)
        done = {
            job["metadata"]["labels"]["app.kubernetes.io/name"]
            for job in jobs
            if job["status"].get("succeeded")
        }
        assert done == {"data-fetch", "spark-preprocess", "ml-training"}
        # The hourly CronJob may have run too: only the Jobs of the release count here.
        started = sorted(
            (job["status"]["startTime"], job["metadata"]["name"].rsplit("-", 1)[0])
            for job in jobs
            if job["metadata"]["name"] in delivery.jobs(environment)
        )
        order = ["data-fetch", "spark-preprocess", "ml-training", "ml-training-gate"]
        assert [name for _, name in started] == order


def test_a_commit_on_staging_changes_only_staging_and_only_its_job(delivery: Delivery) -> None:
    before = {environment: delivery.jobs(environment) for environment in ENVIRONMENTS}
    revision = delivery.release(reference("spark-preprocess", "2"))
    delivery.settled("staging", revision)
    after = delivery.jobs("staging")
    new = after.keys() - before["staging"].keys()
    assert [name.rsplit("-", 1)[0] for name in new] == ["spark-preprocess"]
    kept = after.keys() & before["staging"].keys()
    assert {name: after[name] for name in kept} == {name: before["staging"][name] for name in kept}
    delivery.argo.refresh("production")
    assert delivery.jobs("production") == before["production"]
    assert delivery.repository.head("main") != revision


def test_the_promotion_brings_the_identical_digests_and_commit(delivery: Delivery) -> None:
    done = delivery.promote()
    assert done.returncode == 0, done.stderr
    staging = delivery.repository.head("staging")
    assert delivery.repository.head("main") == staging
    delivery.settled("production", staging)
    assert delivery.jobs("production").keys() == delivery.jobs("staging").keys()
    assert delivery.repository.script("guard.sh").returncode == 0
    assert "already" in delivery.promote().stdout


def test_an_unrelated_commit_runs_nothing(delivery: Delivery) -> None:
    before = delivery.jobs("staging")
    delivery.repository.git("fetch", "--quiet", "origin", "staging")
    delivery.repository.git("checkout", "--quiet", "--detach", "FETCH_HEAD")
    (delivery.repository.work / "NOTES.md").write_text("nothing that runs\n")
    revision = delivery.repository.commit("Write a note")
    delivery.settled("staging", revision)
    assert delivery.jobs("staging") == before


def test_the_project_refuses_what_reaches_beyond_the_namespaces(delivery: Delivery) -> None:
    """Or whoever may merge to staging could make themselves an administrator of the cluster."""
    repository = delivery.repository
    repository.git("fetch", "--quiet", "origin", "staging")
    repository.git("checkout", "--quiet", "--detach", "FETCH_HEAD")
    file = repository.work / "argo-apps" / "base" / "vault-auth.yaml"
    harmless = file.read_text()
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "everything"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "perf", "namespace": "staging"}],
    }
    file.write_text(f"{harmless}---\n{yaml.safe_dump(binding)}")
    revision = repository.commit("Bind everything")
    delivery.argo.refresh("staging")

    def refused() -> bool:
        status = delivery.argo.status("staging")
        assert (status["revision"], status["phase"]) == (revision, "Failed"), status
        assert "synchronization tasks are not valid" in status["message"], status
        return True

    eventually(refused, 120)
    assert not delivery.cluster.exists("clusterrolebinding", "everything", "default")
    file.write_text(harmless)
    revision = repository.commit("Bind nothing")
    delivery.argo.refresh("staging")

    def as_before() -> bool:
        # No new sync: what is there is what this commit says.
        status = delivery.argo.status("staging")
        assert (status["revision"], status["sync"]) == (revision, "Synced"), status
        return True

    eventually(as_before, 120)


def test_the_guard_refuses_an_untested_digest(delivery: Delivery) -> None:
    main = delivery.repository.head("main")
    delivery.release(reference("perf", "3"), tested=False)
    done = delivery.promote()
    assert done.returncode == 1
    assert f"perf {digest('3')} was never tested" in done.stderr
    assert delivery.repository.head("main") == main
    # Tested after all: the same commit may go.
    delivery.repository.script("tested.sh", "record", "perf", digest("3"))
    assert delivery.promote().returncode == 0


def test_the_guard_refuses_a_main_that_is_no_commit_of_staging(delivery: Delivery) -> None:
    repository = delivery.repository
    main = repository.head("main")
    repository.git("fetch", "--quiet", "origin", "main")
    repository.git("checkout", "--quiet", "--detach", "FETCH_HEAD")
    (repository.work / "HOTFIX").write_text("by hand\n")
    hotfix = repository.commit("Past staging", "hotfix")
    done = repository.script("guard.sh", hotfix)
    assert done.returncode == 1
    assert "is no commit of origin/staging" in done.stderr
    assert repository.head("main") == main


def test_a_failing_job_keeps_the_rollout_of_the_same_commit_back(delivery: Delivery) -> None:
    old = delivery.image("staging")
    delivery.exit_codes["ml-training"] = 3
    revision = delivery.release(reference("ml-training", "4"), reference("model-serving", "4"))
    delivery.argo.refresh("staging")
    eventually(
        lambda: (
            delivery.argo.status("staging")["revision"] == revision
            and delivery.argo.status("staging")["phase"] == "Failed"
        ),
        240,
        f"a failed sync: {delivery.argo.status('staging')}",
    )
    assert delivery.image("staging") == old
    (failed,) = [
        job
        for job in delivery.cluster.items("job", "staging", "app.kubernetes.io/name=ml-training")
        if job["status"].get("failed")
    ]
    # Unusable input: one pod, no second try.
    assert failed["status"]["failed"] == 1
    assert "gate" not in failed["metadata"]["name"]
    delivery.exit_codes.clear()
    revision = delivery.release(reference("ml-training", "5"))
    delivery.settled("staging", revision)
    assert delivery.image("staging") == digest("4")


def by_the_runbook(delivery: Delivery, part: str, **names: str) -> None:
    """Run the one command of the runbook that has this part, in staging's names."""
    page = (Path(__file__).resolve().parent.parent.parent / "argo-apps" / "README.md").read_text()
    (command,) = [
        line.strip() for line in page.splitlines() if line.startswith("    kubectl") and part in line
    ]
    for old, new in {"app pr-anomaly ": "app staging ", "-n mlops": "-n staging", **names}.items():
        command = command.replace(old, new)
    program, *arguments = shlex.split(command)
    if arguments[:2] == ["argo", "rollouts"]:
        # kubectl's plugin; without kubectl it takes the kubeconfig as a flag.
        program, arguments = str(server_folder("rollouts") / "kubectl-argo-rollouts"), arguments[2:]
        arguments.append(f"--kubeconfig={delivery.cluster.kubeconfig}")
        subprocess.run([program, *arguments], check=True, capture_output=True, timeout=60)
    else:
        delivery.cluster.kubectl(*arguments)


def test_a_job_that_failed_for_a_reason_outside_git_runs_again_by_the_runbook(delivery: Delivery) -> None:
    """A wrong secret in Vault, say: there is nothing to commit, and Argo CD does not try the same commit again."""
    delivery.exit_codes["ml-training"] = 2
    revision = delivery.release(reference("ml-training", "6"))
    delivery.argo.refresh("staging")
    eventually(
        lambda: (
            delivery.argo.status("staging")["revision"] == revision
            and delivery.argo.status("staging")["phase"] == "Failed"
        ),
        240,
        f"a failed sync: {delivery.argo.status('staging')}",
    )
    (failed,) = [
        job["metadata"]["name"]
        for job in delivery.cluster.items("job", "staging", "app.kubernetes.io/name=ml-training")
        if job["status"].get("failed")
    ]
    delivery.exit_codes.clear()
    by_the_runbook(delivery, "delete job NAME", NAME=failed)
    by_the_runbook(delivery, '"operation"')
    delivery.settled("staging", revision)
    assert failed in delivery.jobs("staging")


def test_an_undo_holds_by_the_runbook_until_the_page_is_applied_again(
    delivery: Delivery, argo_apps: Path
) -> None:
    """With automatic syncs on it would be taken back before the active Service moved."""
    cluster = delivery.cluster

    def active(digit: str) -> bool:
        rollout = cluster.get("rollout", "model-serving", "staging")
        selector = cluster.get("service", "model-serving-active", "staging")["spec"]["selector"]
        (replicas,) = [
            one
            for one in cluster.items("replicaset", "staging")
            if one["metadata"]["labels"].get("rollouts-pod-template-hash")
            == selector["rollouts-pod-template-hash"]
        ]
        found = replicas["spec"]["template"]["spec"]["containers"][0]["image"].split("@")[1]
        assert found == digest(digit), f"{found} is active, {rollout['status'].get('message')}"
        return True

    def paused() -> bool:
        return cluster.get("rollout", "model-serving", "staging")["status"].get("phase") == "Paused"

    eventually(paused, 180, "the new version waits for a person")
    assert active("1")
    promote = ["promote", "model-serving", "-n", "staging", f"--kubeconfig={cluster.kubeconfig}"]
    program = server_folder("rollouts") / "kubectl-argo-rollouts"
    subprocess.run([program, *promote], check=True, capture_output=True, timeout=60)
    eventually(lambda: active("4"), 180)
    delivery.settled("staging", delivery.repository.head("staging"), ("Healthy",))

    by_the_runbook(delivery, 'patch app pr-anomaly --type merge -p \'{"spec"')
    by_the_runbook(delivery, "rollouts undo")
    by_the_runbook(delivery, "--full")
    eventually(lambda: active("1"), 120)
    for _ in range(3):
        delivery.argo.refresh("staging")
        time.sleep(5)
        assert active("1")
    assert delivery.argo.status("staging")["sync"] == "OutOfSync"
    cluster.apply(application(argo_apps, "staging", delivery.repository))
    eventually(lambda: delivery.image("staging") == digest("4"), 120, "what Git says")


def test_the_active_service_keeps_its_hash_through_a_sync(delivery: Delivery) -> None:
    """What a server-side apply would take away; see applications/staging.yaml."""
    selector = delivery.cluster.get("service", "model-serving-active", "staging")["spec"]["selector"]
    assert "rollouts-pod-template-hash" in selector


def test_nothing_stays_out_of_sync(delivery: Delivery) -> None:
    for environment in ENVIRONMENTS:
        delivery.argo.refresh(environment)
        status = delivery.argo.status(environment)
        assert (status["sync"], status["out"], status["conditions"]) == ("Synced", [], [])
