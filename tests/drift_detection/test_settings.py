import pytest
from drift_detection.__main__ import COMMANDS, main
from stage_runtime.exits import WrongSettings
from stage_runtime.settings import settings_table


def test_every_setting_is_in_the_readme(repository: object) -> None:
    text = (repository / "drift_detection" / "README.md").read_text("utf-8")  # type: ignore[operator]
    for command in COMMANDS.values():
        assert settings_table(command.settings) in text, "make docs writes it"


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert "--data-root" in capsys.readouterr().out


def test_an_unknown_command() -> None:
    with pytest.raises(WrongSettings, match="detect"):
        main(["detekt"])


def test_replicas_must_be_named() -> None:
    with pytest.raises(WrongSettings, match="REPLICAS"):
        main(["verify"])
