"""data_fetch as a process of its own, over GitHub on a port (the fixtures `github`, `database`, `environ`)."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from data_fetch.store import Store
from fetch_harness import comparable
from local_setup.github_standin import Corpus
from pr_features.documents import from_rest


def start(environ: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    """One run of data_fetch."""
    return subprocess.Popen(
        [sys.executable, "-m", "data_fetch", *arguments],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def fetch(environ: dict[str, str], *arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    """(exit code, log lines, everything that was written)."""
    process = start(environ, *arguments)
    output, errors = process.communicate(timeout=200)
    return process.returncode, [json.loads(line) for line in output.splitlines()], output + errors


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Look again and again, for so long at most."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass in time"
        time.sleep(0.02)


def complete(store: Store, corpus: Corpus) -> bool:
    """Whether the store holds what GitHub has."""
    expected = {
        one["id"]: comparable(from_rest(one))
        for repository in corpus.repositories()
        for one in corpus.pulls(repository.full_name)
    }
    return {one["_id"]: comparable(one) for one in store.documents.find()} == expected
