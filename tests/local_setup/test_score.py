"""score.py: one pull request, read from the server that its address names, and a service that may be slow."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from local_setup import score
from local_setup.github_standin import DEFAULT_TOKEN, GitHubStandIn, serve


@pytest.fixture
def github(standin: GitHubStandIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The stand-in as an Enterprise server, with a token for it."""
    with serve(standin) as url:
        monkeypatch.setenv("GITHUB_API_URL", f"{url}/api/v3/")
        monkeypatch.setenv("GITHUB_TOKEN", f"{DEFAULT_TOKEN}, another")
        yield url


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_a_pull_request_is_read_as_github_wants_to_be_asked(
    standin: GitHubStandIn, github: str, busiest: str
) -> None:
    asked: list[Any] = []
    standin.before = lambda number, request: asked.append(request)
    assert score.read_pull(f"{github}/{busiest}/pull/1/files")["number"] == 1
    (request,) = asked
    assert request.headers["x-github-api-version"] == "2022-11-28"
    assert request.headers["accept"] == "application/vnd.github+json"
    assert request.headers["authorization"] == f"Bearer {DEFAULT_TOKEN}"


@pytest.mark.parametrize(
    "address",
    [
        "https://github.com/{}/pull/1",
        "https://ghe.example/{}/pull/1",
        "https://github.com@127.0.0.1/{}/pull/1",
    ],
)
def test_a_pull_request_of_another_server_is_not_asked_for_here(
    standin: GitHubStandIn, github: str, busiest: str, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert score.main([address.format(busiest)]) == 2
    said = capsys.readouterr().err
    assert "GITHUB_API_URL" in said and github in said and "Traceback" not in said
    assert standin.log.calls == 0


@pytest.mark.parametrize(
    ("api", "host", "fits"),
    [
        ("", "github.com", True),
        ("", "GitHub.com", True),
        ("", "ghe.example", False),
        ("https://api.github.com/", "github.com", True),
        ("https://ghe.example/api/v3", "ghe.example", True),
        ("https://ghe.example/api/v3", "github.com", False),
        ("https://ghe.example:8443/api/v3", "ghe.example:8443", True),
        ("https://ghe.example:8443/api/v3", "ghe.example", False),
        ("https://api.acme.ghe.com", "acme.ghe.com", True),
        ("https://api.example/api/v3", "api.example", True),
        ("https://api.example/api/v3", "example", False),
    ],
)
def test_which_interface_has_a_servers_pull_requests(
    monkeypatch: pytest.MonkeyPatch, api: str, host: str, fits: bool
) -> None:
    monkeypatch.setenv("GITHUB_API_URL", api)
    if fits:
        assert score.api_of(host) == (api.rstrip("/") or "https://api.github.com")
    else:
        with pytest.raises(score.CannotScore, match=f"found one at {host}"):
            score.api_of(host)


def test_a_server_that_does_not_answer_in_time_is_named(
    silent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(score, "SECONDS", 0.2)
    (tmp_path / "pull.json").write_text("{}", "utf-8")
    assert score.main([str(tmp_path / "pull.json"), "--url", silent]) == 2
    assert f"{silent}/predict: no answer (ReadTimeout)" in capsys.readouterr().err
    monkeypatch.setenv("GITHUB_API_URL", silent)
    assert score.main([f"{silent}/a/b/pull/1"]) == 2
    assert "GitHub cannot be reached: ReadTimeout" in capsys.readouterr().err


@pytest.mark.parametrize("body", [b"<html>", b"[1, 2]"])
def test_what_is_no_score_is_said(body: bytes, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Silent."""

    (tmp_path / "pull.json").write_text(json.dumps({"number": 1}), "utf-8")
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.handle_request, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        assert score.main([str(tmp_path / "pull.json"), "--url", url]) == 2
    assert f"{url}/predict: expected a score, found other content" in capsys.readouterr().err
