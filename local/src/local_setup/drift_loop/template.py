"""argo-apps/drift/workflow-template.yaml as data: tasks in order, what each depends on, and its command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from local_setup.errors import LocalSetupError
from local_setup.paths import project_root

FILE = Path("argo-apps") / "drift" / "workflow-template.yaml"
_VALUE = re.compile(r"{{\s*([^}\s]+)\s*}}")
_WHEN = re.compile(r"^'([^']*)'\s*(==|!=)\s*'([^']*)'$")
# A bare name in `depends` means that the task ended without a failure, skipped or not.
_FINE = ("Succeeded", "Skipped", "Daemoned")
_WORD = re.compile(r"\s*(\|\||&&|[()]|[\w-]+(?:\.\w+)?)")


class UnknownSpelling(LocalSetupError):
    """The manifest says something that this small reader does not understand."""


@dataclass(frozen=True)
class Step:
    """A template with a container. arguments: behind `python -m STAGE`, with {{...}} not yet filled in."""

    name: str
    stage: str
    arguments: tuple[str, ...]
    environ: Mapping[str, str]
    answers: bool


@dataclass(frozen=True)
class Task:
    """A task of the DAG; depends and when as the manifest spells them, empty where it does not."""

    name: str
    template: str
    depends: str
    when: str


@dataclass(frozen=True)
class Template:
    """The whole workflow. never_again: exit codes that are not tried again; tries: at most so many of a step."""

    parameters: Mapping[str, str]
    tasks: tuple[Task, ...]
    steps: Mapping[str, Step]
    on_exit: str
    tries: int
    never_again: frozenset[int]

    @classmethod
    def read(cls, file: Path | None = None) -> Template:
        """The template of this checkout, or of a file."""
        content = yaml.safe_load((file or project_root() / FILE).read_text("utf-8"))
        spec = content["spec"]
        templates = {template["name"]: template for template in spec["templates"]}
        retry = spec["templateDefaults"]["retryStrategy"]
        codes = re.search(r"in \[([\d, ]+)\]", retry["expression"])
        if codes is None:
            raise UnknownSpelling(f"{FILE}: retryStrategy.expression: {retry['expression']!r}")
        return cls(
            parameters={one["name"]: str(one.get("value", "")) for one in spec["arguments"]["parameters"]},
            tasks=tuple(_task(one) for one in templates[spec["entrypoint"]]["dag"]["tasks"]),
            steps={name: _step(one) for name, one in templates.items() if "container" in one},
            on_exit=spec["onExit"],
            tries=1 + int(retry["limit"]),
            never_again=frozenset(int(code) for code in codes[1].split(",")),
        )


def _task(content: Mapping[str, Any]) -> Task:
    return Task(
        content["name"], content["template"], content.get("depends", ""), content.get("when", "").strip()
    )


def _step(content: Mapping[str, Any]) -> Step:
    container = content["container"]
    python, flag, stage = container["command"]
    if (python, flag) != ("python", "-m"):
        raise UnknownSpelling(
            f"{FILE}: {content['name']}: expected python -m STAGE, found {container['command']}"
        )
    named = {one["name"]: str(one["value"]) for one in container.get("env", ())}
    # Vault is the cluster's; here secrets are files.
    environ = {name: value for name, value in named.items() if not name.startswith(("VAULT_", "HOME"))}
    return Step(
        content["name"], stage, tuple(container.get("args", ())), environ, answers="outputs" in content
    )


def filled(text: str, values: Mapping[str, str]) -> str:
    """The text with every {{name}} replaced."""

    def value(found: re.Match[str]) -> str:
        if found[1] not in values:
            raise UnknownSpelling(f"{FILE}: {{{{{found[1]}}}}} has no value at this point")
        return values[found[1]]

    return _VALUE.sub(value, text)


def may_run(task: Task, statuses: Mapping[str, str]) -> bool:
    """Whether what the task depends on went as it asks: NAME or NAME.STATUS, with ||, && and brackets."""
    if not task.depends:
        return True
    words, end = [], 0
    while end < len(task.depends.rstrip()):
        found = _WORD.match(task.depends, end)
        if found is None:
            raise UnknownSpelling(f"{FILE}: {task.name}: depends: {task.depends!r}")
        words.append(found[1])
        end = found.end()

    def either() -> bool:
        sides = [both()]
        while words and words[0] == "||":
            words.pop(0)
            sides.append(both())
        return any(sides)

    def both() -> bool:
        sides = [one()]
        while words and words[0] == "&&":
            words.pop(0)
            sides.append(one())
        return all(sides)

    def one() -> bool:
        word = words.pop(0) if words else ""
        if word == "(":
            inner = either()
            if words[:1] != [")"]:
                raise UnknownSpelling(f"{FILE}: {task.name}: depends: {task.depends!r}")
            words.pop(0)
            return inner
        name, _, status = word.partition(".")
        if name not in statuses:
            raise UnknownSpelling(f"{FILE}: {task.name} depends on {word!r}, which is not before it")
        return statuses[name] in ((status,) if status else _FINE)

    wanted = either()
    if words:
        raise UnknownSpelling(f"{FILE}: {task.name}: depends: {task.depends!r}")
    return wanted


def is_wanted(task: Task, values: Mapping[str, str]) -> bool:
    """Whether `when` holds: 'A' == 'B' or 'A' != 'B'."""
    if not task.when:
        return True
    found = _WHEN.match(filled(task.when, values))
    if found is None:
        raise UnknownSpelling(f"{FILE}: {task.name}: when: {task.when!r}")
    return (found[1] == found[3]) == (found[2] == "==")
