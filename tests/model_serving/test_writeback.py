"""Writing back, against a server on loopback that answers as GitHub's REST API does."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from model_serving.metrics import Metrics
from model_serving.writeback import MARKER, Target, WriteBack, comment, describe, plain, target_of

SCORE = {
    "repo_name": "o/n",
    "number": 7,
    "reconstruction_error": 3.25,
    "threshold": 1.5,
    "is_anomaly": True,
    "anomaly_score": 0.997,
    "reasons": [
        {"feature": "text", "share": 0.5, "value": "x", "usual": None, "text": "unusual wording around: x"}
    ],
    "model_version": "4",
    "request_id": "r",
}
TARGET = Target("o/n", 7, "a" * 40)


class FakeGitHub(ThreadingHTTPServer):
    """Comments and statuses in memory; `limited` counts down requests that are refused as too fast."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.comments: dict[int, dict[str, Any]] = {}
        self.statuses: list[dict[str, Any]] = []
        self.calls: list[str] = []
        self.tokens: set[str] = set()
        self.limited = 0
        self.foreign: set[int] = set()


class Handler(BaseHTTPRequestHandler):
    server: FakeGitHub
    protocol_version = "HTTP/1.1"

    def _reply(self, status: int, content: Any, **headers: str) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {
            "Content-Length": str(len(data)),
            "Content-Type": "application/json",
            **headers,
        }.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        content = json.loads(self.rfile.read(length)) if length else None
        server = self.server
        path = self.path.partition("?")[0]
        server.calls.append(f"{self.command} {path}")
        server.tokens.add(self.headers.get("Authorization", ""))
        if server.limited:
            server.limited -= 1
            message = "You have exceeded a secondary rate limit."
            self._reply(403, {"message": message}, Retry_After="1")
        elif path == f"/repos/o/n/statuses/{'a' * 40}" and self.command == "POST":
            server.statuses.append(content)
            self._reply(201, {"id": 1})
        elif path == "/repos/o/n/issues/7/comments" and self.command == "GET":
            self._reply(200, list(server.comments.values()))
        elif path == "/repos/o/n/issues/7/comments" and self.command == "POST":
            number = len(server.comments) + 1
            server.comments[number] = {"id": number, "body": content["body"]}
            self._reply(201, server.comments[number])
        elif path.startswith("/repos/o/n/issues/comments/") and self.command == "PATCH":
            number = int(path.rpartition("/")[2])
            if number in server.foreign:
                self._reply(403, {"message": "Resource not accessible by personal access token"})
            else:
                server.comments[number]["body"] = content["body"]
                self._reply(200, server.comments[number])
        else:
            self._reply(404, {"message": "Not Found"})

    do_GET = do_POST = do_PATCH = _handle

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    server = FakeGitHub()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def writer(github: FakeGitHub, kind: Any) -> WriteBack:
    return WriteBack(
        kind, f"http://127.0.0.1:{github.server_address[1]}", "tok", "https://scores.example.org/", Metrics()
    )


def test_a_status(github: FakeGitHub) -> None:
    writer(github, "status").send(TARGET, SCORE)
    (status,) = github.statuses
    assert (status["state"], status["context"]) == ("failure", "pr-anomaly")
    assert status["target_url"] == "https://scores.example.org" and len(status["description"]) <= 140
    writer(github, "status").send(TARGET, SCORE | {"is_anomaly": False})
    assert github.statuses[1]["state"] == "success"
    assert github.tokens == {"Bearer tok"} or github.tokens == {"token tok"}


def test_one_comment_is_edited_in_place(github: FakeGitHub) -> None:
    github.comments[1] = {"id": 1, "body": "looks good to me"}
    back = writer(github, "comment")
    back.send(TARGET, SCORE)
    back.send(TARGET, SCORE | {"is_anomaly": False})
    assert len(github.comments) == 2
    assert github.comments[2]["body"].startswith(MARKER) and "Nothing unusual" in github.comments[2]["body"]
    assert github.comments[1]["body"] == "looks good to me"


def test_somebody_else_s_comment_with_our_marker(github: FakeGitHub) -> None:
    github.comments[1] = {"id": 1, "body": MARKER + " fooled you"}
    github.foreign.add(1)
    writer(github, "comment").send(TARGET, SCORE)
    assert len(github.comments) == 2 and github.comments[1]["body"].endswith("fooled you")


def test_limits_are_waited_for_in_the_background(github: FakeGitHub) -> None:
    github.limited = 1
    back = writer(github, "status")
    back.start()
    begin = time.monotonic()
    back.put(TARGET, SCORE)
    assert time.monotonic() - begin < 0.8
    end = time.monotonic() + 60
    while not github.statuses and time.monotonic() < end:
        time.sleep(0.05)
    assert len(github.statuses) == 1 and time.monotonic() - begin >= 1.0
    back.stop(5)


def test_a_failure_is_counted_and_the_next_is_sent(github: FakeGitHub) -> None:
    back = writer(github, "status")
    back.start()
    back.put(Target("o/other", 7, "a" * 40), SCORE)
    back.put(TARGET, SCORE)
    back.stop(20)
    (metric,) = back.metrics.writebacks.collect()
    results = {s.labels["result"]: s.value for s in metric.samples if s.name.endswith("_total")}
    assert len(github.statuses) == 1 and results["failed"] == 1 and results["done"] == 1


@pytest.mark.parametrize(
    ("name", "number", "sha"),
    [
        ("o/n/../../x", 7, "a" * 40),
        ("o/..", 7, "a" * 40),
        ("o n/x", 7, "a" * 40),
        ("o/n", None, "a" * 40),
        ("o/n", 7, "x"),
    ],
)
def test_an_odd_target_is_none(name: str, number: int | None, sha: str) -> None:
    assert target_of({"head": {"sha": sha}}, name, number) is None
    assert target_of({"head": {"sha": "a" * 40}}, "o/n", 7) == TARGET


def test_text_of_a_pull_request_stays_text() -> None:
    hostile = "@everyone <img src=x> [a](http://evil) `code` #12 \n# heading \u202e"
    shown = plain(hostile)
    assert "<img" not in shown and "@everyone" not in shown and "\n" not in shown and "://" not in shown
    assert "\\[a\\]\\(" in shown and "\\#12" in shown and "\u202e" not in shown
    reason = {"feature": "text", "share": 0.5, "value": "x", "usual": None, "text": hostile}
    assert "<img" not in comment(SCORE | {"reasons": [reason]}, "")


def test_the_description_fits() -> None:
    assert len(describe(SCORE | {"reasons": [{"feature": "f" * 300}]})) == 140
