"""Document to score, and the promises of the package that travels in the model."""

from __future__ import annotations

import ast
import importlib.util
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pr_features
import pytest
from pr_features.reasons import REASONS
from pr_features.scoring import BrokenModel, Scorer

Pull = Callable[..., dict[str, Any]]
PACKAGE = Path(pr_features.__file__).parent


def squares(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    parts = matrix * matrix
    return parts.sum(axis=1), parts


@pytest.fixture
def scorer(artifact: Path) -> Scorer:
    return Scorer.load(artifact, squares)


def test_scores_come_in_order_with_all_their_fields(scorer: Scorer, pull: Pull) -> None:
    usual, huge = scorer.score([pull(), pull(number=8, additions=90_000, changed_files=4_000)])
    assert (usual["number"], huge["number"]) == (7, 8)
    assert set(usual) == {
        "repo_name", "number", "reconstruction_error", "threshold", "is_anomaly", "anomaly_score", "reasons",
    }  # fmt: skip
    assert huge["reconstruction_error"] > usual["reconstruction_error"]
    assert huge["is_anomaly"] is (huge["reconstruction_error"] > 30.0)
    json.dumps([usual, huge], allow_nan=False)


def test_no_documents_no_scores(scorer: Scorer) -> None:
    assert scorer.score([]) == []


def test_anomaly_score_is_the_percentile_among_training_errors(scorer: Scorer, pull: Pull) -> None:
    scored = scorer.run([pull()] * 4)
    scored.reconstruction_error[:] = [0.0, 5.0, 20.0, 1e9]
    assert [score["anomaly_score"] for score in scorer.describe(scored)] == [0.0, 0.25, 1.0, 1.0]


def test_is_anomaly_is_strictly_beyond(scorer: Scorer, pull: Pull) -> None:
    scored = scorer.run([pull()] * 2)
    scored.reconstruction_error[:] = [30.0, np.nextafter(np.float32(30.0), np.float32(31.0))]
    assert [score["is_anomaly"] for score in scorer.describe(scored)] == [False, True]


def test_history_is_looked_up_and_can_be_overridden(scorer: Scorer, pull: Pull) -> None:
    known, overridden, stranger = (
        scorer.run([pull(author_id=author)], [override]).reconstruction_error[0]
        for author, override in (
            (42, None),
            (42, {"author_opened": 0}),
            (43, None),
        )
    )
    assert known != stranger
    assert overridden == pytest.approx(stranger, rel=1e-6), "account ids one apart are of one age"


def test_reasons_name_the_largest_share_first(scorer: Scorer, pull: Pull) -> None:
    (score,) = scorer.score([pull(additions=90_000)])
    shares = [reason["share"] for reason in score["reasons"]]
    assert 1 <= len(shares) <= REASONS and shares == sorted(shares, reverse=True)
    assert all(set(reason) == {"feature", "share", "value", "usual", "text"} for reason in score["reasons"])


def test_golden_request(artifact: Path) -> None:
    Scorer.load(artifact, squares).prove_golden()
    with pytest.raises(BrokenModel, match="golden request scored .* stored with"):
        Scorer.load(artifact, lambda m: (squares(m)[0] * 1.001, m)).prove_golden()


@pytest.mark.parametrize(
    "name", ["preprocessor.json", "threshold.json", "reference.json", "golden.json", "history.npz"]
)
def test_a_broken_artifact_is_refused_by_name(artifact: Path, name: str) -> None:
    (artifact / name).write_bytes(b"{}")
    with pytest.raises(BrokenModel, match=name + ".* cannot be read"):
        Scorer.load(artifact, squares)
    (artifact / name).unlink()
    with pytest.raises(BrokenModel, match=name):
        Scorer.load(artifact, squares)


def test_the_package_imports_nothing_but_itself_numpy_and_the_standard_library() -> None:
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                roots = {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                roots = {(node.module or "").split(".")[0]}
            else:
                continue
            assert roots <= sys.stdlib_module_names | {"numpy"}, f"{path.name}: {roots}"


def test_two_copies_live_side_by_side_under_other_names(artifact: Path, pull: Pull) -> None:
    spec = importlib.util.spec_from_file_location(
        "pr_features_of_version_2", PACKAGE / "__init__.py", submodule_search_locations=[str(PACKAGE)]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
        scoring = importlib.import_module(spec.name + ".scoring")
        assert scoring.Scorer is not Scorer
        assert scoring.Scorer.load(artifact, squares).score([pull()]) == Scorer.load(artifact, squares).score(
            [pull()]
        )
    finally:
        for name in [name for name in sys.modules if name.startswith(spec.name)]:
            del sys.modules[name]


def test_a_score_depends_on_the_moment_not_on_the_clock_zone(scorer: Scorer, pull: Pull) -> None:
    one = scorer.run([pull(created_at=datetime(2024, 5, 4, 13, 30, tzinfo=UTC))])
    again = scorer.run([pull(created_at=datetime(2024, 5, 4, 13, 30, tzinfo=UTC))])
    assert one.values.tobytes() == again.values.tobytes()
