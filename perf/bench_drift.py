"""`make bench-drift`: how often the drift job calls an alarm where nothing changed, and where something did.

Pull requests are held out at random, the pipeline runs on the rest, and a real service with the model of that records
the held-out ones as they are, with each simulated drift, and another repository's. Windows are drawn from what was
recorded (with replacement, as there are fewer of them) and judged by the code of the drift job. Windows of one hold-out
share rows and a network and say little more than one; so there are many hold-outs, each with a training of its own, and
the worst one is shown too. A window without a verdict is no alarm: where something changed it counts as missed, where
nothing did it is left out of the share.

With real pull requests (--repository, --other) or, without, generated ones. Beside ours stand fixed limits, the usual
ones: population stability above 0.2 in a feature, p of Kolmogorov and Smirnov below 0.05 for the score against the
errors of the training rows, whatever the number of rows.

Run it with the environment of drift_detection; the other stages are started from theirs. Writes var/bench/drift.json
and the table in drift_detection/README.md.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import os
import platform
import random
import socket
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import requests
from bounds import report
from drift_detection.settings import DetectSettings
from drift_detection.statistics import compare_scores
from drift_detection.store import FolderStore
from drift_detection.verdict import judge
from drift_detection.window import Window, read_window

from drift_detection import reference as references

ROOT = Path(__file__).resolve().parent.parent
KINDS = ("numerical_shift", "category_mismatch", "drop_column")
UNCHANGED = "false alarm share"
HELD_OUT = 0.35
LIST_LENGTH = 100
MARKS = ("<!-- drift figures -->\n", "<!-- /drift figures -->")
Pull = dict[str, Any]


@dataclass
class Tally:
    """Windows and alarms by set of rows and by judge; causes: windows in which the score or a feature drifted.

    silent: windows in which ours had no verdict. by_holdout: share of alarms of ours in each hold-out.
    """

    windows: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    alarms: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    causes: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    silent: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    by_holdout: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def share(self, name: str, who: str) -> float | None:
        """Alarms among the windows; of unchanged ones among those with a verdict. None where there is none."""
        judged = self.windows[name]
        if who == "ours" and name == UNCHANGED:
            judged -= self.silent[name]
        return self.alarms[name, who] / judged if judged else None

    def worst(self, name: str) -> float | None:
        """Ours in the hold-out that did worst: the most alarms where nothing changed, else the fewest."""
        worst = max if name == UNCHANGED else min
        return worst(self.by_holdout[name], default=None)


def read(file: Path) -> list[Pull]:
    opened = gzip.open(file, "rt", encoding="utf-8") if file.suffix == ".gz" else file.open(encoding="utf-8")
    with opened as lines:
        return [json.loads(line) for line in lines]


def generated(folder: Path, seed: int, pulls: int) -> Path:
    file = folder / f"generated-{seed}.jsonl.gz"
    command = [str(python("local")), "-m", "local_setup.corpus", "--out", str(file), "--pulls", str(pulls)]
    subprocess.run([*command, "--repositories", "3", "--seed", str(seed)], check=True, cwd=ROOT)
    return file


def python(stage: str) -> Path:
    return ROOT / ".venv" / stage / "bin" / "python"


class HoldOut:
    """One training on the pull requests that were not held out, and services with its model."""

    def __init__(self, folder: Path, pulls: list[Pull], seed: int) -> None:
        self.folder, self.out = folder, folder / "out"
        folder.mkdir()
        rng = random.Random(seed)
        held = [rng.random() < HELD_OUT for _ in pulls]
        self.held = [pull for pull, out in zip(pulls, held, strict=True) if out]
        self.kept = [pull for pull, out in zip(pulls, held, strict=True) if not out]

    def train(self) -> None:
        """Fetch, preprocess and train on what is kept."""
        corpus = self.folder / "kept.jsonl.gz"
        with gzip.open(corpus, "wt", encoding="utf-8") as lines:
            lines.writelines(json.dumps(pull) + "\n" for pull in self.kept)
        environ = {**os.environ, "QUALITY_REPORT": "false"}
        for step, more in (("fetch", ["--corpus", str(corpus)]), ("preprocess", []), ("train", [])):
            command = [str(python("local")), "-m", "local_setup.runner", step, "--out", str(self.out), *more]
            done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"{step} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        settings = DetectSettings(mlflow_tracking_uri=f"sqlite:///{self.out}/mlflow/mlflow.db")
        self.reference = references.of_registry(settings, "candidate")
        model = next((self.out / "mlflow").rglob("reference.json"))
        self.error_quantiles = np.array(json.loads(model.read_text("utf-8"))["error_quantiles"])
        self.error_rows = int(json.loads(model.read_text("utf-8"))["error_rows"])

    def periods(self) -> dict[str, datetime]:
        """The last moment of the training period by repository (of split train, as preprocessing cut it)."""
        import pyarrow.parquet as pq

        (run,) = (self.out / "data" / "preprocess-runs").iterdir()
        rows = pq.read_table(run / "features", columns=["repo_name", "created_at", "split"]).to_pylist()
        last: dict[str, datetime] = {}
        for row in rows:
            if row["split"] == "train":
                name = row["repo_name"]
                last[name] = max(row["created_at"], last.get(name, row["created_at"]))
        return last

    def recorded(self, name: str, pulls: list[Pull], drift: str = "none") -> Window:
        """What a service records when it scores these."""
        root = self.folder / f"recorded-{name}"
        with self._service(root) as url:
            post(f"{url}/simulate-drift", {"drift_type": drift})
            for start in range(0, len(pulls), LIST_LENGTH):
                post(f"{url}/predict", pulls[start : start + LIST_LENGTH])
        reference = self.reference
        window = read_window(
            FolderStore(root), reference.names, reference.model_version,
            since=datetime.now(UTC) - timedelta(hours=24), most_rows=len(pulls),
        )  # fmt: skip
        if len(window) != len(pulls):
            raise SystemExit(f"{name}: {len(pulls)} pull requests were scored, {len(window)} rows recorded")
        return window

    @contextlib.contextmanager
    def _service(self, root: Path) -> Iterator[str]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        environ = {
            **os.environ, "PORT": str(port), "WORKERS": "1", "DATA_ROOT": str(root), "SIMULATE_DRIFT": "true",
            "MODEL_ALIAS": "candidate", "MLFLOW_TRACKING_URI": f"sqlite:///{self.out}/mlflow/mlflow.db",
            "DRAIN_WAIT_SECONDS": "0",
        }  # fmt: skip
        with (self.folder / "service.log").open("ab") as log:
            process = subprocess.Popen(
                [str(python("model_serving")), "-m", "model_serving"], env=environ, stdout=log, stderr=log
            )
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until_ready(url, process)
            yield url
        finally:
            process.terminate()  # writes what was recorded before it ends
            process.wait(60)


def wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(requests.ConnectionError):
            if requests.get(f"{url}/ready", timeout=5).status_code == 200:
                return
        time.sleep(0.1)
    raise SystemExit("model_serving was not ready; see service.log")


def post(url: str, body: Any) -> None:
    answer = requests.post(url, json=body, timeout=120)
    if not answer.ok:
        raise SystemExit(f"{url}: HTTP {answer.status_code} {answer.text[:500]}")


def judge_windows(
    tally: Tally, name: str, made: HoldOut, recorded: Window, count: int, rows: int, seed: int
) -> None:
    """Draw windows from what was recorded and count the alarms of each judge."""
    rng = np.random.default_rng(seed)
    threshold = float(DetectSettings.model_fields["drift_threshold"].default)
    min_rows = int(DetectSettings.model_fields["min_rows"].default)
    alarms, silent = tally.alarms[name, "ours"], tally.silent[name]
    for _ in range(count):
        drawn = rng.integers(0, len(recorded), rows)
        window = Window(
            recorded.values[drawn], recorded.errors[drawn], recorded.flags[drawn], recorded.scored_at[drawn]
        )
        verdict = judge(window, made.reference, min_rows=min_rows)
        tally.windows[name] += 1
        tally.alarms[name, "ours"] += verdict.alarm(threshold)
        tally.silent[name] += verdict.drift_score is None
        tally.causes[name, "score"] += verdict.score_drifted
        for feature in verdict.features:
            tally.causes[name, f"{feature.group}: {feature.name}"] += feature.drifted
        score = compare_scores(made.error_quantiles, made.error_rows, window.errors, rows)
        groups = {feature.group: False for feature in verdict.features}
        for feature in verdict.features:
            groups[feature.group] |= feature.bins.psi > 0.2
        fixed = 1.0 if score.p < 0.05 else sum(groups.values()) / len(groups)
        tally.alarms[name, "fixed limits"] += fixed >= threshold
    judged = count - (tally.silent[name] - silent if name == UNCHANGED else 0)
    if judged:
        tally.by_holdout[name].append((tally.alarms[name, "ours"] - alarms) / judged)


def measure(
    folder: Path, repository: Path, other: Path, windows: int, rows: int, holdouts: int
) -> tuple[Tally, list[str]]:
    tally, facts = Tally(), []
    pulls, others = read(repository), read(other)
    for number in range(holdouts):
        made = HoldOut(folder / str(number), pulls, seed=number)
        started = time.monotonic()
        made.train()
        last = made.periods()
        within = [pull for pull in made.held if in_period(pull, last)]
        later = [pull for pull in made.held + made.kept if not in_period(pull, last)]
        sets = {UNCHANGED: made.recorded("normal", within)}
        sets |= {f"detected {kind}": made.recorded(kind, within, kind) for kind in KINDS}
        sets["detected another repository"] = made.recorded("other", others)
        if later:
            sets["alarms on later pull requests"] = made.recorded("later", later)
        share = windows // holdouts + (number < windows % holdouts)
        for name, recorded in sets.items():
            judge_windows(tally, name, made, recorded, share, rows, seed=number)
        facts.append(
            f"{len(made.kept)} kept, {len(within)} held out of the training period, {len(later)} later"
        )
        print(
            f"hold-out {number + 1} of {holdouts}: {facts[-1]}; {time.monotonic() - started:.0f} s",
            flush=True,
        )
    return tally, facts


def in_period(pull: Pull, last: dict[str, datetime]) -> bool:
    """Whether a pull request was opened before the newest one that was trained on in its repository."""
    end = last.get(pull["base"]["repo"]["full_name"])
    return end is not None and datetime.fromisoformat(pull["created_at"]) <= end


def page_table(tally: Tally, rows: int, holdouts: int, corpus: str) -> str:
    lines = [
        "| windows | alarms, ours | worst hold-out | no verdict | alarms, fixed limits | bar |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in tally.windows:
        bar = {"false": "at most 5 %", "detected": "at least 95 %"}.get(name.split()[0], "none")
        ours, fixed = (percent(tally.share(name, who)) for who in ("ours", "fixed limits"))
        shown = name.replace(UNCHANGED, "held out at random from the training period").replace(
            "detected ", ""
        )
        lines.append(
            f"| {shown} | {ours} | {percent(tally.worst(name))} | {tally.silent[name]} | {fixed} | {bar} |"
        )
    total = next(iter(tally.windows.values()))
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    lines += ["", f"{total} windows of {rows} rows over {holdouts} hold-outs, {corpus}; {machine}."]
    return "\n".join(lines) + "\n"


def percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def write_page(page: Path, table: str) -> None:
    text = page.read_text("utf-8")
    head, _, rest = text.partition(MARKS[0])
    _, found, tail = rest.partition(MARKS[1])
    if not found:
        raise SystemExit(f"{page}: expected the marks {MARKS[0].strip()} and {MARKS[1]}, found none")
    page.write_text(f"{head}{MARKS[0]}\n{table}\n{MARKS[1]}{tail}", "utf-8")


def main() -> None:
    """Command line."""
    data = os.environ.get("PR_DATA_DIR")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    real = Path(data) if data else None
    parser.add_argument("--repository", type=Path, help="pull requests to hold out from (.jsonl.gz)",
                        default=real and real / "bitcoin-core_secp256k1_pulls.jsonl.gz")  # fmt: skip
    parser.add_argument("--other", type=Path, help="another repository's",
                        default=real and real / "gharchive_2015_pulls.jsonl.gz")  # fmt: skip
    parser.add_argument("--windows", type=int, default=200)
    parser.add_argument("--rows", type=int, default=500, help="rows of a window")
    parser.add_argument("--holdouts", type=int, default=10, help="trainings, each with other rows held out")
    parser.add_argument(
        "--pulls", type=int, default=1500, help="generated ones, where there are no real ones"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "var/bench/drift.json", help="where the rows go")
    parser.add_argument("--page", type=Path, default=ROOT / "drift_detection/README.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-drift-") as name:
        folder = Path(name)
        corpus = "real pull requests" if options.repository else "generated pull requests"
        repository = options.repository or generated(folder, 1, options.pulls)
        other = options.other or generated(folder, 2, options.pulls // 2)
        tally, _ = measure(folder, repository, other, options.windows, options.rows, options.holdouts)
    found = [
        {"what": what, "who": who, "value": tally.share(what, who), "unit": f"share of {count} windows"}
        for what, count in tally.windows.items()
        for who in ("ours", "fixed limits")
    ]
    found += [
        {
            "what": f"{what}, no verdict",
            "who": "ours",
            "value": tally.silent[what],
            "unit": f"of {count} windows",
        }
        for what, count in tally.windows.items()
    ]
    table = page_table(tally, options.rows, options.holdouts, corpus)
    print(table)
    for name, count in tally.windows.items():
        causes = {cause: found for (where, cause), found in tally.causes.items() if where == name and found}
        ranked = sorted(causes.items(), key=lambda pair: -pair[1])[:8]
        print(
            f"{name}: " + ("; ".join(f"{cause} {found / count:.0%}" for cause, found in ranked) or "nothing")
        )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    write_page(options.page, table)
    print(f"written to {options.out} and {options.page}")
    raise SystemExit(report("drift", found))


if __name__ == "__main__":
    main()
