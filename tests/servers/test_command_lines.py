"""Every command line in the manifests is one that its stage knows; needs the stages' environments and no cluster."""

import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pods import ROOT
from test_manifests_apply import rendered


def containers(value: Any) -> list[dict[str, Any]]:
    """Everything with a command, however deep."""
    if isinstance(value, list):
        return [found for item in value for found in containers(item)]
    if not isinstance(value, dict):
        return []
    own = [value] if "image" in value and "command" in value else []
    return own + [found for item in value.values() for found in containers(item)]


def command_lines() -> list[tuple[str, ...]]:
    """Module and arguments of each, once."""
    found = set()
    for folder in ("base", "drift"):
        for container in containers(rendered(ROOT / "argo-apps" / folder)):
            assert container["command"][:2] == ["python", "-m"], container["command"]
            found.add((*container["command"][2:], *container.get("args", [])))
    return sorted(found)


@cache
def help_of(module: str, *command: str) -> str:
    python = ROOT / ".venv" / module / "bin" / "python"
    assert python.exists(), f"{python} is missing: run make setup"
    done = subprocess.run(
        [python, "-m", module, *command, "--help"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("line", command_lines(), ids=" ".join)
def test_a_stage_knows_its_command_and_every_flag(line: tuple[str, ...]) -> None:
    module, *arguments = line
    command = arguments[:1] if arguments and not arguments[0].startswith("-") else []
    words = help_of(module, *command).replace(",", " ").split()
    assert f"{module} {' '.join(command)}".strip() in help_of(module, *command)
    flags = [part.partition("=")[0] for part in arguments if part.startswith("--")]
    assert [flag for flag in flags if flag not in words] == []


def test_there_are_as_many_as_stages_and_steps() -> None:
    modules = {line[0] for line in command_lines()}
    stages = {Path(file).parent.name for file in ROOT.glob("*/Dockerfile")}
    assert modules == stages
