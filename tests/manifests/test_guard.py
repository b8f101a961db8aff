"""What may become production: commits of staging that run tested digests and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from scratch_staging import Staging

RELEASE = "argo-apps/base/release/kustomization.yaml"
EVIL = "docker.io/evil/never-tested"


@pytest.fixture
def staging(repository: Path, tmp_path: Path) -> Staging:
    """Both branches at a commit of which every image was tested."""
    made = Staging(repository, tmp_path)
    commit = made.commit("data_fetch/code.py", "first")
    made.git("push", "--quiet", "origin", f"{commit}:refs/heads/main")
    for entry in yaml.safe_load((made.work / RELEASE).read_text())["images"]:
        assert (
            made.run("argo-apps/scripts/tested.sh", "record", entry["name"], entry["digest"]).returncode == 0
        )
    return made


def edit(staging: Staging, file: str, change: Callable[[str], str]) -> str:
    """A commit of staging with a changed file."""
    before = (staging.work / file).read_text()
    after = change(before)
    assert after != before
    return staging.commit(file, after)


def main(staging: Staging) -> str:
    return staging.git("ls-remote", "origin", "refs/heads/main").split()[0]


def replaced(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new, 1)


def added(text: str) -> Callable[[str], str]:
    return lambda before: before + text


def test_a_commit_that_runs_tested_digests_goes_on(staging: Staging) -> None:
    commit = edit(staging, "argo-apps/base/data-fetch.yaml", added("# nothing\n"))
    done = staging.run("argo-apps/scripts/promote.sh")
    assert done.returncode == 0, done.stderr
    assert "all 6 images" in done.stdout
    assert main(staging) == commit


@pytest.mark.parametrize(
    ("file", "change"),
    [
        pytest.param(
            RELEASE, replaced("digest: sha256:" + "0" * 64, "newTag: latest"), id="an entry without digest"
        ),
        pytest.param(
            RELEASE, replaced("digest: sha256:" + "0" * 64, "digest: sha256:" + "1" * 64), id="another digest"
        ),
        pytest.param(
            "argo-apps/base/model-serving-rollout.yaml",
            replaced("image: model-serving", f"image: {EVIL}:latest"),
            id="another image",
        ),
        pytest.param(
            "argo-apps/base/model-serving-rollout.yaml",
            replaced("image: model-serving", f'"image": "{EVIL}@sha256:{"0" * 64}"'),
            id="another image in quotes, by digest",
        ),
        pytest.param(
            "argo-apps/base/kustomization.yaml",
            added(
                f"images:\n- {{name: registry.digitalocean.com/pr-anomaly/perf, newName: {EVIL}, newTag: v1}}\n"
            ),
            id="images of a kustomization",
        ),
        pytest.param(
            "argo-apps/drift/workflow-template.yaml",
            replaced("image: drift-detection", f"image: {EVIL}"),
            id="a step of the retraining",
        ),
        pytest.param(
            "argo-apps/components/monitoring/kustomization.yaml",
            added(
                "patches:\n- target: {kind: Rollout, name: model-serving}\n  patch: '- {op: replace, "
                f'path: /spec/template/spec/containers/0/image, value: "{EVIL}:1"}}\'\n'
            ),
            id="a patch of an optional part",
        ),
        pytest.param(
            "argo-apps/base/one-pod-template.yaml",
            replaced("[name=SPARK_IMAGE]", "[name=SPARK_NAMESPACE]"),
            id="the executors' image",
        ),
    ],
)
def test_an_image_that_was_never_tested_stays_out_of_production(
    staging: Staging, file: str, change: Callable[[str], str]
) -> None:
    before = main(staging)
    commit = edit(staging, file, change)
    done = staging.run("argo-apps/scripts/promote.sh", commit)
    assert done.returncode == 1, done.stdout
    assert "nothing is promoted" in done.stderr
    assert main(staging) == before


def test_what_does_not_render_is_not_promoted(staging: Staging) -> None:
    commit = edit(staging, "argo-apps/drift/kustomization.yaml", added("- no list\n"))
    before = main(staging)
    assert staging.run("argo-apps/scripts/promote.sh", commit).returncode != 0
    assert main(staging) == before


def test_servers_of_others_are_no_matter_of_the_guard(staging: Staging) -> None:
    """An optional part with a namespace of its own names its image itself (README, "Optional parts")."""
    commit = edit(
        staging, "argo-apps/components/minio/minio.yaml", replaced("image: quay.io/", "image: other.io/")
    )
    assert staging.run("argo-apps/scripts/guard.sh", commit).returncode == 0
