"""Rows as a stream: the same whatever the files, nothing dropped, memory flat."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ml_training.dataset import FeatureTable, MinibatchSource
from ml_training.split import PLAN_COLUMNS, SplitPlan
from pr_features.preprocessor import Preprocessor
from stage_runtime.exits import UnusableInput

from ml_training import dataset


def table_of(folder: Path) -> FeatureTable:
    files = sorted((folder / "features").glob("*.parquet"))
    return FeatureTable(files, Preprocessor.load(folder / "preprocessor.json"))


def only_run(root: Path) -> Path:
    (folder,) = (root / "preprocess-runs").iterdir()
    return folder


@pytest.fixture
def table(root: Path) -> FeatureTable:
    return table_of(only_run(root))


def source(table: FeatureTable, **changes: Any) -> MinibatchSource:
    plan = SplitPlan.from_keys(table.keys(PLAN_COLUMNS))
    return MinibatchSource(table, plan, **{"batch_size": 64, "seed": 5, **changes})


def test_blocks_have_all_rows_in_order(table: FeatureTable, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.concatenate([block.matrix for block in table.blocks()])
    monkeypatch.setattr(dataset, "BLOCK_ROWS", 37)
    monkeypatch.setattr(dataset, "READ_ROWS", 10)
    blocks = list(table.blocks())
    assert [len(block.matrix) for block in blocks[:-1]] == [37] * (600 // 37)
    assert np.array_equal(np.concatenate([block.matrix for block in blocks]), whole)
    ids = [key for block in blocks for key in block.keys.column("pr_id").to_pylist()]
    assert len(set(ids)) == table.n_rows == 600


def test_how_spark_cut_the_files_changes_nothing(
    tmp_path: Path, root: Path, fake: ModuleType, documents: list[dict[str, Any]]
) -> None:
    other = fake.publish(tmp_path, list(reversed(documents)), files=7)
    first, second = source(table_of(only_run(root))), source(table_of(other))
    for one, two in zip(first.fitting(3), second.fitting(3), strict=True):
        assert np.array_equal(one, two)


def test_an_epoch_has_every_row_once_in_another_order(table: FeatureTable) -> None:
    ours = source(table)
    first, again, second = (np.concatenate(list(ours.fitting(epoch))) for epoch in (0, 0, 1))
    assert len(first) == ours.plan.n_fit
    assert np.array_equal(first, again)
    assert not np.array_equal(first, second)
    assert np.array_equal(np.sort(first, axis=0), np.sort(second, axis=0))
    sizes = [len(batch) for batch in ours.fitting(0)]
    assert sizes[-1] == ours.plan.n_fit % 64 or sizes[-1] == 64


def test_streamed_rows_are_those_of_the_cache(table: FeatureTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "BLOCK_ROWS", 50)
    kept, streamed = source(table), source(table, cache_bytes=0)
    for one, two in zip(kept.fitting(2), streamed.fitting(2), strict=True):
        assert np.array_equal(one, two)
    one, two = (np.concatenate(list(each.validation())) for each in (kept, streamed))
    assert np.array_equal(one, two)
    assert len(one) == kept.plan.n_validation > 0
    assert np.array_equal(kept.sample(70), streamed.sample(70))


def test_text_columns_and_missing_values_arrive(table: FeatureTable) -> None:
    block = next(table.blocks())
    text = [name.startswith("text:") for name in table.preprocessor.columns]
    assert block.matrix[:, text].any()
    assert np.isnan(block.values).any()
    assert np.isfinite(block.matrix).all()


def test_a_null_list_is_an_empty_one(tmp_path: Path, root: Path) -> None:
    folder = only_run(root)
    whole = pq.read_table(folder / "features")
    lists = whole.column("text_indices").to_pylist()
    nulls = pa.array([None] * len(lists), pa.list_(pa.int32()))
    floats = pa.array([None] * len(lists), pa.list_(pa.float32()))
    changed = whole.set_column(whole.schema.get_field_index("text_indices"), "text_indices", nulls)
    changed = changed.set_column(changed.schema.get_field_index("text_values"), "text_values", floats)
    pq.write_table(changed, tmp_path / "part-0.parquet")
    empty = FeatureTable([tmp_path / "part-0.parquet"], Preprocessor.load(folder / "preprocessor.json"))
    text = [name.startswith("text:") for name in empty.preprocessor.columns]
    assert not next(empty.blocks()).matrix[:, text].any()


def test_another_versions_table_is_refused(tmp_path: Path, root: Path) -> None:
    folder = only_run(root)
    pq.write_table(pq.read_table(folder / "features").drop_columns(["lines"]), tmp_path / "a.parquet")
    with pytest.raises(UnusableInput, match="none called lines"):
        FeatureTable([tmp_path / "a.parquet"], Preprocessor.load(folder / "preprocessor.json"))


def test_no_files_and_no_parquet_are_refused(tmp_path: Path, root: Path) -> None:
    preprocessor = Preprocessor.load(only_run(root) / "preprocessor.json")
    with pytest.raises(UnusableInput, match="found none"):
        FeatureTable([], preprocessor)
    (tmp_path / "a.parquet").write_text("no parquet")
    with pytest.raises(UnusableInput, match=r"a\.parquet: expected a Parquet file"):
        FeatureTable([tmp_path / "a.parquet"], preprocessor)
