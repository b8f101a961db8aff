"""From a collection to a published run, with the real MongoDB connector and real files."""

from __future__ import annotations

import gzip
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pr_features.documents import check
from pr_features.history import HistoryState
from pr_features.preprocessor import Preprocessor
from pr_features.registry import NAMES
from pr_features.rows import row
from spark_preprocess.settings import Settings
from stage_runtime.exits import ServiceUnreachable, UnusableInput, WrongSettings

Documents = list[dict[str, Any]]
Store = Callable[..., str]
MakeSettings = Callable[..., Settings]
Run = Callable[[Settings], dict[str, Any]]


def folder_of(settings: Settings) -> Path:
    return Path(settings.root) / "preprocess-runs" / settings.preprocess_run_id


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """The feature table as training reads it: files in the order of their names."""
    return [
        found for path in sorted((folder / "features").iterdir()) for found in pq.read_table(path).to_pylist()
    ]


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().splitlines()]


def rejected_of(folder: Path) -> list[dict[str, Any]]:
    return [line for path in sorted((folder / "rejected").glob("*.jsonl.gz")) for line in lines_of(path)]


def evaluation_of(folder: Path) -> list[dict[str, Any]]:
    text = gzip.decompress((folder / "evaluation" / "documents.jsonl.gz").read_bytes()).decode()
    return [json.loads(line) for line in text.splitlines()]


def history_state(folder: Path) -> HistoryState:
    """What training packs into the model."""

    def tuples(name: str, columns: tuple[str, ...]) -> list[tuple[Any, ...]]:
        table = pq.read_table(folder / "history" / name).to_pylist()
        return [tuple(found[column] for column in columns) for found in table]

    return HistoryState.pack(
        tuples("authors", ("repo_key", "author_key", "opened", "merged")),  # type: ignore[arg-type]
        tuples("repositories", ("repo_key", "month", "norms")),  # type: ignore[arg-type]
    )


def bits_of(values: list[float | None]) -> list[int]:
    """The 32 bits of each, so that 0 and -0 differ; -1 for a missing value, null or NaN."""
    found = np.array(values, dtype=np.float32)
    return np.where(np.isnan(found), -1, found.view(np.uint32).astype(np.int64)).tolist()


def assert_parity(folder: Path, documents: Documents) -> None:
    """Every row of Spark is, bit for bit, what serving computes from the packed state."""
    preprocessor = Preprocessor.load(folder / "preprocessor.json")
    state = history_state(folder)
    by_id = {found["pr_id"]: found for found in rows_of(folder)}
    assert len(by_id) == len(documents)
    for document in documents:
        checked = check(document)
        served = row(checked, state.lookup(checked), preprocessor.profile)
        stored = by_id[checked["pr_id"]]
        stored_bits, served_bits = (
            bits_of([stored[name] for name in NAMES]),
            bits_of(served.values.tolist()),
        )
        odd = [name for name, a, b in zip(NAMES, stored_bits, served_bits, strict=True) if a != b]
        assert not odd, f"{odd} of {document}"
        assert stored["text_indices"] == served.text_indices
        assert stored["text_values"] == served.text_values


def assert_whole(folder: Path, manifest: dict[str, Any], repository: Path) -> None:
    """The manifest follows its contract and tells of every file; nothing else lies in the folder."""
    contracts = repository / "spark_preprocess" / "src" / "spark_preprocess" / "schemas"
    for name in ("manifest", "preprocessor"):
        schema = json.loads((contracts / f"{name}.schema.json").read_text("utf-8"))
        Draft202012Validator.check_schema(schema)
        Draft202012Validator(schema).validate(json.loads((folder / f"{name}.json").read_text("utf-8")))
    assert json.loads((folder / "manifest.json").read_text("utf-8")) == manifest
    assert manifest["documents"] == manifest["rows"] + manifest["rejected"]
    assert manifest["rows"] == manifest["train"] + manifest["later"]
    listed = {entry["path"]: (entry["bytes"], entry["sha256"]) for entry in manifest["files"]}
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "manifest.json":
            content = path.read_bytes()
            found[str(path.relative_to(folder))] = (len(content), hashlib.sha256(content).hexdigest())
    assert found == listed
    assert not any(part.startswith(("_", ".")) for name in found for part in name.split("/"))


def test_a_run_of_made_documents(
    documents: Documents, store: Store, settings: MakeSettings, run: Run, repository: Path
) -> None:
    ours = settings(store(documents), rows_per_partition=200)
    manifest = run(ours)
    folder = folder_of(ours)
    assert_whole(folder, manifest, repository)
    assert (manifest["documents"], manifest["rejected"]) == (len(documents), 0)
    # Either spelling of a repository's name is shown as it came, and makes no other repository.
    shown = {found["repo_name"] for found in rows_of(folder)}
    assert shown == {document["repo_name"] for document in documents} and {"big/half", "Big/Half"} < shown
    assert manifest["repositories"] == len({name.lower() for name in shown}) == 17
    assert len(list((folder / "features").iterdir())) == 5
    assert_parity(folder, documents)

    # Another order of the input, another cut: the same preprocessor, the same rows in the same order.
    shuffled = Random(5).sample(documents, len(documents))
    theirs = settings(store(shuffled), preprocess_run_id="other", mongo_partitioner="single")
    assert run(theirs)["preprocessor_hash"] == manifest["preprocessor_hash"]
    other = folder_of(theirs)
    assert (other / "preprocessor.json").read_bytes() == (folder / "preprocessor.json").read_bytes()
    assert len(list((other / "features").iterdir())) == 1
    assert rows_of(other) == rows_of(folder)

    # Raw documents of split later, in the order of the rows, as they can be checked again.
    later = [found["pr_id"] for found in rows_of(folder) if found["split"] == "later"]
    kept = evaluation_of(folder)
    assert [document["pr_id"] for document in kept] == later
    assert manifest["evaluation_documents"] == len(kept) == manifest["later"] > 100
    by_id = {document["pr_id"]: check(document) for document in documents}
    assert all(check(document) == by_id[document["pr_id"]] for document in kept)

    # The same run again: found published, not a byte changes.
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert run(ours) == manifest
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_real_pull_requests(
    real_documents: Documents, store: Store, settings: MakeSettings, run: Run, repository: Path
) -> None:
    ours = settings(store(real_documents), rows_per_partition=600, evaluation_documents=100)
    manifest = run(ours)
    assert_whole(folder_of(ours), manifest, repository)
    assert (manifest["documents"], manifest["rows"], manifest["rejected"]) == (1777, 1777, 0)
    assert manifest["evaluation_documents"] == 100
    assert_parity(folder_of(ours), real_documents)


@pytest.mark.parametrize(
    "count", [300, pytest.param(3_000, marks=[pytest.mark.long, pytest.mark.timeout(900)])]
)
def test_documents_as_odd_as_the_contract_allows(
    count: int,
    odd_documents: st.SearchStrategy[dict[str, Any]],
    store: Store,
    settings: MakeSettings,
    run: Run,
) -> None:
    """Hypothesis draws them all, and one run of Spark judges them: starting one for each would take hours."""
    drawn: Documents = []

    @hypothesis_settings(
        max_examples=count,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(odd_documents)
    def draw(document: dict[str, Any]) -> None:
        number = len(drawn) + 1
        drawn.append({**document, "_id": number, "pr_id": number, "number": number})

    draw()
    ours = settings(store(drawn), rows_per_partition=count // 3)
    manifest = run(ours)
    assert (manifest["rows"], manifest["rejected"]) == (len(drawn), 0)
    assert len(drawn) >= count
    assert_parity(folder_of(ours), drawn)
    # Not odd for nothing: authors have pasts, text has columns, and every feature has a value somewhere.
    rows = rows_of(folder_of(ours))
    assert any(found["author_opened"] < -1 for found in rows) and any(found["text_indices"] for found in rows)
    assert [name for name in NAMES if all(found[name] is None for found in rows)] == []


def broken(documents: Documents) -> Documents:
    """Forty good ones and one of each kind of broken one."""
    wrong: Documents = [
        {"additions": "12"},
        {"title": {"nested": [1]}},
        {"created_at": None},
        {"deletions": -4},
        {"body": "x" * 1_100_000},
        {"labels": ["l"] * 200_000},
        {"changed_files": {"$numberDouble": "NaN"}},
        {"repo_name": "$title"},
    ]
    return documents[:40] + [
        dict(documents[0], **change, _id=i + 1, pr_id=i + 1) for i, change in enumerate(wrong)
    ]


def test_broken_documents_are_put_aside(
    documents: Documents, store: Store, settings: MakeSettings, run: Run, repository: Path
) -> None:
    # Texts that look like MongoDB's own language are texts.
    odd = dict(documents[1], title="$title", body='{"$numberInt": "5"}', head_ref="$$ROOT", _id=99, pr_id=99)
    ours = settings(store([*broken(documents), odd]), max_rejected_share=0.2)
    manifest = run(ours)
    assert_whole(folder_of(ours), manifest, repository)
    assert (manifest["documents"], manifest["rows"], manifest["rejected"]) == (49, 41, 8)
    rejected = rejected_of(folder_of(ours))
    fields = {found["reason"].partition(":")[0].partition("[")[0] for found in rejected}
    assert fields == {
        "additions", "title", "created_at", "deletions", "body", "labels", "changed_files", "repo_name",
    }  # fmt: skip
    assert {json.loads(found["document"])["_id"] for found in rejected} == set(range(1, 9))
    assert next(found for found in rows_of(folder_of(ours)) if found["pr_id"] == 99)["title"] == "$title"


def test_a_large_quarantine_goes_through_several_tasks(
    documents: Documents, store: Store, settings: MakeSettings, run: Run
) -> None:
    bad = [{**document, "additions": -1} for document in documents[:60]]
    one, many = (
        settings(
            store([*bad, *documents[60:80]]),
            max_rejected_share=1,
            rows_per_partition=rows,
            preprocess_run_id=name,
        )
        for name, rows in (("one", 100), ("many", 15))
    )
    assert run(one)["rejected"] == run(many)["rejected"] == 60
    assert len(list((folder_of(one) / "rejected").iterdir())) == 1
    sizes = [len(lines_of(path)) for path in sorted((folder_of(many) / "rejected").iterdir())]
    assert len(sizes) == 4 and sum(sizes) == 60 and max(sizes) < 40
    # The same lines in the same order, however many files they lie in.
    assert rejected_of(folder_of(many)) == rejected_of(folder_of(one))


def test_too_many_rejected(documents: Documents, store: Store, settings: MakeSettings, run: Run) -> None:
    ours = settings(store(broken(documents)), max_rejected_share=0.1)
    with pytest.raises(UnusableInput, match=r"8 of 48 .* at most 0.1 \(MAX_REJECTED_SHARE\), found 0.167"):
        run(ours)
    assert not folder_of(ours).exists()


def test_documents_of_before_the_contract(
    documents: Documents, store: Store, settings: MakeSettings, run: Run, repository: Path
) -> None:
    """Their _id is an ObjectId, among numbers; one pull request may be there several times."""
    old = [
        {**document, "_id": {"$oid": f"{i:024x}"}, "title": "an older copy"}
        for i, document in enumerate(documents[:5])
    ]
    newer = {**documents[7], "_id": {"$oid": "f" * 24}, "updated_at": documents[0]["fetched_at"]}
    ours = settings(store([*documents[:20], newer, *old]), max_rejected_share=0.5)
    manifest = run(ours)
    assert_whole(folder_of(ours), manifest, repository)
    assert (manifest["documents"], manifest["rows"], manifest["rejected"]) == (26, 20, 6)
    assert {found["reason"].partition(":")[0] for found in rejected_of(folder_of(ours))} == {"pr_id"}
    stored = {found["pr_id"] for found in rows_of(folder_of(ours))}
    assert stored == {document["pr_id"] for document in documents[:20]}


def test_an_empty_collection(settings: MakeSettings, run: Run) -> None:
    with pytest.raises(UnusableInput, match=r"mlops_db\.nothing_here is empty.*Run data_fetch first"):
        run(settings("nothing_here"))


def test_mongodb_out_of_reach_is_said_in_time(settings: MakeSettings, run: Run) -> None:
    start = time.monotonic()
    away = settings(mongo_uri="mongodb://user:secret@127.0.0.1:1", mongo_timeout_seconds=2)
    with pytest.raises(ServiceUnreachable, match="did not answer within 2 s") as raised:
        run(away)
    assert time.monotonic() - start < 30
    assert "secret" not in str(raised.value)


def test_a_connection_string_that_is_none(settings: MakeSettings, run: Run) -> None:
    with pytest.raises(WrongSettings, match="MONGO_URI"):
        run(settings(mongo_uri="postgres://127.0.0.1"))


def test_what_a_killed_run_left_is_cleared(
    documents: Documents, store: Store, settings: MakeSettings, run: Run, repository: Path
) -> None:
    ours = settings(store(documents[:60]))
    left = folder_of(ours) / "features" / "_temporary" / "0"
    left.mkdir(parents=True)
    (left / "part-00000.parquet").write_bytes(b"half")
    (folder_of(ours) / "preprocessor.json").write_text("{}")
    assert_whole(folder_of(ours), run(ours), repository)


def test_a_root_that_cannot_be_written(
    documents: Documents, store: Store, settings: MakeSettings, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WrongSettings, match="DATA_ROOT: expected a folder that can be written to"):
        run(settings(store(documents[:2]), data_root=str(tmp_path / "file")))
