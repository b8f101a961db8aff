"""POST /simulate-drift: what is recorded changes, answers do not."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arro3.io import read_parquet
from model_serving.app import Parts, create_app
from model_serving.metrics import Metrics
from model_serving.model import ServedModel
from model_serving.results import Results
from model_serving.service import Service
from model_serving.settings import Settings
from model_serving.simulation import KINDS, RARE, Simulation
from model_serving.traffic import FolderStore, TrafficRecorder
from service_process import exchange
from werkzeug.test import Client


class Recorded:
    """A service that records into a folder, with the simulation switched on."""

    def __init__(self, model: ServedModel, folder: Path, simulation: Simulation | None) -> None:
        settings = Settings()
        metrics = Metrics()
        self.folder = folder
        self.traffic = TrafficRecorder(
            FolderStore(folder), metrics, sample=1.0, most_rows=1000, flush_seconds=60
        )
        parts = Parts(
            Service(settings, model), metrics, Results(metrics), traffic=self.traffic, simulation=simulation
        )
        self.client = Client(create_app(settings, parts=parts))

    def row(self, pull: dict[str, Any]) -> dict[str, Any]:
        """What is recorded of one pull request, with the answer's error beside it."""
        answer = self.client.post("/predict", json=pull).get_json()
        assert self.traffic.flush()
        (file,) = self.folder.rglob("*.parquet")
        table = read_parquet(io.BytesIO(file.read_bytes())).read_all()
        row = {name: table.column(name)[0].as_py() for name in table.column_names}
        file.unlink()
        return {**row, "answered": answer["reconstruction_error"]}


@pytest.fixture
def recorded(model: ServedModel, tmp_path: Path) -> Recorded:
    return Recorded(model, tmp_path, Simulation())


def simulate(recorded: Recorded, kind: str) -> int:
    return recorded.client.post("/simulate-drift", json={"drift_type": kind}).status_code


def test_each_kind_changes_the_record_and_no_answer(
    recorded: Recorded, model: ServedModel, pull: dict[str, Any]
) -> None:
    before = recorded.row(pull)
    assert before["reconstruction_error"] == pytest.approx(before["answered"])
    std = dict(zip(model.features, model.scorer.preprocessor.std, strict=True))
    for kind in KINDS:
        assert simulate(recorded, kind) == 200
        row = recorded.row(pull)
        assert row["answered"] == before["answered"]
        assert row["reconstruction_error"] != pytest.approx(before["answered"], rel=1e-3)
        assert row["is_anomaly"] == (row["reconstruction_error"] > model.scorer.threshold)
        if kind == "numerical_shift":
            assert row["lines"] == pytest.approx(before["lines"] + std["lines"], rel=1e-5)
            assert row["fork"] == before["fork"]
        elif kind == "category_mismatch":
            assert row["lines"] == before["lines"]
            assert row["fork"] == pytest.approx(RARE if before["fork"] == 0 else 0)
        else:
            assert np.isnan(row["lines"]) and np.isnan(row["body_length"])
            assert row["fork"] == before["fork"]
    assert simulate(recorded, "none") == 200
    assert recorded.row(pull)["lines"] == before["lines"]


@pytest.mark.parametrize(
    ("body", "status"),
    [({"drift_type": "earthquake"}, 422), ({}, 422), ([], 422), ({"drift_type": ["none"]}, 422), (b"{", 400)],
)
def test_a_wrong_kind_is_refused(recorded: Recorded, body: Any, status: int) -> None:
    data = body if isinstance(body, bytes) else None
    more = {"data": data, "content_type": "application/json"} if data else {"json": body}
    assert recorded.client.post("/simulate-drift", **more).status_code == status


def test_it_is_off_by_default(client: Client) -> None:
    answer = client.post("/simulate-drift", json={"drift_type": "numerical_shift"})
    assert answer.status_code == 403 and "SIMULATE_DRIFT" in answer.get_json()["detail"]


def test_all_workers_follow(tmp_path: Path) -> None:
    one, other = Simulation(tmp_path), Simulation(tmp_path)
    assert other.kind == "none"
    one.set("drop_column")
    assert other.kind == "drop_column"
    other.set("none")
    assert one.kind == "none"


def test_every_worker_of_a_service_follows(start: Any, tmp_path: Path, pull: dict[str, Any]) -> None:
    service = start(workers=2, simulate_drift="true", data_root=tmp_path / "data", traffic_flush_seconds=0.2)
    assert service.post("/simulate-drift", {"drift_type": "drop_column"})[0] == 200
    with service.a_connection_to_each_worker() as connections:
        for connection in connections.values():
            for number in range(15):
                assert exchange(connection, "POST", "/predict", pull | {"number": number + 1})[0] == 200
    service.stop()
    files = list((tmp_path / "data" / "traffic").rglob("*.parquet"))
    tables = [read_parquet(io.BytesIO(file.read_bytes())).read_all() for file in files]
    lines = [value.as_py() for table in tables for value in table.column("lines")]
    assert len(lines) == 30 and all(np.isnan(value) for value in lines)
    assert len(connections) == 2 and len(files) >= 2
