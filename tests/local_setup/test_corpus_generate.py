"""The generated corpus: the same bytes for the same settings, plausible, with labelled anomalies."""

from __future__ import annotations

import gzip
import itertools
import json
import resource
import statistics
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from local_setup.corpus import CorpusSettings, generate
from local_setup.corpus.__main__ import main
from local_setup.corpus.anomalies import KINDS
from local_setup.github_standin.clock import epoch

Labelled = list[tuple[dict[str, Any], str | None]]


@pytest.fixture(scope="module")
def generated() -> Labelled:
    return list(generate(CorpusSettings(pulls=3000, seed=7)))


@pytest.fixture(scope="module")
def by_repository(generated: Labelled) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for pull, _ in generated:
        found[pull["base"]["repo"]["full_name"]].append(pull)
    return found


def test_the_same_settings_give_the_same_bytes(tmp_path: Path) -> None:
    files = []
    for turn in "ab":
        out, labels = tmp_path / f"{turn}.jsonl.gz", tmp_path / f"{turn}.labels.jsonl"
        main(
            [
                "--out",
                str(out),
                "--labels",
                str(labels),
                "--pulls",
                "300",
                "--repositories",
                "3",
                "--seed",
                "5",
            ]
        )
        files.append((out.read_bytes(), labels.read_bytes()))
    assert files[0] == files[1]
    other = tmp_path / "other.jsonl.gz"
    main(["--out", str(other), "--pulls", "300", "--repositories", "3", "--seed", "6"])
    assert gzip.decompress(other.read_bytes()) != gzip.decompress(files[0][0])
    assert not list(tmp_path.glob("*.part"))


def test_counts_ids_numbers_and_times(generated: Labelled, by_repository: dict[str, Any]) -> None:
    assert len(generated) == 3000
    assert len(by_repository) == 12
    identities = [pull["id"] for pull, _ in generated]
    assert len(set(identities)) == 3000
    assert min(identities) < 2**31 < max(identities), "32-bit readers must not pass"
    created = [pull["created_at"] for pull, _ in generated]
    assert created == sorted(created)
    for pulls in by_repository.values():
        numbers = [pull["number"] for pull in pulls]
        assert all(one < other for one, other in itertools.pairwise(numbers))
    for pull, _ in generated:
        ends = [epoch(pull[key]) for key in ("closed_at", "merged_at") if pull[key]]
        assert all(epoch(pull["created_at"]) <= end <= epoch(pull["updated_at"]) for end in ends)
        assert (pull["state"] == "open") == (pull["closed_at"] is None)
        assert pull["merged"] == (pull["merged_at"] is not None)


def test_listed_files_add_up(generated: Labelled) -> None:
    whole = [pull for pull, _ in generated if len(pull["files"]) == pull["changed_files"]]
    assert len(whole) > 2900
    for pull in whole:
        assert sum(file["additions"] for file in pull["files"]) == pull["additions"]
        assert sum(file["deletions"] for file in pull["files"]) == pull["deletions"]
        assert len({file["filename"] for file in pull["files"]}) == len(pull["files"])


def test_repositories_have_habits_of_their_own(by_repository: dict[str, Any]) -> None:
    def spread(measure: Any) -> float:
        values = [measure(pulls) for pulls in by_repository.values()]
        return float(max(values) - min(values))

    assert spread(lambda pulls: statistics.median(pull["additions"] for pull in pulls)) >= 5
    assert spread(lambda pulls: statistics.mean(pull["merged"] for pull in pulls)) > 0.15
    assert spread(lambda pulls: statistics.mean(pull["user"]["type"] == "Bot" for pull in pulls)) > 0.1
    assert spread(lambda pulls: statistics.mean(pull["body"] is None for pull in pulls)) > 0.2
    assert len({pull["base"]["repo"]["language"] for pulls in by_repository.values() for pull in pulls}) >= 8
    hours = [
        Counter(int(pull["created_at"][11:13]) for pull in pulls).most_common(1)[0][0]
        for pulls in by_repository.values()
    ]
    assert len(set(hours)) >= 4


def test_sizes_are_heavy_tailed(generated: Labelled) -> None:
    additions = sorted(pull["additions"] for pull, label in generated if label is None)
    median, high, top = additions[1500], additions[int(len(additions) * 0.99)], additions[-1]
    assert high > 15 * median
    assert top > 60 * median


def test_regulars_newcomers_and_bots(generated: Labelled) -> None:
    people = Counter(pull["user"]["login"] for pull, _ in generated)
    assert sum(1 for count in people.values() if count == 1) > 100
    assert people.most_common(1)[0][1] > 100
    kinds = Counter(pull["user"]["type"] for pull, _ in generated)
    assert set(kinds) == {"User", "Bot"}
    assert all(
        (pull["user"]["type"] == "Bot") == pull["user"]["login"].endswith("[bot]") for pull, _ in generated
    )
    associations = Counter(pull["author_association"] for pull, _ in generated)
    assert {"OWNER", "MEMBER", "COLLABORATOR", "CONTRIBUTOR", "NONE"} <= set(associations)


def test_planted_anomalies_are_few_known_and_of_every_kind(generated: Labelled) -> None:
    labels = [label for _, label in generated if label is not None]
    assert len(labels) == 30
    assert set(labels) == set(KINDS)
    late = [label for _, label in generated[-len(generated) // 4 :] if label is not None]
    assert len(late) >= 10
    by_kind = {label: pull for pull, label in generated if label is not None}
    assert by_kind["huge_change"]["additions"] >= 60_000
    assert by_kind["readme_vandalism"]["files"][0]["filename"] == "README.md"
    assert all(one["filename"] for one in by_kind["newcomer_ci"]["files"])
    assert not any("label" in pull or "anomaly" in json.dumps(pull) for pull, _ in generated[:50])


def test_titles_hold_unicode_and_no_line_break(generated: Labelled) -> None:
    titles = [pull["title"] for pull, _ in generated]
    assert any(not title.isascii() for title in titles)
    assert all(title.strip() and "\n" not in title for title in titles)
    assert len(set(titles)) > 2500


def test_wrong_flags_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["--out", str(tmp_path / "x.jsonl"), "--pulls", "5", "--repositories", "12"])
    assert refused.value.code == 2
    assert "--pulls must be at least twice --repositories" in capsys.readouterr().err


def test_no_files_when_not_asked_for() -> None:
    assert not any(
        "files" in pull for pull, _ in generate(CorpusSettings(pulls=60, repositories=2, files=False))
    )


@pytest.mark.long
def test_memory_stays_flat_for_large_corpora(tmp_path: Path) -> None:
    """Peak memory of a process only grows, so small before large shows what large adds."""
    peaks = []
    for pulls in (5_000, 60_000):
        main(["--out", str(tmp_path / "c.jsonl.gz"), "--pulls", str(pulls), "--repositories", "30"])
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    assert peaks[1] - peaks[0] < 40_000, "kilobytes"
