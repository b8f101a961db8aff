"""`make bench-training`: ml_training at 10,000, 100,000 and 1,000,000 rows, beside the blueprint's way.

Ours is the whole command: check the run, train, score every row, export, register in MLflow; without
the quality report, whose cost does not depend on the rows. Rows are those of a few thousand made-up pull
requests, repeated with other ids, times and disturbed values. The fixed cost is what a run of 500 rows
takes. Run it with the environment of ml_training. Writes var/bench/training.json.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from bounds import report
from pr_features.registry import FEATURES

ROOT = Path(__file__).resolve().parent.parent
SIZES = (10_000, 100_000, 1_000_000)
TEMPLATE_ROWS = 3_000
FIXED_ROWS = 500
ROWS_A_FILE = 250_000
VOCABULARY = 2_000
# What a run differs from the next one by, of the fixed cost: less beyond it is no cost of rows.
FIXED_NOISE = 0.2
BLUEPRINT_BYTES = 8 * 1024**3
BLUEPRINT_SECONDS = 900
Row = dict[str, Any]


def fake_run() -> ModuleType:
    """The tests' maker of runs: one way to write what Spark writes."""
    path = ROOT / "tests" / "ml_training" / "fake_run.py"
    spec = importlib.util.spec_from_file_location("fake_run", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def grow(folder: Path, rows: int, fake: ModuleType) -> None:
    """Replace the run's feature table by one of so many rows; the same template, disturbed."""
    files = sorted((folder / "features").glob("*.parquet"))
    template = pq.read_table(files)
    for path in files:
        path.unlink()
    rng = np.random.default_rng(1)
    names = [feature.name for feature in FEATURES if feature.low != 0 or feature.high != 1]
    for part, start in enumerate(range(0, rows, ROWS_A_FILE)):
        count = min(ROWS_A_FILE, rows - start)
        chosen = template.take(pa.array(rng.integers(0, template.num_rows, count)))
        replaced = {"pr_id": pa.array(np.arange(start, start + count) + 1)}
        for name in names:
            column = chosen.column(name).to_numpy()
            noise = rng.normal(0.0, 0.02, count) * (1.0 + np.abs(column))
            replaced[name] = pa.array((column + noise).astype(np.float32), from_pandas=True)
        for name, values in replaced.items():
            chosen = chosen.set_column(chosen.schema.get_field_index(name), name, values)
        pq.write_table(chosen, folder / "features" / f"part-{part:05d}.parquet")
    fake.publish_manifest(folder, folder.name, rows)


def measured(command: list[str], log: Path) -> tuple[float, float]:
    """(seconds, peak MB) of a command. Raises CalledProcessError with its log beside it."""
    start = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=log.parent)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, log.read_bytes()[-2000:])
    return time.monotonic() - start, usage.ru_maxrss / 1024


def ours(rows: int, scratch: Path, fake: ModuleType) -> tuple[float, float]:
    """Train on so many rows."""
    root = scratch / f"ours-{rows}"
    documents = fake.make_documents(min(rows, TEMPLATE_ROWS))
    folder = fake.publish(root, documents, evaluation=False)
    if rows > len(documents):
        grow(folder, rows, fake)
    command = [
        sys.executable, "-m", "ml_training", "train", "--quality-report=false", "--log-format=json",
        f"--data-root={root}", f"--work-dir={scratch / 'work'}",
        f"--mlflow-tracking-uri=sqlite:///{scratch}/mlflow/mlflow.db",
    ]  # fmt: skip
    found = measured(command, scratch / "ours.log")
    shutil.rmtree(root)
    return found


def blueprint(rows: int, scratch: Path, fake: ModuleType) -> tuple[float, float] | None:
    """The baseline on as many pull requests; None where it does not survive."""
    path = scratch / "documents.jsonl"
    fields = ("title", "body", "additions", "deletions", "changed_files")
    rng = random.Random(2)
    template = []
    for one in fake.make_documents(TEMPLATE_ROWS):
        # The made-up corpus has a few hundred words, a real one fills the thousand columns many times over.
        seldom = " ".join(f"word{rng.randrange(VOCABULARY)}" for _ in range(10))
        document = {field: one[field] for field in fields}
        template.append(json.dumps({**document, "body": f"{document['body'] or ''} {seldom}"}))
    with path.open("w") as lines:
        for position in range(rows):
            lines.write(template[position % len(template)] + "\n")
    command = [sys.executable, str(ROOT / "perf/blueprint_training.py"), str(path), str(BLUEPRINT_BYTES)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=BLUEPRINT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return None
    finally:
        path.unlink()
    if done.returncode:
        return None
    found = json.loads(done.stdout.splitlines()[-1])
    return found["seconds"], found["peak_mb"]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="rows, separated by commas")
    parser.add_argument("--out", type=Path, default=ROOT / "var/bench/training.json", help="result file")
    options = parser.parse_args()
    fake = fake_run()
    figures: list[Row] = []

    def figure(what: str, who: str, value: float, unit: str) -> None:
        figures.append({"what": what, "who": who, "value": round(value, 3), "unit": unit})
        print(f"  {what:<32} {who:<10} {value:>12,.1f} {unit}", flush=True)

    print(f"training on {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory(prefix="bench-training-") as folder:
        scratch = Path(folder)
        ours(FIXED_ROWS, scratch, fake)  # MLflow makes its database once
        fixed, base = ours(FIXED_ROWS, scratch, fake)
        figure("seconds fixed", "ours", fixed, "s")
        figure("peak MB fixed", "ours", base, "MB")
        for rows in map(int, options.sizes.split(",")):
            seconds, peak = ours(rows, scratch, fake)
            figure(f"seconds {rows} rows", "ours", seconds, "s")
            figure(f"peak MB {rows} rows", "ours", peak, "MB")
            if seconds > (1 + FIXED_NOISE) * fixed:
                figure(f"microseconds a row {rows} rows", "ours", (seconds - fixed) / rows * 1e6, "us")
            baseline = blueprint(rows, scratch, fake)
            if baseline is None:
                print(f"  {rows} rows: the blueprint's way did not survive with {BLUEPRINT_BYTES >> 30} GB")
                figure(f"survived {rows} rows", "blueprint", 0, "yes=1")
                continue
            figure(f"survived {rows} rows", "blueprint", 1, "yes=1")
            figure(f"seconds {rows} rows", "blueprint", baseline[0], "s")
            figure(f"peak MB {rows} rows", "blueprint", baseline[1], "MB")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(figures, indent=1) + "\n")
    raise SystemExit(report("training", figures))


if __name__ == "__main__":
    main()
