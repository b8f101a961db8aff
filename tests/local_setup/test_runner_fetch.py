"""The runner's fetch over a corpus file: every line becomes a document or a rejection with its reason."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from local_setup.errors import CorpusError
from local_setup.mongodb import embedded_mongodb
from local_setup.runner.sources import Source
from local_setup.runner.steps import Run
from local_setup.runner.workspace import Workspace
from pymongo import MongoClient

BAD = [b"{cut off", b"[]", b'{"number": 1}', b"\xff\xfe"]


def write_corpus(path: Path, pulls: list[dict[str, Any]]) -> None:
    """Lines 1, 3 and 5 are bad, line 4 is empty, the last is bad without an end of line."""
    good = [json.dumps(pull).encode() for pull in pulls]
    lines = [BAD[0], good[0], BAD[1], b"", BAD[2], *good[1:], BAD[3]]
    path.write_bytes(gzip.compress(b"\n".join(lines)))


def test_lines_that_cannot_be_served_are_kept_at_their_numbers(
    tmp_path: Path, pulls: list[dict[str, Any]]
) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write_corpus(tmp_path / folder / "c.jsonl.gz", pulls[:3])
    (tmp_path / "fine.jsonl").write_text(json.dumps(pulls[4]) + "\n", "utf-8")
    workspace = Workspace(tmp_path / "out")
    workspace.prepare()
    files = (tmp_path / "one/c.jsonl.gz", tmp_path / "fine.jsonl", tmp_path / "two/c.jsonl.gz")
    for _ in range(2):
        with Source(corpus=tuple(map(str, files))).opened(workspace) as opened:
            assert opened.unusable == 8
        assert len(opened.aside) == 2
        for path in opened.aside:
            assert path.name == "c.jsonl"
            assert path.read_bytes().split(b"\n") == [BAD[0], b"", BAD[1], b"", BAD[2], b"", b"", BAD[3], b""]


def test_a_corpus_without_any_pull_request_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text("[]\n{}\n", "utf-8")
    workspace = Workspace(tmp_path / "out")
    workspace.prepare()
    with pytest.raises(CorpusError, match=r"no line of .*c\.jsonl is a pull request"):
        with Source(corpus=(str(tmp_path / "c.jsonl"),)).opened(workspace):
            pass


def test_what_is_no_pull_request_reaches_the_rejected_ones(
    tmp_path: Path, pulls: list[dict[str, Any]]
) -> None:
    write_corpus(tmp_path / "c.jsonl.gz", [*pulls[:3], {**pulls[3], "additions": -1}])
    command = [sys.executable, "-m", "local_setup.runner", "fetch", "--out", str(tmp_path / "out")]
    command += ["--corpus", str(tmp_path / "c.jsonl.gz")]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    with embedded_mongodb(tmp_path / "out" / "mongo") as uri, MongoClient[dict[str, Any]](uri) as client:
        database = client["mlops_db"]
        assert database["pull_requests"].count_documents({}) == 3
        rejected = {one["place"]: one for one in database["rejected"].find()}
        run = Run(Workspace(tmp_path / "out"), {"MONGO_URI": uri}, unusable=4)
        assert run.rejected_before() == 5, "each counts once, and only those of this run's files"
    expected = {f"c.jsonl line {number}" for number in (1, 3, 5, 9)}
    shaped = f"pull request {pulls[3]['base']['repo']['full_name']}#{pulls[3]['number']}"
    assert rejected.keys() == expected | {shaped}
    assert all("expected" in one["reason"] for one in rejected.values())
