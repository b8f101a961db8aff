"""The delivery page: what it names is there, so that a newcomer can type what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from rendering import RENDERED, render

Names = dict[str, set[str]]


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    return (repository / "argo-apps" / "README.md").read_text()


@pytest.fixture(scope="module")
def spans(page: str) -> list[str]:
    """What stands in backticks or in an indented block: one line each, as a line break in a span is a space."""
    blocks = re.findall(r"^ {4}(\S.*)$", page, re.M)
    text = re.sub(r"^```.*?^```", "", page, flags=re.M | re.S)
    return blocks + [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text)]


@pytest.fixture(scope="module")
def objects(repository: Path) -> Names:
    """Kind in lower case -> names of everything that is applied, Applications included."""
    found: Names = {}
    texts = [render(repository / "argo-apps" / folder) for folder in RENDERED]
    by_hand = [
        *repository.glob("argo-apps/applications/*.yaml"),
        *repository.glob("argo-apps/**/namespace.yaml"),
    ]
    texts += [file.read_text() for file in by_hand]  # environment/install.py
    for document in (one for text in texts for one in yaml.safe_load_all(text) if one):
        found.setdefault(document["kind"].lower(), set()).add(document["metadata"]["name"])
    found["application"].add("pr-anomaly-drift")
    return found


def matches(spans: list[str], pattern: str) -> list[Any]:
    return [match for span in spans for match in re.findall(pattern, span)]


def test_every_path_is_there(repository: Path, spans: list[str]) -> None:
    argo_apps = repository / "argo-apps"
    folders = {path.name for path in argo_apps.iterdir() if path.is_dir()}
    pattern = rf"(?<![\w/.-])((?:argo-apps|tests|\.github|{'|'.join(folders)})/[\w./{{}},-]*)"
    paths = [path for path in matches(spans, pattern) if "..." not in path]
    assert len(paths) > 15
    for path in paths:
        for one in expanded(path.replace("STAGE", "data-fetch")):
            assert (repository / one).exists() or (argo_apps / one).exists(), path


def expanded(path: str) -> list[str]:
    """a/{b,c} as the shell reads it."""
    if not (braces := re.search(r"{(.*?)}", path)):
        return [path]
    return [path.replace(braces[0], part) for part in braces[1].split(",")]


def test_every_object_is_one_of_the_manifests(spans: list[str], objects: Names) -> None:
    named = {
        "cronjob": matches(spans, r"cronjob[/ ]([\w-]+)"),
        "service": matches(spans, r"svc/([\w-]+)"),
        "workflowtemplate": matches(spans, r"workflowtemplate/([\w-]+)"),
        "application": matches(spans, r"patch app ([\w-]+)"),
        "rollout": matches(spans, r"argo rollouts (?:get rollout|-n mlops restart|promote|undo|restart) ([\w-]+)"),
        "namespace": matches(spans, r"-n ([a-z-]+)"),
    }  # fmt: skip
    objects = objects | {"namespace": objects["namespace"] | {"argocd"}}
    for kind, names in named.items():
        assert names, f"the page names no {kind}: is the pattern still right?"
        assert set(names) <= objects[kind], kind


def test_every_make_target_and_every_workflow_is_there(repository: Path, spans: list[str]) -> None:
    makefile = (repository / "Makefile").read_text()
    for target in matches(spans, r"\bmake ([a-z][\w-]*)"):
        assert re.search(rf"^(?:[\w $()-]+ )?{target}(?: [\w $()-]+)?:", makefile, re.M), target
    files = {file.name for file in (repository / ".github" / "workflows").glob("*.yml")}
    called = {"_stage.yml", "checks.yml", "promote.yml"}
    assert set(matches(spans, r"([\w-]+\.yml)")) == files - called


def test_every_variable_and_secret_of_the_workflows_is_on_the_page(repository: Path, page: str) -> None:
    for file in (repository / ".github" / "workflows").glob("*.yml"):
        for kind, name in re.findall(r"(vars|secrets)\.([A-Z_]+)", file.read_text()):
            if name != "TORCH_REQUIREMENT":  # build-image.sh says when that is wanted
                assert f"`{name}`" in page, f"{file.name}: {kind}.{name}"


def test_each_environment_of_github_has_the_secrets_that_its_jobs_read(repository: Path, page: str) -> None:
    read: dict[str, set[str]] = {}
    for file in (repository / ".github" / "workflows").glob("*.yml"):
        for job in yaml.safe_load(file.read_text())["jobs"].values():
            if "environment" in job:
                found = re.findall(r"secrets\.([A-Z_]+)", yaml.safe_dump(job))
                read.setdefault(job["environment"], set()).update(found)
    rows = re.findall(r"^\| `(staging|production)` \| `(\w+)` alone \|.*?\| (.*) \|$", page, re.M)
    assert {name: set(re.findall(r"`([A-Z_]+)`", secrets)) for name, _, secrets in rows} == read
    assert {name: branch for name, branch, _ in rows} == {"staging": "staging", "production": "main"}


def secrets_asked_for(repository: Path) -> set[tuple[str, str]]:
    """(namespace, Secret) of all that a rendering reads: volumes, environments, pulls, webhooks, certificates."""
    found: set[tuple[str, str]] = set()

    def walk(node: Any, namespace: str) -> None:
        for one in node if isinstance(node, list) else []:
            walk(one, namespace)
        for key, value in node.items() if isinstance(node, dict) else []:
            if key == "imagePullSecrets":
                found.update((namespace, one["name"]) for one in value)
            elif key in {"secretKeyRef", "secretRef", "authSecret"}:
                found.add((namespace, value["name"]))
            elif key == "secretName":
                found.add((namespace, value))
            else:
                walk(value, namespace)

    for folder in RENDERED:
        for document in yaml.safe_load_all(render(repository / "argo-apps" / folder)):
            walk(document, document["metadata"].get("namespace", ""))
    return found


def test_every_secret_that_is_asked_for_stands_on_the_page(repository: Path, page: str) -> None:
    asked = secrets_asked_for(repository)
    assert len(asked) >= 8
    # | `NAMESPACE` | `SECRET` | ...
    assert set(re.findall(r"^\| `([a-z-]+)` \| `([a-z-]+)` \|", page, re.M)) == asked
