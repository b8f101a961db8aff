"""Every setting is in the README, and help names it."""

from pathlib import Path
from typing import Any

import pytest
from ml_training.settings import EvaluateSettings, GateSettings, TrainSettings
from stage_runtime.settings import load_settings, settings_table


@pytest.mark.parametrize("settings", [TrainSettings, EvaluateSettings, GateSettings])
def test_the_readme_has_every_setting(repository: Path, settings: type[TrainSettings]) -> None:
    readme = (repository / "ml_training" / "README.md").read_text(encoding="utf-8")
    missing = [line for line in settings_table(settings).splitlines() if line not in readme]
    assert not missing, "\n".join(missing)


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
