"""How much a generated pull request changes, and which files."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from random import Random

from local_setup.corpus.habits import Habits

FILES_LISTED = 300
"""Longest list of files written; ``changed_files`` may be larger, as in GitHub's own answers."""

LARGEST = 400_000
KIND_SHIFT = {"feat": 0.8, "fix": -0.4, "docs": -0.7, "refactor": 0.6, "test": 0.2, "chore": -0.2}
HOUSEKEEPING = (
    ".github/workflows/ci.yml",
    ".github/workflows/release.yml",
    "Dockerfile",
    "Makefile",
    "package.json",
    "setup.py",
    "scripts/build.sh",
    "CHANGELOG.md",
)


@dataclass
class Change:
    """Lines, files and commits; ``files`` holds (path, additions, deletions) or is empty."""

    additions: int
    deletions: int
    changed_files: int
    commits: int
    files: list[tuple[str, int, int]] = field(default_factory=list)


def ordinary(habits: Habits, rng: Random, kind: str, *, effort: float = 1.0) -> Change:
    """Heavy-tailed: log-normal around the repository's own size, one in forty much larger."""
    log_size = rng.gauss(habits.log_size + KIND_SHIFT[kind], habits.log_size_spread)
    if rng.random() < 0.025:
        log_size += rng.expovariate(0.6)
    lines = min(LARGEST, max(1, int(math.exp(log_size) * effort)))
    ratio = min(0.98, max(0.0, rng.gauss(habits.deletion_ratio, 0.2)))
    deletions = int(lines * ratio)
    files = max(1, round(lines**0.42 * math.exp(rng.gauss(-0.35, 0.5))))
    commits = 1
    if rng.random() > habits.squash_share:
        commits += int(rng.expovariate(1.0 / (0.6 + 0.35 * math.log1p(lines))))
    return Change(max(lines - deletions, 0 if deletions else 1), deletions, files, commits)


def list_files(change: Change, habits: Habits, rng: Random, kind: str) -> None:
    """Invent the file list of ``change`` in place; the listed lines add up to its totals where
    every file is listed."""
    count = min(change.changed_files, FILES_LISTED)
    paths: dict[str, None] = {}
    while len(paths) < count:
        paths[_path(habits, rng, kind, len(paths))] = None
    spread(change, list(paths), rng)


def spread(change: Change, paths: list[str], rng: Random) -> None:
    """Distribute the totals of ``change`` over ``paths``."""
    weights = [rng.expovariate(1.0) for _ in paths]
    total = sum(weights)
    left = [change.additions, change.deletions]
    files = []
    for position, (path, weight) in enumerate(zip(paths, weights, strict=True)):
        last = position == len(paths) - 1
        added = left[0] if last else min(left[0], int(change.additions * weight / total))
        removed = left[1] if last else min(left[1], int(change.deletions * weight / total))
        left = [left[0] - added, left[1] - removed]
        files.append((path, added, removed))
    change.files = sorted(files)


def _path(habits: Habits, rng: Random, kind: str, position: int) -> str:
    draw = rng.random()
    if kind == "docs" and draw < 0.8:
        return f"docs/{rng.choice(habits.nouns)}-{rng.randrange(60)}.md" if position else "README.md"
    if draw < 0.04:
        return rng.choice(HOUSEKEEPING)
    stem = f"{rng.choice(habits.nouns)}_{rng.choice(habits.nouns)}".replace("-", "_")
    ending = habits.endings[min(int(rng.expovariate(1.5)), len(habits.endings) - 1)]
    if kind == "test" or draw < 0.2:
        return f"tests/test_{stem}.{habits.endings[0]}"
    folder = rng.choice(habits.folders)
    number = rng.randrange(40)
    return f"{folder}/{stem}{number if number > 12 else ''}.{ending}"
