"""A stage with several commands."""

import pytest
from pydantic import Field
from stage_runtime.commands import Command, dispatch
from stage_runtime.exits import ExitCode, WrongSettings
from stage_runtime.settings import StageSettings


class TrainSettings(StageSettings):
    """Fit a candidate."""

    epochs: int = Field(default=3, description="passes over the rows")


class GateSettings(StageSettings):
    """Judge the candidate."""

    margin: float = Field(default=0.0, description="how much better")


seen: list[StageSettings] = []


def train(settings: TrainSettings) -> None:
    seen.append(settings)


def gate(settings: GateSettings) -> ExitCode:
    return ExitCode.GATE_REFUSED


COMMANDS = {"train": Command(TrainSettings, train, "fit"), "gate": Command(GateSettings, gate, "judge")}


def test_the_first_argument_chooses_the_rest_are_its_settings() -> None:
    assert dispatch(COMMANDS, ["train", "--epochs", "9"], prog="stage", environ={}) is None
    assert seen == [TrainSettings(epochs=9)]
    assert dispatch(COMMANDS, ["gate"], prog="stage", environ={}) == 5


@pytest.mark.parametrize(
    ("argv", "found"), [([], "none"), (["rain"], "'rain'"), (["--epochs"], "'--epochs'")]
)
def test_a_missing_or_unknown_command_lists_the_known_ones(argv: list[str], found: str) -> None:
    with pytest.raises(WrongSettings, match=f"train, gate as first argument, found {found}"):
        dispatch(COMMANDS, argv, prog="stage", environ={})


def test_another_commands_flag_is_refused() -> None:
    with pytest.raises(WrongSettings, match="--margin"):
        dispatch(COMMANDS, ["train", "--margin", "1"], prog="stage", environ={})


def test_help_shows_every_command_with_its_settings(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        dispatch(COMMANDS, ["--help"], prog="stage", environ={})
    text = capsys.readouterr().out
    for part in ("train", "gate", "--epochs", "--margin", "MARGIN", "passes over the rows"):
        assert part in text
