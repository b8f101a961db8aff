"""A model that is judged, and the rows that it is judged on."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from ml_training.dataset import FeatureTable
from ml_training.quality import model_under_test
from ml_training.quality.evaluation_set import read_documents
from ml_training.runs import choose_run, open_run
from ml_training.storage import S3Access, open_root
from pr_features.preprocessor import Preprocessor


@pytest.mark.parametrize(("most", "weight"), [(100, 595 / 97), (20_000, 1.0)])
def test_sampled_rows_beside_known_anomalies_stand_for_all(
    root: Path,
    tmp_path: Path,
    documents: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    most: int,
    weight: float,
) -> None:
    store = open_root(str(root), S3Access())
    run = open_run(store, *choose_run(store, None), tmp_path)
    table = FeatureTable(run.files("features"), Preprocessor.load(run.preprocessor_path))
    keys = list(table.keys(("repo_name", "number")))
    in_order = [
        pair for batch in keys for pair in zip(*(column.to_pylist() for column in batch.columns), strict=True)
    ]
    # Three among the first hundred rows, two far behind.
    labels = {in_order[place]: "spam" for place in (0, 5, 99, 300, 599)}
    monkeypatch.setattr(model_under_test, "KNOWN_ROWS", most)
    _, known = model_under_test._table_rows(table, labels)
    assert len(known.anomalies) == 5
    assert known.ordinary_weight == pytest.approx(weight)
    assert (len(known.rows.lines) - 5) * known.ordinary_weight == pytest.approx(595)


def test_documents_that_are_left_out_are_counted(
    documents: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    usable = json.loads(json.dumps(documents[:3], default=lambda moment: moment.isoformat()))
    given = [*usable, {**usable[0], "number": -1}]
    path = tmp_path / "documents.jsonl.gz"
    with gzip.open(path, "wt", encoding="utf-8") as lines:
        lines.writelines(json.dumps(one) + "\n" for one in given)
    assert len(read_documents(path)) == 3
    said = capsys.readouterr().out
    assert "left out of the quality report" in said and "number" in said
