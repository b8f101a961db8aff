"""What the benchmarks are expected to show is compared with what they did show."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "perf"))

import bounds  # noqa: E402
import page  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


def rows(**values: float | None) -> list[dict[str, Any]]:
    return [{"what": what, "who": "ours", "value": value, "unit": "MB"} for what, value in values.items()]


@pytest.mark.parametrize(
    ("value", "code", "word"),
    [(2_048.0, 0, "met"), (2_048.5, 5, "MISSED"), (None, 0, "not measured")],
)
def test_a_missed_expectation_ends_the_benchmark_with_5(
    value: float | None, code: int, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bounds.report("training", rows(**{"peak MB 1000000 rows": value})) == code
    assert word in capsys.readouterr().out


def test_a_share_has_to_be_reached() -> None:
    kinds = ("numerical_shift", "category_mismatch", "drop_column", "another repository")
    found = rows(
        **{f"detected {kind}": share for kind, share in zip(kinds, (1.0, 0.95, 0.94, 0.0), strict=True)}
    )
    found += rows(**{"false alarm share": 0.06})
    assert [one.met for one in bounds.judge("drift", found)] == [False, True, True, False, False]


def test_a_peer_is_beaten_in_requests_and_in_latency() -> None:
    measured = {
        ("requests/s at 8", "ours"): 199.0,
        ("requests/s at 8", "mlflow"): 10.0,
        ("p95 ms at 8", "ours"): 2.0,
        ("p95 ms at 8", "mlflow"): 2.0,
    }
    found = [{"what": what, "who": who, "value": value} for (what, who), value in measured.items()]
    by_name = {one.says: one for one in bounds.judge("serving", found)}
    assert by_name["requests/s at 8, ours over mlflow"].met is False
    assert by_name["p95 at 8, ours over mlflow"].met is True
    assert by_name["requests/s at 8, ours over bentoml"].met is None


def test_the_page_says_what_was_expected_and_who_was_left_out(tmp_path: Path) -> None:
    absent = {"what": "left out", "who": "mlserver", "value": None, "unit": "it ended | with 1"}
    (tmp_path / "training.json").write_text(json.dumps([*rows(**{"peak MB 1000000 rows": 3_000.0}), absent]))
    text = page.page(tmp_path)
    assert "| peak MB, 1,000,000 rows | at most 2048 | 3,000 | MISSED |" in text
    assert "| left out | - | it ended / with 1 |" in text


def test_every_expectation_was_measured_for_the_committed_page() -> None:
    """A figure that is called otherwise in its benchmark would never be compared."""
    text = (ROOT / "PERFORMANCE.md").read_text("utf-8")
    for bench, expected in bounds.BOUNDS.items():
        section = re.search(rf"^## {bench}$(.*?)(^## |\Z)", text, re.MULTILINE | re.DOTALL)
        assert section is not None, bench
        for bound in expected:
            assert f"| {bound.says} | " in section[1], bound.says
    assert "not measured" not in text
