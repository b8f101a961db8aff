"""`make bench-fetch`: data_fetch against the blueprint's way, on the GitHub stand-in.

10,000 pull requests in 20 repositories, 200 ms a call plus 5 ms for each pull request in the reply.
The blueprint's way (a list of 30 and a detail call for each) runs on every tenth pull request of the same
repositories, and its calls and seconds are multiplied by ten. Memory is measured without latency.

Run it with the environment of local/; data_fetch is started from its own. Writes var/bench/fetch.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bounds import BLUEPRINT_FETCH, FETCH_SHARE, report
from local_setup.corpus import CorpusSettings, generate
from local_setup.github_standin import DEFAULT_TOKEN, Corpus, GitHubStandIn, Latency, Limits, serve
from local_setup.mongodb import embedded_mongodb

ROOT = Path(__file__).resolve().parent.parent
REPOSITORIES = 20
UNLIMITED = Limits(core=10**9, graphql=10**9, search=10**9, rest_a_minute=10**9, graphql_a_minute=10**9)
LATENCY = Latency(fixed=0.2, per_pull=0.005)
Row = dict[str, str | float]


def peak_mb(process: subprocess.Popen[bytes]) -> float:
    """Wait for the process; the most memory that it had, in MB.

    Not ru_maxrss: that begins with what the parent had at the fork, which is the whole corpus here.
    """
    peak = 0.0
    while process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
        except OSError:
            break
        if "VmHWM:" in status:  # not there any more while it ends
            peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
        time.sleep(0.05)
    process.wait()
    return peak


class Bench:
    """One MongoDB, one stand-in after another, and the rows."""

    def __init__(self, mongo_uri: str, scratch: Path) -> None:
        self.mongo_uri = mongo_uri
        self.scratch = scratch
        self.rows: list[Row] = []

    def row(self, what: str, who: str, value: float, unit: str) -> None:
        """Keep and show a figure."""
        self.rows.append({"what": what, "who": who, "value": round(value, 3), "unit": unit})
        print(f"  {what:<42} {who:<38} {value:>12,.1f} {unit}", flush=True)

    @contextmanager
    def github(
        self, pulls: Iterable[dict[str, Any]], latency: Latency
    ) -> Iterator[tuple[GitHubStandIn, str]]:
        """A stand-in over these pull requests."""
        corpus = Corpus()
        corpus.add_all(pulls)
        standin = GitHubStandIn(corpus, limits=UNLIMITED, latency=latency)
        with serve(standin) as url:
            yield standin, url

    def fetch(self, standin: GitHubStandIn, url: str, database: str, *arguments: str) -> tuple[float, float]:
        """(seconds, peak MB) of one run of data_fetch. Raises CalledProcessError."""
        names = self.scratch / "repositories.txt"
        names.write_text("\n".join(one.full_name for one in standin.corpus.repositories()))
        environ = {
            **os.environ,
            "GITHUB_API_URL": url,
            "GITHUB_TOKEN": DEFAULT_TOKEN,
            "GITHUB_REPOS": f"@{names}",
            "MONGO_URI": self.mongo_uri,
            "MONGO_DB": database,
            "LOG_FORMAT": "json",
        }
        command = [str(ROOT / ".venv/data_fetch/bin/python"), "-m", "data_fetch", *arguments]
        start = time.monotonic()
        with (self.scratch / "fetch.log").open("wb") as log:
            process = subprocess.Popen(command, env=environ, stdout=log, stderr=subprocess.STDOUT)
            peak = peak_mb(process)
        if process.returncode != 0:
            sys.stderr.write((self.scratch / "fetch.log").read_text()[-3000:])
            raise subprocess.CalledProcessError(process.returncode, command)
        return time.monotonic() - start, peak

    def ours(self, pulls: list[dict[str, Any]]) -> None:
        """Cold, unchanged, and with one percent changed."""
        with self.github(pulls, LATENCY) as (standin, url):
            for what in ("cold", "unchanged", "1 % changed"):
                if what == "1 % changed":
                    rng = random.Random(0)
                    for pull in rng.sample(pulls, max(1, len(pulls) // 100)):
                        name = pull["base"]["repo"]["full_name"]
                        standin.corpus.update(name, pull["number"], title=f"{pull['title']} (edited)")
                calls, points = standin.log.calls, standin.log.points
                seconds, _ = self.fetch(standin, url, "ours")
                self.row(f"calls {what}", "ours", standin.log.calls - calls, "calls")
                self.row(f"points {what}", "ours", standin.log.points - points, "points")
                self.row(f"seconds {what}", "ours", seconds, "s")

    def blueprint(self, pulls: list[dict[str, Any]]) -> None:
        """The other way, on every tenth, times ten."""
        with self.github(pulls[::FETCH_SHARE], LATENCY) as (standin, url):
            names = ",".join(one.full_name for one in standin.corpus.repositories())
            command = [sys.executable, str(ROOT / "perf/blueprint_fetch.py"), "--api", url, "--repos", names]
            command += ["--token", DEFAULT_TOKEN, "--mongo", self.mongo_uri]
            found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        self.row("calls cold", BLUEPRINT_FETCH, FETCH_SHARE * found["calls"], "calls")
        self.row("points cold", BLUEPRINT_FETCH, FETCH_SHARE * found["calls"], "points")
        self.row("seconds cold", BLUEPRINT_FETCH, FETCH_SHARE * found["seconds"], "s")
        for what in ("calls cold", "seconds cold"):
            ours, theirs = (float(row["value"]) for row in self.rows if row["what"] == what)
            print(f"  {what}: {theirs / ours:.1f} times less than the blueprint")

    def memory(self, sizes: Iterable[int]) -> None:
        """Peak memory of data_fetch's process by the size of the corpus, without latency."""
        for size in sizes:
            settings = CorpusSettings(pulls=size, repositories=REPOSITORIES, seed=1, files=False)
            with self.github((pull for pull, _ in generate(settings)), Latency()) as (standin, url):
                seconds, peak = self.fetch(standin, url, f"memory_{size}")
            self.row(f"peak MB {size} pull requests", "ours", peak, "MB")
            self.row(f"pull requests/s {size} without latency", "ours", size / seconds, "pull requests/s")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pulls", type=int, default=10_000, help="pull requests (default 10000)")
    parser.add_argument("--memory", default="1000,10000,100000", help="sizes for memory, empty = none")
    parser.add_argument("--skip-blueprint", action="store_true", help="leave the baseline out")
    parser.add_argument("--out", type=Path, default=ROOT / "var/bench/fetch.json", help="where the rows go")
    options = parser.parse_args()
    print(f"fetch: {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    settings = CorpusSettings(pulls=options.pulls, repositories=REPOSITORIES, seed=0, files=False)
    pulls = [pull for pull, _ in generate(settings)]
    with tempfile.TemporaryDirectory() as folder, embedded_mongodb(Path(folder) / "mongo") as uri:
        bench = Bench(uri, Path(folder))
        bench.ours(pulls)
        if not options.skip_blueprint:
            bench.blueprint(pulls)
        del pulls
        bench.memory(int(size) for size in options.memory.split(",") if size)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(bench.rows, indent=1) + "\n", encoding="utf-8")
    print(f"written to {options.out}")
    raise SystemExit(report("fetch", bench.rows))


if __name__ == "__main__":
    main()
