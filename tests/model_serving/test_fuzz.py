"""Bodies of every kind of wrongness: no 5xx, no worker dies, memory stays bounded."""

import gzip
import json
import random
import socket
import string
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from artifact import pull_request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_serving.app import create_app
from model_serving.model import ServedModel
from model_serving.settings import Settings
from service_process import ServiceProcess
from werkzeug.test import Client

NUMBERS = (
    "0",
    "-0",
    "-1",
    "1e400",
    "-1e400",
    "1" * 400,
    "0.1",
    "1E+2",
    "9223372036854775808",
    "NaN",
    "Infinity",
    "01",
    "1.",
)
TEXTS = (
    '"\\ud800"',
    '"\\udfff\\ud800"',
    '"\\u0000"',
    '"\u202e"',
    '"' + "x" * 300_000 + '"',
    '"\\x"',
    '""',
    '"\ufeff"',
)
VALUES = (
    *NUMBERS,
    *TEXTS,
    "null",
    "true",
    "[]",
    "{}",
    "[null]",
    "[" * 3000 + "]" * 3000,
    '{"a":' * 600 + "1" + "}" * 600,
)
FIELDS = (
    "title", "body", "number", "id", "created_at", "updated_at", "additions", "deletions", "changed_files", "commits",
    "user", "head", "base", "labels", "files", "history", "draft", "state", "assignees", "repo_name", "pr_id", "_id",
    "author_login", "is_draft", "schema_version", "source", "commits_count", "labels", "unknown", "",
)  # fmt: skip


def damaged(rng: random.Random) -> bytes:
    """One body: a good one with a value replaced, its bytes hurt, cut, or of another encoding, or no JSON at all."""
    kind = rng.randrange(12)
    pull = pull_request(rng.randrange(50))
    if kind > 9:  # in our own names
        same = ("number", "title", "body", "created_at", "additions", "deletions", "changed_files")
        pull = {"repo_name": "o/n"} | {name: pull[name] for name in same}
    if kind < 5 or kind > 9:
        text = json.dumps(pull)[:-1]
        for _ in range(rng.randint(1, 3)):
            text += f", {json.dumps(rng.choice(FIELDS))}: {rng.choice(VALUES)}"
        text += "}"
        body = (f"[{text}, {text}]" if rng.random() < 0.2 else text).encode("utf-8", "surrogatepass")
    elif kind == 5:
        inner = {"user": "login", "head": "repo", "base": "repo"}
        name = rng.choice(list(inner))
        body = json.dumps(pull | {name: {inner[name]: json.loads("[[[1]]]")}}).encode()
    elif kind == 6:
        raw = bytearray(json.dumps(pull).encode())
        for _ in range(rng.randint(1, 20)):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        body = bytes(raw)
    elif kind == 7:
        body = json.dumps(pull).encode()[: rng.randrange(400)]
    elif kind == 8:
        body = json.dumps(pull).encode(rng.choice(("utf-16", "utf-32", "utf-16-le", "utf-7")))
    else:
        body = bytes(rng.randrange(256) for _ in range(rng.randrange(200)))
    return body


# With which settings damaged bodies are sent, and a kind of problem that only these bring about.
SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "defaults": ({}, "unusable-pull-request"),
    "closed": ({"unknown_fields": "refuse"}, "unknown-field"),
    "short": ({"max_items": 1}, "too-many-items"),
    "closed and short": ({"unknown_fields": "refuse", "max_items": 1}, "too-many-items"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_damaged_bodies_are_refused_in_process(model: ServedModel, name: str) -> None:
    values, special = SETTINGS[name]
    client = Client(create_app(Settings(**values), model))
    rng = random.Random(1)
    found: Counter[int] = Counter()
    kinds = set()
    for _ in range(1500):
        answer = client.post("/predict", data=damaged(rng), content_type="application/json")
        found[answer.status_code] += 1
        assert answer.status_code < 500, answer.get_data()
        assert answer.is_json or answer.content_type == "application/problem+json"
        if answer.status_code >= 400:
            kinds.add(answer.get_json(force=True)["type"].partition("#problem-")[2])
    assert found[422] and found[400] and found[200] and special in kinds


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(string.printable),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=20,
)


@pytest.fixture
def strict_client(model: ServedModel) -> Client:
    """Of a service that refuses unknown fields and takes lists of at most two."""
    return Client(create_app(Settings(unknown_fields="refuse", max_items=2), model))


@pytest.mark.parametrize("name", ["client", "strict_client"])
@settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(value=JSON)
def test_any_json_at_every_route_that_takes_some(
    request: pytest.FixtureRequest, name: str, value: Any
) -> None:
    client: Client = request.getfixturevalue(name)
    body = json.dumps(value)
    for path in ("/predict", "/v2/models/pr-anomaly-autoencoder/infer", "/webhooks/github"):
        assert client.post(path, data=body, content_type="application/json").status_code < 500
    assert client.post("/", data={"pull_request": body}).status_code < 500


def raw_requests(service: ServiceProcess, rng: random.Random, bodies: int) -> Counter[int]:
    """Send bodies on kept connections, some of them with odd headers or broken off; statuses by count."""
    found: Counter[int] = Counter()
    sock = socket.create_connection(("127.0.0.1", service.port), timeout=30)
    paths = ("/predict",) * 8 + ("/v2/models/pr-anomaly-autoencoder/infer", "/webhooks/github")
    for number in range(bodies):
        body, headers = damaged(rng), "Content-Type: application/json\r\n"
        odd = rng.randrange(40)
        if odd == 0:
            body, headers = gzip.compress(b"[" * 10_000_000), headers + "Content-Encoding: gzip\r\n"
        elif odd == 1:
            headers = "Content-Type: multipart/form-data; boundary=x\r\n"
        elif odd == 2:
            headers += "X-Request-ID: " + "\xff" * 50 + "\r\nX-Request-Purpose: \r\n"
        head = f"POST {rng.choice(paths)} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
        raw = head.encode("latin-1") + body
        if odd == 3:  # broken off: the next one comes on a new connection
            sock.sendall(raw[: rng.randrange(1, len(raw))])
            sock.close()
            sock = socket.create_connection(("127.0.0.1", service.port), timeout=30)
            continue
        sock.sendall(raw)
        status, closed = answer_of(sock)
        found[status] += 1
        assert status < 500, (number, body[:300])
        if closed:
            sock.close()
            sock = socket.create_connection(("127.0.0.1", service.port), timeout=30)
    sock.close()
    return found


def answer_of(sock: socket.socket) -> tuple[int, bool]:
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(65536)
        assert part, "closed without an answer"
        data += part
    head, _, rest = data.partition(b"\r\n\r\n")
    lower = head.lower()
    length = int(lower.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
    while len(rest) < length:
        rest += sock.recv(65536)
    return int(head.split(b" ")[1]), b"connection: close" in lower


def test_damaged_requests_over_the_wire(start: Callable[..., ServiceProcess]) -> None:
    service = start(github_webhook_secret="s")
    before = service.worker_pids()
    found = raw_requests(service, random.Random(2), 600)
    assert found[200] and found[400] and found[415] and found[401]
    assert service.worker_pids() == before


def large_bodies() -> dict[str, tuple[bytes, int]]:
    """Bodies that cost as much as can be had for their size, and the status of each."""
    start = b'{"repo_name":"o/n","created_at":"2026-11-22T10:00:00Z",'

    def files(count: int) -> bytes:
        return start + b'"files":[' + b",".join([b'{"path":"a"}'] * count) + b"]}"

    def listed(item: bytes, count: int) -> bytes:
        return b"[" + b",".join([item] * count) + b"]"

    described = start + b'"body":"' + b"word " * 4_000 + b'"}'
    many = 8_380_000 // 3
    return {
        "32 MB of files": (listed(files(99_999), 25), 413),
        "files of one": (files(99_999), 422),
        "files": (listed(files(3_000), 200), 200),
        "descriptions": (listed(described, 400), 200),
        "a thousand descriptions": (listed(described, 1_000), 413),
        "empty files": (start + b'"files":' + listed(b"{}", many - 50) + b"}", 422),
        "empty items": (listed(b"{}", many), 413),
        "labels": (start + b'"labels":' + listed(b'"a"', 1_000_000) + b"}", 422),
        "deep": (b"[" * 8_000_000, 422),
        "not read": (start + b'"x":' + b"[" * 900 + b"1," * 4_000_000 + b"1" + b"]" * 900 + b"}", 200),
    }


def test_large_bodies_leave_the_worker_its_memory(start: Callable[..., ServiceProcess]) -> None:
    service = start()  # with the limits that come by default
    (pid,) = service.worker_pids()
    for name, (body, expected) in large_bodies().items():
        # Two at once, as nothing keeps callers from that.
        with ThreadPoolExecutor(2) as pool:
            answers = list(
                pool.map(lambda body: service.request("POST", "/predict", body, timeout=240), [body] * 2)
            )
        assert [status for status, _ in answers] == [expected] * 2, (name, answers[0][1])
    peak = Path(f"/proc/{pid}/status").read_text().partition("VmHWM:")[2].split()[0]
    assert service.worker_pids() == [pid] and int(peak) < 700_000, peak


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_fifty_thousand_bodies(start: Callable[..., ServiceProcess]) -> None:
    limits = {"workers": 2, "max_body_bytes": 2_000_000, "request_seconds": 5}
    service = start(github_webhook_secret="s", **limits)
    strict = start(github_webhook_secret="s", unknown_fields="refuse", max_items=1, **limits)
    workers, strict_workers = service.worker_pids(), strict.worker_pids()
    found = raw_requests(strict, random.Random(5), 10_000)
    assert found[413] and found[422] and max(found) < 500
    assert strict.worker_pids() == strict_workers, "a worker died"
    raw_requests(service, random.Random(3), 2_000)
    before = service.memory_mb()
    # Slow senders beside it, each with a large body that never ends.
    slow = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(60)]
    for sock in slow:
        sock.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1900000\r\n\r\n" + b"x" * 500_000)
    found = raw_requests(service, random.Random(4), 50_000)
    for sock in slow:
        sock.close()
    assert sum(found.values()) > 48_000 and max(found) < 500
    assert service.worker_pids() == workers, "a worker died"
    assert service.memory_mb() < before + 150
    assert service.post("/predict", pull_request(1))[0] == 200


@pytest.mark.long
@pytest.mark.timeout(900)
def test_schemathesis_finds_nothing(
    start: Callable[..., ServiceProcess], repository: Path, tmp_path: Path
) -> None:
    made = subprocess.run(
        [sys.executable, repository / "perf" / "peers" / "environments.py", "schemathesis"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    service = start(github_webhook_secret="s", reload_token="t")
    done = subprocess.run(
        [
            Path(made.stdout.strip()) / "bin" / "schemathesis", "run", f"http://127.0.0.1:{service.port}/openapi.json",
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
            "--max-examples", "60", "--seed", "1", "--phases", "examples,coverage,fuzzing", "--request-timeout", "20",
            "--no-color", "--exclude-path", "/",
        ],
        cwd=tmp_path, capture_output=True, text=True, timeout=800,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
