"""What the publish job does with a pushed image, on a scratch repository: which digest staging gets."""

from __future__ import annotations

from pathlib import Path

import pytest
from scratch_staging import Staging

NAME = "registry.test/team/data-fetch"


def digest(digit: str) -> str:
    return "sha256:" + digit * 64


def publish(staging: Staging, commit: str, digit: str) -> str:
    """The job of this commit's run, after the push of its image."""
    staging.git("checkout", "--quiet", "--detach", commit)
    done = staging.run(".github/scripts/release-image.sh", "data_fetch", f"{NAME}@{digest(digit)}")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def staging(repository: Path, tmp_path: Path) -> Staging:
    made = Staging(repository, tmp_path)
    made.commit("data_fetch/code.py", "first")
    return made


def tag(digit: str) -> str:
    return "refs/tags/tested/data-fetch/" + digest(digit).replace(":", "-")


def test_a_digest_counts_as_tested_and_staging_gets_it(staging: Staging) -> None:
    commit = staging.commit("data_fetch/code.py", "second")
    publish(staging, commit, "1")
    assert staging.digest() == digest("1")
    assert tag("1") in staging.tags()


def test_the_run_of_an_older_commit_that_ends_later_changes_nothing(staging: Staging) -> None:
    older = staging.commit("data_fetch/code.py", "second")
    newer = staging.commit("data_fetch/code.py", "third")
    publish(staging, newer, "3")
    assert "newer source of data_fetch" in publish(staging, older, "2")
    assert staging.digest() == digest("3")
    assert {tag("2"), tag("3")} <= staging.tags()


def test_a_newer_commit_of_another_stage_holds_nothing_back(staging: Staging) -> None:
    commit = staging.commit("data_fetch/code.py", "second")
    staging.commit("perf/code.py", "also new")
    publish(staging, commit, "2")
    assert staging.digest() == digest("2")
