"""The alarm's way through real Argo Events: webhook, bus, sensor, Workflow object."""

import base64
import json
import secrets
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster import Cluster
from processes import Process, eventually, free_port, listens, server_folder
from test_manifests_apply import rendered

pytestmark = pytest.mark.timeout(900)
NAMESPACE = "argo-events"


def test_the_manifests_pass_the_projects_own_validators(argo_apps: Path, tmp_path: Path) -> None:
    file = tmp_path / "drift.yaml"
    objects = rendered(argo_apps / "drift")
    file.write_text(yaml.safe_dump_all(objects))
    evlint = server_folder("events") / "evlint"
    done = subprocess.run([evlint, file], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "3 valid\n"), done.stderr


class Loop:
    """Bus, event source and sensor as processes beside the cluster."""

    def __init__(self, cluster: Cluster, drift: Path) -> None:
        self.cluster = cluster
        self.objects = {(o["kind"], o["metadata"]["name"]): o for o in rendered(drift)}
        self.token = secrets.token_hex(16)
        self.port, self.bus = free_port(), free_port()
        self.processes: list[Process] = []
        self.sensor: Process | None = None

    def start(self) -> None:
        cluster = self.cluster
        cluster.apply_crds(server_folder("events") / "crds")
        cluster.apply_crds(server_folder("schemas") / "workflows-crds")
        order = {"Namespace": 0, "ServiceAccount": 1, "Role": 2, "RoleBinding": 3}
        apply = [o for o in self.objects.values() if o["metadata"].get("namespace", NAMESPACE) == NAMESPACE]
        cluster.apply(*sorted(apply, key=lambda o: order.get(o["kind"], 9)))
        folder = cluster.folder / "nats"
        key, crt = cluster.pki / "api.key", cluster.pki / "api.crt"
        nats = self._run(
            "nats", server_folder("nats") / "nats-server", "-a", "127.0.0.1", "-p", str(self.bus), "-js",
            "-sd", folder, "--tls", "--tlscert", crt, "--tlskey", key,
        )  # fmt: skip
        nats.wait_until(lambda: listens(self.bus))
        # The path is fixed in the program: /argo-events/secrets/NAME/KEY, where the Secret would be mounted.
        secret = Path("/argo-events/secrets/drift-webhook-token")
        secret.mkdir(parents=True, exist_ok=True)
        (secret / "token").write_text(self.token)
        source = json.loads(json.dumps(self.objects["EventSource", "drift-detection"]))
        source["spec"]["webhook"]["drift-detected"]["port"] = str(self.port)
        program = server_folder("events") / "argo-events"
        env = self._env() | {"EVENTSOURCE_OBJECT": encoded(source)}
        self._run("eventsource", program, "eventsource-service", env=env).wait_until(
            lambda: listens(self.port)
        )
        self.start_sensor()

    def _env(self) -> dict[str, str]:
        stream = "maxMsgs: 1000\nmaxAge: 1h\nmaxBytes: -1\nreplicas: 1\nduplicates: 300s\n"
        bus = {"jetstream": {"url": f"nats://127.0.0.1:{self.bus}", "streamConfig": stream}}
        return {
            "POD_NAME": "local-0",
            "NAMESPACE": NAMESPACE,
            "EVENTBUS_SUBJECT": "eventbus-argo-events",
            "EVENTBUS_CONFIG": encoded(bus),
            "KUBECONFIG": str(self.cluster.kubeconfig),
        }

    def start_sensor(self) -> None:
        """As the sensor's own ServiceAccount, which may create Workflows and nothing else."""
        token = self.cluster.service_account_token("drift-sensor", NAMESPACE)
        config = yaml.safe_load(self.cluster.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": token}
        file = self.cluster.folder / "sensor.kubeconfig"
        file.write_text(yaml.safe_dump(config))
        env = self._env() | {
            "SENSOR_OBJECT": encoded(self.objects["Sensor", "drift-detection-sensor"]),
            "KUBECONFIG": str(file),
        }
        program = server_folder("events") / "argo-events"
        self.sensor = self._run("sensor", program, "sensor-service", env=env)

    def _run(self, name: str, *command: Any, env: dict[str, str] | None = None) -> Process:
        process = Process(
            name, [str(p) for p in command], self.cluster.logs, env=env, cwd=self.cluster.folder
        )
        self.processes.append(process)
        return process

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.stop()

    def post(self, body: Any, token: str | None) -> int:
        """POST /drift-detected; the status."""
        headers = {"Content-Type": "application/json"} | (
            {"Authorization": f"Bearer {token}"} if token else {}
        )
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/drift-detected", json.dumps(body).encode(), headers, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                status: int = answer.status
                return status
        except urllib.error.HTTPError as error:
            return error.code

    def workflows(self) -> list[dict[str, Any]]:
        return self.cluster.items("workflow", NAMESPACE)


def encoded(value: Any) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


@pytest.fixture(scope="module")
def loop(cluster: Cluster, argo_apps: Path) -> Iterator[Loop]:
    made = Loop(cluster, argo_apps / "drift")
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(autouse=True)
def clean(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "loop" in request.fixturenames:
        loop: Loop = request.getfixturevalue("loop")
        loop.cluster.try_kubectl("-n", NAMESPACE, "delete", "workflow", "--all", "--wait=true")


@pytest.mark.parametrize(("token", "status"), [(None, 401), ("wrong", 401)])
def test_without_the_right_token_nothing_starts(loop: Loop, token: str | None, status: int) -> None:
    assert loop.post({"drift_score": 1.0}, token) == status
    time.sleep(3)
    assert loop.workflows() == []


def test_a_score_below_the_alarm_starts_nothing(loop: Loop) -> None:
    assert loop.post({"drift_score": 0.29}, loop.token) == 200
    assert loop.post({"other": 1}, loop.token) == 200
    time.sleep(3)
    assert loop.workflows() == []


def test_an_alarm_makes_one_workflow_from_the_template(loop: Loop) -> None:
    assert loop.post({"drift_score": 0.5}, loop.token) == 200
    eventually(loop.workflows, 60, "a Workflow")
    time.sleep(3)
    (workflow,) = loop.workflows()
    assert workflow["metadata"]["name"].startswith("drift-retrain-")
    assert len(workflow["metadata"]["name"]) > len("drift-retrain-")  # the event's id
    assert workflow["spec"]["workflowTemplateRef"] == {"name": "drift-retrain-template"}


def test_a_sensor_that_was_down_catches_up(loop: Loop) -> None:
    assert loop.sensor is not None
    loop.sensor.stop()
    assert loop.post({"drift_score": 0.7}, loop.token) == 200
    time.sleep(2)
    assert loop.workflows() == []
    loop.start_sensor()
    eventually(loop.workflows, 90, "the Workflow of the alarm that the sensor missed")
