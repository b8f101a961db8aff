"""Which run is taken, and which is refused: one that is half published, unknown or damaged."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ml_training.runs import choose_run, open_run
from ml_training.storage import Root, S3Access, open_root
from stage_runtime.exits import UnusableInput


def folder_of(root: Path, run_id: str, published_at: str, fake: ModuleType) -> Path:
    folder = root / "preprocess-runs" / run_id
    (folder / "features").mkdir(parents=True)
    (folder / "preprocessor.json").write_text("{}")
    (folder / "features" / "part-1.parquet").write_text("one")
    (folder / "features" / "part-0.parquet").write_text("zero")
    fake.publish_manifest(folder, run_id, 2, published_at=published_at)
    return folder


@pytest.fixture
def made(tmp_path: Path, fake: ModuleType) -> Root:
    folder_of(tmp_path, "z-old", "2026-01-01T00:00:00Z", fake)
    folder_of(tmp_path, "a-new", "2026-02-01T00:00:00Z", fake)
    (tmp_path / "preprocess-runs" / "half" / "features").mkdir(parents=True)
    return open_root(str(tmp_path), S3Access())


def opened(root: Root, work: Path, run_id: str) -> Any:
    return open_run(root, *choose_run(root, run_id), work)


def test_the_newest_manifest_is_taken(made: Root) -> None:
    assert choose_run(made, None)[0] == "a-new"
    assert choose_run(made, "z-old")[0] == "z-old"


def test_files_come_in_the_order_of_their_names(made: Root, tmp_path: Path) -> None:
    run = opened(made, tmp_path, "a-new")
    assert [path.read_text() for path in run.files("features")] == ["zero", "one"]
    assert run.evaluation_path is None


def test_a_run_that_has_no_manifest_is_refused(made: Root) -> None:
    with pytest.raises(UnusableInput, match="never published.*a-new, z-old.*Run spark_preprocess"):
        choose_run(made, "half")


def test_an_unknown_run_is_refused(made: Root) -> None:
    with pytest.raises(UnusableInput, match="preprocess run 'nobody'"):
        choose_run(made, "nobody")


def test_no_run_at_all(tmp_path: Path) -> None:
    empty = open_root(str(tmp_path / "missing"), S3Access())
    with pytest.raises(UnusableInput, match="found no run"):
        choose_run(empty, None)
    (tmp_path / "missing" / "preprocess-runs" / "x").mkdir(parents=True)
    with pytest.raises(UnusableInput, match="found 1 without a manifest"):
        choose_run(empty, None)


@pytest.mark.parametrize("damage", ["another", "cut", "gone"])
def test_a_damaged_file_is_named(made: Root, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "preprocess-runs" / "a-new" / "features" / "part-1.parquet"
    if damage == "gone":
        path.unlink()
    else:
        path.write_text("two" if damage == "another" else "o")
    with pytest.raises(UnusableInput, match=r"features/part-1\.parquet: expected 3 bytes"):
        opened(made, tmp_path, "a-new")


@pytest.mark.parametrize(
    "manifest",
    [
        "not json",
        "[]",
        "{}",
        '{"files": [{"path": "a"}]}',
        '{"files": [{"path": "../x", "bytes": 1, "sha256": ""}]}',
    ],
)
def test_a_manifest_that_says_nothing_is_refused(made: Root, tmp_path: Path, manifest: str) -> None:
    (tmp_path / "preprocess-runs" / "a-new" / "manifest.json").write_text(manifest)
    with pytest.raises(UnusableInput, match="'a-new': expected"):
        opened(made, tmp_path, "a-new")


def test_the_data_hash_ignores_the_runs_name(made: Root, tmp_path: Path) -> None:
    one, two = opened(made, tmp_path, "a-new"), opened(made, tmp_path, "z-old")
    assert one.data_hash == two.data_hash
    path = tmp_path / "preprocess-runs" / "a-new" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"][0]["sha256"] = "0" * 64
    assert manifest["files"][0]["path"].startswith("features/")
