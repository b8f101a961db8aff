"""Command line of the corpus generator: see ``--help``."""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from io import BufferedIOBase
from pathlib import Path

from local_setup.corpus.generate import CorpusSettings, generate

DESCRIPTION = """\
Writes a plausible corpus: one pull request a line, as GitHub's REST API would give it. The same
settings give the same bytes. The labels of the planted anomalies go to a file of their own, which
no stage reads."""


def write(out: Path, labels: Path | None, settings: CorpusSettings) -> Counter[str]:
    """Write both files, each appearing only when complete; the number of each label."""
    written: Counter[str] = Counter()
    lines: list[str] = []
    part = out.with_name(out.name + ".part")
    out.parent.mkdir(parents=True, exist_ok=True)
    with part.open("wb") as raw:
        # No file name and no time in the gzip header: equal settings give equal bytes.
        sink: BufferedIOBase = raw
        if out.suffix == ".gz":
            sink = gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=3, mtime=0)
        for pull, label in generate(settings):
            line = json.dumps(pull, ensure_ascii=False, separators=(",", ":"))
            sink.write(line.encode() + b"\n")
            written["pull requests"] += 1
            if label is not None:
                written[label] += 1
                name = pull["base"]["repo"]["full_name"]
                found = {"repo_name": name, "number": pull["number"], "label": label}
                lines.append(json.dumps(found) + "\n")
        if sink is not raw:
            sink.close()
    if labels is not None:
        labels.parent.mkdir(parents=True, exist_ok=True)
        labels.write_text("".join(lines), encoding="utf-8")
    os.replace(part, out)
    return written


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the flags and write the corpus."""
    defaults = CorpusSettings()
    parser = argparse.ArgumentParser(prog="python -m local_setup.corpus", description=DESCRIPTION)
    parser.add_argument("--out", type=Path, required=True, help="corpus.jsonl or corpus.jsonl.gz")
    parser.add_argument("--labels", type=Path, help="labels.jsonl: repo_name, number, label")
    parser.add_argument("--pulls", type=int, default=defaults.pulls, help="default %(default)s")
    parser.add_argument("--repositories", type=int, default=defaults.repositories, help="default %(default)s")
    parser.add_argument("--seed", type=int, default=defaults.seed, help="default %(default)s")
    parser.add_argument(
        "--anomaly-share",
        type=float,
        default=defaults.anomaly_share,
        help="planted share of the pull requests, 0 to 0.5 (default %(default)s)",
    )
    parser.add_argument(
        "--files",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="add each pull request's list of files (default: yes)",
    )
    options = parser.parse_args(argv)
    if options.repositories < 1 or options.pulls < options.repositories * 2:
        parser.error("--pulls must be at least twice --repositories, and both at least 1")
    if not 0 <= options.anomaly_share <= 0.5:
        parser.error(f"--anomaly-share must be from 0 to 0.5, not {options.anomaly_share}")
    settings = CorpusSettings(
        pulls=options.pulls,
        repositories=options.repositories,
        seed=options.seed,
        anomaly_share=options.anomaly_share,
        files=options.files,
    )
    started = time.monotonic()
    written = write(options.out, options.labels, settings)
    pulls = written.pop("pull requests")
    planted = ", ".join(f"{number} {kind}" for kind, number in sorted(written.items()))
    print(
        f"{options.out}: {pulls} pull requests in {settings.repositories} repositories, planted: "
        f"{planted or 'none'}, {time.monotonic() - started:.1f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
