"""The drift loop beside a cluster: bus, event source, sensor and workflow controller as processes."""

import base64
import json
import secrets
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from cluster import Cluster
from processes import Process, free_port, listens, server_folder
from test_manifests_apply import rendered

NAMESPACE = "argo-events"
TEMPLATE = "drift-retrain-template"
ENDED = {"Succeeded", "Failed", "Error"}
# What the sensor logs when it listens.
SUBSCRIBED = "Subscribing to subject"
# The program reads the token at this fixed path, where the Secret of the EventSource would be mounted.
TOKEN_FOLDER = Path("/argo-events/secrets/drift-webhook-token")


def encoded(value: Any) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


class Loop:
    """Everything of argo-apps/drift in namespace argo-events, with the real controllers."""

    def __init__(self, cluster: Cluster, drift: Path) -> None:
        self.cluster = cluster
        # A stage has an account in its own namespace and one here.
        here = [o for o in rendered(drift) if o["metadata"].get("namespace", NAMESPACE) == NAMESPACE]
        self.objects = {(o["kind"], o["metadata"]["name"]): o for o in here}
        self.token = secrets.token_hex(16)
        self.port, self.bus = free_port(), free_port()
        self.processes: list[Process] = []
        self.sensor: Process | None = None

    def start(self) -> None:
        self.cluster.apply_crds(server_folder("events") / "crds")
        self.cluster.apply_crds(server_folder("workflows") / "crds" / "minimal")
        order = {"ServiceAccount": 1, "Role": 2, "RoleBinding": 3}
        self.cluster.apply(*sorted(self.objects.values(), key=lambda o: order.get(o["kind"], 9)))
        self._workflow_controller()
        key, crt = self.cluster.pki / "api.key", self.cluster.pki / "api.crt"
        nats = self._run(
            "nats", server_folder("nats") / "nats-server", "-a", "127.0.0.1", "-p", str(self.bus), "-js",
            "-sd", self.cluster.folder / "nats", "--tls", "--tlscert", crt, "--tlskey", key,
        )  # fmt: skip
        nats.wait_until(lambda: listens(self.bus))
        TOKEN_FOLDER.mkdir(parents=True, exist_ok=True)
        (TOKEN_FOLDER / "token").write_text(self.token)
        source = json.loads(json.dumps(self.objects["EventSource", "drift-detection"]))
        source["spec"]["webhook"]["drift-detected"]["port"] = str(self.port)
        program = server_folder("events") / "argo-events"
        env = self._events() | {"EVENTSOURCE_OBJECT": encoded(source)}
        webhook = self._run("eventsource", program, "eventsource-service", env=env)
        webhook.wait_until(lambda: listens(self.port))
        self.start_sensor()

    def _workflow_controller(self) -> None:
        data = {
            "metricsConfig": "enabled: false\n",
            "telemetryConfig": "enabled: false\n",
            "parallelism": "20",
            # As argo-apps/README.md advises: nobody runs steps of their own with the steps' accounts.
            "workflowRestrictions": "templateReferencing: Strict\n",
        }
        metadata = {"name": "workflow-controller-configmap", "namespace": NAMESPACE}
        self.cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "data": data, "metadata": metadata})
        self._run(
            "workflow-controller", server_folder("workflows") / "workflow-controller",
            "--kubeconfig", self.cluster.kubeconfig, "-n", NAMESPACE, "--namespaced",
            "--executor-image", "registry.test/argoexec:v3.6",
            # By default a workflow is looked at again after ten seconds.
            env={"LEADER_ELECTION_DISABLE": "true", "DEFAULT_REQUEUE_TIME": "1s"},
        )  # fmt: skip

    def _events(self) -> dict[str, str]:
        stream = "maxMsgs: 1000\nmaxAge: 1h\nmaxBytes: -1\nreplicas: 1\nduplicates: 300s\n"
        bus = {"jetstream": {"url": f"nats://127.0.0.1:{self.bus}", "streamConfig": stream}}
        return {
            "POD_NAME": "local-0",
            "NAMESPACE": NAMESPACE,
            "EVENTBUS_SUBJECT": "eventbus-argo-events",
            "EVENTBUS_CONFIG": encoded(bus),
            "KUBECONFIG": str(self.cluster.kubeconfig),
        }

    def start_sensor(self, retry: dict[str, Any] | None = None) -> None:
        """As the sensor's own ServiceAccount, which may create Workflows and nothing else.

        retry: another retryStrategy than the manifest's, which goes on for minutes.
        """
        config = yaml.safe_load(self.cluster.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": self.cluster.service_account_token("drift-sensor", NAMESPACE)}
        file = self.cluster.folder / "sensor.kubeconfig"
        file.write_text(yaml.safe_dump(config))
        sensor = json.loads(json.dumps(self.objects["Sensor", "drift-detection-sensor"]))
        if retry is not None:
            sensor["spec"]["triggers"][0]["retryStrategy"] = retry
        env = self._events() | {"SENSOR_OBJECT": encoded(sensor), "KUBECONFIG": str(file)}
        program = server_folder("events") / "argo-events"
        self.sensor = self._run("sensor", program, "sensor-service", env=env)
        # The first subscription sees only what comes after it; every later one goes on where the last one was.
        seen = self._subscriptions()
        self.sensor.wait_until(lambda: self._subscriptions() > seen)

    def _subscriptions(self) -> int:
        assert self.sensor is not None
        return self.sensor.log.read_text().count(SUBSCRIBED)

    def _run(self, name: str, *command: str | Path, env: dict[str, str] | None = None) -> Process:
        process = Process(name, command, self.cluster.logs, env=env, cwd=self.cluster.folder)
        self.processes.append(process)
        return process

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.stop()
        (TOKEN_FOLDER / "token").unlink(missing_ok=True)

    def post(self, body: Any, token: str | None) -> int:
        """POST /drift-detected; the status."""
        headers = {"Content-Type": "application/json"}
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        address = f"http://127.0.0.1:{self.port}/drift-detected"
        request = urllib.request.Request(address, json.dumps(body).encode(), headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                status: int = answer.status
                return status
        except urllib.error.HTTPError as error:
            return error.code

    def submit(self, **parameters: str) -> str:
        """What a person does: argo submit --from workflowtemplate/...; the Workflow's name."""
        extra = [
            part for name, value in parameters.items() for part in ("-p", f"{name.replace('_', '-')}={value}")
        ]
        done = subprocess.run(
            [server_folder("workflows") / "argo", "--kubeconfig", self.cluster.kubeconfig, "-n", NAMESPACE,
             "submit", "--from", f"workflowtemplate/{TEMPLATE}", "-o", "name", *extra],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip().rsplit("/", 1)[-1]

    def workflows(self) -> list[dict[str, Any]]:
        return self.cluster.items("workflow", NAMESPACE)

    def status(self, name: str) -> dict[str, Any]:
        status: dict[str, Any] = self.cluster.get("workflow", name, NAMESPACE).get("status", {})
        return status

    def templates(self) -> dict[str, dict[str, Any]]:
        """The templates with a container, by name, as the manifests spell them."""
        spec = self.objects["WorkflowTemplate", TEMPLATE]["spec"]
        return {template["name"]: template for template in spec["templates"] if "container" in template}


@dataclass(frozen=True)
class Step:
    """One pod of a Workflow, as the controller made it."""

    template: str
    workflow: str
    image: str
    # What the executor starts: command and arguments with every {{parameter}} filled in.
    command: list[str]
    pod: dict[str, Any] = field(repr=False)

    @classmethod
    def of(cls, pod: dict[str, Any]) -> "Step":
        (main,) = [c for c in pod["spec"]["containers"] if c["name"] == "main"]
        init = pod["spec"]["initContainers"][0]["env"]
        template = next(variable["value"] for variable in init if variable["name"] == "ARGO_TEMPLATE")
        # argoexec emissary OPTIONS -- COMMAND...
        started = main["command"][main["command"].index("--") + 1 :] + main.get("args", [])
        workflow = pod["metadata"]["labels"]["workflows.argoproj.io/workflow"]
        return cls(json.loads(template)["name"], workflow, main["image"], started, pod)


class Executor:
    """Ends each step's pod and reports its outputs, as Argo's executor would: the outcome that PodEndings asks for.

    run(step) gives exit code and the decision of steps that write one; None lets the pod run on.
    """

    def __init__(self, cluster: Cluster, run: Callable[[Step], tuple[int, str | None] | None]) -> None:
        self.steps: list[Step] = []
        self._cluster = cluster
        self._run = run

    def __call__(self, pod: dict[str, Any]) -> int | None:
        step = Step.of(pod)
        outcome = self._run(step)
        if outcome is None:
            return None
        code, decision = outcome
        self.steps.append(step)
        result: dict[str, Any] = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "WorkflowTaskResult",
            "metadata": {
                "name": pod["metadata"]["annotations"]["workflows.argoproj.io/node-id"],
                "namespace": NAMESPACE,
                "labels": {
                    "workflows.argoproj.io/workflow": step.workflow,
                    "workflows.argoproj.io/report-outputs-completed": "true",
                },
            },
        }
        if decision is not None:
            parameter = {"name": "go", "value": decision, "valueFrom": {"path": "/tmp/go"}}
            result["outputs"] = {"parameters": [parameter]}
        self._cluster.apply(result)
        return code

    def names(self, workflow: str | None = None) -> list[str]:
        """Templates of the pods that ended, in order."""
        return [step.template for step in self.steps if workflow in (None, step.workflow)]
