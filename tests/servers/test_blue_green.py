"""The blue/green gate with Argo Rollouts' own controller: what is promoted, when, and what is not."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster import Cluster, PodEndings
from processes import Process, eventually, free_port, listens, server_folder
from test_manifests_apply import rendered

# Generous: a busy machine is slow, not wrong.
pytestmark = pytest.mark.timeout(900)
NAMESPACE = "mlops"
KINDS = {
    "ServiceAccount",
    "Service",
    "Rollout",
    "AnalysisTemplate",
    "HorizontalPodAutoscaler",
    "PodDisruptionBudget",
}


@pytest.fixture(scope="module")
def controller(cluster: Cluster) -> Iterator[Process]:
    """Argo Rollouts' controller, running beside the cluster."""
    metrics, health = free_port(), free_port()
    process = cluster.run(
        "rollouts-controller",
        server_folder("rollouts") / "rollouts-controller",
        f"--kubeconfig={cluster.kubeconfig}",
        "--leader-elect=false",
        f"--metricsport={metrics}",
        f"--healthzPort={health}",
    )
    process.wait_until(lambda: listens(health))
    yield process
    process.stop()


class Serving:
    """The model-serving Rollout as a person and the tests see it."""

    def __init__(self, cluster: Cluster, base: Path) -> None:
        self.cluster = cluster
        self.objects = [item for item in rendered(base) if item["kind"] in KINDS]
        (self.rollout,) = [item for item in self.objects if item["kind"] == "Rollout"]

    def deploy(self, digit: str) -> str:
        """Apply the manifests with a digest made of this digit; returns the image."""
        container = self.rollout["spec"]["template"]["spec"]["containers"][0]
        container["image"] = container["image"].split("@")[0] + "@sha256:" + digit * 64
        self.cluster.apply(*self.objects)
        image: str = container["image"]
        return image

    def plugin(self, *arguments: str) -> str:
        """kubectl argo rollouts ..."""
        program = server_folder("rollouts") / "kubectl-argo-rollouts"
        done = subprocess.run(
            [program, f"--kubeconfig={self.cluster.kubeconfig}", "-n", NAMESPACE, *arguments],
            capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        return done.stdout

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.cluster.get("rollout", "model-serving", NAMESPACE).get("status", {})
        return status

    def image_behind(self, service: str) -> str:
        """The image of the version that a Service's selector picks."""
        selector = self.cluster.get("service", service, NAMESPACE)["spec"]["selector"]
        wanted = selector.get("rollouts-pod-template-hash")
        for replicas in self.cluster.items("replicaset", NAMESPACE):
            if replicas["metadata"]["labels"].get("rollouts-pod-template-hash") == wanted:
                image: str = replicas["spec"]["template"]["spec"]["containers"][0]["image"]
                return image
        return ""

    def active(self) -> str:
        return self.image_behind("model-serving-active")

    def preview(self) -> str:
        return self.image_behind("model-serving-preview")

    def wait(self, phase: str, image: str | None = None, seconds: float = 180) -> None:
        """Wait for a phase, and for the image behind the active Service."""

        def reached() -> bool:
            status, active = self.status(), self.active()
            assert status.get("phase") == phase, f"{status.get('phase')}: {status.get('message')}"
            assert image is None or active == image, f"{active} is active"
            return True

        eventually(reached, seconds)

    def jobs(self, word: str) -> list[dict[str, Any]]:
        """The Jobs of analyses whose command has this word."""
        return [
            job
            for job in self.cluster.items("job", NAMESPACE)
            if word in job["spec"]["template"]["spec"]["containers"][0]["command"]
        ]


@pytest.fixture
def serving(cluster: Cluster, controller: Process, argo_apps: Path) -> Iterator[Serving]:
    """The first version, running and active."""
    made = Serving(cluster, argo_apps / "base")
    first = made.deploy("1")
    made.wait("Healthy", first)
    yield made
    for kind in ("rollout", "analysisrun", "job", "replicaset", "service", "pod"):
        cluster.try_kubectl("-n", NAMESPACE, "delete", kind, "--all", "--wait=true", "--grace-period=0")


def answers(**codes: int | None) -> Callable[[dict[str, Any]], int | None]:
    """How the perf image ends, by its command: answers(gate=0, watch=1); None lets it run."""

    def outcome(pod: dict[str, Any]) -> int | None:
        command = pod["spec"]["containers"][0]["command"]
        return codes.get(command[-1], 0)

    return outcome


def test_the_first_version_becomes_active_without_analysis_and_is_scaled(serving: Serving) -> None:
    assert serving.preview() == serving.active()
    assert serving.cluster.items("analysisrun", NAMESPACE) == []

    def scaled() -> bool:
        rollout = serving.status()
        if rollout.get("availableReplicas") != 2:
            scaler = serving.cluster.get("hpa", "model-serving", NAMESPACE)["status"]
            pods = serving.cluster.kubectl("-n", NAMESPACE, "get", "pods", "-o", "wide")
            raise AssertionError(f"autoscaler: {scaler}\nrollout: {rollout}\n{pods}")
        return True

    eventually(scaled, 300)


def test_a_new_digest_is_judged_at_the_preview_and_waits_for_a_person(serving: Serving) -> None:
    first = serving.active()
    second = serving.deploy("2")
    eventually(lambda: serving.jobs("gate"), 180, "the analysis Job")
    (job,) = serving.jobs("gate")
    container = job["spec"]["template"]["spec"]["containers"][0]
    target = f"http://model-serving-preview.{NAMESPACE}.svc.cluster.local"
    assert container["args"] == ["--host", target]
    assert container["image"].startswith("registry.digitalocean.com/pr-anomaly/perf@sha256:")
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == "perf"
    assert (serving.active(), serving.preview()) == (first, second)
    with PodEndings(serving.cluster, answers(gate=0, watch=0)):
        serving.wait("Paused")
        assert serving.active() == first
        serving.plugin("promote", "model-serving")
        serving.wait("Healthy", second)
    eventually(lambda: serving.jobs("watch"), 180, "the Job that watches the active Service")
    (watch,) = serving.jobs("watch")
    assert watch["spec"]["template"]["spec"]["containers"][0]["args"][1] == target.replace(
        "preview", "active"
    )


@pytest.mark.parametrize("code", [1, 2, 3])
def test_a_failed_analysis_promotes_nothing_even_when_told_to(serving: Serving, code: int) -> None:
    first = serving.active()
    serving.deploy("3")
    with PodEndings(serving.cluster, answers(gate=code)):
        serving.wait("Degraded")
        assert serving.active() == first
        assert "abort" in serving.status()["message"].lower()
        serving.plugin("promote", "model-serving")
        for _ in range(5):
            assert serving.active() == first
            time.sleep(1)


def analysis_pods(serving: Serving) -> set[str]:
    """Names of running pods of the gate or the watch."""
    pods = serving.cluster.items("pod", NAMESPACE, "app.kubernetes.io/name=perf")
    return {pod["metadata"]["name"] for pod in pods if pod["status"].get("phase") == "Running"}


def for_seconds(seconds: float) -> Iterator[None]:
    """A look a second, for what must stay as it is."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield
        time.sleep(1)


def assert_not_promoted(serving: Serving, first: str, seconds: float = 5) -> None:
    """For some seconds, and although a person asks for it, the active Service stays where it is."""
    serving.plugin("promote", "model-serving")
    for _ in for_seconds(seconds):
        assert serving.active() == first
        (run,) = serving.cluster.items("analysisrun", NAMESPACE)
        assert run["status"].get("phase") != "Successful"


def evict(serving: Serving, pod: str) -> None:
    """Take a pod from its node as a drain does."""
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}/eviction"
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": NAMESPACE},
    }
    serving.cluster.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))


def everything(serving: Serving) -> str:
    """What an analysis consists of, for a failure's message."""
    return serving.cluster.kubectl(
        "-n", NAMESPACE, "get", "analysisrun,job,pod", "-l", "app.kubernetes.io/name=perf", "-o", "yaml"
    )


def successor_of_the_evicted(serving: Serving) -> None:
    """Evict the running analysis pod and wait for the one that takes its place."""
    eventually(lambda: analysis_pods(serving), 180, "the analysis pod")
    (lost,) = analysis_pods(serving)
    evict(serving, lost)
    try:
        eventually(lambda: analysis_pods(serving) - {lost}, 180, "a new analysis pod")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{lost} was evicted\n{everything(serving)}") from None


@pytest.mark.parametrize(("code", "phase"), [(0, "Paused"), (1, "Degraded")])
def test_an_evicted_analysis_pod_decides_nothing_and_its_successor_does(
    serving: Serving, code: int, phase: str
) -> None:
    first = serving.active()
    serving.deploy("4")
    successor_of_the_evicted(serving)
    assert_not_promoted(serving, first)
    with PodEndings(serving.cluster, answers(gate=code)):
        serving.wait(phase, first)


def test_an_analysis_pod_that_is_gone_without_an_eviction_ends_the_gate(serving: Serving) -> None:
    first = serving.active()
    serving.deploy("8")
    eventually(lambda: analysis_pods(serving), 180, "the analysis pod")
    (lost,) = analysis_pods(serving)
    serving.cluster.kubectl("-n", NAMESPACE, "delete", "pod", lost, "--grace-period=0", "--force")
    serving.wait("Degraded", first)
    assert_not_promoted(serving, first)


def test_a_lost_analysis_job_promotes_nothing(serving: Serving) -> None:
    first = serving.active()
    serving.deploy("5")
    eventually(lambda: analysis_pods(serving), 180, "the analysis pod")
    serving.cluster.kubectl("-n", NAMESPACE, "delete", "job", "-l", "app.kubernetes.io/name=perf")
    assert_not_promoted(serving, first, 10)
    serving.plugin("abort", "model-serving")
    serving.wait("Degraded", first)


def test_abort_keeps_the_old_version_and_undo_brings_the_rollout_back(serving: Serving) -> None:
    first = serving.active()
    serving.deploy("6")
    with PodEndings(serving.cluster, answers(gate=0, watch=0)):
        serving.wait("Paused")
        serving.plugin("abort", "model-serving")
        serving.wait("Degraded", first)
        serving.plugin("undo", "model-serving")
        serving.wait("Healthy", first)


def analysed(serving: Serving, when: str) -> str | None:
    """How the analysis before ("pre") or after ("post") the promotion stands."""
    phase: str | None = (
        serving.status()["blueGreen"].get(f"{when}PromotionAnalysisRunStatus", {}).get("status")
    )
    return phase


@contextmanager
def promoted(serving: Serving, digit: str) -> Iterator[tuple[str, PodEndings]]:
    """A version that has passed the gate and is active, and the endings of pods, which let its watch go on."""
    image = serving.deploy(digit)
    with PodEndings(serving.cluster, answers(gate=0, watch=None)) as endings:
        serving.wait("Paused")
        serving.plugin("promote", "model-serving")
        eventually(lambda: serving.active() == image, 180, "the switch")
        eventually(lambda: analysed(serving, "post") == "Running", 180, "the watch")
        yield image, endings


def test_trouble_after_promotion_rolls_back_by_itself(serving: Serving) -> None:
    first = serving.active()
    with promoted(serving, "7") as (_, endings):
        endings.outcome = answers(gate=0, watch=1)
        serving.wait("Degraded", first)


@contextmanager
def a_version_short_of_a_pod(serving: Serving, image: str) -> Iterator[None]:
    """Take one pod of a version and let no successor start meanwhile, as on full nodes."""
    nodes = [node["metadata"]["name"] for node in serving.cluster.items("node", "default")]
    serving.cluster.kubectl("cordon", *nodes)
    try:
        lost = next(
            pod["metadata"]["name"]
            for pod in serving.cluster.items("pod", NAMESPACE, "app.kubernetes.io/name=model-serving")
            if pod["spec"]["containers"][0]["image"] == image
        )
        serving.cluster.kubectl("-n", NAMESPACE, "delete", "pod", lost)
        yield
    finally:
        serving.cluster.kubectl("uncordon", *nodes)


def assert_undecided(serving: Serving, when: str, seconds: float = 15) -> None:
    """For some seconds the analysis before or after the promotion goes on."""
    for _ in for_seconds(seconds):
        assert analysed(serving, when) == "Running", everything(serving)


# Argo Rollouts before 1.8.4 ended the analysis as successful in both: a new version was promoted because it lost a pod.
def test_a_preview_that_loses_a_pod_is_still_judged(serving: Serving) -> None:
    first = serving.active()
    second = serving.deploy("a")
    eventually(lambda: analysis_pods(serving), 180, "the analysis pod")
    with a_version_short_of_a_pod(serving, second):
        assert_undecided(serving, "pre")
    with PodEndings(serving.cluster, answers(gate=1)):
        serving.wait("Degraded", first)


def test_an_active_version_that_loses_a_pod_is_still_watched(serving: Serving) -> None:
    first = serving.active()
    with promoted(serving, "b") as (second, endings):
        with a_version_short_of_a_pod(serving, second):
            assert_undecided(serving, "post")
        endings.outcome = answers(gate=0, watch=1)
        serving.wait("Degraded", first)


def test_an_eviction_after_promotion_rolls_nothing_back(serving: Serving) -> None:
    with promoted(serving, "9") as (second, endings):
        successor_of_the_evicted(serving)
        endings.outcome = answers(gate=0, watch=0)
        eventually(lambda: analysed(serving, "post") == "Successful", 180, "the watch's end")
        serving.wait("Healthy", second)


def test_the_manifests_pass_the_plugins_own_lint(argo_apps: Path, tmp_path: Path) -> None:
    file = tmp_path / "rollout.yaml"
    kinds = {"Rollout", "Service", "Ingress", "AnalysisTemplate"}
    file.write_text(yaml.safe_dump_all([o for o in rendered(argo_apps / "base") if o["kind"] in kinds]))
    program = server_folder("rollouts") / "kubectl-argo-rollouts"
    done = subprocess.run([program, "lint", "-f", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
