"""The whole loop on real controllers and real services: drifted traffic, the CronJob's alarm, every step as its pod
spells it, three replicas.

Argo Workflows makes the pods; the command of each runs as a process with what that pod has (pods.py), and what it wrote
is reported as Argo's executor would. Nothing is decided by the test.
"""

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cluster import PodEndings
from drift_loop import ENDED, NAMESPACE, Executor, Loop, Step
from jobs import PULLS, Jobs
from pods import events, said
from processes import Process, eventually
from test_drift_loop import ORDER
from test_manifests_apply import rendered

pytestmark = pytest.mark.timeout(1800)
# The addresses that the name of the headless Service stands for.
REPLICAS = [f"127.0.0.{last}" for last in (2, 3, 4)]


class Steps:
    """Runs each step's pod; what it prints is kept."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs
        self.output: dict[str, str] = {}

    def __call__(self, step: Step) -> tuple[int, str | None]:
        name = step.pod["metadata"]["name"]
        pod = self.jobs.pods.make(step.pod["spec"], NAMESPACE, name, step.command)
        done = pod.run()
        self.output[f"{step.workflow} {step.template}"] = said(done)
        decision = pod.tmp / "go"
        return done.returncode, decision.read_text() if decision.exists() else None


def asked(address: str, path: str) -> Any:
    with urllib.request.urlopen(f"http://{address}:8080{path}", timeout=20) as answer:
        return json.load(answer)


def versions() -> list[int]:
    """Which version each replica serves."""
    return [int(asked(address, "/model")["version"]) for address in REPLICAS]


def candidate(jobs: Jobs) -> bool:
    """Whether the registry has one."""
    query = "name=pr-anomaly-autoencoder&alias=candidate"
    address = f"http://127.0.0.1:{jobs.services.mlflow}/api/2.0/mlflow/registered-models/alias?{query}"
    try:
        with urllib.request.urlopen(address, timeout=20):
            return True
    except urllib.error.HTTPError:
        return False


@pytest.fixture(scope="module")
def served(jobs: Jobs, argo_apps: Path) -> Iterator[list[Process]]:
    """A champion, and three replicas that serve it."""
    # What the tests of the pipeline have trained, where they ran before.
    made = (
        ("ml-training-gate",) if candidate(jobs) else ("spark-preprocess", "ml-training", "ml-training-gate")
    )
    for stage in made:
        done = jobs.run(stage)
        assert done.returncode == 0, said(done)
    assert '"promoted"' in done.stdout, said(done)
    names = jobs.pods.names
    names["model-serving-replicas.mlops.svc.cluster.local"] = REPLICAS
    (rollout,) = [o for o in jobs.objects if o["kind"] == "Rollout"]
    replicas: list[Process] = []
    try:
        for address in REPLICAS:
            spec = rollout["spec"]["template"]["spec"]
            # Each pod would listen on all addresses of a network of its own.
            pod = jobs.pods.make(spec, "mlops", f"replica-{address}", HOST=address, TRAFFIC_FLUSH_SECONDS="1")
            replicas.append(pod.start(jobs.services.folder / "log"))
        for address, replica in zip(REPLICAS, replicas, strict=True):
            replica.wait_until(lambda address=address: ready(address), 120)
        yield replicas
    finally:
        for replica in replicas:
            replica.stop(30)


def ready(address: str) -> bool:
    try:
        return asked(address, "/ready") is not None
    except OSError:
        return False


def drifted_traffic(jobs: Jobs) -> str:
    """A replica scores pull requests of another size than those it was trained on; where it recorded them."""
    pulls = [
        pull | {"additions": 5000 + 50 * i, "deletions": 3000 + 20 * i, "changed_files": 200 + i}
        for i, pull in enumerate(jobs.services.pulls[:200])
    ]
    address = f"http://{REPLICAS[0]}:8080/predict"
    request = urllib.request.Request(
        address, json.dumps(pulls).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert len(json.load(answer)["scores"]) == len(pulls)
    eventually(lambda: jobs.services.keys("traffic/"), 60, "recorded traffic")
    (key,) = jobs.services.keys("traffic/")
    return key


def detect(jobs: Jobs, loop: Loop, argo_apps: Path) -> dict[str, Any]:
    """What the CronJob's next pod does; what it says at its end."""
    objects = {(o["kind"], o["metadata"]["name"], o["metadata"].get("namespace")): o
               for o in rendered(argo_apps / "drift")}  # fmt: skip
    jobs.cluster.apply(objects["ServiceAccount", "drift-detection", "mlops"])
    cron = objects["CronJob", "drift-detection", "mlops"]
    spec = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    env = {variable["name"]: variable["value"] for variable in spec["containers"][0]["env"]}
    webhook = urlsplit(env["DRIFT_WEBHOOK_URL"])
    # The webhook's Service listens at the manifest's port, the process behind it here at a free one.
    jobs.pods.names[str(webhook.hostname)] = ["127.0.0.1"]
    here = webhook._replace(netloc=f"{webhook.hostname}:{loop.port}").geturl()
    token = f"drift_webhook_token={loop.token}"
    jobs.vault.cli("kv", "patch", "-mount=secret", "mlops/base/drift-detection", token)
    done = jobs.pods.make(spec, "mlops", "drift-detection", DRIFT_WEBHOOK_URL=here).run()
    assert done.returncode == 0, said(done)
    assert loop.token not in done.stdout + done.stderr
    return events(done)[-1]


def retrained(loop: Loop, steps: Steps, begin: Callable[[], object]) -> tuple[str, Executor]:
    """One workflow to its end: phase and what ran. begin: what makes Argo start it."""
    executor = Executor(loop.cluster, steps)
    before = {workflow["metadata"]["name"] for workflow in loop.workflows()}
    with PodEndings(loop.cluster, executor):
        begin()
        eventually(lambda: len(loop.workflows()) > len(before), 60, "a Workflow")
        (name,) = {workflow["metadata"]["name"] for workflow in loop.workflows()} - before
        eventually(lambda: loop.status(name).get("phase") in ENDED, 900, f"the end of {name}")
    return str(loop.status(name)["phase"]), executor


def test_an_alarm_retrains_once_and_every_replica_serves_what_passed(
    loop: Loop, jobs: Jobs, served: list[Process], argo_apps: Path
) -> None:
    before, *others = versions()
    assert others == [before, before]
    jobs.services.open_pull_requests(PULLS)
    rows = drifted_traffic(jobs)
    steps = Steps(jobs)
    found: dict[str, Any] = {}
    phase, executor = retrained(loop, steps, lambda: found.update(detect(jobs, loop, argo_apps)))
    assert (found["alarm"], found["webhook"]) == (True, "called")
    assert (phase, executor.names()) == ("Succeeded", ORDER), steps.output
    assert versions() == [before + 1] * 3
    for secret in (jobs.services.secret_key, loop.token):
        assert secret not in json.dumps(steps.output)
        assert secret not in json.dumps([step.pod for step in executor.steps])
    # By hand with rows to judge first, within the cool-down.
    phase, executor = retrained(loop, steps, lambda: loop.submit(current_data_path=rows))
    assert (phase, executor.names()) == ("Succeeded", ["look", "cool-down", "report"]), steps.output
    look = steps.output[f"{executor.steps[0].workflow} look"]
    assert "Named by hand" in look and '"webhook": "not called: switched off"' in look, look
    assert versions() == [before + 1] * 3
