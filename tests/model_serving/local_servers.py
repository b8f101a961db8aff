"""Servers of local/ as processes of their own environment: the embedded MongoDB and the stand-in for GitHub."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from artifact import pull_request
from service_process import free_port

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def _running(module: str, *flags: str) -> Iterator[None]:
    python = ROOT / ".venv" / "local" / "bin" / "python"
    if not python.exists():
        pytest.fail("the environment .venv/local is not there: run `make setup`")
    command = [python, "-m", f"local_setup.{module}", *flags]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline(), f"{module} did not start"
            yield
        finally:
            process.terminate()
            process.wait(30)


@contextmanager
def embedded_mongo(folder: Path) -> Iterator[str]:
    """Its address."""
    port = free_port()
    with _running("mongodb", "--data", str(folder), "--port", str(port)):
        yield f"mongodb://127.0.0.1:{port}"


class GitHub:
    """The stand-in as one of its callers sees it: `ours` is the service's token, `other` somebody else's."""

    def __init__(self, url: str, pull: dict[str, Any]) -> None:
        self.url = url
        self.repo_name: str = pull["base"]["repo"]["full_name"]
        self.number: int = pull["number"]

    def call(self, method: str, path: str, content: Any = None, token: str = "ours") -> Any:
        headers = {"Authorization": f"Bearer {token}"}
        reply = requests.request(
            method, f"{self.url}/repos/{self.repo_name}{path}", json=content, headers=headers, timeout=30
        )
        assert reply.ok, reply.text
        return reply.json()

    def comments(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("GET", f"/issues/{self.number}/comments?per_page=100")
        return found

    def say(self, text: str, token: str) -> dict[str, Any]:
        said: dict[str, Any] = self.call("POST", f"/issues/{self.number}/comments", {"body": text}, token)
        return said

    def statuses(self, sha: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("GET", f"/commits/{sha}/statuses")
        return found


@contextmanager
def github_standin(folder: Path, *flags: str) -> Iterator[GitHub]:
    """The stand-in over one pull request."""
    pull, port = pull_request(3), free_port()
    corpus = folder / f"corpus-{port}.jsonl"
    corpus.write_text(json.dumps(pull) + "\n")
    tokens = ("--token", "ours", "--token", "other")
    with _running("github_standin", "--corpus", str(corpus), "--port", str(port), *tokens, *flags):
        yield GitHub(f"http://127.0.0.1:{port}", pull)
