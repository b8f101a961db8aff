"""The reference of the score must look like served rows, which the network was not fitted to."""

import json
from typing import Any

import numpy as np
import pytest
from ml_training.split import SplitPlan
from ml_training.unseen_errors import unseen_errors

from ml_training import unseen_errors as module


@pytest.fixture(scope="module")
def reference(trained: Any) -> dict[str, Any]:
    """That of a model trained on a few hundred rows."""
    # Other tests of the session may have registered later versions.
    file = min(trained.work.parent.rglob("reference.json"), key=lambda path: path.stat().st_mtime)
    content: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return content


def test_a_small_corpus_is_cross_fitted(reference: dict[str, Any]) -> None:
    score = reference["drift"]["score"]
    assert score["how"] == "cross-fitted"
    assert score["rows"] == reference["error_rows"]  # every training row, once
    fitted, unseen = np.median(reference["error_quantiles"]), np.median(score["quantiles"])
    # What the network was fitted to it reconstructs better, a little: only the free error can be learned by heart.
    assert fitted * 1.002 < unseen < fitted * 2


@pytest.mark.parametrize("n_fit", [module.FOLDS - 1, module.MOST_ROWS + 1])
def test_with_many_rows_nothing_is_trained_anew(n_fit: int) -> None:
    errors = np.ones(7, dtype=np.float32)

    class Context:
        plan = SplitPlan({}, 0, n_fit, 0, 0)

    found = unseen_errors(Context(), None, errors)  # type: ignore[arg-type]
    assert found.how == "training rows" and found.errors is errors


def test_folds_end_when_there_are_enough_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of five folds are fitted, and as large a share of the rows that early stopping looked at."""
    rows, validation = np.zeros((1000, 3), np.float32), np.zeros((100, 3), np.float32)
    fitted_to: list[int] = []
    monkeypatch.setattr(module, "ENOUGH_ROWS", 400)
    monkeypatch.setattr(module, "_parts", lambda context: (rows, validation))
    monkeypatch.setattr(module, "_fit_without", lambda c, f, rows, v: fitted_to.append(len(rows)))
    monkeypatch.setattr(module, "_errors", lambda network, rows: np.zeros(len(rows), np.float32))

    class Context:
        plan = SplitPlan({}, 0, 1000, 100, 0)

    class Fitted:
        network = None

    found = unseen_errors(Context(), Fitted(), np.ones(1100))  # type: ignore[arg-type]
    assert fitted_to == [800, 800]
    assert len(found.errors) == 400 + 40
