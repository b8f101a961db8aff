"""The report's measures are those of anomalies as rare as declared, however many are drawn."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ml_training.quality.assessment import OURS, assess
from ml_training.quality.evaluation_set import DocumentSet, EvaluationSet
from ml_training.quality.injection import declared
from ml_training.quality.report import write_report


@pytest.mark.parametrize("count", [40, 600])
def test_guessing_gets_the_declared_base_rate(
    documents: list[dict[str, Any]], tmp_path: Path, count: int
) -> None:
    drawn = DocumentSet.make(documents[:count])
    evaluation = EvaluationSet.make(drawn, lambda found: np.zeros((len(found), 1), dtype=np.float32))
    assert len(evaluation.ordinary.lines) == count
    assert {len(one.lines) for draws in evaluation.injected.values() for one in draws} == {100}
    made = assess({OURS: lambda rows: np.zeros(len(rows.lines))}, evaluation, None, [])
    share = declared()["set"]["share"]
    for row in made.table.values():
        found = row[OURS]
        assert found["average_precision"].value == pytest.approx(share / (1 + share))
        assert found["precision_at_1_percent"].value == pytest.approx(share / (1 + share))
        assert found["roc_auc"].value == pytest.approx(0.5)
        # Resampling leaves the numbers of rows as they are, and so the base rate.
        assert found["average_precision"].low == pytest.approx(share / (1 + share))
    assert made.base_rate == pytest.approx(share / (1 + share))
    write_report(made, tmp_path, {})
    for name in ("quality.txt", "quality.html"):
        assert (tmp_path / name).read_text().lower().count("base rate 4.8 %") == 2, name
    assert "average precision: injected anomalies; base rate 4.8 %" in (tmp_path / "quality.txt").read_text()
