"""The alarm's way through real Argo Events and Argo Workflows: webhook, bus, sensor, Workflow and its steps."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from cluster import PodEndings
from drift_loop import ENDED, NAMESPACE, TEMPLATE, Executor, Loop, Step
from nats_wire import Wire
from processes import eventually, server_folder
from test_manifests_apply import rendered

pytestmark = pytest.mark.timeout(900)
YES = {"cool-down": "yes", "new-rows": "yes"}
NOTHING_NEW = {"cool-down": "yes", "new-rows": "no"}
WITHOUT_TRAINING = ["cool-down", "fetch", "new-rows", "reload", "verify"]
ORDER = ["cool-down", "fetch", "new-rows", "preprocess", "train", "gate", "reload", "verify", "report"]


def validated(
    argo_apps: Path, folder: Path, kind: str, old: str = "", new: str = ""
) -> "subprocess.CompletedProcess[str]":
    """The manifests of a kind, some text exchanged, before the projects' own validators."""
    objects = [o for o in rendered(argo_apps / "drift") if o["kind"].startswith(kind)]
    text = yaml.safe_dump_all(objects)
    assert old in text
    file = folder / "drift.yaml"
    file.write_text(text.replace(old, new) if old else text)
    lint = [server_folder("workflows") / "argo", "lint", "--offline", file]
    command = lint if kind == "WorkflowTemplate" else [server_folder("events") / "evlint", file]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("kind", ["Event", "Sensor", "WorkflowTemplate"])
def test_the_manifests_pass_the_projects_own_validators(argo_apps: Path, tmp_path: Path, kind: str) -> None:
    done = validated(argo_apps, tmp_path, kind)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("Event", "endpoint: /drift-detected", "endpoint: ''"),
        ("Sensor", "operation: create", "operation: conjure"),
        ("WorkflowTemplate", "tasks.new-rows.outputs", "tasks.new-row.outputs"),
    ],
)
def test_those_validators_refuse_a_mistake(
    argo_apps: Path, tmp_path: Path, kind: str, old: str, new: str
) -> None:
    assert validated(argo_apps, tmp_path, kind, old, new).returncode == 1


@pytest.fixture(autouse=True)
def clean(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "loop" in request.fixturenames:
        loop: Loop = request.getfixturevalue("loop")
        loop.cluster.try_kubectl("-n", NAMESPACE, "delete", "workflow", "--all", "--wait=true")


class Scenario:
    """How the steps end: exit codes one after the other, decisions, steps that go on for ever."""

    def __init__(self, decisions: dict[str, str], **codes: list[int]) -> None:
        self.decisions = decisions
        self.codes = {name.replace("_", "-"): list(left) for name, left in codes.items()}
        self.hold: set[str] = set()

    def __call__(self, step: Step) -> tuple[int, str | None] | None:
        if step.template in self.hold:
            return None
        left = self.codes.get(step.template)
        return left.pop(0) if left else 0, self.decisions.get(step.template)


def run(loop: Loop, scenario: Scenario) -> tuple[str, Executor]:
    """One alarm, followed to its end: the Workflow's phase, and what ran."""
    executor = Executor(loop.cluster, scenario)
    with PodEndings(loop.cluster, executor):
        assert loop.post({"drift_score": 0.5}, loop.token) == 200
        eventually(loop.workflows, 60, "a Workflow")
        (workflow,) = loop.workflows()
        name = workflow["metadata"]["name"]
        eventually(lambda: loop.status(name).get("phase") in ENDED, 400, f"the end of {name}")
    return str(loop.status(name)["phase"]), executor


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


def option(step: Step, name: str) -> str:
    """The value of a flag, as `--flag value` or `--flag=value`."""
    for position, part in enumerate(step.command):
        if part == name:
            return step.command[position + 1]
        if part.startswith(f"{name}="):
            return part.partition("=")[2]
    raise AssertionError(f"{step.command} has no {name}")


def failures(step: Step) -> list[dict[str, str]]:
    """{{workflow.failures}} as the exit handler gets it: JSON inside a JSON string, null where nothing failed."""
    return json.loads(json.loads(option(step, "--failures"))) or []


def filled(spelled: str, loop: Loop, step: Step) -> str:
    """A part of a command line with what the controller puts in for {{...}} in a workflow that succeeded."""
    values = {"workflow.name": step.workflow, "workflow.status": "Succeeded", "workflow.failures": '"null"'}
    parameters = loop.objects["WorkflowTemplate", TEMPLATE]["spec"]["arguments"]["parameters"]
    values |= {f"workflow.parameters.{one['name']}": one["value"] for one in parameters}
    return re.sub(r"{{(.+?)}}", lambda found: values[found[1]], spelled)


def test_an_alarm_runs_the_template_s_steps_in_order_as_it_spells_them(loop: Loop) -> None:
    phase, executor = run(loop, Scenario(YES))
    assert phase == "Succeeded"
    assert executor.names() == ORDER
    templates = loop.templates()
    for step in executor.steps:
        spelled = templates[step.template]
        container = spelled["container"]
        assert step.image == container["image"]
        assert "@sha256:" in step.image
        command = [*container["command"], *container["args"]]
        assert step.command == [filled(part, loop, step) for part in command]
        spec = step.pod["spec"]
        assert spec["serviceAccountName"] == spelled["serviceAccountName"]
        assert spec["activeDeadlineSeconds"] == spelled["activeDeadlineSeconds"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert step.pod["metadata"]["labels"]["app.kubernetes.io/name"] == spelled["serviceAccountName"]
    (workflow,) = loop.workflows()
    # Named after the event, so that a repeated delivery finds its name taken.
    assert re.fullmatch(r"drift-retrain-[0-9a-f]{20}", workflow["metadata"]["name"])
    assert workflow["spec"]["workflowTemplateRef"] == {"name": TEMPLATE}


def test_a_refused_candidate_ends_it_before_anything_is_served(loop: Loop) -> None:
    phase, executor = run(loop, Scenario(YES, gate=[5]))
    assert phase == "Failed"
    # Code 5 is not tried again, and the exit handler runs all the same.
    assert executor.names() == [*ORDER[: ORDER.index("gate") + 1], "report"]
    report = executor.steps[-1]
    assert option(report, "--status") == "Failed"
    assert any(one["templateName"] == "gate" and "exit code 5" in one["message"] for one in failures(report))


def test_a_step_worth_another_try_gets_one(loop: Loop) -> None:
    """Stopped early (4), its state saved: the next try goes on."""
    phase, executor = run(loop, Scenario(NOTHING_NEW, fetch=[4]))
    assert phase == "Succeeded"
    assert executor.names() == ["cool-down", "fetch", *WITHOUT_TRAINING[1:], "report"]


@pytest.mark.parametrize(
    ("decisions", "ran"),
    [
        ({"cool-down": "no"}, ["cool-down", "report"]),
        # Replicas that an earlier retraining did not reach are brought up to date.
        (NOTHING_NEW, [*WITHOUT_TRAINING, "report"]),
    ],
)
def test_a_no_trains_nothing_and_fails_nothing(loop: Loop, decisions: dict[str, str], ran: list[str]) -> None:
    phase, executor = run(loop, Scenario(decisions))
    assert (phase, executor.names()) == ("Succeeded", ran)


def test_the_mutex_lets_one_workflow_run_at_a_time(loop: Loop) -> None:
    """One by an alarm, one by hand: argo submit --from workflowtemplate/drift-retrain-template."""
    scenario = Scenario(NOTHING_NEW)
    scenario.hold = {"fetch"}
    executor = Executor(loop.cluster, scenario)
    with PodEndings(loop.cluster, executor):
        loop.post({"drift_score": 1.0}, loop.token)
        eventually(lambda: "cool-down" in executor.names(), 90, "the first step of the first workflow")
        first = executor.steps[0].workflow
        second = loop.submit(current_data_path="/data/rows.parquet")
        eventually(
            lambda: "lock" in loop.status(second).get("message", ""), 60, "the second one waits for the lock"
        )
        time.sleep(5)
        assert executor.names(second) == []
        assert loop.status(second)["phase"] == "Pending"
        scenario.hold = set()
        for name in (first, second):
            eventually(lambda name=name: loop.status(name).get("phase") in ENDED, 300, f"the end of {name}")
    assert loop.status(first)["finishedAt"] <= loop.status(second)["startedAt"]
    # What is named by hand is judged first.
    assert executor.names(first) == [*WITHOUT_TRAINING, "report"]
    assert executor.names(second) == ["look", *executor.names(first)]
    (look,) = [step for step in executor.steps if step.template == "look"]
    assert option(look, "--current-data-path") == "/data/rows.parquet"
    workflows = [step.workflow for step in executor.steps]
    assert workflows == sorted(workflows, key=[first, second].index)


def test_the_same_event_again_starts_nothing(loop: Loop) -> None:
    """Delivered again after the sensor was started anew, which then remembers nothing of the first time."""
    assert loop.sensor is not None
    with Wire(loop.bus, "default.>") as bus:
        assert loop.post({"drift_score": 0.9}, loop.token) == 200
        subject, event = bus.message()
        eventually(loop.workflows, 60, "a Workflow")
        (before,) = loop.workflows()
        loop.sensor.stop()
        loop.start_sensor(retry={"steps": 2, "duration": "1s"})
        try:
            bus.send(subject, event)
            said = f'workflows.argoproj.io \\"{before["metadata"]["name"]}\\" already exists'
            sensor = loop.sensor
            eventually(lambda: said in sensor.log.read_text(), 60, "the refused second Workflow")
            assert [one["metadata"]["uid"] for one in loop.workflows()] == [before["metadata"]["uid"]]
            # And the next alarm is another one.
            assert loop.post({"drift_score": 0.9}, loop.token) == 200
            eventually(lambda: len(loop.workflows()) == 2, 60, "the next alarm's Workflow")
        finally:
            loop.sensor.stop()
            loop.start_sensor()


def test_a_workflow_of_somebody_s_own_is_refused(loop: Loop) -> None:
    """templateReferencing: Strict. The steps' accounts are for the template's steps."""
    step = {"name": "own", "container": {"image": "busybox", "command": ["id"]}}
    spec = {"entrypoint": "own", "serviceAccountName": "ml-training", "templates": [step]}
    metadata = {"name": "somebody-s-own", "namespace": NAMESPACE}
    loop.cluster.apply(
        {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": metadata, "spec": spec}
    )
    eventually(lambda: loop.status("somebody-s-own").get("phase") == "Error", 60, "the refusal")
    assert "workflowTemplateRef" in loop.status("somebody-s-own")["message"]
    assert not loop.cluster.items("pod", NAMESPACE, "workflows.argoproj.io/workflow=somebody-s-own")


def test_a_sensor_that_was_down_catches_up(loop: Loop) -> None:
    assert loop.sensor is not None
    loop.sensor.stop()
    assert loop.post({"drift_score": 0.7}, loop.token) == 200
    time.sleep(2)
    assert loop.workflows() == []
    loop.start_sensor()
    eventually(loop.workflows, 90, "the Workflow of the alarm that the sensor missed")
    (workflow,) = loop.workflows()
    assert workflow["spec"]["workflowTemplateRef"] == {"name": TEMPLATE}
