"""The packed corpus: what goes in comes out, changes are kept in order, bad lines are named."""

from __future__ import annotations

import gzip
import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest
from local_setup.errors import CorpusError
from local_setup.github_standin import Corpus, ManualClock
from local_setup.github_standin.changes import RandomChanges
from local_setup.github_standin.clock import epoch, iso


def test_records_come_out_as_they_went_in(corpus: Corpus, pulls: list[dict[str, Any]]) -> None:
    for pull in pulls:
        assert corpus.pull(pull["base"]["repo"]["full_name"], pull["number"]) == pull
    assert len(corpus) == len(pulls)


def test_order_and_counts_survive_any_changes(corpus: Corpus, clock: ManualClock) -> None:
    corpus.now = clock.now
    rng = random.Random(5)
    for _ in range(600):
        repository = rng.choice(corpus.repositories())
        number = rng.choice(sorted(repository.entries))
        pull = repository.pull(number)
        assert pull is not None
        what = rng.randrange(4)
        if what == 0 and len(repository) > 3:
            corpus.delete(repository.full_name, number)
        elif what == 1:
            corpus.close(repository.full_name, number, merged=rng.random() < 0.5)
        elif what == 2:
            corpus.add({**pull, "number": max(repository.entries) + 1, "id": rng.getrandbits(50)})
        else:
            clock.advance(rng.randrange(3))
            corpus.update(repository.full_name, number, title="other")
    for repository in corpus.repositories():
        pulls = list(corpus.pulls(repository.full_name))
        assert repository.by_updated == sorted(
            (epoch(one["updated_at"]), one["id"], one["number"]) for one in pulls
        )
        assert repository.by_created == sorted(
            (epoch(one["created_at"]), one["id"], one["number"]) for one in pulls
        )
        states = ["MERGED" if one["merged_at"] else one["state"].upper() for one in pulls]
        assert repository.counts == {name: states.count(name) for name in ("OPEN", "CLOSED", "MERGED")}


def test_an_update_is_never_older_than_the_last_one(corpus: Corpus, busiest: str) -> None:
    pull = next(corpus.pulls(busiest))
    corpus.now = lambda: 0.0
    assert corpus.update(busiest, pull["number"], title="x")["updated_at"] == pull["updated_at"]
    later = epoch(pull["updated_at"]) + 500
    corpus.now = lambda: float(later)
    assert corpus.update(busiest, pull["number"], title="y")["updated_at"] == iso(later)


def test_of_two_lines_of_one_pull_request_the_later_updated_stays(corpus: Corpus, busiest: str) -> None:
    pull = next(corpus.pulls(busiest))
    corpus.add({**pull, "title": "older", "updated_at": pull["created_at"]})
    assert corpus.pull(busiest, pull["number"]) == pull
    newer = {**pull, "title": "newer", "updated_at": "2026-09-01T00:00:00Z"}
    corpus.add(newer)
    assert corpus.pull(busiest, pull["number"]) == newer


def test_bad_lines_are_named_and_the_rest_is_served(tmp_path: Path, pulls: list[dict[str, Any]]) -> None:
    good = json.dumps(pulls[0])
    path = tmp_path / "c.jsonl.gz"
    lines = [good, "{cut off", "[]", '{"number": 1}', "", json.dumps({**pulls[1], "created_at": "soon"})]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    corpus = Corpus()
    aside: list[tuple[int, bytes]] = []
    assert corpus.load(path, lambda *line: aside.append(line)) == 1
    assert corpus.unusable_count == 4
    assert [number for number, _ in aside] == [2, 3, 4, 6]
    assert aside[0][1] == b"{cut off\n"
    assert [reason.split(":")[1] for reason in corpus.unusable] == ["2", "3", "4", "6"]


def test_an_unreadable_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no such corpus file"):
        Corpus().load(tmp_path / "missing.jsonl")
    path = tmp_path / "cut.jsonl.gz"
    path.write_bytes(gzip.compress(b"{}\n" * 10_000)[:-20])
    with pytest.raises(CorpusError, match="expected JSON lines, plain or gzip"):
        Corpus().load(path)


def test_memory_a_pull_request_is_small(corpus: Corpus) -> None:
    blobs = [entry.blob for one in corpus.repositories() for entry in one.entries.values()]
    assert sum(map(sys.getsizeof, blobs)) / len(blobs) < 1_500


def test_random_changes_change_something(corpus: Corpus) -> None:
    def state() -> dict[Any, str]:
        return {
            (one.full_name, number): str(one.pull(number))
            for one in corpus.repositories()
            for number in one.entries
        }

    before = state()
    changes = RandomChanges(corpus, 0.5, seed=1)
    for number in range(100):
        changes(number, None)  # type: ignore[arg-type]
    after = state()
    assert 30 < changes.made < 70
    assert len(after) > len(before)
    assert sum(after[key] != before[key] for key in before) > 10


def test_all_real_records_are_served(pr_data: Path) -> None:
    corpus = Corpus()
    counts = [
        corpus.load(pr_data / f"{name}_pulls.jsonl.gz")
        for name in ("gharchive_2015", "bitcoin-core_secp256k1")
    ]
    assert counts == [485, 1292]
    assert (len(corpus), corpus.unusable_count) == (1777, 0)


def test_a_repository_without_an_id_gets_one_that_graphql_can_say() -> None:
    corpus = Corpus()
    for number in range(200):
        corpus.add_repository(f"acme/tool-{number}")
    identities = {one.identity for one in corpus.repositories()}
    assert len(identities) == 200
    assert max(identities) < 2**31
