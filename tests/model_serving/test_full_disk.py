"""A full disk under STATE_DIR and DATA_ROOT costs what is written there, and no request."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from artifact import pull_request
from test_webhook import SECRET, event, headers


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small file system")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path) -> None:
    with pytest.raises(OSError, match="No space"), (disk / "other").open("ab", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def use(service: Any, begin: int) -> None:
    for number in range(begin, begin + 20):
        pull = pull_request(number)
        body = event(pull)
        answer = service.request("POST", "/webhooks/github", body, headers(body, f"d-{number}"))
        assert (answer[0], answer[1]["result"]) == (200, "scored")
        assert service.post("/predict", pull)[0] == 200
        assert service.get("/metrics")[0] == 200
    time.sleep(1.5)  # rows, counts and the dashboard's scores are written now
    assert service.get("/")[0] == 200


def test_a_disk_that_fills_up_costs_no_request(start: Any, disk: Path) -> None:
    settings = {"github_webhook_secret": SECRET, "data_root": disk / "data", "traffic_flush_seconds": 0.2}
    service = start(workers=2, state_dir=disk / "state", **settings)
    workers = service.worker_pids()
    fill(disk)
    use(service, 0)
    assert service.worker_pids() == workers and "SIGBUS" not in service.log
    # Nor does it keep new workers from serving.
    os.kill(workers[0], signal.SIGKILL)
    service.wait_until_ready(workers=1)
    end = time.monotonic() + 30
    while len(service.worker_pids()) < 2 or workers[0] in service.worker_pids():
        assert time.monotonic() < end
        time.sleep(0.05)
    fill(disk)  # what the dead one was is gone, with its file
    use(service, 100)
    assert "SIGBUS" not in service.log and "No room for metrics" in service.log
    (disk / "other").unlink()
    assert service.terminate() == 0


MANY_VALUES = """
import os, sys
os.environ["PROMETHEUS_MULTIPROC_DIR"] = sys.argv[1]
from model_serving.metrics import Metrics
metrics = Metrics()
for number in range(int(sys.argv[2])):
    metrics.requests.labels(f"/route-{number}", "GET", "200").inc()
    metrics.requests.labels("/first", "GET", "200").inc()
assert metrics.requests.labels("/first", "GET", "200")._value.get() == int(sys.argv[2])
print(metrics.exposition()[0].decode())
"""


@pytest.mark.parametrize("values", [1000, 30_000])
def test_files_that_grow_take_their_room_before_they_use_it(disk: Path, values: int) -> None:
    """30,000 series do not fit on the disk: the last of them are counted in memory."""
    command = [sys.executable, "-c", MANY_VALUES, str(disk), str(values)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    shown = done.stdout.count('route="/route-')
    assert shown == values if values == 1000 else 1000 < shown < values
    assert ("No room for metrics" in done.stdout + done.stderr) is (shown < values)
