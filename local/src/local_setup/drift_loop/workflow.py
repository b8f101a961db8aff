"""Runs the retraining workflow on this machine, step by step, as Argo Workflows would: order, conditions, retries,
exit handler. Each step is the stage's process with the command line of the manifest.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local_setup.drift_loop.template import Step, Template, filled, is_wanted, may_run
from local_setup.runner import processes

# Where a pod has its own /tmp.
POD_TMP = "/tmp"  # noqa: S108 - the path in the manifest, replaced by a folder of the workflow's
Started = Callable[[str, subprocess.Popen[bytes]], None]
Ended = Callable[[str, int], None]


@dataclass
class Outcome:
    """status: Succeeded or Failed; statuses and codes by task; answers of the steps that decide."""

    name: str
    status: str = "Succeeded"
    statuses: dict[str, str] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)

    @property
    def ran(self) -> list[str]:
        """Tasks that a process was started for."""
        return list(self.codes)


@dataclass(frozen=True)
class Workflow:
    """environ: settings of all steps; hosts: what stands for a name of the cluster; folder: /tmp and logs.

    started and ended are told of each process of a step.
    """

    template: Template
    environ: Mapping[str, str]
    hosts: Mapping[str, str]
    folder: Path
    started: Started = lambda step, process: None
    ended: Ended = lambda step, code: None

    def only(self, name: str, *steps: str) -> Outcome:
        """Single steps in this order, as a release's Jobs run them; raises StageFailed at the first that fails."""
        outcome = Outcome(name)
        for step in steps:
            self._task(step, self.template.steps[step], self._values(name, {}), outcome)
            if outcome.codes[step]:
                raise processes.StageFailed(step, outcome.codes[step])
        return outcome

    def run(self, name: str, **parameters: str) -> Outcome:
        """All tasks in order, then the exit handler, whatever happened."""
        outcome = Outcome(name)
        values = self._values(name, parameters)
        for task in self.template.tasks:
            if not may_run(task, outcome.statuses):
                outcome.statuses[task.name] = "Omitted"
            elif not is_wanted(task, values):
                outcome.statuses[task.name] = "Skipped"
            else:
                self._task(task.name, self.template.steps[task.template], values, outcome)
        failed = [
            {
                "displayName": step,
                "templateName": step,
                "phase": "Failed",
                "message": f"Error (exit code {code})",
            }
            for step, code in outcome.codes.items()
            if code
        ]
        outcome.status = "Failed" if failed else "Succeeded"
        values |= {"workflow.status": outcome.status, "workflow.failures": json.dumps(failed)}
        self._process(name, self.template.steps[self.template.on_exit], values)
        return outcome

    def _values(self, name: str, parameters: Mapping[str, str]) -> dict[str, str]:
        given = {key.replace("_", "-"): value for key, value in parameters.items()}
        filled_in = {**self.template.parameters, **given}
        values = {f"workflow.parameters.{key}": value for key, value in filled_in.items()}
        return {**values, "workflow.name": name}

    def _task(self, task: str, step: Step, values: dict[str, str], outcome: Outcome) -> None:
        for _ in range(self.template.tries):
            code = self._process(outcome.name, step, values)
            if code == 0 or code in self.template.never_again:
                break
        outcome.codes[task] = code
        outcome.statuses[task] = "Succeeded" if code == 0 else "Failed"
        if step.answers and code == 0:
            answer = (self._tmp(outcome.name, step) / "go").read_text("utf-8")
            outcome.answers[task] = values[f"tasks.{task}.outputs.parameters.go"] = answer

    def _process(self, name: str, step: Step, values: Mapping[str, str]) -> int:
        tmp = self._tmp(name, step)
        tmp.mkdir(parents=True, exist_ok=True)
        arguments = [self._here(filled(argument, values), tmp) for argument in step.arguments]
        environ = {key: self._here(value, tmp) for key, value in step.environ.items()}
        with (self.folder / name / f"{step.name}.log").open("ab") as log:
            with processes.running(step.stage, arguments, {**self.environ, **environ}, log) as process:
                self.started(step.name, process)
                code = process.wait()
        self.ended(step.name, code)
        return code

    def _tmp(self, name: str, step: Step) -> Path:
        return self.folder / name / "tmp" / step.name

    def _here(self, text: str, tmp: Path) -> str:
        """What the pod calls by another name."""
        for host, address in self.hosts.items():
            text = text.replace(host, address)
        if text == POD_TMP or text.startswith(f"{POD_TMP}/"):
            return str(tmp) + text.removeprefix(POD_TMP)
        return text
