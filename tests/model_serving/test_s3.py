"""Model and traffic in a real S3 server (versitygw, built by `tests/servers/build versitygw`)."""

import importlib.util
import io
import os
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from arro3.io import read_parquet
from artifact import pull_request
from botocore.config import Config
from service_process import ServiceProcess, free_port
from test_reloading import Registry

pytestmark = pytest.mark.long
BUCKET = "pull-requests"
ACCESS, SECRET = secrets.token_hex(10), secrets.token_hex(20)


class S3Server:
    """Started and stopped at will over one folder; keeps its port."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self.binary, self.folder, self.port = binary, folder, free_port()
        folder.mkdir()
        self.start()
        self.client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=ACCESS,
            aws_secret_access_key=SECRET,
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 10}),
        )
        self.client.create_bucket(Bucket=BUCKET)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        with self.folder.with_suffix(".log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "--port", f"127.0.0.1:{self.port}", "posix", self.folder],
                env=os.environ | {"ROOT_ACCESS_KEY": ACCESS, "ROOT_SECRET_KEY": SECRET},
                stdout=log,
                stderr=log,
            )

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)

    def upload(self, folder: Path, prefix: str) -> None:
        for file in folder.rglob("*"):
            if file.is_file():
                self.client.upload_file(str(file), BUCKET, f"{prefix}/{file.relative_to(folder)}")

    def recorded(self) -> int:
        """Rows of served traffic in the bucket."""
        listed = self.client.list_objects_v2(Bucket=BUCKET, Prefix="data/traffic/date=").get("Contents", [])
        files = [self.client.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"].read() for entry in listed]
        return sum(read_parquet(io.BytesIO(content)).read_all().num_rows for content in files)


@pytest.fixture
def s3(repository: Path, tmp_path: Path) -> Iterator[S3Server]:
    spec = importlib.util.spec_from_file_location("processes", repository / "tests/servers/processes.py")
    assert spec is not None and spec.loader is not None
    processes = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(processes)
    try:
        binary = processes.server_folder("versitygw") / "versitygw"
    except processes.ServerError as error:
        pytest.skip(str(error))
    server = S3Server(binary, tmp_path / "s3")
    yield server
    server.stop()


@pytest.fixture
def settings(s3: S3Server, tmp_path: Path, model_folder: Path, other_model_folder: Path) -> dict[str, Any]:
    registry = Registry(tmp_path / "mlflow.db")
    for version, folder in ((1, model_folder), (2, other_model_folder)):
        s3.upload(folder, f"mlflow/{version}/artifacts")
        registry.add(version, f"s3://{BUCKET}/mlflow/{version}/artifacts")
    registry.champion(1)
    return {
        "mlflow_tracking_uri": registry.uri,
        "model_cache_dir": tmp_path / "cache",
        "data_root": f"s3a://{BUCKET}/data",
        "do_spaces_endpoint": s3.endpoint,
        "do_spaces_access_key": ACCESS,
        "do_spaces_secret_key": SECRET,
        "traffic_flush_seconds": 0.5,
        "reload_token": "token",
        "reload_poll_seconds": 0,
        "registry": registry,
    }


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_model_and_traffic(
    start: Callable[..., ServiceProcess], s3: S3Server, settings: dict[str, Any]
) -> None:
    registry: Registry = settings.pop("registry")
    service = start(workers=2, **settings)
    assert service.post("/predict", [pull_request(number) for number in range(7)])[0] == 200
    wait_for(lambda: s3.recorded() == 7)
    registry.champion(2)
    status, outcome = service.post("/reload", b"", Authorization="Bearer token")
    assert (status, outcome["version"], outcome["converged"]) == (200, "2", True)
    # Away for a while: nothing is lost and no request notices.
    s3.stop()
    assert service.post("/predict", [pull_request(number) for number in range(5)])[0] == 200
    wait_for(lambda: 'model_serving_traffic_rows_total{result="failed"} 5.0' in service.get("/metrics")[1])
    s3.start()
    wait_for(lambda: s3.recorded() == 12)
    service.post("/predict", pull_request(1))
    assert service.terminate() == 0
    assert s3.recorded() == 13
    assert SECRET not in service.log


def test_refused_keys(start: Callable[..., ServiceProcess], settings: dict[str, Any]) -> None:
    settings.pop("registry")
    service = start(wait=False, **settings | {"do_spaces_secret_key": "wrong"})
    assert service.process.wait(60) == 1
    assert any("Check DO_SPACES_ENDPOINT and the keys" in event["event"] for event in service.events())
