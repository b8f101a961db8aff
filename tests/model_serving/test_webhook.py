import hashlib
import hmac
import json
import os
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from artifact import pull_request
from local_servers import embedded_mongo
from model_serving.app import Parts, create_app
from model_serving.deliveries import Deliveries
from model_serving.metrics import Metrics
from model_serving.model import ServedModel
from model_serving.results import Results
from model_serving.service import Service
from model_serving.settings import Settings
from werkzeug.test import Client

SECRET = "It's a Secret to Everybody"


def signature(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def event(pull: dict[str, Any], action: str = "opened") -> bytes:
    return json.dumps(
        {"action": action, "number": pull["number"], "pull_request": pull, "sender": {}}
    ).encode()


def headers(body: bytes, delivery: str = "d-1", kind: str = "pull_request") -> dict[str, str]:
    return {
        "X-Hub-Signature-256": signature(body),
        "X-GitHub-Event": kind,
        "X-GitHub-Delivery": delivery,
        "Content-Type": "application/json",
    }


@pytest.fixture
def application(model: ServedModel, tmp_path: Any) -> Any:
    settings = Settings(github_webhook_secret=SECRET)
    metrics = Metrics()
    return create_app(
        settings,
        parts=Parts(
            Service(settings, model),
            metrics,
            Results(metrics),
            deliveries=Deliveries(tmp_path / "deliveries"),
        ),
    )


def test_the_signature_is_github_s_own_example() -> None:
    # https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries
    expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert signature(b"Hello, World!") == expected
    from model_serving.webhook import check_signature

    check_signature(b"Hello, World!", expected, SECRET)


def test_an_event_is_scored_and_kept(client: Client, application: Any, pull: dict[str, Any]) -> None:
    body = event(pull)
    answer = client.post("/webhooks/github", data=body, headers=headers(body)).get_json()
    assert answer["result"] == "scored" and answer["score"]["request_id"] == "d-1"
    (kept,) = application.parts.results.recent(5)
    assert (kept["origin"], kept["title"], kept["number"]) == ("webhook", pull["title"], pull["number"])
    assert (
        client.post("/predict", json=pull).get_json()["reconstruction_error"] == kept["reconstruction_error"]
    )


@pytest.mark.parametrize("action", ["opened", "reopened", "synchronize", "edited"])
def test_the_actions_that_are_scored(client: Client, pull: dict[str, Any], action: str) -> None:
    body = event(pull, action)
    assert client.post("/webhooks/github", data=body, headers=headers(body)).get_json()["result"] == "scored"


def test_what_is_ignored(client: Client, pull: dict[str, Any]) -> None:
    for body, kind in ((event(pull, "closed"), "pull_request"), (b'{"zen": "x"}', "ping"), (b"{}", "push")):
        answer = client.post("/webhooks/github", data=body, headers=headers(body, kind=kind))
        assert (answer.status_code, answer.get_json()["result"]) == (200, "ignored")


def test_a_delivery_counts_once(client: Client, application: Any, pull: dict[str, Any]) -> None:
    body = event(pull)
    results = [
        client.post("/webhooks/github", data=body, headers=headers(body, delivery)).get_json()["result"]
        for delivery in ("a", "a", "b", "a")
    ]
    assert results == ["scored", "duplicate", "scored", "duplicate"]


def test_an_unusable_delivery_may_come_again(client: Client, pull: dict[str, Any]) -> None:
    body = event(pull | {"created_at": "never"})
    for _ in range(2):
        answer = client.post("/webhooks/github", data=body, headers=headers(body))
        assert answer.status_code == 422 and answer.get_json()["field"] == "created_at"
    good = event(pull)
    assert client.post("/webhooks/github", data=good, headers=headers(good)).get_json()["result"] == "scored"


@pytest.mark.parametrize(
    "change",
    [
        {"X-Hub-Signature-256": ""},
        {"X-Hub-Signature-256": "sha256=00"},
        {"X-Hub-Signature-256": "sha1=" + "0" * 40},
        {"X-Hub-Signature-256": "\u00ff" * 71},
    ],
)
def test_a_wrong_signature_is_refused(
    client: Client, application: Any, pull: dict[str, Any], change: dict[str, str]
) -> None:
    body = event(pull)
    answer = client.post("/webhooks/github", data=body, headers=headers(body) | change)
    assert answer.status_code == 401 and answer.get_json()["field"] == "X-Hub-Signature-256"
    assert application.parts.results.recent(5) == []


def test_a_changed_body_is_refused(client: Client, pull: dict[str, Any]) -> None:
    body = event(pull)
    answer = client.post("/webhooks/github", data=body.replace(b"opened", b"edited"), headers=headers(body))
    assert answer.status_code == 401


def test_bad_deliveries(client: Client, pull: dict[str, Any]) -> None:
    body = event(pull)
    assert client.post("/webhooks/github", data=body, headers=headers(body, "a b")).status_code == 400
    for bad, status in ((b"{", 400), (b'{"action": "opened"}', 422), (b'{"action": 5}', 422), (b"[]", 422)):
        assert client.post("/webhooks/github", data=bad, headers=headers(bad)).status_code == status


def test_github_s_default_content_type_is_refused_with_what_to_choose(client: Client) -> None:
    body = b"payload=%7B%7D"
    form = headers(body) | {"Content-Type": "application/x-www-form-urlencoded"}
    answer = client.post("/webhooks/github", data=body, headers=form)
    assert answer.status_code == 415 and "webhook's settings" in answer.get_json(force=True)["detail"]


def test_without_a_secret_it_is_switched_off(model: ServedModel, pull: dict[str, Any]) -> None:
    body = event(pull)
    client = Client(create_app(Settings(), model))
    assert client.post("/webhooks/github", data=body, headers=headers(body)).status_code == 403


def test_a_load_test_is_recorded_nowhere(client: Client, application: Any, pull: dict[str, Any]) -> None:
    body = event(pull)
    marked = headers(body) | {"X-Request-Purpose": "load-test"}
    for _ in range(2):
        assert client.post("/webhooks/github", data=body, headers=marked).get_json()["result"] == "scored"
    assert application.parts.results.recent(5) == []


def test_two_workers_take_a_delivery_once(start: Any) -> None:
    service = start(workers=2, github_webhook_secret=SECRET)
    found: list[str] = []

    def deliver() -> None:
        body = event(pull_request(3))
        found.append(service.request("POST", "/webhooks/github", body, headers(body, "same"))[1]["result"])

    threads = [threading.Thread(target=deliver) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == ["duplicate"] * 11 + ["scored"]


def test_the_answer_does_not_wait_for_a_mongodb_that_is_away(start: Any) -> None:
    service = start(github_webhook_secret=SECRET, mongo_uri="mongodb://127.0.0.1:9", mongo_timeout_seconds=20)
    for number in range(3):
        body = event(pull_request(number))
        begin = time.monotonic()
        status, answer = service.request("POST", "/webhooks/github", body, headers(body, f"d-{number}"))
        assert (status, answer["result"]) == (200, "scored") and time.monotonic() - begin < 5
    status, answer = service.request("POST", "/webhooks/github", body, headers(body, "d-2"))
    assert answer["result"] == "duplicate"


@pytest.mark.parametrize(
    "settings",
    [
        {"mongo_uri": "mongodb://127.0.0.1:{port}/", "mongo_timeout_seconds": 5},
        {
            "github_writeback": "status",
            "github_writeback_token": "ours",
            "github_api_url": "http://127.0.0.1:{port}",
        },
    ],
    ids=["mongodb", "github"],
)
def test_a_delivery_whose_worker_died_before_its_effects_has_them_when_it_comes_again(
    start: Any, settings: dict[str, Any]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:  # takes connections and never answers
        port = hanging.getsockname()[1]
        places = {name: str(text).format(port=port) for name, text in settings.items()}
        service = start(github_webhook_secret=SECRET, **places)
        pull = pull_request(3)
        body = event(pull)

        def deliver() -> Any:
            return service.request("POST", "/webhooks/github", body, headers(body))[1]["result"]

        assert deliver() == "scored" and deliver() == "duplicate"
        (worker,) = service.worker_pids()
        os.kill(worker, signal.SIGKILL)
        end = time.monotonic() + 60
        while worker in service.worker_pids():
            assert time.monotonic() < end
            time.sleep(0.05)
        service.wait_until_ready()
        assert deliver() == "scored"
        while pull["base"]["repo"]["full_name"] not in service.get("/")[1]:
            assert time.monotonic() < end, service.log
            time.sleep(0.1)
        assert deliver() == "duplicate"


def test_a_claim_that_cannot_be_kept_costs_no_score(start: Any, tmp_path: Path) -> None:
    service = start(github_webhook_secret=SECRET, state_dir=tmp_path / "state")
    folder = tmp_path / "state" / "deliveries"
    folder.rmdir()
    folder.touch()
    body = event(pull_request(3))
    for _ in range(2):
        status, answer = service.request("POST", "/webhooks/github", body, headers(body))
        assert (status, answer["result"]) == (200, "scored")
    assert "without knowing whether it has come before" in service.log
    assert service.terminate() == 0


def test_two_replicas_keep_a_delivery_once(start: Any, tmp_path: Path) -> None:
    root = tmp_path / "data"
    with embedded_mongo(tmp_path) as uri:
        services = [
            start(github_webhook_secret=SECRET, mongo_uri=uri, mongo_timeout_seconds=10, data_root=root)
            for _ in range(2)
        ]
        found = []
        for number in range(4):
            body = event(pull_request(number))
            for service in services if number % 2 else reversed(services):
                status, answer = service.request(
                    "POST", "/webhooks/github", body, headers(body, f"d-{number}")
                )
                found.append((status, answer["result"]))
        end = time.monotonic() + 60
        while time.monotonic() < end:
            text = "".join(service.get("/metrics")[1] for service in services)
            counts = {
                result: sum(
                    float(line.split()[-1])
                    for line in text.splitlines()
                    if line.startswith(f'model_serving_webhooks_total{{result="{result}"}}')
                )
                for result in ("scored", "duplicate")
            }
            if sum(counts.values()) == 8:
                break
            time.sleep(0.1)
        assert counts == {"scored": 4, "duplicate": 4}
        for service in services:
            assert service.terminate() == 0
    assert set(found) == {(200, "scored")}
    from arro3.io import read_parquet

    assert sum(len(read_parquet(str(file)).read_all()) for file in root.rglob("*.parquet")) == 4


def test_a_delivery_that_finds_no_room_is_failed_and_may_come_again(
    model: ServedModel, tmp_path: Path, pull: dict[str, Any], open_mongo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model_serving.deliveries.WAITING_AT_MOST", 1)
    settings, metrics = Settings(github_webhook_secret=SECRET), Metrics()
    # Nothing listens there, and nobody takes what waits until it is started.
    deliveries = Deliveries(tmp_path, open_mongo("mongodb://127.0.0.1:9", "db", 0.2))
    parts = Parts(Service(settings, model), metrics, Results(metrics), deliveries=deliveries)
    client = Client(create_app(settings, parts=parts))
    body = event(pull)
    assert client.post("/webhooks/github", data=body, headers=headers(body, "a")).status_code == 200
    for _ in range(2):
        answer = client.post("/webhooks/github", data=body, headers=headers(body, "b"))
        assert answer.status_code == 503 and answer.headers["Retry-After"]
    deliveries.start()
    end = time.monotonic() + 60
    while client.post("/webhooks/github", data=body, headers=headers(body, "b")).status_code == 503:
        assert time.monotonic() < end
        time.sleep(0.05)
    deliveries.stop(20)
    assert (
        client.post("/webhooks/github", data=body, headers=headers(body, "b")).get_json()["result"]
        == "duplicate"
    )
