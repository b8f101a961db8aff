"""The tables of settings in a README."""

from pathlib import Path

import pytest
from stage_runtime.exits import ExitCode, UnusableInput, WrongSettings
from stage_runtime.readme import main

README = "# A\n<!-- settings: stage_runtime.settings:StageSettings -->\nold\n<!-- /settings -->\nafter\n"


@pytest.fixture
def readme(tmp_path: Path) -> Path:
    file = tmp_path / "README.md"
    file.write_text(README)
    return file


def test_the_table_is_written_between_the_markers_and_then_holds(readme: Path) -> None:
    with pytest.raises(UnusableInput, match="does not show the settings of the code: run `make docs`"):
        main([str(readme), "--check"])
    assert readme.read_text() == README
    assert main([str(readme)]) == ExitCode.DONE
    text = readme.read_text()
    assert text.startswith("# A\n")
    assert text.endswith("after\n")
    assert "`LOG_LEVEL`" in text
    assert "old" not in text
    assert main([str(readme), "--check"]) == ExitCode.DONE


def test_each_table_is_its_own_and_may_leave_out_what_another_class_has(readme: Path) -> None:
    same = "stage_runtime.settings:StageSettings"
    second = f"<!-- settings: {same} beyond {same} -->\nold\n<!-- /settings -->\n"
    readme.write_text(README + second)
    main([str(readme)])
    assert readme.read_text().count("`LOG_LEVEL`") == 1
    assert "old" not in readme.read_text()


@pytest.mark.parametrize("argv", [[], ["a", "b"], ["--check"]])
def test_wrong_arguments_are_refused(argv: list[str]) -> None:
    with pytest.raises(WrongSettings, match=r"Expected README \[--check\]"):
        main(argv)


def test_missing_markers_are_named(readme: Path) -> None:
    readme.write_text("nothing")
    with pytest.raises(WrongSettings, match="<!-- settings: MODULE:CLASS -->"):
        main([str(readme)])


@pytest.mark.parametrize("name", ["stage_runtime.settings", "stage_runtime.settings:Nothing", "pathlib:Path"])
def test_a_name_that_is_no_settings_class_is_refused(readme: Path, name: str) -> None:
    readme.write_text(README.replace("stage_runtime.settings:StageSettings", name))
    with pytest.raises(WrongSettings, match=rf"Expected MODULE:CLASS of a settings class, found {name}"):
        main([str(readme)])
