"""The servers of `make bench-serving`: how each is started, asked, and ended."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
MODEL_NAME = "pr-anomaly-autoencoder"
START_SECONDS = 120.0
Document = Mapping[str, Any]


@dataclass
class Forms:
    """The same pull requests in the two forms that servers take."""

    rest: list[dict[str, Any]]
    documents: list[dict[str, Any]]


@dataclass(frozen=True)
class Server:
    """One server: command and environment for a port and a number of workers, and how it is asked.

    body(forms, first, n): the body for pull requests [first, first + n); errors(answer): their reconstruction errors.
    """

    name: str
    environment: Path
    command: Callable[[int, int, Path], Sequence[str]]
    path: str
    ready: str
    body: Callable[[Forms, int, int], Any]
    errors: Callable[[Any], list[float]] | None
    workers: tuple[int, ...]
    settings: Callable[[int, int, Path], Mapping[str, str]] = field(default=lambda port, workers, folder: {})


class Running:
    """A started server."""

    def __init__(self, server: Server, workers: int, folder: Path, scratch: Path) -> None:
        self.server, self.workers = server, workers
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        environ = inherited | {"ORT_DISABLE_TELEMETRY": "1", "BENTOML_DO_NOT_TRACK": "True"}
        environ["PATH"] = f"{server.environment / 'bin'}:{environ.get('PATH', '')}"
        environ |= server.settings(self.port, workers, folder)
        self.log = scratch / f"{server.name}-{workers}.log"
        begin = time.monotonic()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                list(server.command(self.port, workers, folder)),
                env=environ,
                cwd=scratch,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.start_seconds = self._wait(begin)

    def _wait(self, begin: float) -> float:
        while time.monotonic() - begin < START_SECONDS:
            if self.process.poll() is not None:
                break
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
                connection.request("GET", self.server.ready)
                if connection.getresponse().status == 200:
                    return time.monotonic() - begin
            except OSError:
                pass
            time.sleep(0.02)
        tail = self.log.read_text(errors="replace")[-1500:]
        self.stop()
        raise RuntimeError(f"{self.server.name} with {self.workers} workers did not start:\n{tail}")

    def ask(self, body: Any) -> Any:
        """One request; raises RuntimeError for any status but 200."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(
                "POST", self.server.path, json.dumps(body), {"Content-Type": "application/json"}
            )
            reply = connection.getresponse()
            content = reply.read()
        finally:
            connection.close()
        if reply.status != 200:
            raise RuntimeError(f"{self.server.name} answered {reply.status}: {content[:500]!r}")
        return json.loads(content)

    def processes(self) -> list[Path]:
        """/proc folders of the server's processes: it, its children, theirs and so on."""
        found, waiting = [], [self.process.pid]
        while waiting:
            process = Path("/proc") / str(waiting.pop())
            found.append(process)
            try:
                for task in (process / "task").iterdir():
                    waiting += [int(pid) for pid in (task / "children").read_text().split()]
            except OSError:
                continue
        return found

    def cpu_seconds(self) -> float:
        """Processor time of all its processes until now."""
        ticks = 0
        for process in self.processes():
            try:
                parts = (process / "stat").read_text().rpartition(") ")[2].split()
            except OSError:
                continue
            ticks += int(parts[11]) + int(parts[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory_mb(self) -> float:
        """Proportional set size of all processes of the server."""
        total = 0
        for process in self.processes():
            try:
                text = (process / "smaps_rollup").read_text()
                total += next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
            except (OSError, StopIteration):
                continue
        return total / 1024

    def stop(self) -> None:
        """End the server and whatever it has started: its session, and children that made one of their own."""
        started = [process for process in self.processes()[1:] if process.exists()]
        for number, seconds in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                break
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                continue
        self.process.wait()
        for process in started:
            if process.exists():
                os.kill(int(process.name), signal.SIGKILL)


def servers(tracking_uri: str, alias: str, workers: int) -> list[Server]:
    """Ours, the ceiling, and the peers; workers is what ours gets."""
    serving = ROOT / ".venv" / "model_serving"
    peers = ROOT / "var" / "bench-venvs"

    def ours(port: int, count: int, folder: Path) -> dict[str, str]:
        return {
            "PORT": str(port), "WORKERS": str(count), "MLFLOW_TRACKING_URI": tracking_uri, "MODEL_ALIAS": alias,
            "RELOAD_POLL_SECONDS": "0", "DRAIN_WAIT_SECONDS": "0", "LOG_LEVEL": "WARNING",
        }  # fmt: skip

    def echo(worker: Sequence[str]) -> Callable[[int, int, Path], list[str]]:
        return lambda port, count, folder: [
            str(serving / "bin" / "gunicorn"), "--chdir", str(HERE), "--bind", f"127.0.0.1:{port}",
            "--workers", str(count), "--keep-alive", "75", "--no-control-socket", *worker, "echo_app:app",
        ]  # fmt: skip

    return [
        Server(
            "ours", serving, lambda port, count, folder: [str(serving / "bin/python"), "-m", "model_serving"],
            "/predict", "/ready", _rest_body, _our_errors, (workers,), ours,
        ),
        Server(
            "echo", serving, echo(["--worker-class", "model_serving.worker.EventWorker"]),
            "/predict", "/ready", _rest_body, None, (workers,),
        ),
        Server(
            "echo gthread", serving, echo(["--worker-class", "gthread", "--threads", "4"]),
            "/predict", "/ready", _rest_body, None, (workers,),
        ),
        Server(
            "mlflow", peers / "mlflow",
            lambda port, count, folder: [
                str(peers / "mlflow/bin/mlflow"), "models", "serve", "--model-uri", str(folder), "--env-manager",
                "local", "--host", "127.0.0.1", "--port", str(port), "--workers", str(count),
            ],
            "/invocations", "/ping", _records, _record_errors, (1, 2, 4),
        ),
        Server(
            "mlserver", peers / "mlserver",
            lambda port, count, folder: [str(peers / "mlserver/bin/mlserver"), "start", "."],
            # As fast as its /v2/…/infer with this runtime, which cannot take a null in a column of integers.
            "/invocations", f"/v2/models/{MODEL_NAME}/ready", _records, _record_errors, (0, 2), _mlserver_settings,
        ),
        Server(
            "bentoml", peers / "bentoml",
            lambda port, count, folder: [
                str(peers / "bentoml/bin/bentoml"), "serve", "bento_service:Scores", "--working-dir", str(HERE),
                "--host", "127.0.0.1", "--port", str(port),
            ],
            "/predict", "/readyz", lambda forms, first, n: {"records": forms.documents[first : first + n]},
            lambda answer: [float(row["reconstruction_error"]) for row in answer], (1, 2),
            lambda port, count, folder: {"MODEL_FOLDER": str(folder), "BENTO_WORKERS": str(count)},
        ),
    ]  # fmt: skip


def _mlserver_settings(port: int, count: int, folder: Path) -> dict[str, str]:
    # gRPC and metrics get free ports of their own, so that nothing collides.
    ports = []
    for _ in range(2):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            ports.append(str(probe.getsockname()[1]))
    return {
        "MLSERVER_HOST": "127.0.0.1", "MLSERVER_HTTP_PORT": str(port), "MLSERVER_GRPC_PORT": ports[0],
        "MLSERVER_METRICS_PORT": ports[1], "MLSERVER_PARALLEL_WORKERS": str(count), "MLSERVER_DEBUG": "false",
        "MLSERVER_MODEL_NAME": MODEL_NAME, "MLSERVER_MODEL_IMPLEMENTATION": "mlserver_mlflow.MLflowRuntime",
        "MLSERVER_MODEL_URI": str(folder),
    }  # fmt: skip


def _rest_body(forms: Forms, first: int, n: int) -> Any:
    return forms.rest[first] if n == 1 else forms.rest[first : first + n]


def _our_errors(answer: Any) -> list[float]:
    return [float(score["reconstruction_error"]) for score in answer.get("scores", [answer])]


def _records(forms: Forms, first: int, n: int) -> Any:
    return {"dataframe_records": forms.documents[first : first + n]}


def _record_errors(answer: Any) -> list[float]:
    return [float(row["reconstruction_error"]) for row in answer["predictions"]]
