"""Known anomalies from a file: JSON lines with ``repo_name``, ``number`` and ``label``."""

from __future__ import annotations

import json
from pathlib import Path

from pr_features.history import repo_key
from stage_runtime.exits import UnusableInput, WrongSettings

# What a label may say of an ordinary pull request; anything else names a kind of anomaly.
ORDINARY = frozenset({"", "0", "false", "no", "none", "normal", "ordinary"})

Key = tuple[str, int]
"""``repo_key`` of the repository, and number."""


def read_labels(path: Path) -> dict[Key, str]:
    """Kind of anomaly by Key; ordinary ones are left out.

    Raises WrongSettings where there is no such file, UnusableInput naming the line that cannot be read.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise WrongSettings(
            f"LABELS: expected a readable text file at {path}, found {type(error).__name__}"
        ) from error
    found: dict[Key, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            key = (repo_key(str(entry["repo_name"])), int(entry["number"]))
            label = entry["label"]
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise UnusableInput(
                f"{path}, line {number}: expected an object with repo_name, number and label, found something "
                f"else ({type(error).__name__}). Correct the line and run again."
            ) from error
        text = "" if label is None else str(label).strip()
        if text.lower() not in ORDINARY:
            found[key] = "anomaly" if text in {"1", "True", "true"} else text
    return found
