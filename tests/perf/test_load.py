"""The load test's judgement, and a run against a small service."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from perf.pulls import load_pulls, made_up
from perf.settings import LoadSettings
from perf.watch import Watch, parse
from stage_runtime import readme
from stage_runtime.exits import UnusableInput

KNOWN = {"alpha", "beta", "gamma"}


class Service(BaseHTTPRequestHandler):
    """Answers as the scoring service does; `error` is the golden request's score, `broken` fails every request.

    Ordinary are those whose titles hold nothing but the model's words; every `flagged`th of them is flagged.
    """

    error: ClassVar[float] = 1.5
    flagged: ClassVar[int] = 10
    count: ClassVar[int] = 0
    broken: ClassVar[bool] = False
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        assert self.headers["X-Request-Purpose"] == "load-test"
        score = {"model_version": "3", "reconstruction_error": self.error, "is_anomaly": False}
        try:
            sent = json.loads(body)
            if isinstance(sent, dict):
                Service.count += 1
                words = set(str(sent.get("title")).lower().split())
                score["is_anomaly"] = not words <= KNOWN or Service.count % self.flagged == 0
            good = (isinstance(sent, list) and bool(sent)) or ("created_at" in sent and "base" in sent)
        except (ValueError, TypeError):
            sent, good = None, False
        if self.broken:
            self._send(500, {})
        elif self.path != "/predict":
            self._send(403, {})
        elif not good:
            self._send(422, {})
        else:
            self._send(200, {"scores": [score] * len(sent)} if isinstance(sent, list) else score)

    def _send(self, status: int, content: Any) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def service() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()
    Service.error, Service.broken, Service.flagged = 1.5, False, 10


@pytest.fixture
def registry(tmp_path: Path) -> str:
    import sqlite3

    (tmp_path / "model" / "artifacts").mkdir(parents=True)
    terms = {"alpha": 9, "beta": 8, "gamma": 8, "file:.py": 30}
    for name, content in (
        ("golden", {"request": made_up(7), "reconstruction_error": 1.5}),
        ("threshold", {"flag_rate": {"train": 0.02, "later": 0.06}}),
        ("preprocessor", {"profile": {"terms": terms}}),
    ):
        (tmp_path / "model" / "artifacts" / f"{name}.json").write_text(json.dumps(content))
    connection = sqlite3.connect(tmp_path / "mlflow.db")
    connection.executescript(
        "CREATE TABLE registered_model_aliases (alias TEXT, version INTEGER, name TEXT);"
        "CREATE TABLE model_versions (name TEXT, version INTEGER, source TEXT, storage_location TEXT);"
        f"INSERT INTO model_versions VALUES ('m', 3, '{tmp_path}/model', NULL);"
        "INSERT INTO registered_model_aliases VALUES ('champion', 3, 'm');"
    )
    connection.commit()
    connection.close()
    return f"sqlite:///{tmp_path}/mlflow.db"


def run(command: str, *flags: str) -> tuple[int, list[dict[str, Any]]]:
    """A process of its own: locust changes the socket module of whoever imports it."""
    done = subprocess.run(
        [sys.executable, "-m", "perf", command, *flags], capture_output=True, text=True, timeout=90
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def test_a_good_run_is_written_and_compared_with_the_one_before(service: str, tmp_path: Path) -> None:
    out = tmp_path / "load.json"
    flags = (
        "--host",
        service,
        "--seconds",
        "2",
        "--users",
        "4",
        "--out",
        str(out),
        "--least-requests-per-second",
        "1",
    )
    code, events = run("load", *flags)
    assert code == 0, json.dumps(events, indent=1)
    written = json.loads(out.read_text())
    assert written["requests"] > 10 and written["failures"] == 0
    assert {route["name"] for route in written["routes"]} == {
        "one pull request",
        "list",
        "bad input",
        "webhook",
    }
    _, events = run("load", *flags)
    total = next(event for event in events if event["event"] == "load")
    assert total["per_second_before"] == written["per_second"]


@pytest.mark.parametrize(
    "bound", [("--least-requests-per-second", "1000000"), ("--most-p95-single-ms", "0.001")]
)
def test_a_broken_bound_is_5(service: str, tmp_path: Path, bound: tuple[str, str]) -> None:
    out = str(tmp_path / "load.json")
    code, events = run("load", "--host", service, "--seconds", "1", "--out", out, *bound)
    assert code == 5 and any("Load test refused" in event["event"] for event in events)


def test_no_service_and_a_broken_one_are_1(service: str, tmp_path: Path) -> None:
    out = str(tmp_path / "load.json")
    assert run("load", "--host", "http://127.0.0.1:9", "--seconds", "1", "--out", out)[0] == 1
    Service.broken = True
    code, events = run("load", "--host", service, "--seconds", "1", "--out", out)
    assert code == 1 and any("answered none" in event["event"] for event in events)


def test_the_gate_wants_the_registered_score_and_version(service: str, registry: str, tmp_path: Path) -> None:
    flags = (
        "--host", service, "--seconds", "1", "--out", str(tmp_path / "load.json"), "--model-name", "m",
        "--mlflow-tracking-uri", registry, "--least-requests-per-second", "1",
    )  # fmt: skip
    code, events = run("gate", *flags)
    assert code == 0, json.dumps(events, indent=1)
    Service.error = 1.6
    code, events = run("gate", *flags)
    assert code == 5 and any("expected the score 1.5" in event["event"] for event in events)
    code, events = run("gate", *flags, "--model-alias", "nobody")
    assert code == 3


def test_the_gate_knows_how_many_training_flagged(service: str, registry: str, tmp_path: Path) -> None:
    flags = (
        "--host", service, "--seconds", "1", "--out", str(tmp_path / "load.json"), "--model-name", "m",
        "--mlflow-tracking-uri", registry, "--least-requests-per-second", "1", "--most-flag-rate", "0.05",
    )  # fmt: skip
    assert run("gate", *flags)[0] == 0  # 0.1 is less than 4 times 0.06
    code, events = run("gate", *flags, "--most-flag-rate-times", "1")
    assert code == 5 and any("training measured 0.06" in event["event"] for event in events)
    Service.flagged = 2
    assert run("gate", *flags)[0] == 5


def test_failures_of_a_long_run() -> None:
    from perf.judgement import Result, Route, complaints

    route = Route("one pull request", 10_000, 1, 100.0, 1.0, 2.0, 3.0)
    result = Result(8, 100.0, 10_000, 1, 100.0, 0.1, (route,), {"x": 1})
    assert complaints(result, LoadSettings()) == []
    many = replace(result, failures=11)
    assert "11 of 10000" in complaints(many, LoadSettings())[0]


def test_a_kind_of_request_without_a_bound_of_its_own_has_that_of_the_others() -> None:
    from perf.judgement import Result, Route, complaints

    route = Route("something new", 100, 0, 100.0, 1.0, 600.0, 700.0)
    (said,) = complaints(Result(8, 1.0, 100, 0, 100.0, 0.1, (route,), {}), LoadSettings())
    assert said == "something new: 95th percentile 600 ms, expected at most 500"


def sample(instance: str, good: int, bad: int) -> str:
    return (
        f'model_serving_instance_info{{instance="{instance}"}} 1.0\n'
        f'model_serving_requests_total{{method="POST",route="/predict",status="200"}} {good}.0\n'
        f'model_serving_requests_total{{method="POST",route="/predict",status="500"}} {bad}.0\n'
        f'model_serving_request_seconds_bucket{{le="0.01",route="/predict"}} {good}.0\n'
        f'model_serving_request_seconds_bucket{{le="+Inf",route="/predict"}} {good + bad}.0\n'
    )


def test_a_watch_compares_a_replica_with_itself() -> None:
    seen = Watch()
    for text in (sample("a", 1000, 50), sample("b", 10, 0), sample("a", 1100, 52), sample("b", 110, 0)):
        seen.see(parse(text))
    assert seen.failures() == (2.0, 202.0)
    assert seen.p95_ms() == 10.0


def test_pulls_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "pulls.jsonl"
    file.write_text('{"a": 1}\n{"a": 2}\n')
    assert load_pulls(file) == [{"a": 1}, {"a": 2}]
    file.write_text('{"a": 1}\nnonsense\n')
    with pytest.raises(UnusableInput, match="line 2"):
        load_pulls(file)
    assert made_up(3) == made_up(3) != made_up(4)


def test_the_readme_shows_every_setting(repository: Path) -> None:
    assert readme.main([str(repository / "perf" / "README.md"), "--check"]) == 0
