"""Memory does not grow with what is fetched. `make bench-fetch` measures up to 100,000."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fetch_harness import TOKEN, UNLIMITED, as_lines, pull
from local_setup.github_standin import Corpus, GitHubStandIn, serve

NOW = 1_750_000_000.0
BODY = "A paragraph about the change. " * 60
ALLOWED_MB = 15


def peak_mb(mongo_uri: str, *arguments: str, **settings: str) -> float:
    """Peak memory of one run of data_fetch."""
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "MONGO_URI": mongo_uri,
        "MONGO_DB": f"memory_{time.monotonic_ns()}",
        **settings,
    }
    command = [sys.executable, "-m", "data_fetch", *arguments]
    process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0.0
    while process.poll() is None:
        # Not ru_maxrss: that begins with what this process had at the fork.
        status = Path(f"/proc/{process.pid}/status").read_text()
        if "VmHWM:" in status:
            peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
        time.sleep(0.05)
    assert process.returncode == 0
    assert peak > 20
    return peak


def from_github(mongo_uri: str, count: int) -> float:
    corpus = Corpus()
    for number in range(1, count + 1):
        corpus.add(pull("acme/widget", number, NOW - 86_400 + number, body=BODY))
    with serve(GitHubStandIn(corpus, tokens=[TOKEN], limits=UNLIMITED)) as url:
        settings = {"GITHUB_API_URL": url, "GITHUB_TOKEN": TOKEN, "GITHUB_REPOS": "acme/widget"}
        return peak_mb(mongo_uri, **settings)


def from_file(mongo_uri: str, folder: Path, count: int) -> float:
    path = folder / f"{count}.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as lines:
        for number in range(1, count + 1):
            lines.write(as_lines([pull("acme/widget", number, NOW + number, body=BODY)]))
    return peak_mb(mongo_uri, "--from-file", str(path))


@pytest.mark.long
@pytest.mark.timeout(1_800)
def test_twenty_times_as_many_pull_requests_take_no_more_memory(mongo_uri: str, tmp_path: Path) -> None:
    small, large = from_github(mongo_uri, 1_000), from_github(mongo_uri, 20_000)
    assert large - small < ALLOWED_MB, (small, large)
    small, large = from_file(mongo_uri, tmp_path, 1_000), from_file(mongo_uri, tmp_path, 20_000)
    assert large - small < ALLOWED_MB, (small, large)
