"""`make performance`: PERFORMANCE.md from the latest figures in var/bench; nothing on that page is typed by hand.

python perf/page.py [--bench var/bench] [--out PERFORMANCE.md]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bounds import judge

ROOT = Path(__file__).resolve().parent.parent
Row = dict[str, Any]


def table(rows: Sequence[Row]) -> str:
    """One line for each figure, one column for each who; the ratio to ours behind every other's figure."""
    who = list(dict.fromkeys(row["who"] for row in rows))
    figures = {(row["what"], row["who"]): row for row in rows}
    lines = ["| | " + " | ".join(who) + " |", "| --- |" + " --- |" * len(who)]
    for what in dict.fromkeys(row["what"] for row in rows):
        ours = figures.get((what, "ours"))
        cells = [_cell(figures.get((what, name)), ours) for name in who]
        lines.append(f"| {what} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def expectations(bench: str, rows: Sequence[Row]) -> str:
    """What was expected of the benchmark, and what came of it."""
    lines = ["| expected | limit | found | |", "| --- | --- | --- | --- |"]
    for one in judge(bench, rows):
        lines.append(f"| {one.says} | {one.limit} | {one.found} | {one.word} |")
    return "\n".join(lines)


def _cell(row: Row | None, ours: Row | None) -> str:
    if row is None or row["value"] is None:
        return str(row["unit"]).replace("|", "/") if row and row["what"] == "left out" else "-"
    value = row["value"]
    shown = f"{value:,.3g}" if isinstance(value, float) and abs(value) < 1000 else f"{value:,.0f}"
    ratio = ""
    if ours and ours is not row and ours["value"]:
        ratio = f" ({value / ours['value']:.3g} x)"
    return f"{shown} {row['unit']}{ratio}"


def page(bench: Path) -> str:
    """The whole page."""
    parts = [
        "# Performance",
        "The latest figures of the `make bench-...` targets, written by `make performance`. Compare figures of one"
        " run only: machines differ, and a busy one is slow for everybody.",
        f"Machine: {os.cpu_count()} cores, {platform.machine()}, {platform.system()} {platform.release()},"
        f" Python {platform.python_version()}.",
    ]
    for file in sorted(bench.glob("*.json")):
        measured = datetime.fromtimestamp(file.stat().st_mtime, UTC).strftime("%Y-%m-%d")
        rows = json.loads(file.read_text("utf-8"))
        parts += [f"## {file.stem}", f"`make bench-{file.stem}`, {measured}.", expectations(file.stem, rows)]
        parts.append(table(rows))
    return "\n\n".join(parts) + "\n"


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bench", type=Path, default=ROOT / "var" / "bench", help="folder of the figures")
    parser.add_argument("--out", type=Path, default=ROOT / "PERFORMANCE.md", help="the page")
    options = parser.parse_args(argv)
    options.out.write_text(page(options.bench), "utf-8")


if __name__ == "__main__":
    main()
