"""The table of settings in a README."""

from pathlib import Path

import pytest
from stage_runtime.exits import ExitCode, UnusableInput, WrongSettings
from stage_runtime.readme import main

README = "# A\n<!-- settings -->\nold\n<!-- /settings -->\nafter\n"
CLASS = "stage_runtime.settings:StageSettings"


def test_the_table_is_written_between_the_markers_and_then_holds(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(README)
    with pytest.raises(UnusableInput, match="does not show the settings"):
        main([CLASS, str(readme), "--check"])
    assert main([CLASS, str(readme)]) == ExitCode.DONE
    text = readme.read_text()
    assert text.startswith("# A\n")
    assert text.endswith("after\n")
    assert "`LOG_LEVEL`" in text
    assert "old" not in text
    assert main([CLASS, str(readme), "--check"]) == ExitCode.DONE


@pytest.mark.parametrize("argv", [[], ["nonsense", "x"], [CLASS]])
def test_wrong_arguments_are_refused(argv: list[str]) -> None:
    with pytest.raises(WrongSettings, match="Expected MODULE:CLASS"):
        main(argv)


def test_missing_markers_are_named(tmp_path: Path) -> None:
    (tmp_path / "R.md").write_text("nothing")
    with pytest.raises(WrongSettings, match="<!-- settings -->"):
        main([CLASS, str(tmp_path / "R.md")])
