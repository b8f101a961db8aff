"""`make bench-preprocess`: spark_preprocess by the number of pull requests, beside the blueprint's way.

    .venv/local/bin/python perf/bench_preprocess.py [--rows 10000,100000,1000000]

Seconds and peak memory (proportional set size, so that pages shared by forked workers count once) of the driver's
Python, the JVM and the Python workers. Fixed cost and cost per row come from the line through the two smallest
sizes. The blueprint's way runs under the limit of memory that ours has to keep, 4 GB, as long as it survives.

Run it with the environment of local/. Documents are generated once for each size and kept in var/cache/bench.
Writes var/bench/preprocess.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "libs" / "pr_features" / "src"))  # its documents need no numpy

from bounds import report  # noqa: E402
from document_source import document_source, write_documents  # noqa: E402
from local_setup.corpus import CorpusSettings, generate  # noqa: E402
from pr_features.documents import from_rest  # noqa: E402

CACHE = ROOT / "var" / "cache" / "bench"
BLUEPRINT = ROOT / ".venv" / "blueprint_preprocess"
LOCK = ROOT / "perf" / "peers" / "blueprint_preprocess.lock"
LIMIT_MB = 4_096
LOOK_SECONDS = 0.25
_PSS = re.compile(r"^Pss:\s+(\d+)", re.MULTILINE)


class Bench:
    """The rows so far."""

    def __init__(self) -> None:
        self.rows: list[dict[str, str | float]] = []
        self.used: dict[int, float] = {}

    def row(self, what: str, who: str, value: float, unit: str) -> None:
        """Keep and show a figure."""
        self.rows.append({"what": what, "who": who, "value": round(value, 3), "unit": unit})
        print(f"  {what:<44} {who:<10} {value:>12,.1f} {unit}", flush=True)

    def ours(self, count: int, uri: str, scratch: Path) -> float:
        """One run of the stage; its seconds."""
        command = [str(ROOT / ".venv/spark_preprocess/bin/python"), "-m", "spark_preprocess"]
        environ = os.environ | {
            "MONGO_URI": uri,
            "DATA_ROOT": str(scratch / "data"),
            "SPARK_JARS": str(ROOT / "var/cache/jars/spark_preprocess"),
            "LOG_FORMAT": "json",
        }
        seconds, peaks, out, status = measured(command, environ)
        used = peaks.pop("processor seconds")
        last = [json.loads(line) for line in out.splitlines()]
        if status != 0 or last[-1].get("rows", 0) + last[-1].get("rejected", 0) != count:
            raise SystemExit(f"spark_preprocess ended with {status}:\n{out[-3000:]}")
        self.row(f"seconds {count} rows", "ours", seconds, "s")
        self.row(f"processor seconds {count} rows", "ours", used, "s")
        self.row(f"peak MB {count} rows", "ours", peaks["all"], "MB")
        for part in ("JVM", "Python workers", "Python driver"):
            self.row(f"peak MB {count} rows, {part}", "ours", peaks.get(part, 0.0), "MB")
        for step in last:
            if "seconds" in step and step["event"] != "finished":
                self.row(f"seconds {count} rows, step {step['event']}", "ours", step["seconds"], "s")
        self.used[count] = used
        return seconds

    def blueprint(self, count: int, uri: str, scratch: Path) -> bool:
        """The other way; False when it did not survive."""
        command = [str(BLUEPRINT / "bin/python"), str(ROOT / "perf/blueprint_preprocess.py")]
        command += [uri, str(scratch / "blueprint.parquet")]
        seconds, peaks, out, status = measured(command, dict(os.environ), limit_mb=LIMIT_MB)
        if status != 0:
            print(
                f"  {count} rows, blueprint: ended with {status} within {LIMIT_MB} MB ({out.strip()[-120:]})"
            )
            self.row(f"survived {count} rows", "blueprint", 0, "yes=1")
            return False
        self.row(f"survived {count} rows", "blueprint", 1, "yes=1")
        self.row(f"seconds {count} rows", "blueprint", seconds, "s")
        self.row(f"processor seconds {count} rows", "blueprint", peaks["processor seconds"], "s")
        self.row(f"peak MB {count} rows", "blueprint", peaks["all"], "MB")
        return True

    def cost(self, seconds: dict[int, float], of: str = "") -> None:
        """Fixed cost and cost per row from neighbouring sizes; ``of`` goes before the unit's name."""
        sizes = sorted(seconds)
        for small, large in pairwise(sizes):
            each = (seconds[large] - seconds[small]) / (large - small)
            self.row(f"{of}microseconds a row, {small} to {large}", "ours", 1e6 * each, "us")
            if small == sizes[0]:
                self.row(f"fixed {of}seconds", "ours", seconds[small] - each * small, "s")


def measured(
    command: Sequence[str], environ: dict[str, str], limit_mb: int | None = None
) -> tuple[float, dict[str, float], str, int]:
    """(seconds, peak MB by part, standard output, exit status) of a process and all that it starts.

    Among the peaks stands what they took of the processor, which, unlike the seconds, does not depend on what else
    the machine does. limit_mb ends it once it takes more; the status is then -9.
    """

    def no_core() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    start = time.monotonic()
    peaks: dict[str, float] = {"all": 0.0}
    used: dict[int, float] = {}
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(
            command, env=environ, stdout=out, stderr=subprocess.DEVNULL, preexec_fn=no_core
        )
        while process.poll() is None:
            now: dict[str, float] = {}
            for pid in tree(process.pid):
                part = kind(pid, process.pid)
                now[part] = now.get(part, 0.0) + pss_mb(pid)
                used[pid] = max(used.get(pid, 0.0), processor_seconds(pid))
            now["all"] = sum(now.values())
            for part, value in now.items():
                peaks[part] = max(peaks.get(part, 0.0), value)
            if limit_mb is not None and now["all"] > limit_mb:
                process.kill()
            time.sleep(LOOK_SECONDS)
        out.seek(0)
        peaks["processor seconds"] = sum(used.values())
        return time.monotonic() - start, peaks, out.read(), process.returncode


def tree(root: int) -> Iterator[int]:
    """The process and everything below it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        yield pid
        waiting += children.get(pid, [])


def kind(pid: int, root: int) -> str:
    """Which part of the stage a process is."""
    if pid == root:
        return "Python driver"
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return "Python workers"
    return "JVM" if "SparkSubmit" in words else "Python workers"


def pss_mb(pid: int) -> float:
    try:
        found = _PSS.search(Path(f"/proc/{pid}/smaps_rollup").read_text())
    except OSError:
        return 0.0
    return int(found.group(1)) / 1024 if found else 0.0


def processor_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def documents_of(count: int) -> Path:
    """The generated documents of this size, made when they are not there yet."""
    path = CACHE / f"documents-{count}.bson"
    if not path.is_file():
        CACHE.mkdir(parents=True, exist_ok=True)
        settings = CorpusSettings(pulls=count, repositories=max(12, count // 5_000), seed=0)
        shaped = (from_rest(pull, source="file") for pull, _ in generate(settings))
        partial = path.with_suffix(".partial")
        write_documents(shaped, partial)
        partial.rename(path)
    return path


def prepare_blueprint() -> None:
    """Its environment, from its own lock."""
    if not (BLUEPRINT / ".ready").is_file():
        uv = str(ROOT / ".venv/tools/bin/uv")
        subprocess.run(
            [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(BLUEPRINT)], check=True
        )
        sync = ["pip", "sync", "--quiet", "--require-hashes", "--python", str(BLUEPRINT), str(LOCK)]
        subprocess.run([uv, *sync], check=True)
        (BLUEPRINT / ".ready").touch()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", default="10000,100000,1000000", help="sizes, separated by commas")
    parser.add_argument("--skip-blueprint", action="store_true", help="leave the baseline out")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "var/bench/preprocess.json", help="where the rows go"
    )
    options = parser.parse_args()
    print(f"preprocess: {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    bench = Bench()
    seconds: dict[int, float] = {}
    blueprint_lives = not options.skip_blueprint
    if blueprint_lives:
        prepare_blueprint()
    for count in sorted(int(size) for size in options.rows.split(",")):
        path = documents_of(count)
        with tempfile.TemporaryDirectory() as folder, document_source(path) as uri:
            seconds[count] = bench.ours(count, uri, Path(folder))
            if blueprint_lives:
                blueprint_lives = bench.blueprint(count, uri, Path(folder))
    bench.cost(seconds)
    bench.cost(bench.used, "processor ")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    content: list[dict[str, Any]] = bench.rows
    options.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"written to {options.out}")
    raise SystemExit(report("preprocess", bench.rows))


if __name__ == "__main__":
    main()
