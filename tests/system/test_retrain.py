"""`make retrain` and `make evaluate` beside a running service: only what the gate lets pass is served."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

if TYPE_CHECKING:
    from conftest import Machine, MakeMachine

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
# A small network quickly trained, which an easy gate lets pass: this is about what follows the verdict.
ACCEPTED = {
    "MAX_EPOCHS": "4", "QUALITY_REPORT": "false", "GATE_BASELINES": "report", "GATE_MARGIN": "1",
    "GATE_FLAG_RATE_LOW": "0", "GATE_FLAG_RATE_HIGH": "1", "GATE_DISTINCT_SCORES": "2",
}  # fmt: skip
REFUSED = {**ACCEPTED, "GATE_FLAG_RATE_LOW": "1"}


def aliases(machine: Machine) -> dict[str, str]:
    database = machine.out / "mlflow" / "mlflow.db"
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        rows = connection.execute("SELECT alias, version FROM registered_model_aliases").fetchall()
    connection.close()
    return {alias: str(version) for alias, version in rows}


def served(url: str) -> set[str]:
    """The version of each worker."""
    workers = requests.get(f"{url}/model", timeout=20).json()["workers"]
    return {worker["version"] for worker in workers}


@pytest.fixture(scope="module")
def machine(machines: MakeMachine, corpus: Path) -> Machine:
    """The first candidate, which the gate has refused. The tests follow on each other: a retraining takes a while."""
    made = machines("retrain")
    output = made.succeed("pipeline", "--corpus", str(corpus), **REFUSED)
    assert "gate refused: the candidate is not promoted" in output
    assert "make serve OUT=" in output and "MODEL_ALIAS=candidate" in output
    assert aliases(made) == {"candidate": "1"}
    return made


def test_a_refused_candidate_is_served_by_its_name_only(machine: Machine) -> None:
    outcome = machine.run("serve", "--port", "0")
    assert outcome.code == 3 and "with the alias 'champion', found none" in outcome.output
    with machine.serving("--alias", "candidate") as url:
        assert served(url) == {"1"}


def test_evaluate_promotes_what_passes(machine: Machine) -> None:
    assert "gate refused: the candidate is not promoted" in machine.succeed("evaluate", **REFUSED)
    assert aliases(machine) == {"candidate": "1"}
    assert "gate passed: the candidate is champion now" in machine.succeed("evaluate", **ACCEPTED)
    assert aliases(machine) == {"candidate": "1", "champion": "1"}


def test_retrain_serves_only_what_the_gate_lets_pass(machine: Machine) -> None:
    """The service asks the registry itself too, and often."""
    with machine.serving(RELOAD_POLL_SECONDS="0.5") as url:
        output = machine.succeed("retrain", **REFUSED)
        assert "gate refused: the candidate is not promoted" in output and "reload" not in output
        assert aliases(machine) == {"candidate": "2", "champion": "1"} and served(url) == {"1"}
        output = machine.succeed("retrain", **ACCEPTED)
        assert "gate passed: the candidate is champion now" in output
        assert f"reload: {url} serves version 3" in output
        assert aliases(machine) == {"candidate": "3", "champion": "3"} and served(url) == {"3"}


def test_a_service_that_does_not_take_the_champion_ends_it_with_1(machine: Machine, tmp_path: Path) -> None:
    if "champion" not in aliases(machine):  # where this test runs alone
        machine.succeed("evaluate", **ACCEPTED)
    before = aliases(machine)["champion"]
    with machine.serving(RELOAD_POLL_SECONDS="0", RELOAD_TOKEN="another", SECRETS_DIR=str(tmp_path)) as url:
        outcome = machine.run("retrain", **ACCEPTED)
        assert outcome.code == 1 and "gate passed" in outcome.output and "Traceback" not in outcome.output
        assert f"error: {url}/reload: expected 200 and the new champion in every worker" in outcome.output
        assert "found 401" in outcome.output and served(url) == {before} != {aliases(machine)["champion"]}
