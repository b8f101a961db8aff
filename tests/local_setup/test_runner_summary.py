"""summary.json, its two lines on the terminal, and what CI reads from it."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from local_setup.runner.scoring import Scores
from local_setup.runner.summary import PublishedRun, print_summary, summarise
from rich.console import Console

PUBLISHED = PublishedRun("20261123T000000Z", documents=10, rejected=1, rows=9, features=100)


def summary(scores: Scores) -> dict[str, Any]:
    return summarise(PUBLISHED, 2, {"version": "3"}, scores, {"fetch": 1.0})


def test_what_the_service_refused_is_a_row_all_the_same() -> None:
    scores = Scores(scored=8, refused=1, flagged=2, threshold=1.5)
    found = summary(scores)
    assert (found["documents"], found["rows"], found["rejected"], found["refused"]) == (12, 9, 3, 1)
    assert found["documents"] == found["rows"] + found["rejected"]
    assert found["flag_rate"] == 0.25


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        (Scores(scored=8, flagged=2, threshold=1.5), "threshold 1.5, 2 flagged (25.0%)"),
        (Scores(refused=9), "model version 3, nothing scored"),
    ],
)
def test_the_lines_on_the_terminal(scores: Scores, said: str) -> None:
    output = io.StringIO()
    print_summary(Console(file=output, width=200), summary(scores))
    assert "12 documents, 3 rejected, 9 rows of 100 features" in output.getvalue()
    assert said in output.getvalue()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({}, ""),
        ({"scores_compared": 1}, "only 1 of 2 scores were compared"),
        ({"scores_compared": 0, "max_score_difference": None}, "only 0 of 2 scores were compared"),
        ({"max_score_difference": 1e-3}, "differ from training's: 0.001"),
        ({"documents": 3}, "2 pull requests given, 3 documents"),
        ({"rejected": 1}, "do not add up"),
    ],
)
def test_ci_fails_where_a_real_pull_request_is_lost(
    tmp_path: Path, repository: Path, pulls: list[dict[str, Any]], change: dict[str, Any], problem: str
) -> None:
    given = pulls[:2]
    with gzip.open(tmp_path / "c.jsonl.gz", "wt", encoding="utf-8") as lines:
        lines.writelines(json.dumps(pull) + "\n" for pull in given)
    scores = [{"repo_name": pull["base"]["repo"]["full_name"], "number": pull["number"]} for pull in given]
    (tmp_path / "scores.jsonl").write_text("".join(json.dumps(score) + "\n" for score in scores))
    counts = {"documents": 2, "rows": 2, "rejected": 0, "scores_compared": 2, "max_score_difference": 1e-7}
    (tmp_path / "summary.json").write_text(json.dumps(counts | change))
    command = [
        sys.executable,
        str(repository / ".ci" / "check_real.py"),
        str(tmp_path),
        str(tmp_path / "c.jsonl.gz"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, problem in done.stderr) == (1 if problem else 0, True), done.stderr
