"""What the publish job does with a pushed image, on a scratch repository: which digest staging gets."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

NAME = "registry.test/team/data-fetch"


def digest(digit: str) -> str:
    return "sha256:" + digit * 64


class Staging:
    """A remote with branch staging, and a checkout of it as the workflow has one."""

    def __init__(self, source: Path, folder: Path) -> None:
        self.remote = folder / "remote.git"
        self.work = folder / "work"
        subprocess.run(["git", "init", "--quiet", "--bare", "-b", "staging", self.remote], check=True)
        subprocess.run(["git", "init", "--quiet", "-b", "staging", self.work], check=True)
        self.git("remote", "add", "origin", f"file://{self.remote}")
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source / "argo-apps", self.work / "argo-apps", ignore=ignore)
        shutil.copytree(source / ".github", self.work / ".github", ignore=ignore)
        (self.work / ".gitignore").write_text("__pycache__/\n")
        for stage in ("data_fetch", "perf"):
            (self.work / stage).mkdir()
            shutil.copy(source / stage / "pyproject.toml", self.work / stage)

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.invalid"]
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=self.work, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self, file: str, text: str) -> str:
        (self.work / file).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", f"Change {file}")
        self.git("push", "--quiet", "origin", "HEAD:refs/heads/staging")
        return self.git("rev-parse", "HEAD")

    def publish(self, commit: str, digit: str) -> str:
        """The job of this commit's run, after the push of its image."""
        self.git("checkout", "--quiet", "--detach", commit)
        done = subprocess.run(
            [self.work / ".github" / "scripts" / "release-image.sh", "data_fetch", f"{NAME}@{digest(digit)}"],
            cwd=self.work, capture_output=True, text=True,
            env={**os.environ, "PYTHON": sys.executable, "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def digest(self) -> str:
        """What staging runs."""
        self.git("fetch", "--quiet", "origin", "staging")
        release = self.git("show", "FETCH_HEAD:argo-apps/base/release/kustomization.yaml")
        entry = release.split("- name: data-fetch\n")[1]
        return entry.split("digest: ")[1].split()[0]

    def tags(self) -> set[str]:
        return set(self.git("ls-remote", "--tags", "origin").split()[1::2])


@pytest.fixture
def staging(repository: Path, tmp_path: Path) -> Staging:
    made = Staging(repository, tmp_path)
    made.commit("data_fetch/code.py", "first")
    return made


def tag(digit: str) -> str:
    return "refs/tags/tested/data-fetch/" + digest(digit).replace(":", "-")


def test_a_digest_counts_as_tested_and_staging_gets_it(staging: Staging) -> None:
    commit = staging.commit("data_fetch/code.py", "second")
    staging.publish(commit, "1")
    assert staging.digest() == digest("1")
    assert tag("1") in staging.tags()


def test_the_run_of_an_older_commit_that_ends_later_changes_nothing(staging: Staging) -> None:
    older = staging.commit("data_fetch/code.py", "second")
    newer = staging.commit("data_fetch/code.py", "third")
    staging.publish(newer, "3")
    assert "newer source of data_fetch" in staging.publish(older, "2")
    assert staging.digest() == digest("3")
    assert {tag("2"), tag("3")} <= staging.tags()


def test_a_newer_commit_of_another_stage_holds_nothing_back(staging: Staging) -> None:
    commit = staging.commit("data_fetch/code.py", "second")
    staging.commit("perf/code.py", "also new")
    staging.publish(commit, "2")
    assert staging.digest() == digest("2")
