"""The workflows without GitHub: how their parts are wired, which jobs each event runs, and what their steps do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

Workflow = dict[str, Any]
ROOT = Path(__file__).resolve().parent.parent.parent
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
STAGE_WORKFLOWS = ("data-fetch", "spark-preprocess", "ml-training", "model-serving", "drift-detection")


def load(name: str) -> Workflow:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text())
    # YAML 1.1 reads the key `on` as true.
    workflow["on"] = workflow.pop(True)
    assert isinstance(workflow, dict)
    return workflow


def steps(workflow: Workflow) -> list[tuple[str, dict[str, Any]]]:
    return [(name, step) for name, job in workflow["jobs"].items() for step in job.get("steps", [])]


def sets_output(step: dict[str, Any], output: str) -> bool:
    """Whether a step writes this output: itself, or by a script of ours that it calls."""
    texts = [step.get("run", "")]
    texts += [(ROOT / path).read_text() for path in re.findall(r"\.github/scripts/[\w-]+\.sh", texts[0])]
    return any(re.search(rf'"{output}=.*GITHUB_OUTPUT', text) for text in texts)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_output_that_is_used_is_set_by_somebody(file: Path) -> None:
    """The classic fault: needs.X.outputs.Y is empty for ever, and no linter says so for a step that runs a script."""
    workflow = load(file.stem)
    for name, job in workflow["jobs"].items():
        text, needs = yaml.safe_dump(job), job.get("needs", [])
        for other, output in re.findall(r"needs\.([\w-]+)\.outputs\.([\w-]+)", text):
            assert other in ([needs] if isinstance(needs, str) else needs), f"{name} does not need {other}"
            assert output in workflow["jobs"][other].get("outputs", {}), f"{other} has no output {output}"
        for step_id, output in re.findall(r"steps\.([\w-]+)\.outputs\.([\w-]+)", text):
            (step,) = [step for step in job["steps"] if step.get("id") == step_id]
            assert sets_output(step, output), f"{name}: step {step_id} never writes {output}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_script_and_make_target_that_a_step_calls_is_there(file: Path) -> None:
    targets = set(re.findall(r"^([\w$().:%-]+(?: [\w-]+)*):", (ROOT / "Makefile").read_text(), re.M))
    known = {word for line in targets for word in line.split()}
    for name, step in steps(load(file.stem)):
        run = step.get("run", "")
        for path in re.findall(r"(?:\.github|argo-apps|tests)/[\w/.-]+\.(?:sh|py)", run):
            assert os.access(ROOT / path, os.X_OK), f"{name}: {path}"
        for target in re.findall(r"\bmake ([a-z][\w-]*)", run):
            assert target in known, f"{name}: make {target}"


@pytest.mark.parametrize("name", STAGE_WORKFLOWS)
def test_a_stage_s_workflow_grants_what_the_jobs_behind_it_ask_for(name: str) -> None:
    """A called workflow gets at most its caller's permissions, and GitHub refuses the whole run otherwise."""
    called = load("_stage")
    asked = {
        (key, level) for job in called["jobs"].values() for key, level in job.get("permissions", {}).items()
    }
    for job in load(name)["jobs"].values():
        granted = job["permissions"]
        for key, level in asked:
            assert granted.get(key) in {level, "write"}, f"{key}: {level}"
        declared = called["on"]["workflow_call"]
        assert set(job["with"]) <= set(declared["inputs"])
        assert set(job["secrets"]) == set(declared["secrets"])
        needed = {key for key, one in declared["inputs"].items() if one.get("required")}
        assert needed <= set(job["with"])
        assert (ROOT / job["with"]["stage"] / "Dockerfile").exists()


def test_every_image_is_built_by_one_workflow_and_does_its_work_there() -> None:
    jobs = [job["with"] for name in STAGE_WORKFLOWS for job in load(name)["jobs"].values()]
    built = sorted(job["stage"] for job in jobs)
    assert built == sorted(file.parent.name for file in ROOT.glob("*/Dockerfile"))
    script = (ROOT / ".github" / "scripts" / "system-test-image.sh").read_text()
    for job in jobs:
        # The load test's image works in the load test of the service.
        assert job.get("system_test", False) is (job["stage"] != "perf"), job["stage"]
        assert job["stage"] == "perf" or job["stage"] in script
        assert job.get("tests") == f"test-{job['stage']}"
    assert [job["stage"] for job in jobs if job.get("load_test")] == ["model_serving"]


class Run:
    """Which jobs of a workflow an event runs: conditions as GitHub reads them, every job that runs ends well."""

    def __init__(self, workflow: Workflow, event: str, ref: str, *, changed: bool) -> None:
        self.values = {
            "github.event_name": event,
            "github.ref": ref,
            "needs.changed.outputs.build": str(changed).lower(),
        }
        self.results: dict[str, str] = {}
        left = dict(workflow["jobs"])
        while left:
            name = next(n for n, job in left.items() if set(self.needs(job)) <= set(self.results))
            self.results[name] = "success" if self.runs(left.pop(name)) else "skipped"

    @staticmethod
    def needs(job: dict[str, Any]) -> list[str]:
        needs = job.get("needs", [])
        return [needs] if isinstance(needs, str) else needs

    def runs(self, job: dict[str, Any]) -> bool:
        condition = job.get("if", "(True)")
        if condition == "always()":
            return True
        # Without a status function in it a condition means success() && (condition).
        if any(self.results[name] != "success" for name in self.needs(job)):
            return False
        translated = condition.replace("&&", " and ").replace("||", " or ")
        for name, value in self.values.items():
            translated = translated.replace(name, repr(value))
        assert re.fullmatch(r"(?:'[^']*'|and|or|True|==|!=|[() ])*", translated), condition
        return bool(eval(translated))  # noqa: S307 - our own file, checked above

    def ran(self) -> set[str]:
        return {name for name, result in self.results.items() if result == "success"}


STAGING, MAIN, PULL = "refs/heads/staging", "refs/heads/main", "refs/pull/7/merge"


@pytest.mark.parametrize(
    ("event", "ref", "changed", "jobs"),
    [
        ("pull_request", PULL, True, {"changed", "test", "image", "result"}),
        ("pull_request", PULL, False, {"changed", "result"}),
        ("push", STAGING, True, {"changed", "test", "image", "publish", "result"}),
        ("push", STAGING, False, {"changed", "result"}),
        # By hand: the first images of a fork, whose history GitHub never saw pushed.
        ("workflow_dispatch", STAGING, True, {"changed", "test", "image", "publish", "result"}),
        ("workflow_dispatch", "refs/heads/feature", True, {"changed", "test", "image", "result"}),
        # Nothing is built or pushed on main.
        ("push", MAIN, True, {"changed", "promoted", "result"}),
        ("push", MAIN, False, {"changed", "promoted", "result"}),
    ],
)
def test_which_jobs_an_event_runs(event: str, ref: str, changed: bool, jobs: set[str]) -> None:
    run = Run(load("_stage"), event, ref, changed=changed)
    assert run.ran() == jobs
    # What the last job says of it: a skipped job is no failure.
    assert told(" ".join(run.results[name] for name in load("_stage")["jobs"]["result"]["needs"])) == 0


@pytest.mark.parametrize("bad", ["failure", "cancelled"])
def test_the_required_check_fails_with_any_job(bad: str) -> None:
    assert told(f"success success {bad} skipped skipped") != 0


def told(results: str) -> int:
    """Run the step of the job `result`."""
    (step,) = load("_stage")["jobs"]["result"]["steps"]
    return step_of(step, RESULTS=results).returncode


def step_of(step: dict[str, Any], cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """A step's `run` as GitHub starts it, with the environment that it names and no other."""
    named = set(step.get("env", {})) | {"STAGE", "GITHUB_OUTPUT", "GITHUB_SHA", "RUNNER_TEMP"}
    assert set(environment) <= named, f"the step does not get {set(environment) - named}"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=cwd, capture_output=True, text=True, env={"PATH": path, "HOME": str(cwd), **environment},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("base", "expected"), [("HEAD", "false"), ("", "true"), ("0" * 40, "true")], ids=["same", "none", "zeros"]
)
def test_the_step_that_looks_for_changes_writes_its_output(tmp_path: Path, base: str, expected: str) -> None:
    (step,) = [step for step in load("_stage")["jobs"]["changed"]["steps"] if step.get("id") == "changed"]
    output = tmp_path / "output"
    done = step_of(step, STAGE="data_fetch", BASE=base, HEAD="HEAD", GITHUB_OUTPUT=str(output))
    assert done.returncode == 0, done.stderr
    assert output.read_text() == f"build={expected}\n"


def test_the_step_that_looks_for_changes_fails_with_its_script(tmp_path: Path) -> None:
    """A made-up stage ends the script with 1. A step that went on with `build=` would skip every test, all green."""
    (step,) = [step for step in load("_stage")["jobs"]["changed"]["steps"] if step.get("id") == "changed"]
    output = tmp_path / "output"
    done = step_of(step, STAGE="no_such_stage", BASE="HEAD", HEAD="HEAD", GITHUB_OUTPUT=str(output))
    assert done.returncode != 0 and "no stage no_such_stage" in done.stderr
    assert not output.exists()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_secrets_come_from_an_environment_with_branches_of_its_own(file: Path) -> None:
    """A repository's own secrets can be read by whoever may push a branch; GitHub's token is no such secret."""
    workflow = load(file.stem)
    for name, job in workflow["jobs"].items():
        read = set(re.findall(r"secrets\.(\w+)", yaml.safe_dump(job))) - {"GITHUB_TOKEN"}
        if "uses" in job:
            # Named alike, or the called job would not find its environment's.
            assert job.get("secrets", {}) == {one: f"${{{{ secrets.{one} }}}}" for one in read}, name
        elif read:
            assert job.get("environment") in {"staging", "production"}, name
            declared = set(workflow["on"].get("workflow_call", {}).get("secrets", read))
            assert read <= declared and all(one == one.upper() for one in declared), name


def test_the_step_that_promotes_passes_one_commit_or_none(tmp_path: Path) -> None:
    """The commit is a person's input: as one word, never as text of the command."""
    scripts = tmp_path / "argo-apps" / "scripts"
    scripts.mkdir(parents=True)
    (scripts / "promote.sh").write_text('#!/bin/sh\nprintf "%s|" "$#" "$@"\n')
    (scripts / "promote.sh").chmod(0o755)
    (step,) = [s for _, s in steps(load("promote")) if "promote.sh" in s.get("run", "")]
    assert step_of(step, tmp_path, COMMIT="").stdout == "0|"
    assert step_of(step, tmp_path, COMMIT="abc; touch x").stdout == "1|abc; touch x|"
    assert not (tmp_path / "x").exists()


def test_every_step_that_asks_the_remote_has_credentials_for_it() -> None:
    """In a private repository a fetch without them fails."""
    for file in FILES:
        for name, job in load(file.stem)["jobs"].items():
            runs = " ".join(step.get("run", "") for step in job.get("steps", []))
            if not re.search(r"guard\.sh|promote\.sh|release-image\.sh", runs):
                continue
            (checkout,) = [s for s in job["steps"] if s.get("uses", "").startswith("actions/checkout@")]
            assert checkout.get("with", {}).get("persist-credentials", True) is True, f"{file.stem}: {name}"
            assert checkout["with"]["fetch-depth"] == 0, f"{file.stem}: {name}"


def test_no_push_of_a_workflow_starts_a_build_of_its_own() -> None:
    """With the deploy key they start workflows: tags none, the commit of a digest one that finds nothing to build."""
    for name in STAGE_WORKFLOWS:
        push = load(name)["on"]["push"]
        assert push == {"branches": ["staging", "main"]}, name


def test_shell_in_workflows_is_looked_at_by_shellcheck() -> None:
    """actionlint leaves shellcheck out without a word where it finds none."""
    script = (ROOT / ".github" / "scripts" / "lint-delivery.sh").read_text()
    assert '/actionlint" -shellcheck "$(command -v shellcheck)"' in script
