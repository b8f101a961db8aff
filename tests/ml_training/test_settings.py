"""Every setting is in the README, and help names it."""

from pathlib import Path
from typing import Any

import pytest
from ml_training.settings import TrainSettings
from stage_runtime import readme
from stage_runtime.settings import load_settings


def test_the_readme_shows_every_setting(repository: Path) -> None:
    assert readme.main([str(repository / "ml_training" / "README.md"), "--check"]) == 0


def test_help_lists_the_commands(run_command: Any, capsys: Any) -> None:
    with pytest.raises(SystemExit) as left:
        run_command(["--help"])
    assert left.value.code == 0
    out = capsys.readouterr().out
    for word in ("train", "evaluate", "gate", "--candidates", "--gate-margin", "--report-dir"):
        assert word in out


def test_an_unknown_command(run_command: Any, capsys: Any) -> None:
    assert run_command(["publish"]) == 2
    assert "train, evaluate, gate" in capsys.readouterr().out


def test_secrets_never_show() -> None:
    made = load_settings(
        TrainSettings,
        [],
        "ml_training train",
        environ={
            "DO_SPACES_SECRET_KEY": "very-secret-key",
            "MLFLOW_TRACKING_URI": "http://me:hidden-word@mlflow.example",
            "DO_SPACES_BUCKET": "bucket",
        },
    )
    assert "very-secret-key" not in repr(made) and "hidden-word" not in repr(made)
    assert made.root_address == "s3a://bucket"
    assert made.s3_access.secret_key == "very-secret-key"
    assert "very-secret-key" not in repr(made.s3_access)
