"""The command from end to end, over a registry file and a folder, and a webhook of loopback."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from drift_detection.__main__ import main
from drift_detection.store import FolderStore
from made_up import MODEL, errors_of, make_registry, publish_run, record, rows, traffic_file
from stage_runtime.exits import ExitCode, ServiceUnreachable, UnusableInput, WrongSettings

from drift_detection import page, retrainings

TOKEN = "token-of-the-webhook"


class Webhook(ThreadingHTTPServer):
    """As Argo Events answers."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: list[dict[str, Any]] = []
        self.status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/drift-detected"


class Handler(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        known = self.headers["Authorization"] == f"Bearer {TOKEN}" and self.path == "/drift-detected"
        if known and self.server.status == 200:
            self.server.bodies.append(body)
        self.send_response(self.server.status if known else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


class Fetched(HTMLParser):
    """Addresses that a browser would fetch by itself for a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {"link": "href"}.get(tag, "src")
        self.addresses += [f"{tag} {value}" for name, value in attrs if name == names and value]


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    server = Webhook()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


class Place:
    """A data root with a registry; detect() runs the command."""

    def __init__(self, root: Path, registry: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.registry = root, registry
        monkeypatch.setenv("DRIFT_WEBHOOK_TOKEN", TOKEN)

    def detect(self, *flags: str) -> int:
        common = [f"--data-root={self.root}", f"--mlflow-tracking-uri={self.registry}"]
        page = [] if any(flag.startswith("--html-page") for flag in flags) else ["--html-page=false"]
        return int(main(["detect", *common, *page, *flags]) or 0)

    def latest(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.root / "drift-runs" / "latest.json").read_text())
        text = files("drift_detection").joinpath("schemas/drift_report.schema.json").read_text("utf-8")
        jsonschema.validate(found, json.loads(text))
        run = self.root / "drift-runs" / found["run_id"] / "report.json"
        assert json.loads(run.read_text()) == found
        return found

    def reports(self) -> list[dict[str, Any]]:
        return [json.loads(file.read_text()) for file in (self.root / "drift-runs").glob("*/report.json")]


@pytest.fixture
def place(root: Path, registry: str, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(root, registry, monkeypatch)


def test_unchanged_traffic(place: Place, webhook: Webhook, rng: np.random.Generator) -> None:
    record(place.root, rows(rng, 400))
    assert place.detect(f"--drift-webhook-url={webhook.url}") == ExitCode.DONE
    report = place.latest()
    assert (report["state"], report["alarm"], report["webhook"]) == ("no drift", False, "not called")
    assert report["window"]["rows"] == 400 and report["model"] == {"name": MODEL, "version": "1"}
    assert webhook.bodies == []


def test_an_alarm_calls_the_webhook(place: Place, webhook: Webhook, rng: np.random.Generator) -> None:
    record(place.root, rows(rng, 400, shift=2))
    # A found drift is a result.
    assert place.detect(f"--drift-webhook-url={webhook.url}") == ExitCode.DONE
    report = place.latest()
    assert (report["state"], report["drift_score"], report["webhook"]) == ("drift", 1.0, "called")
    assert webhook.bodies == [{"drift_score": 1.0, "run_id": report["run_id"], "model_version": "1"}]
    assert [group["name"] for group in report["groups"] if group["drifted"]] == ["size"]


def test_the_threshold_is_a_setting(place: Place, rng: np.random.Generator) -> None:
    values = rows(rng, 400)
    values[:, 4] += 2
    record(place.root, values)
    place.detect("--drift-threshold=0.34")
    assert place.latest()["state"] == "no drift"
    place.detect("--drift-threshold=0.33")
    assert place.latest()["state"] == "drift"


def test_above_one_only_the_scores_alarm(place: Place, rng: np.random.Generator) -> None:
    """For a repository whose people and habits move: all groups drifted, and the model is as sure as ever."""
    values = rows(rng, 400)
    unchanged = errors_of(values)
    values[:, 4] += 2
    values[:, 2:4] = np.abs(values[:, 2:4])  # the errors stay what they are
    values[:, :2] = 1
    assert np.array_equal(errors_of(values), unchanged)
    record(place.root, values)
    place.detect("--drift-threshold=1")
    assert (place.latest()["state"], place.latest()["drift_score"]) == ("drift", 1.0)
    place.detect("--drift-threshold=1.1")
    report = place.latest()
    assert (report["state"], report["drift_score"], report["score"]["drifted"]) == ("no drift", 1.0, False)
    record(place.root, rows(rng, 400, shift=2))
    place.detect("--drift-threshold=1.1", "--window-rows=400")
    assert place.latest()["state"] == "drift"


def test_too_few_rows_of_the_served_version(place: Place, rng: np.random.Generator) -> None:
    record(place.root, rows(rng, 400, shift=2), version="2")
    record(place.root, rows(rng, 40, shift=2))
    place.detect()
    report = place.latest()
    assert (report["state"], report["drift_score"]) == ("too few rows", None)
    assert report["window"]["other_versions"] == {"2": 400}


def test_no_traffic_from_before_the_version_was_registered_is_read(
    place: Place, model_folder: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version that was promoted just now has no rows, and the week holds thousands of files."""
    promoted = datetime.now(UTC) - timedelta(seconds=30)
    for minutes in range(1, 60):
        record(place.root, rows(rng, 1), at=promoted - timedelta(minutes=minutes))
    file = Path(place.registry.removeprefix("sqlite:///"))
    make_registry(file, {"2": model_folder}, at=promoted, champion="2")
    reads: list[str] = []
    read = FolderStore.read

    def counted(store: FolderStore, path: str) -> bytes | None:
        reads.append(path)
        return read(store, path)

    monkeypatch.setattr(FolderStore, "read", counted)
    place.detect()
    assert place.latest()["window"]["rows"] == 0
    assert [path for path in reads if path.startswith("traffic/")] == []
    # Its own rows are.
    record(place.root, rows(rng, 150), version="2")
    place.detect()
    assert place.latest()["window"]["rows"] == 150
    assert len([path for path in reads if path.startswith("traffic/")]) == 1


def test_no_traffic_at_all(place: Place) -> None:
    assert place.detect() == ExitCode.DONE
    assert place.latest()["window"]["rows"] == 0


def test_old_traffic_is_not_looked_at(place: Place, rng: np.random.Generator) -> None:
    record(place.root, rows(rng, 400, shift=2), at=datetime.now(UTC) - timedelta(days=8))
    place.detect()
    assert place.latest()["window"]["rows"] == 0
    place.detect("--window-hours=240")
    assert place.latest()["alarm"]


def test_within_the_cool_down_the_alarm_is_held_back(
    place: Place, webhook: Webhook, rng: np.random.Generator
) -> None:
    record(place.root, rows(rng, 400, shift=2))
    store = FolderStore(place.root)
    retrainings.claim(store, "w1", datetime.now(UTC), timedelta(hours=6), timedelta(minutes=30))
    place.detect(f"--drift-webhook-url={webhook.url}")
    assert place.latest()["alarm"] and place.latest()["webhook"].startswith("held back")
    assert webhook.bodies == []
    place.detect(f"--drift-webhook-url={webhook.url}", "--cool-down-hours=0")
    assert len(webhook.bodies) == 1


@pytest.mark.parametrize(("status", "error"), [(401, WrongSettings), (503, ServiceUnreachable)])
def test_a_webhook_that_does_not_take_it_fails_visibly_and_the_report_stays(
    place: Place, webhook: Webhook, rng: np.random.Generator, status: int, error: type[Exception]
) -> None:
    record(place.root, rows(rng, 400, shift=2))
    webhook.status = status
    with pytest.raises(error) as raised:
        place.detect(f"--drift-webhook-url={webhook.url}")
    assert TOKEN not in str(raised.value)
    report = place.latest()
    assert report["alarm"] and report["webhook"].startswith("failed")
    webhook.status = 200
    place.detect(f"--drift-webhook-url={webhook.url}")  # the next run sends it again
    assert len(webhook.bodies) == 1


def test_a_dead_webhook(place: Place, rng: np.random.Generator) -> None:
    record(place.root, rows(rng, 400, shift=2))
    with pytest.raises(ServiceUnreachable, match="did not answer"):
        place.detect("--drift-webhook-url=http://user:pass@127.0.0.1:9/drift-detected")
    assert place.latest()["alarm"]


def test_without_a_webhook(place: Place, rng: np.random.Generator) -> None:
    record(place.root, rows(rng, 400, shift=2))
    place.detect()
    assert place.latest()["webhook"] == "not called: DRIFT_WEBHOOK_URL is not set"


def test_data_and_model_named_by_hand(
    place: Place, model_folder: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    file = tmp_path / "rows.parquet"
    file.write_bytes(traffic_file(rows(rng, 200, shift=2), version="other"))
    other = tmp_path / "other-root"
    record(other, rows(rng, 300), version="1")
    place.registry = "sqlite:///nothing.db"
    place.detect(f"--model-dir={model_folder}", f"--current-data-path={file}")
    (report,) = place.reports()
    assert report["alarm"] and report["window"]["rows"] == 200
    place.detect(f"--model-dir={model_folder}", f"--data-dir={other}")
    (report,) = (one for one in place.reports() if one["run_id"] != report["run_id"])
    assert report["state"] == "no drift" and report["window"]["rows"] == 300
    # The service goes on to show what was found in its own traffic.
    assert not (place.root / "drift-runs" / "latest.json").exists()
    # As the workflow spells it when nothing is given by hand.
    with pytest.raises(ServiceUnreachable, match="SQLite"):
        place.detect("--model-dir=", "--data-dir=", "--current-data-path=", "--reference-data-path=")


@pytest.mark.parametrize("content", ["{", "{}", '{"drift": {"score": {}, "features": []}}'])
def test_a_model_without_a_usable_reference(place: Place, tmp_path: Path, content: str) -> None:
    folder = tmp_path / "old-model"
    folder.mkdir()
    (folder / "reference.json").write_text(content)
    with pytest.raises(UnusableInput, match=r"reference\.json"):
        place.detect(f"--model-dir={folder}")


def test_the_page_is_one_file_without_outside_assets(place: Place, rng: np.random.Generator) -> None:
    record(place.root, rows(rng, 400, shift=2))
    publish_run(place.root)
    place.detect("--html-page=true", "--html-rows=100")
    report = place.latest()
    assert report["page"] == "report.html"
    html = (place.root / "drift-runs" / report["run_id"] / "report.html").read_text("utf-8")
    assert "reconstruction_error" in html and "drift score 1.00" in html
    assert f"<title>Drift in the traffic of {MODEL}</title>" in html and "<td>400 from 20" in html
    fetched = Fetched(html)
    assert fetched.addresses == []


def test_without_reference_rows_there_is_no_page_and_a_verdict(
    place: Place, rng: np.random.Generator
) -> None:
    record(place.root, rows(rng, 400))
    place.detect("--html-page=true")
    assert place.latest()["page"] is None and place.latest()["state"] == "no drift"


def test_a_page_that_fails_loses_no_verdict(
    place: Place, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(place.root, rows(rng, 400))
    publish_run(place.root)

    def fail(*args: Any) -> Any:
        raise RuntimeError("a fault of the library")

    monkeypatch.setattr(page, "_frame", fail)
    place.detect("--html-page=true")
    assert place.latest()["page"] is None and place.latest()["state"] == "no drift"
