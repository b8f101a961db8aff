#!/usr/bin/env python3
"""Keeps the one generated file: which image each stage runs, and the Job names that carry their content's hash.

    release.py set data-fetch=registry.example/team/data-fetch@sha256:... [...]   new digests, then the names
    release.py names                                                             the names after an edited setting
    release.py check                                                             does the file fit the manifests?
    release.py show [STAGE ...]                                                  IMAGE=REGISTRY/NAME@DIGEST lines

The file is argo-apps/base/release/kustomization.yaml, a kustomize component. A Job's name ends in ten hex digits of
the SHA-256 of its pod template (image and settings included) and of the ConfigMaps that it mounts. So Argo CD makes a
new Job when something of the stage changed, and only then. Exit codes: 0 done, 1 check failed, 2 wrong arguments.
"""

import argparse
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

BASE = Path(__file__).resolve().parent.parent / "base"
IMAGES = (
    "data-fetch", "drift-detection", "ml-training", "model-serving", "perf", "spark-preprocess"
)  # fmt: skip
JOBS = ("data-fetch", "spark-preprocess", "ml-training", "ml-training-gate")
REFERENCE = re.compile(r"(?P<name>[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)+)@(?P<digest>sha256:[0-9a-f]{64})")
UNBUILT = "sha256:" + "0" * 64
HEAD = """\
# Written by argo-apps/scripts/release.py, the only file that automation changes. Do not edit by hand.
# images: what each stage runs. patches: the Jobs' names, which end in a hash of what they run.
"""


class ReleaseError(Exception):
    """A sentence for the person who called the script."""


def file_of(base: Path) -> Path:
    return base / "release" / "kustomization.yaml"


def read_images(base: Path) -> dict[str, dict[str, str]]:
    """Image name in the manifests -> its entry (name, newName, digest)."""
    file = file_of(base)
    content = yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else {}
    return {entry["name"]: entry for entry in (content or {}).get("images", [])}


def write(base: Path, images: dict[str, dict[str, str]], jobs: dict[str, str]) -> None:
    """Write the component; jobs maps a Job's plain name to the one with its hash."""
    component: dict[str, Any] = {
        "apiVersion": "kustomize.config.k8s.io/v1alpha1",
        "kind": "Component",
        "images": [images[name] for name in sorted(images)],
    }
    if jobs:
        component["patches"] = [
            {
                "target": {"kind": "Job", "name": plain},
                "options": {"allowNameChange": True},
                "patch": f"- {{op: replace, path: /metadata/name, value: {hashed}}}",
            }
            for plain, hashed in sorted(jobs.items())
        ]
    text = HEAD + yaml.safe_dump(component, sort_keys=False, width=120)
    file_of(base).parent.mkdir(exist_ok=True)
    file_of(base).write_text(text, encoding="utf-8")


def render(folder: Path) -> list[dict[str, Any]]:
    """The objects of a kustomization, as Argo CD applies them."""
    try:
        done = subprocess.run(  # noqa: S603
            ["kubectl", "kustomize", str(folder)],  # noqa: S607
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    except FileNotFoundError:
        raise ReleaseError(
            "kubectl is needed to render the manifests: install it and run this again"
        ) from None
    except subprocess.CalledProcessError as error:
        raise ReleaseError(f"{folder} does not render: {error.stderr.strip()}") from None
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def job_names(objects: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Plain name -> name with the hash of what the Job runs, from the CronJob that has the same pod template."""
    configs = {o["metadata"]["name"]: o["data"] for o in objects if o["kind"] == "ConfigMap"}
    names = {}
    for cron in objects:
        if cron["kind"] != "CronJob" or cron["metadata"]["name"] not in JOBS:
            continue
        spec = cron["spec"]["jobTemplate"]["spec"]
        volumes = spec["template"]["spec"].get("volumes", [])
        mounted = [volume["configMap"]["name"] for volume in volumes if "configMap" in volume]
        content = {"spec": spec, "configs": {name: configs[name] for name in mounted if name in configs}}
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:10]
        plain = cron["metadata"]["name"]
        names[plain] = f"{plain}-{digest}"
    return names


def update(base: Path, images: dict[str, dict[str, str]]) -> dict[str, str]:
    """Write images and the names that follow from them; returns the names."""
    write(base, images, {})
    names = job_names(render(base))
    write(base, images, names)
    return names


def set_images(base: Path, assignments: Sequence[str]) -> None:
    """Enter new digests; the stages not named keep theirs. Raises ReleaseError for what is no digest reference."""
    images = read_images(base)
    for assignment in assignments:
        name, _, reference = assignment.partition("=")
        match = REFERENCE.fullmatch(reference)
        if name not in IMAGES or match is None:
            raise ReleaseError(
                f"expected STAGE=REGISTRY/NAME@sha256:DIGEST with STAGE one of {', '.join(IMAGES)}, "
                f"found {assignment!r}"
            )
        images[name] = {"name": name, "newName": match["name"], "digest": match["digest"]}
    update(base, images)


def check(base: Path) -> list[str]:
    """What does not fit; empty when the file is as this script would write it."""
    images = read_images(base)
    problems = [f"{name} is none of {', '.join(IMAGES)}" for name in images if name not in IMAGES]
    for name in IMAGES:
        entry = images.get(name, {})
        found = f"{entry.get('newName')}@{entry.get('digest')}"
        if set(entry) != {"name", "newName", "digest"} or not REFERENCE.fullmatch(found):
            problems.append(
                f"no digest for {name}, found {entry}: release.py set {name}=REGISTRY/NAME@sha256:..."
            )
    objects = render(base)
    wanted = sorted(job_names(objects).values())
    named = sorted(o["metadata"]["name"] for o in objects if o["kind"] == "Job")
    if wanted != named:
        problems.append(
            f"the Jobs are named {', '.join(named)}, but what they run says {', '.join(wanted)}: "
            "run argo-apps/scripts/release.py names and commit the result"
        )
    return problems


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", type=Path, default=BASE, help="folder of the kustomization")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("set").add_argument("images", nargs="+", metavar="STAGE=REFERENCE")
    commands.add_parser("names")
    commands.add_parser("check")
    commands.add_parser("show").add_argument("stages", nargs="*", metavar="STAGE")
    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "set":
            set_images(arguments.base, arguments.images)
        elif arguments.command == "names":
            update(arguments.base, read_images(arguments.base))
        elif arguments.command == "check":
            problems = check(arguments.base)
            print(
                "\n".join(f"release: {problem}" for problem in problems) or "release: fits", file=sys.stderr
            )
            return 1 if problems else 0
        else:
            images = read_images(arguments.base)
            for name in arguments.stages or sorted(images):
                if name not in images:
                    raise ReleaseError(f"no image for {name} in {file_of(arguments.base)}")
                print(f"{name}={images[name]['newName']}@{images[name]['digest']}")
    except ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
