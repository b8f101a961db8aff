"""The retraining workflow without a cluster: what the manifest says is what runs."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
from local_setup.drift_loop import template as module
from local_setup.drift_loop.template import Task, Template, UnknownSpelling, filled, is_wanted, may_run
from local_setup.drift_loop.webhook import listening
from local_setup.drift_loop.workflow import Outcome, Workflow
from local_setup.runner import processes

ORDER = ["cool-down", "fetch", "new-rows", "preprocess", "train", "gate", "reload", "verify"]
# Stands for every stage: notes its command line, answers, and ends with the codes that it is given in turn.
STAGE = """
import json, os, pathlib, sys
here = pathlib.Path(os.environ["STAGES"])
stage = pathlib.Path(__file__).stem
with (here / "calls.jsonl").open("a") as calls:
    calls.write(json.dumps([stage, *sys.argv[1:]]) + "\\n")
step = sys.argv[1] if len(sys.argv) > 1 and not sys.argv[1].startswith("-") else stage
if "--decision-file" in sys.argv:
    answer = json.loads((here / "answers.json").read_text())[step]
    pathlib.Path(sys.argv[sys.argv.index("--decision-file") + 1]).write_text(answer)
codes = json.loads((here / "codes.json").read_text())
code = codes.get(step, [0]).pop(0)
if not codes.get(step):
    codes.pop(step, None)
(here / "codes.json").write_text(json.dumps(codes))
sys.exit(code)
"""


@pytest.fixture(scope="module")
def template() -> Template:
    return Template.read()


def test_the_manifest_as_it_is(template: Template) -> None:
    assert [task.name for task in template.tasks] == ["look", *ORDER]
    assert template.on_exit == "report"
    assert template.tries == 3 and template.never_again == {2, 3, 5}
    assert template.steps["cool-down"].answers and template.steps["new-rows"].answers
    assert not template.steps["gate"].answers
    assert template.steps["fetch"].stage == "data_fetch"
    assert not [name for step in template.steps.values() for name in step.environ if "VAULT" in name]


def test_values_are_filled_in_and_none_is_guessed() -> None:
    assert filled("a {{x}} {{ y.z }}", {"x": "1", "y.z": "2"}) == "a 1 2"
    with pytest.raises(UnknownSpelling, match="nobody"):
        filled("{{nobody}}", {})


@pytest.mark.parametrize(
    ("depends", "statuses", "runs"),
    [
        ("", {}, True),
        ("a", {"a": "Succeeded"}, True),
        ("a", {"a": "Skipped"}, True),
        ("a", {"a": "Failed"}, False),
        ("a", {"a": "Omitted"}, False),
        ("a.Succeeded", {"a": "Skipped"}, False),
        ("a.Succeeded || a.Skipped", {"a": "Skipped"}, True),
        ("a && b", {"a": "Succeeded", "b": "Failed"}, False),
        ("a.Succeeded || b.Succeeded && b.Skipped", {"a": "Succeeded", "b": "Failed"}, True),
        ("(a.Succeeded || b.Succeeded) && b.Skipped", {"a": "Succeeded", "b": "Failed"}, False),
        (
            "a.Succeeded || (b.Succeeded && c.Skipped)",
            {"a": "Omitted", "b": "Succeeded", "c": "Skipped"},
            True,
        ),
        (
            "a.Succeeded || (b.Succeeded && c.Skipped)",
            {"a": "Omitted", "b": "Omitted", "c": "Omitted"},
            False,
        ),
    ],
)
def test_what_a_task_depends_on(depends: str, statuses: dict[str, str], runs: bool) -> None:
    assert may_run(Task("t", "t", depends, ""), statuses) is runs


@pytest.mark.parametrize("depends", ["b", "(a", "a)", "a ||", "a !b", "&& a", "a a"])
def test_what_it_cannot_depend_on(depends: str) -> None:
    with pytest.raises(UnknownSpelling, match="t"):
        may_run(Task("t", "t", depends, ""), {"a": "Succeeded"})


def test_conditions() -> None:
    assert is_wanted(Task("t", "t", "", "'{{a}}' == 'yes'"), {"a": "yes"})
    assert not is_wanted(Task("t", "t", "", "'{{a}}' == 'yes'"), {"a": "no"})
    assert is_wanted(Task("t", "t", "", "'{{a}}' != ''"), {"a": "x"})
    with pytest.raises(UnknownSpelling):
        is_wanted(Task("t", "t", "", "{{a}} > 3"), {"a": "4"})


class Place:
    """Stages that note how they were called."""

    def __init__(self, folder: Path, template: Template) -> None:
        self.folder = folder
        for stage in {step.stage for step in template.steps.values()}:
            (folder / f"{stage}.py").write_text(STAGE)
        self.template = template
        self.codes({})
        self.answers({"cool-down": "yes", "new-rows": "yes"})

    def codes(self, codes: dict[str, list[int]]) -> None:
        (self.folder / "codes.json").write_text(json.dumps(codes))

    def answers(self, answers: dict[str, str]) -> None:
        (self.folder / "answers.json").write_text(json.dumps(answers))

    def run(self, name: str = "w1", **parameters: str) -> Outcome:
        environ = {"PYTHONPATH": str(self.folder), "STAGES": str(self.folder)}
        hosts = {"model-serving-replicas.mlops.svc.cluster.local:8080": "127.0.0.1:8123"}
        return Workflow(self.template, environ, hosts, self.folder / "workflows").run(name, **parameters)

    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.folder / "calls.jsonl").read_text().splitlines()]


@pytest.fixture
def place(tmp_path: Path, template: Template, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(processes, "stage_python", lambda stage: Path(sys.executable))
    return Place(tmp_path, template)


def test_every_step_is_called_as_the_manifest_spells_it(place: Place, template: Template) -> None:
    outcome = place.run()
    assert (outcome.status, outcome.ran) == ("Succeeded", ORDER)
    calls = place.calls()
    assert len(calls) == len(ORDER) + 1
    for call, name in zip(calls, [*ORDER, "report"], strict=True):
        step = template.steps[name]
        assert call[0] == step.stage
        for spelled, found in zip(step.arguments, call[1:], strict=True):
            if "{{" not in spelled and not spelled.startswith("/tmp") and ":8080" not in spelled:
                assert found == spelled
    flat = [part for call in calls for part in call]
    assert not [part for part in flat if part.startswith("/tmp/go") or "{{" in part or "svc.cluster" in part]
    assert calls[0][1:3] == ["cool-down", "--workflow"] and calls[0][3] == "w1"
    assert ["drift_detection", "verify", "--replicas", "127.0.0.1:8123"] in calls
    assert calls[-1][1:] == ["report", "--workflow", "w1", "--status", "Succeeded", "--failures", "[]"]


@pytest.mark.parametrize(
    ("answers", "ran"),
    [
        ({"cool-down": "no", "new-rows": "yes"}, ["cool-down"]),
        ({"cool-down": "yes", "new-rows": "no"}, ["cool-down", "fetch", "new-rows", "reload", "verify"]),
    ],
)
def test_a_no_trains_nothing_and_fails_nothing(place: Place, answers: dict[str, str], ran: list[str]) -> None:
    place.answers(answers)
    outcome = place.run()
    assert (outcome.status, outcome.ran) == ("Succeeded", ran)


@pytest.mark.parametrize("step", ["fetch", "preprocess", "train", "gate", "reload", "verify"])
def test_after_a_failure_nothing_follows_but_the_report(place: Place, step: str) -> None:
    name = {"fetch": "data_fetch", "preprocess": "spark_preprocess"}.get(step, step)
    place.codes({name: [5] * 9})
    outcome = place.run()
    assert outcome.status == "Failed"
    assert outcome.ran == ORDER[: ORDER.index(step) + 1]
    assert outcome.codes[step] == 5
    report = place.calls()[-1]
    assert report[report.index("--status") + 1] == "Failed"
    (failure,) = json.loads(report[report.index("--failures") + 1])
    assert failure["templateName"] == step and "exit code 5" in failure["message"]


@pytest.mark.parametrize(
    ("codes", "tries", "status"), [([1, 4], 3, "Succeeded"), ([1] * 9, 3, "Failed"), ([3], 1, "Failed")]
)
def test_what_is_worth_another_try_gets_one(place: Place, codes: list[int], tries: int, status: str) -> None:
    place.codes({"train": codes})
    assert place.run().status == status
    assert [call[1] for call in place.calls() if call[0] == "ml_training"].count("train") == tries


def test_what_is_named_by_hand_is_judged_first(place: Place) -> None:
    outcome = place.run(current_data_path="rows.parquet")
    assert outcome.ran == ["look", *ORDER]
    assert "--current-data-path=rows.parquet" in place.calls()[0]
    assert "--model-dir=" in place.calls()[0]


def test_an_unknown_spelling_is_said(tmp_path: Path) -> None:
    text = (module.project_root() / module.FILE).read_text("utf-8")
    file = tmp_path / "template.yaml"
    file.write_text(text.replace("command: [python, -m, data_fetch]", "command: [sh, -c, data_fetch]"))
    with pytest.raises(UnknownSpelling, match="fetch"):
        Template.read(file)


@pytest.mark.parametrize(
    ("token", "body", "status", "alarms"),
    [
        ("right", {"drift_score": 0.5}, 200, 1),
        ("right", {"drift_score": 0.29}, 200, 0),
        ("wrong", {"drift_score": 1.0}, 401, 0),
        (None, {"drift_score": 1.0}, 401, 0),
        ("right", {"other": 1}, 400, 0),
        ("right", [], 400, 0),
    ],
)
def test_the_webhook(token: str | None, body: Any, status: int, alarms: int) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with listening("right") as webhook:
        answer = requests.post(webhook.url, json=body, headers=headers, timeout=10)
        assert (answer.status_code, webhook.alarms.qsize()) == (status, alarms)
