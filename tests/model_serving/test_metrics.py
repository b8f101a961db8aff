import http.client
import json
import os
import signal
import threading
import time
from contextlib import closing
from typing import Any

import pytest
from artifact import pull_request
from model_serving.event_loop import TOGETHER_BYTES
from service_process import exchange
from werkzeug.test import Client


def value(text: str, name: str) -> float:
    """The value of one line of the exposition."""
    found = [line for line in text.splitlines() if line.startswith(name + " ")]
    assert len(found) == 1, (name, found)
    return float(found[0].rpartition(" ")[2])


def test_what_is_counted(client: Client, pull: dict[str, Any]) -> None:
    client.post("/predict", json=[pull] * 3)
    client.post("/predict", json={})
    client.get("/nothing/of/this/name")
    text = client.get("/metrics").get_data(as_text=True)
    assert value(text, 'model_serving_requests_total{method="POST",route="/predict",status="200"}') == 1
    assert value(text, 'model_serving_requests_total{method="POST",route="/predict",status="422"}') == 1
    assert value(text, 'model_serving_requests_total{method="GET",route="unknown",status="404"}') == 1
    assert value(text, 'model_serving_request_seconds_count{route="/predict"}') == 2
    assert value(text, "model_serving_batch_size_sum") == 3
    assert value(text, "model_serving_anomaly_score_count") == 3
    flags = [value(text, f'model_serving_scores_total{{anomaly="{flag}"}}') for flag in ("true", "false")]
    assert sum(flags) == 3


def test_values_fall_into_their_buckets(application: Any) -> None:
    metrics = application.parts.metrics
    for seconds in (0.0001, 0.001, 0.0011, 99.0):
        metrics.answered("/x", "GET", 200, seconds)
    text = metrics.exposition()[0].decode()
    buckets = {"0.0005": 1, "0.001": 2, "0.0025": 3, "10.0": 3, "+Inf": 4}
    for bound, count in buckets.items():
        assert value(text, f'model_serving_request_seconds_bucket{{le="{bound}",route="/x"}}') == count
    assert abs(value(text, 'model_serving_request_seconds_sum{route="/x"}') - 99.0022) < 1e-9


@pytest.mark.parametrize("kept", [True, False])
def test_the_time_to_answer_holds_the_wait(start: Any, kept: bool) -> None:
    service = start()
    body = json.dumps([pull_request(number) for number in range(500)]).encode()
    assert len(body) < TOGETHER_BYTES  # so they are all answered in the loop, a few at a time
    seconds = []
    ready = threading.Barrier(30)

    def ask() -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)) as connection:
            if kept:
                assert exchange(connection, "GET", "/health")[0] == 200
            ready.wait(60)
            begin = time.monotonic()
            assert exchange(connection, "POST", "/predict", body)[0] == 200
            seconds.append(time.monotonic() - begin)

    clients = [threading.Thread(target=ask) for _ in range(30)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    counted = value(service.get("/metrics")[1], 'model_serving_request_seconds_sum{route="/predict"}')
    # They have waited for each other, and each took but a small part of its time. What it takes to send and to read
    # an answer is known to the clients only.
    assert 0.4 * sum(seconds) < counted < 1.1 * sum(seconds), (counted, seconds)


def test_a_load_test_counts_no_scores(client: Client, pull: dict[str, Any], application: Any) -> None:
    client.post("/predict", json=pull, headers={"X-Request-Purpose": "load-test"})
    text = client.get("/metrics").get_data(as_text=True)
    assert value(text, "model_serving_anomaly_score_count") == 0
    assert value(text, "model_serving_batch_size_sum") == 1
    assert application.parts.results.recent(10) == []


def test_all_workers_are_added_up_and_a_dead_one_stays_counted(start: Any) -> None:
    service = start(workers=2)
    for number in range(40):
        assert service.post("/predict", pull_request(number))[0] == 200
    name = 'model_serving_requests_total{method="POST",route="/predict",status="200"}'
    end = time.monotonic() + 30
    while f"{name} 40.0" not in (text := service.get("/metrics")[1]):  # the workers add up twice a second
        assert time.monotonic() < end, text
        time.sleep(0.1)
    assert text.count("model_serving_model_info{") == 2
    victim = service.worker_pids()[0]
    os.kill(victim, signal.SIGKILL)
    end = time.monotonic() + 60
    while True:
        time.sleep(0.2)
        text = service.get("/metrics")[1]
        if text.count("model_serving_model_info{") == 2 and f'worker="{victim}"' not in text:
            break
        assert time.monotonic() < end, text
    assert value(text, name) == 40


def test_every_result_of_a_reload_is_told_from_the_first_scrape_on(start: Any) -> None:
    """A counter that is born at 1 has not increased for Prometheus: the first refusal would wake nobody."""
    text = start(workers=2).get("/metrics")[1]
    for result in ("changed", "unchanged", "refused", "failed"):
        assert value(text, f'model_serving_reloads_total{{result="{result}"}}') == 0


def test_the_dashboard_asks_for_metrics_that_exist(repository: Any, application: Any) -> None:
    import json
    import re

    known = {
        sample.name for metric in application.parts.metrics.registry.collect() for sample in [*metric.samples]
    }
    families = {metric.name for metric in application.parts.metrics.registry.collect()}
    names = (
        known
        | families
        | {f"{name}{end}" for name in families for end in ("_total", "_bucket", "_sum", "_count")}
    )
    dashboard = json.loads((repository / "model_serving" / "grafana" / "model-serving.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    used = {name for expression in expressions for name in re.findall(r"model_serving_\w+", expression)}
    assert len(used) > 8 and used <= names
