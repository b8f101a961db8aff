"""How a workflow ended, from what Argo says of it."""

from __future__ import annotations

import json
import re

from drift_detection.retrainings import Outcome

GATE = "gate"
REFUSED = re.compile(r"exit code 5\b")
MOST_CHARACTERS = 500


def outcome_of(status: str, failures: str) -> tuple[Outcome, str]:
    """(outcome, why). failures: ``workflow.failures``, a JSON list of failed nodes; may be empty or cut off.

    A gate that refused is a decision, not a fault: its step ends with exit code 5.
    """
    if status == "Succeeded":
        return "succeeded", ""
    nodes = _nodes(failures)
    said = "; ".join(
        f"{node.get('templateName') or node.get('displayName')}: {node.get('message') or node.get('phase')}"
        for node in nodes
    )
    for node in nodes:
        if node.get("templateName") == GATE and REFUSED.search(str(node.get("message", ""))):
            return "refused", said[:MOST_CHARACTERS]
    return "failed", (said or f"the workflow ended as {status}")[:MOST_CHARACTERS]


def _nodes(failures: str) -> list[dict[str, object]]:
    try:
        found = json.loads(failures) if failures else []
        # Argo puts the list into a JSON string in some versions.
        found = json.loads(found) if isinstance(found, str) else found
    except ValueError:
        return []
    return [node for node in found if isinstance(node, dict)] if isinstance(found, list) else []
