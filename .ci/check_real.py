"""Fail if a real pull request was lost between the files and the served scores.

python .ci/check_real.py OUT FILE...
"""

import gzip
import json
import sys
from pathlib import Path


def main(out: Path, files: list[Path]) -> None:
    """Compare the keys of the files with those of scores.jsonl, and the counts of summary.json."""
    given = set()
    for file in files:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for line in lines:
                pull = json.loads(line)
                given.add((pull["base"]["repo"]["full_name"], pull["number"]))
    with (out / "scores.jsonl").open(encoding="utf-8") as lines:
        scored = {(score["repo_name"], score["number"]) for score in map(json.loads, lines)}
    summary = json.loads((out / "summary.json").read_text("utf-8"))
    problems = []
    if lost := given - scored:
        problems.append(f"{len(lost)} of {len(given)} pull requests have no score")
    if summary["documents"] != len(given):
        problems.append(f"{len(given)} pull requests given, {summary['documents']} documents")
    if summary["documents"] != summary["rows"] + summary["rejected"]:
        counts = f"{summary['documents']} documents, {summary['rows']} rows, {summary['rejected']} rejected"
        problems.append(f"rows and rejected do not add up: {counts}")
    if summary["scores_compared"] != len(given):
        problems.append(
            f"only {summary['scores_compared']} of {len(given)} scores were compared with training's"
        )
    if not (summary["max_score_difference"] is not None and summary["max_score_difference"] <= 1e-5):
        problems.append(f"served scores differ from training's: {summary['max_score_difference']}")
    if problems:
        sys.exit("real pull requests: " + "; ".join(problems))
    difference = summary["max_score_difference"]
    print(f"real pull requests: all {len(given)} scored, largest relative difference {difference:.1e}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
