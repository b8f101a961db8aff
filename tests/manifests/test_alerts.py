"""Every alert as Prometheus itself judges it: it fires when it should and is silent when it should be."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

COMPONENTS = ("monitoring", "drift-alerts")
CASES = Path(__file__).resolve().parent / "alerts"


@pytest.fixture(scope="module")
def promtool(repository: Path) -> str:
    """The promtool that tests/servers/build unpacked, else the machine's."""
    script = repository / "tests" / "servers" / "build"
    done = subprocess.run([script, "--where", "prometheus"], capture_output=True, text=True)
    if done.returncode == 0:
        return os.path.join(done.stdout.strip(), "promtool")
    if found := shutil.which("promtool"):
        return found
    pytest.skip("promtool is missing: tests/servers/build prometheus unpacks Debian's")


@pytest.fixture
def rules(repository: Path, tmp_path: Path) -> dict[str, dict[str, Any]]:
    """The rules by name of component; as files of plain Prometheus they lie beside the cases in tmp_path."""
    found = {}
    for name in COMPONENTS:
        page = repository / "argo-apps" / "components" / name / "alerts.yaml"
        found[name] = yaml.safe_load(page.read_text())["spec"]
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(found[name]))
    return found


@pytest.mark.parametrize("cases", ["with-drift", "without-drift"])
def test_alerts_fire_when_they_should_and_only_then(
    promtool: str, rules: dict[str, dict[str, Any]], tmp_path: Path, cases: str
) -> None:
    shutil.copy(CASES / f"{cases}.yaml", tmp_path / "cases.yaml")
    done = subprocess.run(
        [promtool, "test", "rules", "cases.yaml"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_alert_is_left_out(rules: dict[str, dict[str, Any]]) -> None:
    known = {rule["alert"] for spec in rules.values() for group in spec["groups"] for rule in group["rules"]}
    cases = yaml.safe_load((CASES / "with-drift.yaml").read_text())["tests"]
    judged = [one for case in cases for one in case["alert_rule_test"]]
    assert {one["alertname"] for one in judged if one["exp_alerts"]} == known
    assert {one["alertname"] for one in judged if not one["exp_alerts"]} == known


def test_the_page_of_alerts_names_all_of_them(repository: Path, rules: dict[str, dict[str, Any]]) -> None:
    page = (repository / "argo-apps" / "README.md").read_text(encoding="utf-8")
    for spec in rules.values():
        for group in spec["groups"]:
            for rule in group["rules"]:
                assert f"| `{rule['alert']}` |" in page, rule["alert"]
