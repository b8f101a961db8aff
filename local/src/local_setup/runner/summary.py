"""What a run leaves behind for people and programs: summary.json, and a table on the terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from local_setup.runner.scoring import Scores

TITLE_CHARACTERS = 60


class PublishedRun(NamedTuple):
    """Counts of a published preprocess run; features are the columns that the network sees."""

    run_id: str
    documents: int
    rejected: int
    rows: int
    features: int

    @classmethod
    def read(cls, folder: Path) -> PublishedRun:
        """From the manifest in the run's folder."""
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
        return cls(*(manifest[name] for name in cls._fields))


def summarise(
    published: PublishedRun,
    rejected_before: int,
    model: dict[str, Any],
    scores: Scores,
    seconds: dict[str, float],
) -> dict[str, Any]:
    """The content of summary.json: documents = rows + rejected; ``refused`` are rows that the service gave no score."""
    return {
        "documents": published.documents + rejected_before,
        "rejected": published.rejected + rejected_before,
        "rows": published.rows,
        "refused": scores.refused,
        "features": published.features,
        "run_id": published.run_id,
        "model_version": model["version"],
        "threshold": scores.threshold,
        "flag_rate": scores.flagged / scores.scored if scores.scored else None,
        "flagged": scores.flagged,
        "seconds": {stage: round(taken, 1) for stage, taken in seconds.items()},
        "max_score_difference": scores.max_difference if scores.compared else None,
        "scores_compared": scores.compared,
    }


def print_top(console: Console, scores: Scores, titles: dict[tuple[str, int], str]) -> None:
    """The most anomalous pull requests with their reasons; text from GitHub is shown as plain text."""
    table = Table(title="Most anomalous pull requests", title_justify="left", expand=False)
    table.add_column("pull request", overflow="fold")
    table.add_column("error", justify="right")
    table.add_column("beyond", justify="center")
    table.add_column("why", overflow="fold")
    for score in scores.top():
        name = f"{score['repo_name']}#{score['number']}"
        title = printable(titles.get((score["repo_name"], score["number"]), ""))
        table.add_row(
            Text(f"{name}\n{title}" if title else name),
            f"{score['reconstruction_error']:.2f}",
            "yes" if score["is_anomaly"] else "",
            Text("\n".join(printable(reason["text"]) for reason in score["reasons"])),
        )
    console.print(table)


def print_summary(console: Console, summary: dict[str, Any]) -> None:
    """Counts and times in two lines."""
    flagged = "nothing scored"
    if summary["flag_rate"] is not None:
        flagged = (
            f"threshold {summary['threshold']:.4g}, {summary['flagged']} flagged ({summary['flag_rate']:.1%})"
        )
    console.print(
        f"{summary['documents']} documents, {summary['rejected']} rejected, {summary['rows']} rows of"
        f" {summary['features']} features; model version {summary['model_version']}, {flagged}",
        highlight=False,
    )
    times = ", ".join(f"{stage} {taken:.0f} s" for stage, taken in summary["seconds"].items())
    console.print(f"time: {times}", highlight=False)
    if summary["max_score_difference"] is not None:
        console.print(
            f"served scores against training's own: {summary['scores_compared']} compared, largest relative"
            f" difference {summary['max_score_difference']:.1e}",
            highlight=False,
        )


def printable(text: str) -> str:
    """Text of a stranger for a terminal: no control or direction characters, and not too long."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    return shown if len(shown) <= 2 * TITLE_CHARACTERS else shown[: 2 * TITLE_CHARACTERS] + "…"
