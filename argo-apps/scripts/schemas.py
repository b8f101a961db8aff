#!/usr/bin/env python3
"""JSON schemas for kubeconform out of Kubernetes' own swagger.json and the CRDs of Argo.

    schemas.py SOURCE TARGET     SOURCE: the folder `schemas` that tests/servers/build makes

Strict: a field that the schema does not name is an error, except where the API says that anything goes.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

PREFIX = "#/definitions/"
# Written as a text or as a number.
EITHER = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
}


def closed(schema: Any) -> Any:
    """The schema with additionalProperties: false wherever it names properties and preserves nothing else."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    if schema.get("x-kubernetes-int-or-string"):
        return {"oneOf": [{"type": "string"}, {"type": "integer"}]}
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if isinstance(schema.get("properties"), dict) and not open_ended:
        made["additionalProperties"] = False
    return made


def reachable(definitions: dict[str, Any], name: str) -> dict[str, Any]:
    """The definitions that one refers to, itself included."""
    found: dict[str, Any] = {}
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current in found:
            continue
        schema = definitions[current]
        if current in EITHER:
            schema = {"oneOf": [{"type": "string"}, {"type": "number"}]}
        found[current] = closed(schema)
        text = json.dumps(schema)
        waiting += [part.split('"')[0] for part in text.split(PREFIX)[1:]]
    return found


def core(swagger: dict[str, Any], target: Path) -> int:
    """One file a kind of the core API; returns how many."""
    count = 0
    for name, definition in swagger["definitions"].items():
        for kind in definition.get("x-kubernetes-group-version-kind", []):
            group = kind["group"].split(".")[0]
            stem = "-".join(filter(None, (kind["kind"].lower(), group, kind["version"])))
            schema = {"$ref": PREFIX + name, "definitions": reachable(swagger["definitions"], name)}
            (target / f"{stem}.json").write_text(json.dumps(schema))
            count += 1
    return count


def custom(crd: dict[str, Any], target: Path) -> int:
    """One file a version of a custom kind; returns how many."""
    kind, group = crd["spec"]["names"]["kind"].lower(), crd["spec"]["group"].split(".")[0]
    for version in crd["spec"]["versions"]:
        schema = closed(version["schema"]["openAPIV3Schema"])
        schema["properties"]["metadata"] = {"type": "object"}
        (target / f"{kind}-{group}-{version['name']}.json").write_text(json.dumps(schema))
    return len(crd["spec"]["versions"])


def main(argv: Sequence[str]) -> int:
    if len(argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    source, target = Path(argv[0]), Path(argv[1])
    target.mkdir(parents=True, exist_ok=True)
    count = core(json.loads((source / "swagger.json").read_text(encoding="utf-8")), target)
    for file in sorted((source / "crds").glob("*.yaml")):
        for crd in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            count += custom(crd, target) if crd else 0
    print(f"schemas: {count} kinds in {target}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
