"""The drift job's report as the service shows it."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from model_serving.app import Parts, create_app
from model_serving.drift import DriftReports
from model_serving.metrics import Metrics
from model_serving.model import ServedModel
from model_serving.results import Results
from model_serving.service import Service
from model_serving.settings import Settings
from model_serving.traffic import FolderStore
from werkzeug.test import Client

from model_serving import drift as module

REPORT = {
    "version": 1,
    "run_id": "20261123T030000Z-abc123",
    "made_at": "2026-11-23T03:00:00.000Z",
    "state": "drift",
    "alarm": True,
    "drift_score": 1.0,
    "threshold": 0.3,
    "model": {"name": "pr-anomaly-autoencoder", "version": "7"},
    "window": {"rows": 812},
    "groups": [
        {"name": "size", "drifted": True, "features": ["lines"]},
        {"name": 'x"} 1\nevil', "drifted": False, "features": ["<script>"]},
    ],
    "page": "report.html",
}
ENDED = {"number": 3, "ended_at": "2026-11-23T04:00:00+00:00", "outcome": "refused"}


class Shown:
    """An application over a folder of reports."""

    def __init__(self, model: ServedModel, folder: Path) -> None:
        self.folder = folder / "drift-runs"
        metrics = Metrics()
        settings = Settings()
        self.reports = DriftReports(FolderStore(folder))
        parts = Parts(Service(settings, model), metrics, Results(metrics), drift=self.reports)
        self.client = Client(create_app(settings, parts=parts))

    def write(self, name: str, content: Any) -> None:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")


@pytest.fixture
def shown(model: ServedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shown:
    monkeypatch.setattr(module, "TTL_SECONDS", 0.0)
    return Shown(model, tmp_path)


def test_the_verdict_and_how_the_last_retraining_ended(shown: Shown) -> None:
    assert shown.client.get("/drift").status_code == 404
    shown.write("latest.json", REPORT)
    assert shown.client.get("/drift").get_json() == {**REPORT, "retraining": None}
    shown.write("latest-retraining.json", ENDED)
    assert shown.client.get("/drift").get_json()["retraining"] == ENDED


def test_the_page_has_an_origin_of_its_own(shown: Shown) -> None:
    shown.write("latest.json", REPORT)
    shown.write(f"{REPORT['run_id']}/report.html", "<p>page</p>")
    answer = shown.client.get("/drift/report")
    assert (answer.status_code, answer.get_data(as_text=True)) == (200, "<p>page</p>")
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox allow-scripts; default-src 'none'")
    # Nothing may be fetched or sent anywhere, and the page is not of this service's origin.
    assert "same-origin" not in policy and "http" not in policy and "connect-src" not in policy


def test_a_report_without_page_or_with_a_strange_run_id(shown: Shown) -> None:
    shown.write("latest.json", {**REPORT, "page": None})
    assert shown.client.get("/drift/report").status_code == 404
    (shown.folder.parent / "secret").mkdir()
    (shown.folder.parent / "secret" / "report.html").write_text("secret")
    shown.write("latest.json", {**REPORT, "run_id": "../secret"})
    assert shown.client.get("/drift/report").status_code == 404


class Counted:
    """A store that counts what is read."""

    def __init__(self, folder: Path) -> None:
        self.store, self.read = FolderStore(folder), Counter[str]()

    def get(self, path: str) -> bytes | None:
        self.read[path.rpartition("/")[2]] += 1
        return self.store.get(path)


def test_a_page_is_read_once_a_run(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Counted(shown.folder.parent)
    monkeypatch.setattr(shown.reports, "_store", store)
    shown.write("latest.json", REPORT)
    shown.write(f"{REPORT['run_id']}/report.html", "<html>first</html>")
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: shown.client.get("/drift/report").get_data(as_text=True), range(5)))
    assert set(answers) == {"<html>first</html>"} and store.read["report.html"] == 1
    answer = shown.client.get("/drift/report")
    assert answer.headers["Cache-Control"] == "private, no-cache"
    again = shown.client.get("/drift/report", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.get_data()) == (304, b"")
    assert (
        again.headers["ETag"] == answer.headers["ETag"]
        and "sandbox" in again.headers["Content-Security-Policy"]
    )
    # The next run's is another.
    shown.write("latest.json", {**REPORT, "run_id": "20261123T031000Z-abc124"})
    shown.write("20261123T031000Z-abc124/report.html", "<html>second</html>")
    again = shown.client.get("/drift/report", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.get_data()) == (200, b"<html>second</html>")
    assert store.read["report.html"] == 2
    # A browser that has it needs no page in the store.
    (shown.folder / "20261123T031000Z-abc124" / "report.html").unlink()
    again = shown.client.get("/drift/report", headers={"If-None-Match": again.headers["ETag"]})
    assert again.status_code == 304


def test_a_page_beyond_the_limit_is_not_kept(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_KEPT_BYTES", 10)
    shown.write("latest.json", REPORT)
    shown.write(f"{REPORT['run_id']}/report.html", "<html>much</html>")
    for _ in range(2):
        assert shown.client.get("/drift/report").status_code == 200
        assert shown.reports._page is None


def test_when_the_last_retraining_began(shown: Shown) -> None:
    shown.write("started-retraining.json", {"number": 4, "claimed_at": "2026-11-23T04:00:00+00:00"})
    lines = shown.client.get("/metrics").get_data(as_text=True).splitlines()
    assert "model_serving_retraining_start_time_seconds 1795406400.0" in lines
    shown.write("started-retraining.json", {"number": 4})
    assert "retraining_start" not in shown.client.get("/metrics").get_data(as_text=True)


def test_metrics_of_the_latest_report(shown: Shown) -> None:
    assert "drift" not in shown.client.get("/metrics").get_data(as_text=True)
    shown.write("latest.json", REPORT)
    shown.write("latest-retraining.json", ENDED)
    lines = shown.client.get("/metrics").get_data(as_text=True).splitlines()
    assert "model_serving_drift_score 1.0" in lines
    assert "model_serving_drift_alarm 1.0" in lines
    assert 'model_serving_drift_model_info{version="7"} 1.0' in lines
    assert 'model_serving_drift_group{group="size"} 1.0' in lines
    assert "model_serving_drift_window_rows 812.0" in lines
    assert 'model_serving_retraining_end_time_seconds{outcome="refused"} 1795406400.0' in lines
    # Every line is a comment or a sample, whatever a group is called.
    assert not [line for line in lines if line and not line.startswith(("#", "model_serving_"))]


def test_no_verdict_has_no_score(shown: Shown) -> None:
    shown.write("latest.json", {**REPORT, "state": "too few rows", "alarm": False, "drift_score": None})
    text = shown.client.get("/metrics").get_data(as_text=True)
    assert "drift_alarm 0.0" in text and "drift_score" not in text


def test_the_dashboard_links_it(shown: Shown) -> None:
    assert 'id="drift"' not in shown.client.get("/").get_data(as_text=True)
    shown.write("latest.json", REPORT)
    text = shown.client.get("/").get_data(as_text=True)
    assert 'href="/drift/report"' in text and "<dd>drift, drift score 1" in text and "size (lines)" in text
    assert "<script>" not in text


@pytest.mark.parametrize(
    "content", ["{", "[]", json.dumps({"run_id": 5}), json.dumps({**REPORT, "groups": 1})]
)
def test_a_damaged_report_breaks_nothing(shown: Shown, content: str) -> None:
    shown.write("latest.json", content)
    assert shown.client.get("/drift").status_code in {200, 404, 503}
    assert shown.client.get("/metrics").status_code == 200
    assert shown.client.get("/").status_code == 200


def test_a_store_that_fails_is_said(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: str) -> bytes:
        raise OSError("gone")

    monkeypatch.setattr(shown.reports._store, "get", fail)
    assert shown.client.get("/drift").status_code == 503
    assert shown.client.get("/metrics").status_code == 200


def test_the_store_is_asked_seldom(model: ServedModel, tmp_path: Path) -> None:
    shown = Shown(model, tmp_path)
    shown.write("latest.json", REPORT)
    assert shown.client.get("/drift").status_code == 200
    (shown.folder / "latest.json").unlink()
    assert shown.client.get("/drift").status_code == 200


def test_without_a_data_root(client: Client) -> None:
    assert client.get("/drift").status_code == 404
    assert client.get("/drift/report").status_code == 404


def test_the_drift_job_s_own_record(shown: Shown, repository: Path) -> None:
    """tests/drift_detection proves that this is what it writes."""
    golden = json.loads((repository / "tests" / "contract" / "drift_report.json").read_text("utf-8"))
    shown.write("latest.json", golden)
    assert shown.client.get("/drift").get_json() == {**golden, "retraining": None}
    lines = shown.client.get("/metrics").get_data(as_text=True).splitlines()
    assert "model_serving_drift_score 1.0" in lines and "model_serving_drift_window_rows 300.0" in lines
    assert 'model_serving_drift_group{group="size"} 1.0' in lines
    assert "drift, drift score 1" in shown.client.get("/").get_data(as_text=True)
