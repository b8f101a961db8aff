import json

import pytest
from drift_detection.endings import outcome_of


def node(template: str, message: str) -> dict[str, str]:
    """As argo-workflows lists a failed node in workflow.failures."""
    return {
        "displayName": template, "message": message, "templateName": template, "phase": "Failed", "podName": "p",
        "finishedAt": "2026-11-23T03:00:00Z",
    }  # fmt: skip


def test_success() -> None:
    assert outcome_of("Succeeded", "") == ("succeeded", "")


@pytest.mark.parametrize("message", ["Error (exit code 5)", "main: Error (exit code 5)"])
def test_a_gate_that_refused_is_a_decision(message: str) -> None:
    failures = json.dumps([node("gate", message)])
    assert outcome_of("Failed", failures)[0] == "refused"
    assert outcome_of("Failed", json.dumps(failures))[0] == "refused"


@pytest.mark.parametrize(
    "failures",
    [
        json.dumps([node("gate", "Error (exit code 1)")]),
        json.dumps([node("gate", "Error (exit code 50)")]),
        json.dumps([node("train", "Error (exit code 5)")]),
        json.dumps([node("verify", "OOMKilled (exit code 137)")]),
        "", "null", "{", "[1, null]", '"text"',
    ],
)  # fmt: skip
def test_anything_else_is_a_failure_with_its_reason(failures: str) -> None:
    outcome, why = outcome_of("Failed", failures)
    assert outcome == "failed" and why


def test_the_reason_names_the_step() -> None:
    _, why = outcome_of("Error", json.dumps([node("fetch", "exit code 1"), node("x" * 600, "y")]))
    assert why.startswith("fetch: exit code 1") and len(why) == 500
