import io
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arro3.io import read_parquet
from artifact import pull_request
from model_serving.app import Parts, create_app
from model_serving.metrics import Metrics
from model_serving.results import Results
from model_serving.service import Service
from model_serving.settings import Settings
from model_serving.traffic import FolderStore, TrafficRecorder, place
from stage_runtime.exits import WrongSettings


def table(file: Path) -> dict[str, list[Any]]:
    read = read_parquet(io.BytesIO(file.read_bytes())).read_all()
    return {name: read[name].to_pylist() for name in read.column_names}


def recorder(store: Any, **more: Any) -> TrafficRecorder:
    settings = {"sample": 1.0, "most_rows": 100, "flush_seconds": 60.0} | more
    return TrafficRecorder(store, Metrics(), **settings)


def rows(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    values = np.arange(2 * n, dtype=np.float32).reshape(n, 2)
    values[0, 0] = np.nan
    return values, np.linspace(0, 1, n, dtype=np.float32), np.arange(n) % 2 == 0


def counts(traffic: TrafficRecorder) -> dict[str, float]:
    return {
        sample.labels["result"]: sample.value
        for sample in next(iter(traffic.metrics.traffic.collect())).samples
        if sample.name.endswith("_total")
    }


def test_rows_are_written_by_day_and_version(tmp_path: Path) -> None:
    traffic = recorder(FolderStore(tmp_path))
    traffic.record("1", ("a", "b"), *rows(3))
    traffic.record("2", ("a", "b", "c"), np.zeros((1, 3), np.float32), *rows(1)[1:])
    assert traffic.flush()
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    files = sorted((tmp_path / "traffic" / f"date={day}").iterdir(), key=lambda file: -len(table(file)["a"]))
    assert len(files) == 2 and all(file.suffix == ".parquet" for file in files)
    first = table(files[0])
    assert list(first) == ["scored_at", "model_version", "a", "b", "reconstruction_error", "is_anomaly"]
    assert np.isnan(first["a"][0]) and first["a"][1:] == [2.0, 4.0]
    assert first["model_version"] == ["1"] * 3 and first["is_anomaly"] == [True, False, True]
    assert abs((first["scored_at"][0] - datetime.now(UTC)).total_seconds()) < 60
    assert traffic.flush() and len(list(tmp_path.rglob("*.parquet"))) == 2


def test_no_more_than_the_buffer_is_held(tmp_path: Path) -> None:
    traffic = recorder(FolderStore(tmp_path), most_rows=10)
    for _ in range(5):
        traffic.record("1", ("a", "b"), *rows(4))
    assert counts(traffic)["dropped"] == 12
    assert traffic.flush() and len(table(next(tmp_path.rglob("*.parquet")))["a"]) == 8


def test_a_store_that_fails_loses_nothing_that_fits(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("a file where a folder should be")
    traffic = recorder(FolderStore(blocked))
    traffic.record("1", ("a", "b"), *rows(3))
    assert not traffic.flush() and counts(traffic)["failed"] == 3
    blocked.unlink()
    assert traffic.flush() and counts(traffic)["written"] == 3


def test_a_sample(tmp_path: Path) -> None:
    traffic = recorder(FolderStore(tmp_path), sample=0.3, most_rows=10_000)
    for _ in range(100):
        traffic.record("1", ("a", "b"), *rows(10))
    assert traffic.flush()
    assert 200 < counts(traffic)["written"] < 400


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        ("var/data", Path("var/data")),
        ("file:///x/y", Path("/x/y")),
        ("s3a://bucket/a/b/", ("bucket", "a/b/")),
        ("s3://bucket", ("bucket", "")),
        ("s3a:///prefix", ("default", "prefix/")),
    ],
)
def test_addresses(root: str, expected: Any) -> None:
    assert place(root, "default") == expected


def test_wrong_addresses() -> None:
    for root, words in (("ftp://x", "ftp"), ("s3a:///x", "bucket")):
        with pytest.raises(WrongSettings, match=words):
            place(root, "")


def test_what_is_recorded_has_no_text_and_no_name(model: Any, tmp_path: Path, pull: dict[str, Any]) -> None:
    from werkzeug.test import Client

    settings = Settings()
    traffic = recorder(FolderStore(tmp_path))
    parts = Parts(Service(settings, model), traffic.metrics, Results(traffic.metrics), traffic=traffic)
    client = Client(create_app(settings, parts=parts))
    client.post("/predict", json=[pull, pull])
    client.post("/predict", json=pull, headers={"X-Request-Purpose": "load-test"})
    assert traffic.flush()
    file = next(tmp_path.rglob("*.parquet"))
    found = table(file)
    assert len(found["is_anomaly"]) == 2
    assert set(found) == {"scored_at", "model_version", "reconstruction_error", "is_anomaly", *model.features}
    raw = file.read_bytes()
    for text in (pull["title"], pull["user"]["login"], pull["base"]["repo"]["full_name"]):
        assert text.encode() not in raw


def test_a_service_writes_what_waits_when_it_ends(start: Any, tmp_path: Path) -> None:
    root = tmp_path / "store"
    service = start(data_root=root, traffic_flush_seconds=600, workers=2)
    for number in range(10):
        service.post("/predict", [pull_request(number), pull_request(number + 1)])
    assert service.terminate() == 0
    assert sum(len(table(file)["is_anomaly"]) for file in root.rglob("*.parquet")) == 20
    assert not [file for file in root.rglob("*") if file.name.endswith(".unfinished")]


def test_an_absent_store_slows_nothing(start: Any, tmp_path: Path) -> None:
    # A bucket at an address where nothing listens.
    service = start(
        data_root="s3a://bucket/x",
        do_spaces_endpoint="http://127.0.0.1:9",
        do_spaces_access_key="key",
        do_spaces_secret_key="secret",
        traffic_flush_seconds=0.2,
        traffic_buffer_rows=50,
    )
    begin = time.monotonic()
    for number in range(100):
        assert service.post("/predict", pull_request(number))[0] == 200
    assert time.monotonic() - begin < 10
    assert 'model_serving_traffic_rows_total{result="dropped"}' in service.get("/metrics")[1]
