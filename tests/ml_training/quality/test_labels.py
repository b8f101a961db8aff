"""Known anomalies from a file."""

from pathlib import Path

import pytest
from ml_training.quality.labels import read_labels
from stage_runtime.exits import UnusableInput, WrongSettings


def test_kinds_and_flags(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text(
        '{"repo_name": "a/b", "number": 1, "label": "spam"}\n\n'
        '{"repo_name": "A/b", "number": 2, "label": 1}\n'
        '{"repo_name": "a/b", "number": 3, "label": 0}\n'
        '{"repo_name": "a/b", "number": 4, "label": "normal"}\n'
        '{"repo_name": "a/b", "number": 5, "label": null}\n'
    )
    assert read_labels(path) == {("a/b", 1): "spam", ("a/b", 2): "anomaly"}


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"repo_name": "a/b", "number": 1}',
        '{"number": "x", "label": 1}',
        '{"repo_name": "a/b", "number": 1e999, "label": 1}',
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text('{"repo_name": "a/b", "number": 1, "label": 1}\n' + line + "\n")
    with pytest.raises(UnusableInput, match="line 2: expected an object"):
        read_labels(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(WrongSettings, match="LABELS"):
        read_labels(tmp_path / "none")
