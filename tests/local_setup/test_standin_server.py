"""The stand-in on a port and from the command line."""

from __future__ import annotations

import gzip
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from local_setup.corpus.__main__ import main as generate
from local_setup.errors import ServerFailed
from local_setup.github_standin import Corpus, Faults, GitHubStandIn, Latency, RunningStandIn, serve
from local_setup.github_standin.__main__ import build

HEADERS = {"Authorization": "Bearer local-token"}


def test_kept_alive_connections_and_answers_over_http(
    standin: GitHubStandIn, corpus: Corpus, busiest: str
) -> None:
    with requests.Session() as session:
        session.headers.update(HEADERS)
        with serve(standin) as url:
            for _ in range(3):
                reply = session.get(f"{url}/repos/{busiest}/pulls", params={"state": "all", "per_page": 100})
            assert {one["number"] for one in reply.json()} <= {one["number"] for one in corpus.pulls(busiest)}
            again = session.get(reply.url, headers={"If-None-Match": reply.headers["ETag"]})
            assert (again.status_code, again.content) == (304, b"")
            answer = session.post(f"{url}/graphql", json={"query": "{ viewer { login } }"}).json()
            assert answer == {"data": {"viewer": {"login": "caller-1000"}}}
            assert session.get(f"{url}/repos/no/body").status_code == 404
        calls = standin.log.calls
        with pytest.raises(requests.ConnectionError):
            session.get(f"{url}/rate_limit")
        assert standin.log.calls == calls, "a kept connection was still answered"
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(url.rsplit(":", 1)[1]))) != 0


def test_connections_that_break(corpus: Corpus, busiest: str) -> None:
    faults = Faults()
    with serve(GitHubStandIn(corpus, faults=faults)) as url:
        address = f"{url}/repos/{busiest}/pulls?state=all"
        faults.script(["hang-up", "cut-connection", "truncated-json"])
        with pytest.raises(requests.ConnectionError):
            requests.get(address, headers=HEADERS, timeout=5)
        with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
            requests.get(address, headers=HEADERS, timeout=5)
        reply = requests.get(address, headers=HEADERS, timeout=5)
        with pytest.raises(ValueError):
            json.loads(reply.content)
        assert requests.get(address, headers=HEADERS, timeout=5).ok


def test_latency_is_waited_and_several_wait_at_once(corpus: Corpus, busiest: str) -> None:
    with serve(GitHubStandIn(corpus, latency=Latency(fixed=0.5))) as url:
        started = time.monotonic()
        threads = [
            threading.Thread(
                target=lambda: requests.get(f"{url}/repos/{busiest}", headers=HEADERS, timeout=9)
            )
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert 0.5 <= time.monotonic() - started < 8 * 0.5


def test_a_port_in_use_is_named(standin: GitHubStandIn) -> None:
    running = RunningStandIn(standin)
    try:
        with pytest.raises(ServerFailed, match=rf"127\.0\.0\.1:{running.port}.*Choose another --port"):
            RunningStandIn(standin, running.port)
    finally:
        running.stop()


def test_before_runs_between_any_two_requests(
    standin: GitHubStandIn, client: Any, corpus: Corpus, busiest: str
) -> None:
    number = next(corpus.pulls(busiest))["number"]

    def rename(count: int, request: Any) -> None:
        corpus.update(busiest, number, title=f"before request {count}")

    standin.before = rename
    titles = [json.loads(client.get(f"/repos/{busiest}/pulls/{number}").body)["title"] for _ in range(3)]
    assert titles == ["before request 1", "before request 2", "before request 3"]


@pytest.fixture
def two_files(tmp_path: Path) -> str:
    for seed in "12":
        generate(
            [
                "--out",
                str(tmp_path / f"{seed}.jsonl.gz"),
                "--pulls",
                "40",
                "--repositories",
                "2",
                "--seed",
                seed,
            ]
        )
    return f"{tmp_path}/1.jsonl.gz,{tmp_path}/2.jsonl.gz"


def test_the_command_serves_files_and_sums_up_at_the_end(two_files: str) -> None:
    command = [sys.executable, "-m", "local_setup.github_standin", "--corpus", two_files, "--token", "abc"]
    command += ["--fault-script", "server-500,-", "--latency-ms", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        url = line.split("listens on ")[1].split(": ")[0]
        statuses = [
            requests.get(f"{url}/rate_limit", headers={"Authorization": "token abc"}, timeout=5).status_code
            for _ in "ab"
        ]
        process.send_signal(signal.SIGINT)
        summary = json.loads(process.stdout.readline())
        assert process.wait(10) == 0
    assert "80 pull requests in" in line
    assert statuses == [500, 200]
    assert summary["requests"] == {"rest": 2}
    assert summary["faults"] == {"server-500": 1}


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (["--corpus", "/nowhere.jsonl"], 3, "no such corpus file"),
        (["--fault", "flood=0.1"], 2, "no such failure"),
        (["--fault", "server-500=2"], 2, "outside 0 to 1"),
        (["--fault-script", "flood"], 2, "no failure is called 'flood'"),
        (["--rename", "no/where=a/b"], 2, "--rename no/where=a/b: expected OLD=NEW"),
        (["--block", "no/where"], 2, "no such repository"),
        (["--app", "1:2:/nowhere.pem"], 2, "expected ID:INSTALLATION:PUBLIC_KEY.pem"),
    ],
)
def test_wrong_flags_end_with_a_clear_error(two_files: str, flags: list[str], code: int, words: str) -> None:
    command = [sys.executable, "-m", "local_setup.github_standin", "--corpus", two_files, *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_renames_and_blocks(two_files: str) -> None:
    first, second = (
        json.loads(gzip.decompress(Path(name).read_bytes()).splitlines()[0])["base"]["repo"]["full_name"]
        for name in two_files.split(",")
    )
    flags = ["--corpus", two_files, "--rename", f"{first}=new/name", "--block", second]
    standin, _ = build(flags)
    headers = {"Authorization": "token local-token"}

    def status(name: str) -> int:
        return standin.request("GET", f"http://h/repos/{name}", headers).status

    assert (status(first), status("new/name"), status(second)) == (301, 200, 451)


def test_help_names_every_failure() -> None:
    from local_setup.github_standin import FAULTS

    done = subprocess.run(
        [sys.executable, "-m", "local_setup.github_standin", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    assert all(name in done.stdout for name in FAULTS)
