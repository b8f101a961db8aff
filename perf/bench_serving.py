"""`make bench-serving`: our service, MLflow's, MLServer and BentoML with the same registered model, side by side.

Driven by wrk with the same pull requests at 1, 8 and 64 connections and in lists of 100. All servers run at once
and are asked in turn, several rounds; the median round counts. `echo` is a bare Flask application on our worker,
`echo gthread` on gunicorn's: ceilings. Peers first try their worker counts. Writes var/bench/serving.json.

Run it with the environment of model_serving; wrk comes from Debian (`apt-get install wrk`), the peers'
environments are made from perf/peers/*.lock.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bounds import report
from model_registry.artifacts import local_folder
from model_registry.object_store import S3Access
from model_registry.registry import open_registry
from model_serving.model import load_model
from peers.environments import environment
from peers.servers import HERE, MODEL_NAME, ROOT, Forms, Running, Server, servers

CONNECTIONS = (1, 8, 64)
LIST = 100
PEERS = ("mlflow", "mlserver", "bentoml")
TOLERANCE = 1e-5


def read_pulls(files: Sequence[Path], most: int) -> list[dict[str, Any]]:
    """Pull requests in REST form from .jsonl or .jsonl.gz files, evenly from each."""
    pulls: list[dict[str, Any]] = []
    for file in files:
        opened = gzip.open(file, "rt") if file.suffix == ".gz" else file.open()
        with opened as lines:
            found = [json.loads(line) for line in lines]
        step = max(1, len(found) * len(files) // most)
        pulls += found[::step][: most // len(files)]
    return pulls


class Bench:
    """Servers that run, and rows."""

    def __init__(self, forms: Forms, folder: Path, scratch: Path, seconds: float, rounds: int) -> None:
        self.forms, self.folder, self.scratch = forms, folder, scratch
        self.seconds, self.rounds = seconds, rounds
        self.rows: list[dict[str, Any]] = []
        self.running: list[Running] = []

    def row(self, what: str, who: str, value: float, unit: str) -> None:
        """Keep and show a figure."""
        self.rows.append({"what": what, "who": who, "value": round(value, 3), "unit": unit})
        print(f"  {what:<40} {who:<13} {value:>12,.2f} {unit}", flush=True)

    def left_out(self, who: str, error: Exception) -> None:
        """Say that and why a server could not be measured, on the page too."""
        reason = str(error).strip().splitlines()[-1][:200]
        self.rows.append({"what": "left out", "who": who, "value": None, "unit": reason})
        print(f"  {who} is left out: {error}", flush=True)

    def start(self, server: Server) -> None:
        """Start it with the worker count that answers most at 8 connections."""
        best: tuple[float, int] | None = None
        problems = []
        for workers in server.workers:
            if len(server.workers) == 1:
                best = (0.0, workers)
                break
            try:
                trial = Running(server, workers, self.folder, self.scratch)
            except RuntimeError as error:
                problems.append(str(error))
                continue
            try:
                rate = self.wrk(trial, 8, 1, min(self.seconds, 3.0))["rate"]
            finally:
                trial.stop()
            print(f"  {server.name} with {workers} workers: {rate:,.0f} requests/s", flush=True)
            if best is None or rate > best[0]:
                best = (rate, workers)
        if best is None:
            raise RuntimeError("; ".join(problems))
        running = Running(server, best[1], self.folder, self.scratch)
        self.running.append(running)
        if server.name not in {"echo", "echo gthread"}:
            self.row("start to ready s", server.name, running.start_seconds, "s")
            self.row("environment MB", server.name, _size_mb(server.environment), "MB")
            self.row("workers", server.name, best[1], "processes")

    def compare_scores(self, expected: Sequence[float]) -> None:
        """Every server must give our scores: the same model is compared, not another."""
        for running in self.running:
            if running.server.errors is None:
                continue
            found: list[float] = []
            for first in range(len(expected)):
                found += running.server.errors(running.ask(running.server.body(self.forms, first, 1)))
            difference = max(abs(a - b) / max(1.0, abs(b)) for a, b in zip(found, expected, strict=True))
            self.row("largest score difference", running.server.name, difference, "relative")
            if not difference <= TOLERANCE:
                raise SystemExit(
                    f"bench-serving: {running.server.name} gives other scores, nothing is compared"
                )

    def wrk(self, running: Running, connections: int, items: int, seconds: float) -> dict[str, float]:
        """One run of wrk: rate in requests/s, latencies in ms; raises RuntimeError for failed requests."""
        bodies = self.scratch / f"{running.server.name}-{items}.bodies"
        if not bodies.exists():
            count = len(self.forms.rest)
            firsts = range(0, count - items + 1, items)
            made = [json.dumps(running.server.body(self.forms, first, items)) for first in firsts]
            bodies.write_text("\n".join(made) + "\n")
        environ = os.environ | {
            "WRK_BODIES": str(bodies), "WRK_PATH": running.server.path, "WRK_TYPE": "application/json",
        }  # fmt: skip
        command = [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{seconds:g}s",
            "--timeout",
            "20s",
            "-s",
            str(HERE / "requests.lua"),
        ]
        before = running.cpu_seconds()
        done = subprocess.run(
            [*command, f"http://127.0.0.1:{running.port}/"],
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        )
        said = json.loads(done.stdout.strip().splitlines()[-1])
        if said["status"] or said["socket"]:
            raise RuntimeError(
                f"{running.server.name}: {said['status']} wrong answers, {said['socket']} socket errors"
            )
        return {
            "rate": said["requests"] / said["microseconds"] * 1e6,
            "cpu": (running.cpu_seconds() - before) / max(1, said["requests"]) * 1000,
            **{name: said[name] / 1000 for name in ("p50", "p95", "p99")},
        }

    def measure(self) -> None:
        """All servers in turn, round by round; the median by rate."""
        for connections, items in [*((c, 1) for c in CONNECTIONS), (8, LIST)]:
            runs: dict[str, list[dict[str, float]]] = {}
            for _ in range(self.rounds):
                for running in list(self.running):
                    if items > 1 and running.server.errors is None:
                        continue
                    try:
                        found = self.wrk(running, connections, items, self.seconds)
                    except RuntimeError as error:
                        print(f"  {error}", flush=True)
                        continue
                    runs.setdefault(running.server.name, []).append(found)
            for name, found_runs in runs.items():
                median = sorted(found_runs, key=lambda run: run["rate"])[len(found_runs) // 2]
                cpu = min(run["cpu"] for run in found_runs)
                self.row(
                    f"processor ms a request at {connections}" if items == 1 else "processor ms a list",
                    name,
                    cpu,
                    "ms",
                )
                if items > 1:
                    self.row(
                        f"pull requests/s in lists of {items}",
                        name,
                        median["rate"] * items,
                        "pull requests/s",
                    )
                    continue
                self.row(f"requests/s at {connections}", name, median["rate"], "requests/s")
                for part in ("p50", "p95", "p99"):
                    value = statistics.median(run[part] for run in found_runs)
                    self.row(f"{part} ms at {connections}", name, value, "ms")
        for running in self.running:
            self.row("memory MB", running.server.name, running.memory_mb(), "MB")

    def ratios(self) -> None:
        """What the figures say about each other."""
        value = {(row["what"], row["who"]): row["value"] for row in self.rows}
        ours = value["requests/s at 8", "ours"]
        for who in ("echo", "echo gthread", *PEERS):
            if other := value.get(("requests/s at 8", who)):
                self.row(f"ours over {who} at 8", "ours", ours / other, "times")
        self.row("rate at 64 over rate at 8", "ours", value["requests/s at 64", "ours"] / ours, "times")

    def stop(self) -> None:
        """End all servers."""
        for running in self.running:
            running.stop()


def _size_mb(folder: Path) -> float:
    seen: set[int] = set()
    total = 0
    for file in folder.rglob("*"):
        found = file.lstat()
        if found.st_ino not in seen and not file.is_dir():
            seen.add(found.st_ino)
            total += found.st_blocks * 512
    return total / 1e6


def make_forms(pulls: list[dict[str, Any]], folder: Path, checked: int) -> tuple[Forms, list[float]]:
    """Both forms of the pull requests, made by the model's own feature code, and the scores of the first ones."""
    model = load_model(MODEL_NAME, "0", folder)
    model.open()
    documents = [model.documents.from_rest(pull, require_id=False) for pull in pulls]
    expected = model.scorer.run(documents[:checked]).reconstruction_error.tolist()
    plain = json.loads(json.dumps(documents, default=lambda moment: moment.isoformat()))
    return Forms(pulls, plain), expected


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--tracking-uri", default=f"sqlite:///{ROOT}/var/demo/mlflow/mlflow.db", help="registry"
    )
    parser.add_argument("--alias", default="candidate", help="alias of the version to serve")
    parser.add_argument(
        "--pulls", type=Path, nargs="+", help="pull requests in REST form: .jsonl or .jsonl.gz"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="length of a run of wrk")
    parser.add_argument("--rounds", type=int, default=3, help="runs a server and setting, the median counts")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes of ours")
    parser.add_argument("--only", nargs="+", help="these servers alone")
    parser.add_argument("--out", type=Path, default=ROOT / "var/bench/serving.json", help="where the rows go")
    options = parser.parse_args()
    if not shutil.which("wrk"):
        raise SystemExit("bench-serving: needs wrk: apt-get install wrk")
    data = os.environ.get("PR_DATA_DIR")
    files = options.pulls or (
        sorted(Path(data).glob("*_pulls.jsonl.gz")) if data else [ROOT / "var/demo/corpus.jsonl.gz"]
    )
    found = open_registry(options.tracking_uri).resolve(MODEL_NAME, options.alias)
    scratch = Path(tempfile.mkdtemp(prefix="bench-serving-"))
    folder = local_folder(found, options.tracking_uri, scratch / "models", S3Access())
    chosen = [
        server
        for server in servers(options.tracking_uri, options.alias, options.workers)
        if not options.only or server.name in options.only
    ]
    forms, expected = make_forms(read_pulls(files, 600), folder, 20)
    bench = Bench(forms, folder, scratch, options.seconds, options.rounds)
    try:
        for server in chosen:
            try:
                if server.name in PEERS:
                    environment(server.name)
                bench.start(server)
            except RuntimeError as error:
                if server.name == "ours":
                    raise
                bench.left_out(server.name, error)
        bench.compare_scores(expected)
        bench.measure()
        bench.ratios()
    finally:
        bench.stop()
        shutil.rmtree(scratch, ignore_errors=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(bench.rows, indent=1) + "\n", encoding="utf-8")
    print(f"bench-serving: {len(bench.rows)} rows in {options.out}")
    raise SystemExit(report("serving", bench.rows))


if __name__ == "__main__":
    main()
