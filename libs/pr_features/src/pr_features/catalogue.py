"""The features as a table for people and as a schema for programs, both made from the registry.

python -m pr_features.catalogue libs/pr_features/README.md            writes the table anew
python -m pr_features.catalogue libs/pr_features/README.md --check    exit 1 where it is not that of the code
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .registry import FEATURES, LEAKS, Feature

START, END = "<!-- features -->\n", "<!-- /features -->"
_SIDES = {"surprise": "rare and true", "high": "large", "both": "small and large"}


def markdown() -> str:
    """One row a feature, and what its last column refers to."""
    lines = [
        "| feature | block | meaning | unit | range | suspicious | from (GitHub REST) | missing | leak considered |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for feature in FEATURES:
        cells = (
            f"`{feature.name}`",
            feature.block,
            feature.label,
            feature.unit,
            _range(feature),
            _SIDES[feature.sides],
            feature.source,
            feature.missing or "never",
            ", ".join(feature.leaks),
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    lines += ["", "What of later than the opening could show in a value, and what is done about it:", ""]
    lines += [f"- **{key}**: {text}" for key, text in LEAKS.items()]
    return "\n".join(lines) + "\n"


def json_schema() -> dict[str, Any]:
    """JSON Schema of one row of the feature table's feature columns; null is missing."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Row features of a pull request",
        "type": "object",
        "properties": {feature.name: _property(feature) for feature in FEATURES},
        "required": [feature.name for feature in FEATURES],
    }


def _property(feature: Feature) -> dict[str, Any]:
    described: dict[str, Any] = {
        "type": "number" if feature.missing is None else ["number", "null"],
        "description": f"{feature.label}, {feature.unit}",
    }
    if feature.low is not None:
        described["minimum"] = feature.low
    if feature.high is not None:
        described["maximum"] = feature.high
    return described


def _range(feature: Feature) -> str:
    low = "" if feature.low is None else f"{feature.low:g}"
    high = "" if feature.high is None else f"{feature.high:g}"
    return f"{low} to {high}" if low and high else f"from {low}" if low else f"to {high}" if high else "any"


def main(argv: Sequence[str]) -> int:
    """README [--check]"""
    readme = Path(argv[0])
    text = readme.read_text("utf-8")
    head, rest = text.split(START)
    new = f"{head}{START}\n{markdown()}\n{END}{rest.split(END)[1]}"
    if "--check" in argv:
        return int(new != text)
    readme.write_text(new, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
