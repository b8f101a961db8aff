"""A published preprocess run without Spark: made-up documents, real ``pr_features``, the agreed files.

What Spark computes with windows is computed here row by row; the two are held together by
tests/spark_preprocess and tests/system, not here.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pr_features.documents import check
from pr_features.facts import Facts, terms
from pr_features.history import HistoryState, author_key, epoch_second, month_of
from pr_features.norms import QUANTITIES, norm_bins, norms_from_histograms
from pr_features.preprocessor import Preprocessor
from pr_features.profile import CorpusProfile
from pr_features.registry import FEATURES, NAMES
from pr_features.rows import row

START = datetime(2023, 1, 2, 8, 0, tzinfo=UTC)
_STEMS = "fix add remove parse socket time test build doc cache index read write error value handle".split()
_ENDS = ("", "s", "ing", "er", "ed", "able", "less", "ful", "ion", "like")
WORDS = [stem + end for end in _ENDS for stem in _STEMS]
# As in any language: a few words everywhere, most of them seldom.
WEIGHTS = [1.0 / rank for rank in range(1, len(WORDS) + 1)]

Document = dict[str, Any]


def make_documents(count: int, seed: int = 1) -> list[Document]:
    """Pull requests of three repositories with different habits, a few dozen authors, two bots."""
    rng = random.Random(seed)
    habits = {"acme/tool": (3.0, 5), "acme/site": (4.5, 9), "lone/lib": (2.2, 3)}
    numbers: Counter[str] = Counter()
    documents = []
    for position in range(count):
        repo = rng.choices(list(habits), [6, 3, 1])[0]
        size, words = habits[repo]
        numbers[repo] += 1
        author = int(rng.paretovariate(0.7)) % 40
        newcomer = rng.random() < 0.1
        opened = START + timedelta(hours=position * 3 + rng.random())
        merged = rng.random() < 0.75
        lines = int(rng.lognormvariate(size, 1.0))
        documents.append(
            check(
                {
                    "_id": 1000 + position,
                    "pr_id": 1000 + position,
                    "repo_name": repo,
                    "number": numbers[repo],
                    "title": _sentence(rng, words).capitalize(),
                    "body": None if rng.random() < 0.15 else _sentence(rng, words * 5),
                    "state": "closed" if merged else "open",
                    "created_at": opened,
                    "merged_at": opened + timedelta(hours=rng.randint(1, 99)) if merged else None,
                    "additions": lines,
                    "deletions": int(lines * rng.random()),
                    "changed_files": 1 + int(rng.expovariate(0.4)),
                    "commits_count": 1 + int(rng.expovariate(0.8)),
                    "labels": [],
                    "author_login": f"new-{position}" if newcomer else f"author-{author}",
                    "author_id": 90_000 + position if newcomer else 100 + author,
                    "author_type": "User",
                    "head_ref": "-".join(_sentence(rng, 2).split()),
                    "base_ref": "main",
                    "is_draft": rng.random() < 0.05,
                    "is_cross_repository": rng.random() < 0.6,
                    "source": "file",
                }
            )
        )
    return documents


def _sentence(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(WORDS, WEIGHTS, k=max(1, int(rng.gauss(words, 1)))))


def publish(
    root: Path,
    documents: Sequence[Document],
    run_id: str = "20260101T000000Z-test",
    *,
    files: int = 2,
    evaluation: bool = True,
    change: Callable[[dict[str, Any]], None] | None = None,
) -> Path:
    """Write the run to ``root``; ``change`` may alter the manifest before it is written. Returns its folder."""
    folder = root / "preprocess-runs" / run_id
    (folder / "features").mkdir(parents=True)
    later = _later(documents)
    training = [document for document in documents if document["pr_id"] not in later]
    authors, repositories = _history_tables(documents)
    state = HistoryState.pack(authors, repositories)
    profile = _profile(training)
    ordered = sorted(documents, key=lambda document: (_hash(document["pr_id"]), document["pr_id"]))
    rows = [row(document, state.lookup(document), profile) for document in ordered]
    values = np.stack([one.values for one in rows])
    in_training = np.array([document["pr_id"] not in later for document in ordered])
    preprocessor = _fitted(values[in_training], profile)
    (folder / "preprocessor.json").write_text(json.dumps(preprocessor.to_json()))
    table = pa.table(
        {
            "pr_id": [document["pr_id"] for document in ordered],
            "repo_name": [document["repo_name"] for document in ordered],
            "number": [document["number"] for document in ordered],
            "title": [document["title"] for document in ordered],
            "created_at": pa.array(
                [document["created_at"] for document in ordered], pa.timestamp("us", tz="UTC")
            ),
            "split": ["train" if fits else "later" for fits in in_training],
            **{name: pa.array(values[:, i], pa.float32()) for i, name in enumerate(NAMES)},
            "text_indices": pa.array([one.text_indices for one in rows], pa.list_(pa.int32())),
            "text_values": pa.array([one.text_values for one in rows], pa.list_(pa.float32())),
        }
    )
    bounds = np.linspace(0, table.num_rows, files + 1).astype(int)
    for part, (start, end) in enumerate(itertools.pairwise(bounds)):
        pq.write_table(table.slice(start, end - start), folder / f"features/part-{part:05d}.parquet")
    _write_history(folder, authors, repositories)
    if evaluation:
        _write_evaluation(folder, [one for one in ordered if one["pr_id"] in later])
    publish_manifest(folder, run_id, len(documents), change)
    return folder


def publish_manifest(
    folder: Path,
    run_id: str,
    rows: int,
    change: Callable[[dict[str, Any]], None] | None = None,
    published_at: str = "2026-01-01T00:00:00Z",
) -> None:
    """Write ``manifest.json`` over everything that lies in the folder."""
    entries = [
        {
            "path": path.relative_to(folder).as_posix(),
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    ]
    manifest = {
        "schema_version": 1,
        "run_id": run_id,
        "published_at": published_at,
        "counts": {"in": rows, "out": rows, "rejected": 0},
        "files": entries,
    }
    if change is not None:
        change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def _hash(pr_id: int) -> int:
    return int.from_bytes(hashlib.blake2b(str(pr_id).encode(), digest_size=8).digest())


def _later(documents: Sequence[Document]) -> set[int]:
    """The newest fifth of each repository with 50 pull requests, and of all the others together."""
    sizes = Counter(document["repo_name"] for document in documents)
    groups: dict[str, list[Document]] = defaultdict(list)
    for document in documents:
        name = document["repo_name"]
        groups[name if sizes[name] >= 50 else ""].append(document)
    found: set[int] = set()
    for group in groups.values():
        group.sort(key=lambda document: (document["created_at"], document["pr_id"]))
        found |= {document["pr_id"] for document in group[int(len(group) * 0.8) :]}
    return found


def _history_tables(
    documents: Sequence[Document],
) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    opened: dict[tuple[str, str], list[int]] = defaultdict(list)
    merged: dict[tuple[str, str], list[int]] = defaultdict(list)
    for document in documents:
        author = author_key(document)
        if author is not None:
            opened[document["repo_name"], author].append(epoch_second(document["created_at"]))
            if document["merged_at"] is not None:
                merged[document["repo_name"], author].append(epoch_second(document["merged_at"]))
    authors = [(*key, sorted(times), sorted(merged[key])) for key, times in sorted(opened.items())]
    state = HistoryState.pack(authors, [])
    monthly: dict[str, dict[int, list[Counter[int]]]] = defaultdict(
        lambda: defaultdict(lambda: [Counter() for _ in QUANTITIES])
    )
    for document in documents:
        histograms = monthly[document["repo_name"]][month_of(document["created_at"])]
        bins = norm_bins(Facts(document, *state.lookup(document)[:3]))
        for histogram, value in zip(histograms, bins, strict=True):
            if value is not None:
                histogram[value] += 1
    repositories = []
    for repo, months in sorted(monthly.items()):
        running: list[Counter[int]] = [Counter() for _ in QUANTITIES]
        for month in sorted(months):
            for total, new in zip(running, months[month], strict=True):
                total.update(new)
            # As of the end of a month, so valid from the next one on.
            repositories.append((repo, month + 1, list(norms_from_histograms(running))))
    return authors, repositories


def _profile(training: Sequence[Document]) -> CorpusProfile:
    frequencies: Counter[str] = Counter()
    for document in training:
        frequencies.update(set(terms(document)))
    return CorpusProfile.build(len(training), frequencies.items())


def _fitted(values: np.ndarray, profile: CorpusProfile) -> Preprocessor:
    wide = values.astype(np.float64)
    present = ~np.isnan(wide)
    count = np.maximum(present.sum(axis=0), 1)
    mean = np.where(present, wide, 0).sum(axis=0) / count
    std = np.sqrt((np.where(present, wide - mean, 0) ** 2).sum(axis=0) / count)
    missing = 1 - present.mean(axis=0)
    assert len(mean) == len(FEATURES)
    return Preprocessor(profile, mean.tolist(), std.tolist(), missing.tolist())


def _write_history(folder: Path, authors: list[tuple[Any, ...]], repositories: list[tuple[Any, ...]]) -> None:
    for name, columns, rows in (
        ("authors", ("repo_key", "author_key", "opened", "merged"), authors),
        ("repositories", ("repo_key", "month", "norms"), repositories),
    ):
        target = folder / "history" / name
        target.mkdir(parents=True)
        content = {column: [one[i] for one in rows] for i, column in enumerate(columns)}
        pq.write_table(pa.table(content), target / "part-00000.parquet")


def _write_evaluation(folder: Path, documents: Sequence[Document]) -> None:
    target = folder / "evaluation"
    target.mkdir()
    with gzip.open(target / "documents.jsonl.gz", "wt", encoding="utf-8") as lines:
        for document in documents:
            lines.write(json.dumps(document, default=lambda moment: moment.isoformat()) + "\n")
