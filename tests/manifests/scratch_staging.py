"""A scratch remote with the branches of a delivery, and a checkout of it as a workflow has one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path


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

    def run(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A script of the checkout, as a workflow starts it."""
        return subprocess.run(
            [self.work / script, *arguments], cwd=self.work, capture_output=True, text=True,
            env={**os.environ, "PYTHON": sys.executable, "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip

    def digest(self) -> str:
        """What staging runs."""
        self.git("fetch", "--quiet", "origin", "staging")
        release = self.git("show", "FETCH_HEAD:argo-apps/base/release/kustomization.yaml")
        entry = release.split("- name: data-fetch\n")[1]
        return entry.split("digest: ")[1].split()[0]

    def tags(self) -> set[str]:
        return set(self.git("ls-remote", "--tags", "origin").split()[1::2])
