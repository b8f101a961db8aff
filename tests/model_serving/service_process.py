"""The service as a process of its own, on a free port of loopback; ended by its pid."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def exchange(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: Any = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, Any]:
    """Status and body (parsed if it is JSON) of one request on this connection."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    kind = {"Content-Type": "application/json"} if data is not None else {}
    connection.request(method, path, data, kind | (headers or {}))
    reply = connection.getresponse()
    content = reply.read()
    if "json" in (reply.getheader("Content-Type") or ""):
        return reply.status, json.loads(content)
    return reply.status, content.decode()


class ServiceProcess:
    """python -m model_serving with these settings as environment variables."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        defaults = {"port": self.port, "workers": 1, "drain_wait_seconds": 0, "state_dir": folder / "state"}
        environ = {
            name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "TMPDIR"}
        }
        environ |= {name.upper(): str(value) for name, value in (defaults | settings).items()}
        self.workers = int(environ["WORKERS"])
        self.log_file = folder / "log"
        with self.log_file.open("wb") as log:
            # A session of its own: a Ctrl-C at the tests must not reach the workers one by one.
            self.process = subprocess.Popen(
                [sys.executable, "-m", "model_serving"],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environ,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def events(self) -> list[dict[str, Any]]:
        """The log's JSON lines."""
        return [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]

    def wait_until_ready(self, seconds: float = 120.0, workers: int | None = None) -> None:
        """Until so many workers serve, by default all: the service is ready with its first one."""
        workers = workers or self.workers
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.process.poll() is None, self.log
            try:
                status, model = self.get("/model")
                if status == self.get("/ready")[0] == 200 and len(model["workers"]) >= workers:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"{workers} workers not ready after {seconds} s:\n{self.log}")

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        timeout: float = 30.0,
    ) -> tuple[int, Any]:
        """Status and body (parsed if it is JSON) of one request on a connection of its own."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)) as connection:
            return exchange(connection, method, path, body, headers)

    def get(self, path: str, **headers: str) -> tuple[int, Any]:
        return self.request("GET", path, headers=headers)

    def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        return self.request(
            "POST", path, body, {name.replace("_", "-"): value for name, value in headers.items()}
        )

    @contextmanager
    def a_connection_to_each_worker(self) -> Iterator[dict[int, http.client.HTTPConnection]]:
        """A kept connection by the worker's pid. Connections one after the other may all reach the same worker;
        those opened at once are shared, so many are opened before the first one asks."""
        with ExitStack() as held:
            opened = [
                held.enter_context(closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)))
                for _ in range(20 * self.workers)
            ]
            for connection in opened:
                connection.connect()
            by_pid = {exchange(connection, "GET", "/health")[1]["pid"]: connection for connection in opened}
            assert by_pid.keys() == set(self.worker_pids()), f"one of {self.worker_pids()} took no connection"
            yield by_pid

    def worker_pids(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children]

    def memory_mb(self) -> float:
        """Proportional memory of arbiter and workers."""
        total = 0
        for pid in [self.process.pid, *self.worker_pids()]:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        return total / 1024

    def cpu_seconds(self) -> float:
        """Processor time of arbiter and workers until now."""
        ticks = 0
        for pid in [self.process.pid, *self.worker_pids()]:
            parts = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
            ticks += int(parts[11]) + int(parts[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def terminate(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
